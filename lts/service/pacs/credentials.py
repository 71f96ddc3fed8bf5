"""What a DICOMweb service is told of who sends results."""

import base64
import re
from pathlib import Path

from lts.base import ConfigError, counted
from lts.service.keys import read_secrets

_TOKEN = re.compile(r"[A-Za-z0-9._~+/-]+=*")
"""RFC 6750 2.1; it has no colon, so a token is never taken for a name and a password."""


def read_authorization(path: Path) -> str:
    """The value of the header `Authorization`, from a file of one line.

    Args:
        path: The file holds `NAME:PASSWORD`, for Basic, or a bearer token; empty lines and those that begin
            with # do not count. What it holds is in no message and no log.

    Raises:
        ConfigError: It cannot be read, has no such line, or several.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     file = Path(folder) / "credentials"
        ...     _ = file.write_text("# of the archive\\nlts:secret\\n")
        ...     read_authorization(file)
        'Basic bHRzOnNlY3JldA=='
    """
    lines = read_secrets(path, setting="credentials_file")
    if len(lines) != 1:
        got = counted(len(lines), "line")
        raise ConfigError(f"credentials_file: {path} must hold one line, NAME:PASSWORD or a token, has {got}")
    ((number, line),) = lines
    name, _, password = line.partition(":")
    if password and line.isprintable():
        return f"Basic {base64.b64encode(f'{name}:{password}'.encode()).decode()}"
    if not _TOKEN.fullmatch(line):
        raise ConfigError(
            f"credentials_file: {path}, line {number}: must be NAME:PASSWORD, or a bearer token alone"
        )
    return f"Bearer {line}"
