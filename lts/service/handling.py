"""An upload from its first byte to its result; its files are removed whatever happens."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from time import monotonic
from typing import Any

from starlette.requests import ClientDisconnect, Request

from lts.service.jobs import Job, JobDroppedError, JobQueue
from lts.service.multipart import LeastRate
from lts.service.refusals import RefusedError, lost, not_the_senders, shutting_down
from lts.service.results import Result
from lts.service.scans import open_upload
from lts.service.second_mask import open_mask
from lts.service.service import Progress, Service
from lts.service.uploads import MASK, SCAN, Upload, UploadKind, receive_upload

Work = Callable[[Any, Any, Job], Any]
Finish = Callable[[Any, Any], Any]


@dataclass(frozen=True, kw_only=True)
class Handling:
    """How uploads of a kind are handled.

    Attributes:
        kind: What is uploaded.
        check: Called with the upload, in a thread, before its job waits; returns what the job is given.
        queue: Runs the job.
        on_done: Called with the seconds of an upload that was answered.
    """

    kind: UploadKind
    check: Callable[[Upload], Any]
    queue: JobQueue[Any]
    on_done: Callable[[float], None]


def of_scans(service: Service) -> Handling:
    """Of scans, which the models segment; their jobs are given a `Pending`."""
    return Handling(
        kind=SCAN,
        check=partial(open_upload, limits=service.limits),
        queue=service.jobs,
        on_done=service.metrics.segmented,
    )


def of_masks(service: Service, result: Result) -> Handling:
    """Of masks beside a result, which no model sees; their jobs are given a `PendingMask`."""
    return Handling(
        kind=MASK,
        check=partial(open_mask, result=result),
        queue=service.comparisons,
        on_done=lambda _: None,
    )


async def handle_upload(
    request: Request,
    service: Service,
    *,
    handling: Handling,
    work: Callable[[Path], Work],
    finish: Finish,
    progress: Progress,
) -> Any:
    """Receive an upload, check it, run its job in turn, and clean up. One line is logged.

    Args:
        request: Its body has not been read.
        service: Takes it.
        handling: How.
        work: Called with the upload's folder; returns the job, which runs in a thread of the queue.
        finish: Called with the outcome of the job while the folder is still there, in a thread.
        progress: Updated with the progress.

    Returns:
        What `finish` returned.

    Raises:
        RefusedError: The upload is not what it should be, or the service has no room or is shutting down.
        ClientDisconnect: The sender hung up.
    """
    start = monotonic()
    case = "an upload"
    upload: Upload | None = None
    folder = service.new_folder()
    try:
        least = LeastRate(n_bytes=service.limits.least_bytes, seconds=service.limits.stalled_s)
        upload = await receive_upload(request, folder, least=least, kind=handling.kind)
        case, progress.phase = upload.case, "checking"
        pending = await asyncio.to_thread(handling.check, upload)
        do = work(folder)
        progress.job = handling.queue.submit(lambda model, job: do(pending, model, job))
        outcome = await _outcome(progress.job, request, handling.queue)
        finished = await asyncio.to_thread(finish, pending, outcome)
    except RefusedError as refusal:
        service.metrics.refused(refusal.status)
        service.log(f"{case}: refused, {refusal.status}: {refusal.detail}")
        raise
    except ClientDisconnect:
        service.metrics.hung_up()
        service.log(f"{case}: the client hung up")
        raise
    except Exception as error:
        ours = _refusal(error, upload)
        service.metrics.refused(500 if ours is None else ours.status)
        if ours is None:
            raise
        service.log(f"{case}: refused, {ours.status}: {ours.detail} ({error})")
        raise ours from error
    finally:
        await _remove(service, folder)
    seconds = monotonic() - start
    handling.on_done(seconds)
    service.log(f"{case}: done in {seconds:.1f} s")
    return finished


async def _outcome(job: Job, request: Request, queue: JobQueue[Any]) -> Any:
    done = asyncio.wrap_future(job.future)
    gone = asyncio.create_task(_hang_up(request))
    try:
        await asyncio.wait({done, gone}, return_when=asyncio.FIRST_COMPLETED)
        hung_up = gone.done()
    finally:
        gone.cancel()
        if not done.done():
            queue.drop(job)
            await asyncio.wait({done})  # its place is free when its device is
        done.exception()  # it counts as seen where nobody is left to see it
    try:
        outcome = done.result()
    except JobDroppedError as error:
        raise (ClientDisconnect() if hung_up else shutting_down()) from error
    if hung_up:
        raise ClientDisconnect
    return outcome


async def _remove(service: Service, folder: Path) -> None:
    """Remove the folder of an upload, even if the request is canceled or no thread is left."""
    try:
        await asyncio.shield(asyncio.to_thread(service.folder.remove, folder))
    except RuntimeError:
        service.folder.remove(folder)


def _refusal(error: Exception, upload: Upload | None) -> RefusedError | None:
    """The refusal for an error; None for a bug."""
    if upload is not None and not upload.path.exists():
        return lost()
    return not_the_senders(error)


async def _hang_up(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
