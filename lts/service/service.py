"""One service: its predictors, its private folder, and what it keeps."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from lts import __version__
from lts.base import StorageError
from lts.inference import Predictor, model_in_words
from lts.service.admission import Gate
from lts.service.folder import PrivateFolder
from lts.service.jobs import Job, JobQueue
from lts.service.metrics import Metrics
from lts.service.refusals import RefusedError, no_such_result, not_the_senders, shutting_down
from lts.service.results import Result, Results
from lts.service.settings import KIB, Limits
from lts.slices import content_hash

_LAST_JOB_S = 10.0


class Progress:
    """Progress of an upload.

    Attributes:
        phase: `receiving` or `checking`; later phases are those of its job.
        job: Its job, once it has one.
    """

    def __init__(self) -> None:
        self.phase = "receiving"
        self.job: Job | None = None


class Service:
    """State shared by requests. Use it as a context: its threads and folder end with it.

    Args:
        predictors: One per thread, all of the same task.
        limits: The limits.
        log: Called with one line at a time.
    """

    def __init__(
        self, predictors: Sequence[Predictor], *, limits: Limits, log: Callable[[str], None]
    ) -> None:
        self.limits, self._log = limits, log
        self.takes = {
            "modality": predictors[0].modality,
            "regions": list(predictors[0].regions),
            "max_upload_mib": limits.max_upload_mib,
        }
        self.version: dict[str, Any] = {
            "lts": __version__,
            "models": [
                {"file": one.path.name, "sha256": content_hash(one.path)} for one in predictors[0].checkpoints
            ],
            "device": str(predictors[0].device),
            "precision": predictors[0].precision,
        }
        self.folder = PrivateFolder(log=self.log)
        self.results = Results(self.folder, most=limits.keep_results, keep_s=60 * limits.keep_minutes)
        self.jobs: JobQueue[Predictor] = JobQueue(predictors)
        # One mask at a time is compared, so that memory holds one more beside the scans of the models.
        self.comparisons: JobQueue[None] = JobQueue([None], name="lts-comparison")
        self.gate = Gate(
            limits.queue_size + len(predictors),
            least_rate=limits.least_kib_s * KIB,
            expected_s=lambda: self.jobs.expected_s,
        )
        self._progress: dict[str, Progress] = {}
        self.metrics = Metrics(
            {
                "lts_places": ("Uploads and scans that may be in progress.", lambda: self.gate.places),
                "lts_places_taken": ("Those of them that are taken.", lambda: self.gate.taken),
                "lts_scans_waiting": ("Scans that wait to be segmented.", lambda: self.jobs.waiting),
                "lts_scans_running": ("Scans that are being segmented.", lambda: self.jobs.running),
                "lts_results_kept": ("Results that are kept for viewing.", lambda: len(self.results)),
                "lts_draining": ("1 while the service shuts down.", lambda: self.gate.draining),
            }
        )

    def __enter__(self) -> "Service":
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        for queue in (self.jobs, self.comparisons):
            queue.close(timeout_s=_LAST_JOB_S)
        try:
            self.folder.close()
        except StorageError as error:
            if kind is None:
                raise
            self.log(str(error))

    @property
    def models_in_words(self) -> list[str]:
        """What a DICOM report says of the models, a line each."""
        return [model_in_words(one["file"], one["sha256"]) for one in self.version["models"]]

    def log(self, line: str) -> None:
        """Log a line; errors of logging, such as a full disk or closed pipe, are ignored."""
        with suppress(OSError):
            self._log(line)

    def note_refusal(self, refusal: RefusedError, why: str = "") -> None:
        """Log and count an upload that is refused before its name is known."""
        self.metrics.refused(refusal.status)
        self.log(f"an upload: refused, {refusal.status}: {refusal.detail}{why}")

    def new_folder(self) -> Path:
        """A private folder for one upload; remove it with `folder.remove`.

        Raises:
            RefusedError: There is no room for it.
        """
        try:
            return self.folder.new("upload-")
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            refusal = not_the_senders(error) or RefusedError(507, f"the service cannot store scans: {reason}")
            self.note_refusal(refusal, f" ({error})")
            raise refusal from error

    def check_ready(self) -> None:
        """Check whether scans can be accepted.

        Raises:
            RefusedError: The service is shutting down, or cannot store a scan.
        """
        if self.gate.draining:
            raise shutting_down()
        try:
            self.folder.check()
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            raise RefusedError(503, f"the service cannot store scans: {reason}") from error

    def result(self, id_: str) -> Result:
        """A kept result.

        Raises:
            RefusedError: There is none of this id.
        """
        result = self.results.get(id_)
        if result is None:
            raise no_such_result()
        return result

    def drop_jobs(self) -> None:
        """Drop whatever waits or runs."""
        self.jobs.drop_all()
        self.comparisons.drop_all()

    def tidy(self) -> None:
        """Remove expired results, and files whose removal failed before."""
        self.results.expire()
        self.folder.sweep()

    @contextmanager
    def follow(self, token: str | None) -> Iterator[Progress]:
        """Publish the progress of an upload under its sender's token.

        Raises:
            RefusedError: The token is in use.
        """
        progress = Progress()
        if token is None:
            yield progress
            return
        if token in self._progress:
            raise RefusedError(422, "progress: the token is in use")
        self._progress[token] = progress
        try:
            yield progress
        finally:
            del self._progress[token]

    def progress_of(self, token: str) -> dict[str, Any]:
        """Progress of the upload with a token."""
        progress = self._progress.get(token)
        job = None if progress is None else progress.job
        if job is None:
            phase = "none" if progress is None else progress.phase
            return {"phase": phase, "ahead": 0, "slices_done": 0, "slices_total": 0}
        return {
            "phase": "predicting" if job.started else "waiting",
            "ahead": self.jobs.ahead_of(job),
            "slices_done": job.slices_done,
            "slices_total": job.slices_total,
        }
