"""How a service and a PACS talk: names, addresses, limits and times."""

import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from lts.base import ConfigError, shown
from lts.service.dicom_files import DICOM_KINDS, DicomKind
from lts.service.guard import is_loopback

_AE_TITLE = re.compile(r"(?! +$)[ -\[\]-~]{1,16}")
"""PS3.5 6.2: up to 16 characters of ASCII without backslash, not spaces alone."""

_NODE = re.compile(r"(?P<ae_title>[^@]+)@(?P<host>[^@\s/:]+|\[[0-9A-Fa-f:.]+\]):(?P<port>[0-9]{1,5})")
_LAST_PORT = 65535

_MOST = {
    "quiet_s": 3600,
    "idle_s": 86400,
    "drop_s": 86400,
    "max_associations": 1000,
    "max_series": 10000,
    "max_series_mib": 2**20,
    "retry_s": 3600,
    "send_minutes": 10080,
}
"""Largest values: times beyond a day, and of sending beyond a week, are slips."""


@dataclass(frozen=True)
class DicomNode:
    """A node that takes results by C-STORE.

    Attributes:
        ae_title: Of the node.
        host: Its name or address.
        port: Its DICOM port.
    """

    ae_title: str
    host: str
    port: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.ae_title}@{host}:{self.port}"


@dataclass(frozen=True)
class WebNode:
    """A DICOMweb service that takes results by STOW-RS.

    Attributes:
        url: To which `/studies` is added.
    """

    url: str

    @property
    def is_open(self) -> bool:
        """Whether what is sent there travels unencrypted beyond this machine."""
        parts = urlsplit(self.url)
        return parts.scheme == "http" and not is_loopback(parts.hostname or "")

    def __str__(self) -> str:
        return self.url


@dataclass(frozen=True, kw_only=True)
class PacsOptions:
    """What is taken from a PACS, within which limits, and where results go.

    Attributes:
        send_to: `AE@HOST:PORT`, or the `http://` or `https://` address of a DICOMweb service; None where
            nothing is taken from a PACS.
        credentials_file: What a DICOMweb service is given, as `read_authorization` reads it; None for none.
        host: Where the service listens for associations.
        port: Its port, 0 for any free one, None for no associations; then series come by STOW-RS alone.
        ae_title: Of the service.
        calling: AE titles that may send; empty for all.
        description: A pattern with `*` and `?` that the SeriesDescription must fit, whatever the case of its
            letters; None for any.
        results: Which objects are sent back; a report refers to the SEG, and goes with one.
        answered_file: Where answered series are remembered beyond the end of the service, as `Answered` does
            it; None for nowhere.
        quiet_s: A series is complete when nothing has come for so long after the last who sends it ended.
        idle_s: An association on which nothing comes for so long is ended, and counts as cut short.
        drop_s: A series that is not complete is dropped when nothing of it has come for so long.
        max_associations: Associations at a time.
        max_series: Series held at a time, from their first instance until their result is sent.
        max_series_mib: The largest series, and the largest instance.
        retry_s: Seconds until a result that could not be sent is tried again; doubled each time.
        send_minutes: A result that cannot be sent for so long is given up.

    Raises:
        ConfigError: A name, an address or a bound breaks its rule.

    Example:
        >>> options = PacsOptions(
        ...     send_to="ORTHANC@127.0.0.1:4242", host="127.0.0.1", port=11112, ae_title="LTS", calling=(),
        ...     description=None, credentials_file=None, results=("seg",), answered_file=None,
        ...     quiet_s=10, idle_s=60, drop_s=600, max_associations=8, max_series=16, max_series_mib=1024,
        ...     retry_s=5, send_minutes=60,
        ... )
        >>> options.node
        DicomNode(ae_title='ORTHANC', host='127.0.0.1', port=4242)
    """

    send_to: str | None
    credentials_file: Path | None
    host: str
    port: int | None
    ae_title: str
    calling: tuple[str, ...]
    description: str | None
    results: tuple[DicomKind, ...]
    answered_file: Path | None
    quiet_s: float
    idle_s: float
    drop_s: float
    max_associations: int
    max_series: int
    max_series_mib: int
    retry_s: float
    send_minutes: float

    def __post_init__(self) -> None:
        for name, most in _MOST.items():
            bound = getattr(self, name)
            if isinstance(bound, bool) or not isinstance(bound, int | float) or not 0 < bound <= most:
                raise ConfigError(f"{name}: must be a number > 0 and at most {most}, got {bound!r}")
        if self.port is not None and not 0 <= self.port <= _LAST_PORT:
            raise ConfigError(f"port: must be 0 to {_LAST_PORT}, got {self.port}")
        _check_ae_title("ae_title", self.ae_title)
        for title in self.calling:
            _check_ae_title("calling", title)
        if self.description == "":
            raise ConfigError("description: must be a pattern, or null for any, got ''")
        if not self.results or not set(self.results) <= set(DICOM_KINDS):
            known = ", ".join(DICOM_KINDS)
            raise ConfigError(f"results: must name one or more of {known}, got {shown(list(self.results))}")
        if "sr" in self.results and "seg" not in self.results:
            raise ConfigError("results: sr refers to the segments of seg, and needs it beside it")
        node = None if self.send_to is None else parse_node(self.send_to)
        if self.credentials_file is not None and isinstance(node, DicomNode):
            raise ConfigError(
                "credentials_file: is for a send_to of http:// or https://, as C-STORE has no password, got "
                f"send_to={self.send_to}"
            )
        if node is None and self.port is not None:
            raise ConfigError("send_to: must be given where port is, or results go nowhere; got null")

    @property
    def node(self) -> DicomNode | WebNode:
        """Where results go; `send_to` is not None."""
        assert self.send_to is not None
        return parse_node(self.send_to)


def parse_node(send_to: str) -> DicomNode | WebNode:
    """A node from its description.

    Raises:
        ConfigError: It is neither a DICOM node nor an address.

    Example:
        >>> parse_node("https://pacs.example.org/dicom-web/")
        WebNode(url='https://pacs.example.org/dicom-web')
    """
    wrong = ConfigError(
        "send_to: must be AE@HOST:PORT, or http://HOST/... without a name, password or query, got "
        f"{shown(send_to)}"
    )
    if re.match(r"https?://", send_to):
        try:
            parts = urlsplit(send_to)
            known = parts.hostname and (parts.port is None or parts.port > 0)
        except ValueError as error:
            raise wrong from error
        if not known or parts.username is not None or parts.query or parts.fragment:
            raise wrong
        if not send_to.isascii() or not send_to.isprintable() or " " in send_to:
            raise wrong
        return WebNode(send_to.rstrip("/"))
    found = _NODE.fullmatch(send_to)
    if found is None or not 0 < int(found["port"]) <= _LAST_PORT:
        raise wrong
    _check_ae_title("send_to", found["ae_title"])
    return DicomNode(found["ae_title"].strip(" "), found["host"].strip("[]"), int(found["port"]))


def _check_ae_title(name: str, title: str) -> None:
    if not _AE_TITLE.fullmatch(title):
        rule = "an AE title has 1 to 16 characters of ASCII without backslash"
        raise ConfigError(f"{name}: {rule}, got {shown(title)}")
