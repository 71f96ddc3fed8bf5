"""STOW-RS: instances over HTTP, into the same intake as those of associations (PS3.18 10.5)."""

import asyncio
import json
from contextlib import suppress
from io import BufferedWriter
from pathlib import Path
from typing import Any

from fastapi import APIRouter, Request, Response
from python_multipart.multipart import parse_options_header
from starlette.requests import ClientDisconnect

from lts.service.answers import problems
from lts.service.multipart import LONGEST_BOUNDARY, LeastRate, PartReader, read_parts
from lts.service.pacs.intake import Intake, Sender, Status, Taken
from lts.service.refusals import RefusedError
from lts.service.service import Service

STOW_PATH = "/dicom-web/studies"

_MEDIA_TYPE = "application/dicom+json"
_PART_TYPE = b"application/dicom"
_RULE = 'the body must be multipart/related; type="application/dicom" with a boundary'
_MOST_PARTS = 20_000

_BODY = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/related": {
                "schema": {"type": "array", "items": {"type": "string", "format": "binary"}},
            }
        },
    }
}
_ANSWER = {
    "description": "Which instances were taken, and which were not and why (PS3.18 I.1).",
    "content": {_MEDIA_TYPE: {"schema": {"type": "object"}}},
}


def make_stow_routes(service: Service, intake: Intake) -> APIRouter:
    """The address at which instances are stored.

    Args:
        service: Whose limits of rate hold for these bodies too.
        intake: Takes the instances.
    """
    router = APIRouter()

    @router.post(
        STOW_PATH,
        response_class=Response,
        responses={200: _ANSWER, 202: _ANSWER, 409: _ANSWER, **problems(400, 403, 408, 413, 415, 422, 503)},
        openapi_extra=_BODY,
        tags=["pacs"],
    )
    async def store(request: Request) -> Response:
        """Take instances by STOW-RS; a series is segmented when all of it has come."""
        peer = request.client.host if request.client else "somebody"
        sender = intake.begin(f"STOW-RS from {peer}")
        parts = _Instances(intake, sender)
        try:
            taken = await _receive(request, service, parts)
        except RefusedError as refusal:
            service.metrics.refused(refusal.status)
            service.log(f"{sender.name}: refused, {refusal.status}: {refusal.detail}")
            raise
        except ClientDisconnect:
            service.metrics.hung_up()
            service.log(f"{sender.name}: the client hung up")
            raise
        except Exception:
            service.metrics.refused(500)
            raise
        finally:
            await asyncio.shield(asyncio.to_thread(parts.end))
        return _answer(taken)

    return router


async def _receive(request: Request, service: Service, parts: "_Instances") -> list[Taken]:
    kind, options = parse_options_header(request.headers.get("content-type", ""))
    boundary = options.get(b"boundary", b"")
    if kind != b"multipart/related" or options.get(b"type", _PART_TYPE).lower() != _PART_TYPE:
        raise RefusedError(415, _RULE)
    if not 0 < len(boundary) <= LONGEST_BOUNDARY:
        raise RefusedError(415, f"{_RULE} of 1 to {LONGEST_BOUNDARY} characters, got {len(boundary)}")
    least = LeastRate(n_bytes=service.limits.least_bytes, seconds=service.limits.stalled_s)
    malformed = RefusedError(400, "the body is not well-formed multipart/related")
    await read_parts(request, parts, boundary=boundary, least=least, malformed=malformed)
    return parts.finish()


class _Instances(PartReader):
    """Writes each part to a file, and gives it to the intake at its end.

    Args:
        intake: Takes the instances.
        sender: Of all of them.
    """

    def __init__(self, intake: Intake, sender: Sender) -> None:
        super().__init__(header=b"content-type")
        self._intake, self._sender = intake, sender
        self._taken: list[Taken] = []
        self._path: Path | None = None
        self._file: BufferedWriter | None = None
        self._failure: OSError | None = None

    def finish(self) -> list[Taken]:
        """What became of the instances.

        Raises:
            RefusedError: The body was cut short, or held none.
        """
        if not self.is_whole:
            raise RefusedError(400, "the body was cut short")
        if not self._taken:
            raise RefusedError(400, "the body holds no instance")
        return self._taken

    def end(self) -> None:
        """Let go of the files, and tell the intake that the request has ended."""
        if self._file is not None:
            with suppress(OSError):
                self._file.close()
        self._intake.end(self._sender, whole=self.is_whole)

    def begin_part(self) -> None:
        if len(self._taken) >= _MOST_PARTS:
            raise RefusedError(413, f"a request must have at most {_MOST_PARTS} instances")
        self._path = self._file = self._failure = None

    def open_part(self, header: bytes) -> None:
        if parse_options_header(header)[0] != _PART_TYPE:
            raise RefusedError(415, "each part must be application/dicom, and say so")
        try:
            self._path = self._intake.new_file(self._sender)
            self._file = self._path.open("xb")
        except OSError as error:
            self._failure = error

    def write(self, data: bytes) -> None:
        if self._file is None or self._failure is not None:
            return
        try:
            self._file.write(data)
        except OSError as error:
            self._failure = error

    def end_part(self) -> None:
        if self._file is not None:
            try:
                self._file.close()
            except OSError as error:
                self._failure = error
        if self._failure is not None or self._path is None:
            taken = self._intake.no_room(self._sender, self._failure or OSError("no file"))
            if self._path is not None:
                with suppress(OSError):
                    self._path.unlink()
        else:
            taken = self._intake.take(self._sender, self._path)
        self._taken.append(taken)


def _answer(taken: list[Taken]) -> Response:
    """The answer to a request: 200 where all were taken, 202 where some were, 409 where none was."""
    stored = [_reference(one) for one in taken if one.status is Status.TAKEN]
    failed = [
        {**_reference(one), "00081197": {"vr": "US", "Value": [int(one.status)]}}
        for one in taken
        if one.status is not Status.TAKEN and one.identity is not None
    ]
    unknown = [
        {"00081197": {"vr": "US", "Value": [int(one.status)]}} for one in taken if one.identity is None
    ]
    sequences = (("00081198", failed), ("00081199", stored), ("0008119A", unknown))
    module: dict[str, Any] = {"00081190": {"vr": "UR"}}  # nothing can be retrieved here
    module |= {tag: {"vr": "SQ", "Value": items} for tag, items in sequences if items}
    status = 200 if len(stored) == len(taken) else 202 if stored else 409
    return Response(json.dumps(module), status_code=status, media_type=_MEDIA_TYPE)


def _reference(taken: Taken) -> dict[str, Any]:
    """An instance by its class and UID, PS3.3 table 10-11."""
    assert taken.identity is not None
    return {
        "00081150": {"vr": "UI", "Value": [taken.identity.sop_class_uid]},
        "00081155": {"vr": "UI", "Value": [taken.identity.sop_instance_uid]},
    }
