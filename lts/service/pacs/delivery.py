"""Sends a result to where the PACS wants it: by C-STORE, or by STOW-RS."""

import json
import secrets
from abc import ABC, abstractmethod
from contextlib import suppress
from http import HTTPStatus
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import HTTPRedirectHandler, Request, build_opener

from pydicom import dcmread
from pynetdicom import AE, build_context
from pynetdicom.status import code_to_category

from lts.base import ConfigError, one_line, shortened
from lts.service.pacs.credentials import read_authorization
from lts.service.pacs.options import DicomNode, PacsOptions, WebNode
from lts.volume import read_identity

_CONNECT_S = 10.0
_ASSOCIATE_S = 15.0
_ANSWER_S = 60.0
_LARGEST_ANSWER = 2**20
_LONGEST_REASON = 300
_TAKEN = ("Success", "Warning")
_REFERENCED_SOPS, _SOP_INSTANCE = "00081199", "00081155"
"""ReferencedSOPSequence and ReferencedSOPInstanceUID, PS3.18 I.1."""


class UndeliveredError(Exception):
    """A result was not taken.

    Args:
        reason: Why, in a few words.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(shortened(one_line(" ".join(reason.split())), most=_LONGEST_REASON))


class Delivery(ABC):
    """Sends results to one node."""

    @abstractmethod
    def send(self, path: Path) -> None:
        """Send a DICOM file, once.

        Raises:
            UndeliveredError: The node cannot be reached, or did not take it.
        """

    @abstractmethod
    def close(self) -> None:
        """End what is being sent."""


def delivery_to(options: PacsOptions) -> Delivery:
    """What sends results where the options say."""
    node = options.node
    if isinstance(node, WebNode):
        return WebDelivery(node, credentials_file=options.credentials_file)
    return StoreDelivery(node, ae_title=options.ae_title)


class StoreDelivery(Delivery):
    """Sends by C-STORE, in an association for each result.

    Args:
        node: Takes results.
        ae_title: Of this service.
    """

    def __init__(self, node: DicomNode, *, ae_title: str) -> None:
        self._node = node
        self._ae = AE(ae_title=ae_title)
        self._ae.connection_timeout = _CONNECT_S
        self._ae.acse_timeout = _ASSOCIATE_S
        self._ae.dimse_timeout = _ANSWER_S
        self._ae.network_timeout = _ANSWER_S

    def send(self, path: Path) -> None:
        """Send a DICOM file, once.

        Raises:
            UndeliveredError: The node cannot be reached, or did not take it.
        """
        dataset = dcmread(path)
        try:
            status = self._store(dataset)
        except UndeliveredError:
            raise
        except Exception as error:  # pynetdicom names no complete set
            raise UndeliveredError(str(error)) from error
        if status is None:
            raise UndeliveredError("it ended the association without an answer")
        if code_to_category(status) not in _TAKEN:
            raise UndeliveredError(f"it answered with status 0x{status:04X}")

    def _store(self, dataset: Any) -> int | None:
        """Send a data set.

        Returns:
            The status of the answer, None where there is none.

        Raises:
            UndeliveredError: There is no association.
        """
        node = self._node
        context = build_context(dataset.SOPClassUID, dataset.file_meta.TransferSyntaxUID)
        association = self._ae.associate(node.host, node.port, contexts=[context], ae_title=node.ae_title)
        if association.is_rejected:
            raise UndeliveredError(f"it refuses an association with {self._ae.ae_title}")
        if not association.is_established:
            is_class = bool(association.rejected_contexts)
            raise UndeliveredError("it takes no such objects" if is_class else "no association with it")
        try:
            status = association.send_c_store(dataset).get("Status")
        finally:
            with suppress(Exception):
                association.release()
        return None if status is None else int(status)

    def close(self) -> None:
        """End what is being sent."""
        self._ae.shutdown()


class WebDelivery(Delivery):
    """Sends by STOW-RS, in a request for each result; the certificate of an `https://` address is verified.

    Args:
        node: Takes results.
        credentials_file: As `read_authorization` reads it, for each result anew; None for none.
    """

    def __init__(self, node: WebNode, *, credentials_file: Path | None = None) -> None:
        self._url = f"{node.url}/studies"
        self._credentials_file = credentials_file
        self._opener = build_opener(_NoRedirects)

    def send(self, path: Path) -> None:
        """Send a DICOM file, once.

        Raises:
            UndeliveredError: The service cannot be reached, does not know the credentials, or its answer does
                not name the file as stored.
        """
        uid = read_identity(path).sop_instance_uid
        boundary = secrets.token_hex(16)
        head = f"--{boundary}\r\nContent-Type: application/dicom\r\n\r\n"
        body = b"".join((head.encode(), path.read_bytes(), f"\r\n--{boundary}--\r\n".encode()))
        headers = {
            "Content-Type": f'multipart/related; type="application/dicom"; boundary={boundary}',
            "Accept": "application/dicom+json",
        }
        if self._credentials_file is not None:
            try:
                headers["Authorization"] = read_authorization(self._credentials_file)
            except ConfigError as error:
                raise UndeliveredError(f"pacs.{error}") from error
        request = Request(self._url, data=body, headers=headers, method="POST")
        try:
            with self._opener.open(request, timeout=_ANSWER_S) as answer:
                content = answer.read(_LARGEST_ANSWER)
        except HTTPError as error:
            with error:
                raise UndeliveredError(self._refusal(error.code)) from error
        except (OSError, HTTPException, ValueError) as error:
            raise UndeliveredError(str(error) or type(error).__name__) from error
        if uid not in stored_in(content):
            raise UndeliveredError("its answer does not say that the result is stored")

    def close(self) -> None:
        """A request ends by itself; its thread does not keep the process."""

    def _refusal(self, status: int) -> str:
        why = f"it answered with status {status}"
        if status != HTTPStatus.UNAUTHORIZED:
            return why
        if self._credentials_file is None:
            return f"{why}: it asks for credentials, and pacs.credentials_file names none"
        return f"{why}: it does not accept the credentials of pacs.credentials_file"


class _NoRedirects(HTTPRedirectHandler):
    """Leaves a redirection as a refusal: who is named there is given neither results nor credentials."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None


def stored_in(answer: bytes) -> set[str]:
    """The SOPInstanceUIDs that an answer to STOW-RS names as stored.

    Example:
        >>> stored_in(b'{"00081199": {"vr": "SQ", "Value": [{"00081155": {"vr": "UI", "Value": ["1.2"]}}]}}')
        {'1.2'}
        >>> stored_in(b"<html>")
        set()
    """
    try:
        items = json.loads(answer)[_REFERENCED_SOPS]["Value"]
        return {str(uid) for item in items for uid in item[_SOP_INSTANCE]["Value"]}
    except (ValueError, LookupError, TypeError):
        return set()
