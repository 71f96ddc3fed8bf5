"""From a complete series to results that the PACS has, and the end of it all."""

import asyncio
import json
import logging
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from time import monotonic

from lts.base import StorageError, counted
from lts.inference import DICOM_NAMES
from lts.service.dicom_files import choice_of, names_by_reason
from lts.service.folder import remove_tree
from lts.service.jobs import Job, JobDroppedError
from lts.service.pacs.answered import Answered, Verdict, sole_user_of
from lts.service.pacs.intake import Intake, Rule, Series
from lts.service.pacs.listener import Listener
from lts.service.pacs.objects import SeriesObjects, objects_of
from lts.service.pacs.options import PacsOptions, WebNode
from lts.service.pacs.outbox import Outbox
from lts.service.refusals import RefusedError, lost, not_the_senders, shutting_down
from lts.service.scans import open_upload
from lts.service.service import Service
from lts.service.uploads import Upload

_LOG = logging.getLogger(__name__)
_TICK_S = 0.1
_MOST_NOTES = 10


class Exchange:
    """Takes series from a PACS, has each segmented in turn with the uploads, and sends its results back.

    Files of a series are deleted when its results are made, those when they are sent or given up. Use it as a
    context around the server that runs it.

    Args:
        service: Segments.
        options: Names, limits and times.

    Attributes:
        intake: Takes instances.

    Raises:
        ConfigError: The port of `options` cannot be listened on, or `answered_file` is something else, or in
            use by another service.
        StorageError: `answered_file` cannot be written.
    """

    def __init__(self, service: Service, options: PacsOptions) -> None:
        self._service, self._options = service, options
        self._counts = service.metrics.pacs
        self._modality = str(service.takes["modality"]).upper()
        self.intake = Intake(
            service.folder,
            rule=Rule(modality=self._modality, description=options.description),
            options=options,
            counts=self._counts,
            log=service.log,
        )
        service.metrics.gauge(
            "lts_pacs_series_held",
            "Series that have come and whose results are not sent yet.",
            lambda: self.intake.held,
        )
        self._choice = choice_of(options.results)
        self._outbox = Outbox(options, counts=self._counts, log=service.log)
        self._turn = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()
        self._again: list[Series] = []
        self._settled = asyncio.Event()
        self._listener: Listener | None = None
        shas = [one["sha256"] for one in service.version["models"]]
        how = json.dumps([shas, sorted(options.results), str(options.node)])
        with ExitStack() as held:
            if options.answered_file is not None:
                held.enter_context(sole_user_of(options.answered_file))
            self._answered = Answered(how=how, file=options.answered_file)
            if options.port is not None:
                self._listener = Listener(options, self.intake, counts=self._counts, log=service.log)
            self._held = held.pop_all()

    def __enter__(self) -> "Exchange":
        return self

    def __exit__(self, *_: object) -> None:
        if self._listener is not None:
            self._listener.close()
        self._outbox.close()
        self._held.close()

    @property
    def in_hand(self) -> int:
        """How many complete series are not answered yet."""
        return self.intake.given

    @property
    def port(self) -> int | None:
        """The port for associations, None where there is none."""
        return None if self._listener is None else self._listener.port

    @property
    def gives_openly(self) -> bool:
        """Whether credentials travel unencrypted beyond this machine."""
        node = self._options.node
        return self._options.credentials_file is not None and isinstance(node, WebNode) and node.is_open

    @property
    def poll_s(self) -> float:
        """How often `step` is to be called."""
        return min(0.5, self._options.quiet_s / 4)

    def describe(self) -> str:
        """What it takes, and where results go, in one line."""
        options = self._options
        where = "/dicom-web/studies"
        if self.port is not None:
            where = f"{options.host} port {self.port} ({options.ae_title}) and {where}"
        results = ", ".join(DICOM_NAMES[kind] for kind in self._choice.outputs)
        return f"taking {self._modality} series at {where}; {results} go to {options.node}"

    async def step(self) -> None:
        """Begin with the series that have become complete; to be called again and again."""
        for series in await asyncio.to_thread(self._complete):
            task = asyncio.create_task(self._handle(series))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def stop(self) -> None:
        """Listen no more, and drop series that are not complete; results in hand are still sent."""
        try:
            await asyncio.to_thread(self._stop)
        except Exception:  # what the service has in hand is answered nevertheless
            _LOG.exception("the service failed to end its associations")

    async def close(self) -> None:
        """Give up what is in hand."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _complete(self) -> list[Series]:
        if self._listener is not None:
            self._listener.check()
        return self.intake.complete()

    def _stop(self) -> None:
        if self._listener is not None:
            self._listener.close()
        self.intake.close()

    async def _handle(self, series: Series) -> None:
        """Answer a series; whatever happens is logged, and its files are removed."""
        log = self._service.log
        try:
            if await self._is_new(series):
                await self._answer(series)
        except RefusedError as refusal:
            self._counts.series("refused")
            log(f"{series}: refused, {refusal.status}: {refusal.detail}")
        except asyncio.CancelledError:
            self._counts.series("given_up")
            log(f"{series}: given up, the service is stopping")
            raise
        except Exception:
            self._counts.series("refused")
            log(f"{series}: refused, a fault of the service")
            _LOG.exception("the service failed on a series")
        finally:
            await asyncio.shield(asyncio.to_thread(self.intake.release, series))

    async def _is_new(self, series: Series) -> bool:
        """Whether a series is to be answered; if it is not, that is logged."""
        how_many = counted(len(series.instances), "instance")
        verdict = await self._judge(series)
        if verdict is Verdict.KNOWN:
            self._counts.series("known")
            self._service.log(f"{series}: {how_many} came again, and are not answered twice")
            return False
        if verdict is Verdict.PART:
            self._counts.series("refused")
            self._service.log(
                f"{series}: refused, {how_many} came, some of them new, without all that came before: "
                "send the whole series again"
            )
            return False
        self._service.log(f"{series}: {how_many} taken")
        return True

    async def _judge(self, series: Series) -> Verdict:
        """What a series is; while all of its instances are in hand, it waits for what becomes of these.

        Where one that waits has the instances of another too, the other need not: it is known.
        """
        verdict = self._answered.judge(series.uid, series.instances)
        if verdict is not Verdict.IN_HAND:
            return verdict
        if any(one.instances >= series.instances for one in self._waiting(series.uid)):
            return Verdict.KNOWN
        how_many = counted(len(series.instances), "instance")
        self._service.log(f"{series}: {how_many} came again, and are kept until those in hand are answered")
        self._again.append(series)
        self._settle()
        try:
            while verdict is Verdict.IN_HAND:
                await self._settled.wait()
                if any(one.instances > series.instances for one in self._waiting(series.uid)):
                    return Verdict.KNOWN
                verdict = self._answered.judge(series.uid, series.instances)
            return verdict
        finally:
            self._again.remove(series)

    def _waiting(self, uid: str) -> list[Series]:
        """What has come of a series and waits for what becomes of the instances in hand."""
        return [series for series in self._again if series.uid == uid]

    def _settle(self) -> None:
        """Have those that wait judged anew."""
        self._settled.set()
        self._settled = asyncio.Event()

    async def _answer(self, series: Series) -> None:
        """Segment a series and send its results; with the first that is taken it is answered.

        Raises:
            RefusedError: It is not one readable scan, no result can be made, or the service is shutting down.
        """
        start, answered = monotonic(), self._answered

        async def on_taken() -> None:
            try:
                await asyncio.to_thread(answered.finish, series.uid, series.instances)
            except StorageError as error:
                self._service.log(f"{series}: will not be known to a later service: {error}")
            self._settle()

        answered.begin(series.uid, series.instances)
        try:
            files = await self._segment(series)
            self._service.metrics.segmented(monotonic() - start)
            self._service.log(f"{series}: done in {monotonic() - start:.1f} s")
            is_sent = await self._outbox.send(str(series), files, on_taken=on_taken)
            self._counts.series("sent" if is_sent else "given_up")
        finally:
            answered.forget(series.uid, series.instances)
            self._settle()

    async def _segment(self, series: Series) -> Mapping[str, Path]:
        """The results of a series by kind, when its turn has come.

        Raises:
            RefusedError: It is not one readable scan, no result can be made, or the service is shutting down.
        """
        service = self._service
        upload = Upload(path=series.files, name=str(series), case="series")
        place = _Place()
        async with self._turn:  # in the order in which they came
            await self._enter(place)
        try:
            pending = await asyncio.to_thread(open_upload, upload, limits=service.limits)
            job = service.jobs.submit(
                lambda predictor, job: objects_of(
                    pending,
                    predictor,
                    job,
                    folder=series.folder,
                    choice=self._choice,
                    models=service.models_in_words,
                )
            )
            made = await self._outcome(job)
        except JobDroppedError as error:
            raise shutting_down() from error
        except RefusedError:
            raise
        except Exception as error:
            ours = not_the_senders(error) if upload.path.exists() else lost()
            if ours is None:
                raise
            raise ours from error
        finally:
            service.gate.leave(place)
        for note in made.notes[:_MOST_NOTES]:
            service.log(f"{series}: {note}")
        for reason, names in names_by_reason(made.refused).items():
            service.log(f"{series}: no {' or '.join(names)}: {reason}")
        for kind in made.refused:
            self._counts.result(kind, "refused")
        await asyncio.to_thread(_remove_now, series.files)
        return made.files

    async def _enter(self, place: "_Place") -> None:
        while True:
            try:
                self._service.gate.enter(place, was_taken=True)
            except RefusedError:
                await asyncio.sleep(_TICK_S)
            else:
                return

    async def _outcome(self, job: Job) -> SeriesObjects:
        done = asyncio.wrap_future(job.future)
        try:
            await asyncio.wait({done})
        finally:
            if not done.done():
                self._service.jobs.drop(job)
                await asyncio.wait({done})  # its files may be removed when its device is free
            done.exception()  # it counts as seen where nobody is left to see it
        made: SeriesObjects = done.result()
        return made


class _Place:
    """A series in the gate: it is on disk, and waits for no sender."""

    @property
    def waited_s(self) -> float:
        return 0.0

    def is_slower(self, least_rate: float) -> bool:  # noqa: ARG002
        return False

    def give_up(self) -> None:
        raise AssertionError("a series is never slow")


def _remove_now(folder: Path) -> None:
    """Remove a folder; what cannot be removed goes with the one around it."""
    with suppress(OSError):
        remove_tree(folder)
