"""The service as one ASGI application: watch, then guard, keys, admission, routes and the page."""

import re
from collections.abc import Awaitable, Callable, Collection
from importlib.resources import files

from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse
from starlette.types import ASGIApp

from lts import __version__
from lts.service.admission import Admission
from lts.service.connections import Watch
from lts.service.guard import Guard
from lts.service.keys import KeyCheck
from lts.service.pacs.intake import Intake
from lts.service.pacs.stow import STOW_PATH, make_stow_routes
from lts.service.refusals import RefusedError
from lts.service.routes import UPLOAD_PATHS, make_routes
from lts.service.service import Service
from lts.service.uploads import MASK, SCAN, UploadKind
from lts.viewer import page_files, put_together

_ABOUT = """\
Segments liver and tumors in a scan: a {uploads}.
For research use, not a medical device.

`curl -F scan=@scan.nii.gz http://127.0.0.1:8000/predict -o mask.nii.gz`
"""
_WORDS = {"second": "second mask", "first-column": "Model", "second-column": "Second"}
_PAGE_FILES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}


def make_app(
    service: Service,
    *,
    loopback_only: bool,
    allowed_hosts: Collection[str],
    root_path: str = "",
    keys: Collection[str] = (),
    intake: Intake | None = None,
) -> ASGIApp:
    """Build the application of a service.

    Args:
        service: The service.
        loopback_only: Whether it listens on loopback only; other host names are then refused.
        allowed_hosts: Further host names that are accepted.
        root_path: Where a proxy serves it, which takes this off the addresses that it passes on; "" for none.
        keys: Of which clients must give one; none are asked for where there are none.
        intake: Takes the instances of a PACS; None where there is no address for them.
    """
    api = FastAPI(
        title="lts",
        version=__version__,
        description=_ABOUT.format(uploads=SCAN.in_words),
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        servers=[{"url": root_path or "/"}],
    )
    api.include_router(make_routes(service, root_path=root_path))
    paths = UPLOAD_PATHS
    if intake is not None:
        api.include_router(make_stow_routes(service, intake))
        paths = re.compile(f"{paths.pattern}|{re.escape(STOW_PATH)}")
    api.include_router(_page_routes())
    api.add_exception_handler(RefusedError, _refuse)
    api.add_exception_handler(HTTPException, _refuse)
    api.add_exception_handler(RequestValidationError, _refuse)
    api.add_exception_handler(ClientDisconnect, _refuse)
    api.add_exception_handler(Exception, _refuse)
    admitted = Admission(
        api,
        gate=service.gate,
        paths=paths,
        max_upload_mib=service.limits.max_upload_mib,
        on_refusal=service.note_refusal,
    )
    known = KeyCheck(admitted, keys=keys) if keys else admitted
    return Watch(Guard(known, loopback_only=loopback_only, allowed_hosts=allowed_hosts))


async def _refuse(_: Request, error: Exception) -> Response:
    """The same form of answer for every refusal."""
    match error:
        case RefusedError():
            return error.answer()
        case RequestValidationError():
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"][1:])
            return RefusedError(422, f"{where}: {first['msg']}").answer()
        case HTTPException():
            content = {"detail": str(error.detail).lower()}
            return JSONResponse(content, status_code=error.status_code, headers=error.headers)
        case ClientDisconnect():
            # Nobody reads it, unless its sender only sends no more.
            return RefusedError(400, "the request ended before its body did").answer()
    fault = RefusedError(500, "the service failed on this request; its log says more")
    return fault.answer()


def _page_routes() -> APIRouter:
    """The page and its files, read once; a file that is not among them has no address."""
    router = APIRouter(include_in_schema=False)
    own = ((file.name, file.read_bytes()) for file in files("lts.service").joinpath("page").iterdir())
    words = {**_WORDS, **_kinds()}
    for name, content in (*page_files(), *own):
        suffix = name[name.rfind(".") :]
        if suffix in _PAGE_FILES:
            path = {"index.html": "/", "docs.html": "/docs"}.get(name, f"/page/{name}")
            shown = put_together(content.decode(), words).encode() if suffix == ".html" else content
            router.add_api_route(path, _static(shown, _PAGE_FILES[suffix]), methods=["GET"])
    return router


def _kinds() -> dict[str, str]:
    """The kinds of files that the service takes, for file dialogs and in words."""
    words: dict[str, str] = {}
    for prefix, kind in (("", SCAN), ("mask-", MASK)):
        words |= {f"{prefix}accept": _accepted(kind), f"{prefix}kinds": f"A {kind.in_words}"}
    return words


def _accepted(kind: UploadKind) -> str:
    """Suffixes for a file dialog, which goes by what follows the last dot."""
    return ",".join(sorted({suffix[suffix.rfind(".") :] for suffix in kind.suffixes}))


def _static(content: bytes, media_type: str) -> Callable[[], Awaitable[Response]]:
    async def answer() -> Response:
        return Response(content, headers={"Content-Type": media_type, "Cache-Control": "no-cache"})

    return answer
