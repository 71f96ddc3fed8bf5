"""The addresses of the service."""

import asyncio
import json
import re
from collections.abc import Sequence
from functools import partial
from typing import Annotated, Any
from urllib.parse import quote

from fastapi import APIRouter, Path, Query, Request, Response
from fastapi.responses import JSONResponse

from lts.base import shortened
from lts.service.answers import Id, ProgressAnswer, Ready, ScanAnswer, Status, Version, form_with, problems
from lts.service.dicom_files import DicomKind, file_name
from lts.service.handling import handle_upload, of_scans
from lts.service.lesion_list import CSV_TYPE, lesions_csv
from lts.service.metrics import MEDIA_TYPE
from lts.service.planes import PLANE_AXES, PlaneKind, read_plane
from lts.service.refusals import RefusedError, no_such_result
from lts.service.scans import MASK_FILE, Pending, mask_of, result_of
from lts.service.second_routes import add_second_masks
from lts.service.service import Service
from lts.service.uploads import SCAN
from lts.volume import MASK_SUFFIX

UPLOAD_PATHS = re.compile(r"/predict|/scans|/scans/[^/]+/second")

NOTES_HEADER = "Lts-Notes"
"""The header with the notes on a mask."""

_MOST_NOTES, _LONGEST_NOTE = 10, 300

Token = Annotated[
    str | None,
    Query(
        pattern="^[A-Za-z0-9_-]{16,64}$",
        description="A random name of your own, for `GET /progress/{token}`.",
    ),
]

_REFUSED = problems(400, 401, 403, 408, 413, 422, 500, 503, 507)
_GZIP = {"application/gzip": {"schema": {"type": "string", "format": "binary"}}}
_MASK = {
    "description": "The mask on the scan's own grid.",
    "content": _GZIP,
    "headers": {
        NOTES_HEADER: {
            "description": "What could not be proven or was corrected, a JSON list of sentences.",
            "schema": {"type": "string"},
        }
    },
}
_DICOM = {
    "description": "The DICOM file.",
    "content": {"application/dicom": {"schema": {"type": "string", "format": "binary"}}},
}
_OCTETS = {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}
_UPLOAD = form_with(SCAN)


def make_routes(service: Service, *, root_path: str) -> APIRouter:
    """All routes of the API.

    Args:
        service: The service.
        root_path: What comes before them in the addresses that answers hold.
    """
    router = APIRouter()
    _add_states(router, service)
    _add_uploads(router, service, root_path=root_path)
    _add_results(router, service)
    add_second_masks(router, service, root_path=root_path)
    return router


def _add_states(router: APIRouter, service: Service) -> None:
    @router.get("/health", response_model=Status, tags=["state"])
    async def health() -> Any:
        """Report that the process is alive."""
        return {"status": "ok"}

    @router.get("/ready", response_model=Ready, responses=problems(503), tags=["state"])
    async def ready() -> Any:
        """Report whether scans are accepted: not during shutdown, or if the disk is full."""
        await asyncio.to_thread(service.check_ready)
        return {"status": "ok", **service.takes}

    @router.get("/version", response_model=Version, tags=["state"])
    async def version() -> Any:
        """Report what runs here."""
        return service.version

    @router.get(
        "/metrics",
        response_class=Response,
        responses={
            200: {"description": "Counts, in Prometheus' text format.", "content": {"text/plain": {}}}
        },
        tags=["state"],
    )
    async def metrics() -> Response:
        """Report counts for Prometheus; none tells of a patient."""
        return Response(service.metrics.text(), media_type=MEDIA_TYPE)

    @router.get("/progress/{token}", response_model=ProgressAnswer, responses=problems(422), tags=["state"])
    async def progress(token: Annotated[str, Path(description="As the upload gave it.")]) -> Any:
        """Report the progress of an upload."""
        return service.progress_of(token)


