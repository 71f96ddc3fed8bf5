"""The addresses of a second mask beside that of a result."""

import asyncio
from pathlib import Path
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from lts.service.answers import Id, SecondAnswer, form_with, problems
from lts.service.handling import handle_upload, of_masks
from lts.service.refusals import no_such_result
from lts.service.second_mask import PendingMask, comparison_of
from lts.service.service import Progress, Service
from lts.service.uploads import MASK

_LABELS_FILE = "second.uint8"


def add_second_masks(router: APIRouter, service: Service, *, root_path: str) -> None:
    """Add the addresses of second masks.

    Args:
        router: The routes of the API.
        service: The service.
        root_path: What comes before them in the addresses that answers hold.
    """

    @router.post(
        "/scans/{id}/second",
        status_code=201,
        response_model=SecondAnswer,
        responses=problems(400, 401, 403, 404, 408, 413, 422, 500, 503, 507),
        openapi_extra=form_with(MASK),
        tags=["second mask"],
    )
    async def second(id: Id, request: Request) -> Any:  # noqa: A002  the name in the address
        """Lay a mask of the same grid beside that of the model, in place of one that lies there.

        Labels are 0 background, 1 liver, 2 tumor. It is kept as long as the result.
        """
        result = service.result(id)

        def work(folder: Path) -> Any:
            labels = folder / _LABELS_FILE
            return lambda pending, model, job: (labels, comparison_of(pending, model, job, labels=labels))

        def finish(_: PendingMask, outcome: tuple[Path, dict[str, Any]]) -> Response:
            labels, found = outcome
            answer = {**found, "links": _links(id, root_path=root_path)}
            if not service.results.lay_beside(id, labels, answer):
                raise no_such_result()
            return JSONResponse(answer, status_code=201, headers={"Location": answer["links"]["self"]})

        return await handle_upload(
            request,
            service,
            handling=of_masks(service, result),
            work=work,
            finish=finish,
            progress=Progress(),
        )

    @router.delete(
        "/scans/{id}/second", status_code=204, responses=problems(403, 404, 422), tags=["second mask"]
    )
    async def delete_second(id: Id) -> Response:  # noqa: A002
        """Take the second mask away, if there is one; the result stays."""
        if not await asyncio.to_thread(service.results.remove_second, id):
            raise no_such_result()
        return Response(status_code=204)


def _links(id_: str, *, root_path: str) -> dict[str, str]:
    own = f"{root_path}/scans/{id_}"
    return {
        "self": f"{own}/second",
        "slices": f"{own}/slices/{{z}}?second=true",
        "coronal": f"{own}/coronal/{{row}}?second=true",
        "sagittal": f"{own}/sagittal/{{column}}?second=true",
    }
