"""One service: its predictors, its private folder, and what it keeps."""

import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lts.inference import Predictor
from lts.service.admission import Gate
from lts.service.jobs import Job, JobQueue
from lts.service.refusals import RefusedError
from lts.service.results import Results
from lts.service.settings import Limits

_LAST_JOB_S = 10.0


class Progress:
    """How far an upload is.

    Attributes:
        phase: `receiving` or `checking`; what comes then is told by its job.
        job: Its job, once it has one.
    """

    def __init__(self) -> None:
        self.phase = "receiving"
        self.job: Job | None = None


class Service:
    """All that requests share. Use it as a context: its threads and its folder end with it.

    Args:
        predictors: One a thread, all of the same task.
        limits: What is allowed and kept.
        log: Takes one line at a time.
    """

    def __init__(
        self, predictors: Sequence[Predictor], *, limits: Limits, log: Callable[[str], None]
    ) -> None:
        self.limits, self.log = limits, log
        self.takes = {
            "modality": predictors[0].modality,
            "regions": list(predictors[0].regions),
            "max_upload_mib": limits.max_upload_mib,
        }
        self._root = Path(tempfile.mkdtemp(prefix="lts-serve-")).resolve()  # for its owner alone
        kept = self._root / "results"
        kept.mkdir(mode=0o700)
        self.results = Results(kept, most=limits.keep_results, keep_s=60 * limits.keep_minutes)
        self.jobs: JobQueue[Predictor] = JobQueue(predictors)
        self.gate = Gate(limits.queue_size + len(predictors), expected_s=lambda: self.jobs.expected_s)
        self._progress: dict[str, Progress] = {}

    def __enter__(self) -> "Service":
        return self

    def __exit__(self, *_: object) -> None:
        self.jobs.close(timeout_s=_LAST_JOB_S)
        shutil.rmtree(self._root, ignore_errors=True)

    def new_folder(self) -> Path:
        """A folder for one upload, for its owner alone."""
        return Path(tempfile.mkdtemp(prefix="upload-", dir=self._root))

    @contextmanager
    def follow(self, token: str | None) -> Iterator[Progress]:
        """Make the progress of an upload known under a token of its sender's.

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
        """How far the upload of a token is."""
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