def _add_uploads(router: APIRouter, service: Service, *, root_path: str) -> None:
    @router.post(
        "/predict",
        response_class=Response,
        responses={200: _MASK, **_REFUSED},
        openapi_extra=_UPLOAD,
        tags=["scans"],
    )
    async def predict(request: Request, progress: Token = None) -> Response:
        """Segment a scan and answer with its mask: 0 background, 1 liver, 2 tumor. Nothing is kept."""

        def finish(pending: Pending, outcome: tuple[bytes, list[str]]) -> Response:
            mask, notes = outcome
            return _mask_answer(mask, case=pending.upload.case, notes=notes)

        with service.follow(progress) as followed:
            answer: Response = await handle_upload(
                request,
                service,
                handling=of_scans(service),
                work=lambda _: mask_of,
                finish=finish,
                progress=followed,
            )
        return answer

    @router.post(
        "/scans",
        status_code=201,
        response_model=ScanAnswer,
        responses=_REFUSED,
        openapi_extra=_UPLOAD,
        tags=["scans"],
    )
    async def scans(request: Request, progress: Token = None) -> Any:
        """Segment a scan, report what was found, and keep it for viewing for a while."""

        def work(folder: Any) -> Any:
            kept = folder / "kept"
            return lambda pending, predictor, job: (
                kept,
                result_of(pending, predictor, job, folder=kept, models=service.models_in_words),
            )

        def finish(_: Pending, outcome: Any) -> Any:
            files, (answer, dicom) = outcome
            links = partial(_links, root_path=root_path, dicom=dicom.kinds if dicom else ())
            kept = service.results.keep(
                files, lambda id_: {"id": id_, **answer, "links": links(id_)}, dicom=dicom
            )
            return JSONResponse(kept, status_code=201, headers={"Location": kept["links"]["self"]})

        with service.follow(progress) as followed:
            return await handle_upload(
                request,
                service,
                handling=of_scans(service),
                work=work,
                finish=finish,
                progress=followed,
            )


