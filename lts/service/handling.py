"""An upload from its first byte to its result; its files are removed whatever happens."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from time import monotonic
from typing import Any

from starlette.requests import ClientDisconnect, Request

from lts.inference import Predictor
from lts.service.jobs import Job, JobDroppedError
from lts.service.refusals import RefusedError, lost, not_the_senders, shutting_down
from lts.service.scans import Pending, open_upload
from lts.service.service import Progress, Service
from lts.service.uploads import LeastRate, Upload, receive_upload

Work = Callable[[Pending, Predictor, Job], Any]
Finish = Callable[[Pending, Any], Any]


async def handle_upload(
    request: Request,
    service: Service,
    *,
    work: Callable[[Path], Work],
    finish: Finish,
    progress: Progress,
) -> Any:
    """Receive a scan, check it, run its job in turn, and clean up. One line is logged.

    Args:
        request: Its body has not been read.
        service: Takes it.
        work: Called with the upload's folder; returns the job, which runs in a thread of a model.
        finish: Called with the outcome of the job while the folder is still there, in a thread.
        progress: Updated with the progress.

    Returns:
        What `finish` returned.

    Raises:
        RefusedError: The upload is not one readable scan, or the service has no room or is shutting down.
        ClientDisconnect: The sender hung up.
    """
    start = monotonic()
    case = "an upload"
    upload: Upload | None = None
    folder = service.new_folder()
    try:
        least = LeastRate(n_bytes=service.limits.least_bytes, seconds=service.limits.stalled_s)
        upload = await receive_upload(request, folder, least=least)
        case, progress.phase = upload.case, "checking"
        pending = await asyncio.to_thread(open_upload, upload, limits=service.limits)
        do = work(folder)
        progress.job = service.jobs.submit(lambda predictor, job: do(pending, predictor, job))
        outcome = await _outcome(progress.job, request, service)
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
    service.metrics.segmented(seconds)
    service.log(f"{case}: done in {seconds:.1f} s")
    return finished


async def _outcome(job: Job, request: Request, service: Service) -> Any:
    done = asyncio.wrap_future(job.future)
    gone = asyncio.create_task(_hang_up(request))
    try:
        await asyncio.wait({done, gone}, return_when=asyncio.FIRST_COMPLETED)
        hung_up = gone.done()
    finally:
        gone.cancel()
        if not done.done():
            service.jobs.drop(job)
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