def _add_results(router: APIRouter, service: Service) -> None:
    find = service.result

    @router.get("/scans/{id}", response_model=ScanAnswer, responses=problems(404, 422), tags=["results"])
    async def scan(id: Id) -> Any:  # noqa: A002  the name in the address
        """Report again what was found."""
        return await asyncio.to_thread(JSONResponse, find(id).told)  # may hold thousands of lesions

    @router.get(
        "/scans/{id}/mask",
        response_class=Response,
        responses={200: _MASK, **problems(404, 422)},
        tags=["results"],
    )
    async def mask(id: Id) -> Response:  # noqa: A002
        """Download the mask: 0 background, 1 liver, 2 tumor."""
        result = find(id)
        content = await _read((result.folder / MASK_FILE).read_bytes)
        return _mask_answer(content, case=result.answer["case"], notes=result.answer["notes"])

    @router.get(
        "/scans/{id}/dicom/{kind}",
        response_class=Response,
        responses={200: _DICOM, **problems(404, 422)},
        tags=["results"],
    )
    async def dicom(id: Id, kind: DicomKind) -> Response:  # noqa: A002
        """Download the mask of a DICOM series as an object that refers to its slices.

        `seg` is a segmentation, `rtstruct` holds contours, and `sr` is a report of volumes and diameters that
        refers to this `seg`. The notes of a scan say why one is missing. They are made when the first of them
        is asked for, which takes seconds.
        """
        result = find(id)
        dicom = result.dicom
        if dicom is None:
            raise RefusedError(404, "this scan has no such DICOM object: it is no DICOM series")
        content = await _read(lambda: dicom.read(kind, result.folder))
        headers = {"Content-Disposition": _attachment(file_name(kind, result.answer["case"]))}
        return Response(content, media_type="application/dicom", headers=headers)

    @router.get(
        "/scans/{id}/lesions.csv",
        response_class=Response,
        responses={
            200: {"description": "A row for each lesion, the largest first.", "content": {"text/csv": {}}},
            **problems(404, 422),
        },
        tags=["results"],
    )
    async def lesions(id: Id) -> Response:  # noqa: A002
        """Download the list of lesions as CSV: volume, diameter of the sphere of that volume, and center."""
        answer = find(id).answer
        if answer["lesions"] is None:
            raise RefusedError(404, "the model does not look for tumors, so there is no list of lesions")
        content = await asyncio.to_thread(lesions_csv, answer["lesions"])
        headers = {"Content-Disposition": _attachment(f"{answer['case']}_lesions.csv")}
        return Response(content, media_type=CSV_TYPE, headers=headers)

    @router.get(
        "/scans/{id}/{plane}/{index}",
        response_class=Response,
        responses={
            200: {
                "description": "Rows times columns int16, then as many uint8, once or twice.",
                "content": _OCTETS,
            },
            **problems(404, 422),
        },
        tags=["results"],
    )
    async def plane(id: Id, plane: PlaneKind, index: int, second: bool = False) -> Response:  # noqa: A002
        """Fetch a plane as radiologists see it: its values as little-endian int16, then its labels as uint8.

        Values are HU for CT; `value_scale` gives those of MR their own scale.

        `slices` are axial, counted from the feet: rows run front to back, columns from the patient's right to
        left. `coronal` ones are counted from the front: rows run head to feet, columns right to left.
        `sagittal` ones are counted from the right: rows run head to feet, columns front to back.

        With `second=true` the labels of the second mask follow, as uint8.
        """
        result = find(id)
        if second and result.second is None:
            raise RefusedError(404, "there is no second mask, or it is no longer kept")
        shape = result.answer["shape"]
        count = shape[PLANE_AXES[plane]]
        if not 0 <= index < count:
            raise RefusedError(404, f"{plane}: must be 0 to {count - 1}, got {index}")
        beside = result.second.path if second and result.second else None
        content = await _read(lambda: read_plane(result.folder, plane, index, shape=shape, second=beside))
        return Response(content, media_type="application/octet-stream")

    @router.delete("/scans/{id}", status_code=204, responses=problems(403, 404, 422), tags=["results"])
    async def delete(id: Id) -> Response:  # noqa: A002
        """Delete a result now."""
        if not await asyncio.to_thread(service.results.remove, id):
            raise no_such_result()
        return Response(status_code=204)


async def _read(read: Any) -> bytes:
    try:
        content: bytes = await asyncio.to_thread(read)
    except FileNotFoundError as error:
        raise RefusedError(404, "the result is no longer kept") from error
    return content


def _links(id_: str, *, root_path: str, dicom: Sequence[str]) -> dict[str, str]:
    own = f"{root_path}/scans/{id_}"
    return {
        "self": own,
        "mask": f"{own}/mask",
        "lesions": f"{own}/lesions.csv",
        **{f"dicom_{kind}": f"{own}/dicom/{kind}" for kind in dicom},
        "slices": f"{own}/slices/{{z}}",
        "coronal": f"{own}/coronal/{{row}}",
        "sagittal": f"{own}/sagittal/{{column}}",
        "second": f"{own}/second",
        "page": f"{root_path}/#{id_}",
    }


def _mask_answer(content: bytes, *, case: str, notes: Sequence[str]) -> Response:
    disposition = _attachment(f"{case}_mask{MASK_SUFFIX}")
    headers = {"Content-Disposition": disposition, NOTES_HEADER: header_of_notes(notes)}
    return Response(content, media_type="application/gzip", headers=headers)


def _attachment(name: str) -> str:
    """The header that names a download, in ASCII and as it is."""
    plain = re.sub(r"[^\x20-\x7e]", "_", name)
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name)}"


def header_of_notes(notes: Sequence[str]) -> str:
    """Notes as a header can hold them: a JSON list in ASCII, short enough for any proxy."""
    shown = [shortened(note, most=_LONGEST_NOTE) for note in notes[:_MOST_NOTES]]
    more = [f"and {len(notes) - _MOST_NOTES} more"] if notes[_MOST_NOTES:] else []
    return json.dumps([*shown, *more])
