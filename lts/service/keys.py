"""Keys that clients must give where the service asks for one."""

import base64
import binascii
import hmac
from collections.abc import Collection
from pathlib import Path

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from lts.base import ConfigError, counted
from lts.service.refusals import RefusedError

LEAST_CHARACTERS = 16
"""Of a key. One of so many random letters is not found by trying."""

_ASKED = {"WWW-Authenticate": 'Basic realm="lts", charset="UTF-8"'}
_OPEN = frozenset({"/health", "/ready"})


def read_keys(path: Path) -> tuple[str, ...]:
    """The keys in a file, one a line; empty lines and those that begin with # do not count.

    Args:
        path: The file. Keys are in no message and no log.

    Raises:
        ConfigError: It cannot be read, holds no key, or one that is short or not of printable ASCII.
    """
    lines = read_secrets(path, setting="api_key_file")
    if not lines:
        raise ConfigError(f"api_key_file: {path} must hold a key a line, has none")
    for number, key in lines:
        if len(key) < LEAST_CHARACTERS:
            got = counted(len(key), "character")
            raise ConfigError(
                f"api_key_file: {path}, line {number}: a key must have {LEAST_CHARACTERS} characters or "
                f"more, got {got}; python -c 'import secrets; print(secrets.token_urlsafe())' makes one"
            )
        if not (key.isascii() and key.isprintable() and " " not in key):
            raise ConfigError(
                f"api_key_file: {path}, line {number}: a key must be of printable ASCII without spaces"
            )
    return tuple(key for _, key in lines)


def read_secrets(path: Path, *, setting: str) -> list[tuple[int, str]]:
    """The lines of a file of secrets with their numbers; empty ones and those that begin with # do not count.

    Args:
        path: The file. What it holds is in no message and no log.
        setting: Names it, for messages.

    Raises:
        ConfigError: It cannot be read, or is not text.
    """
    try:
        lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise ConfigError(f"{setting}: {path} cannot be read: {reason}") from error
    numbered = enumerate(lines, start=1)
    return [(number, line) for number, line in numbered if line and not line.startswith("#")]


class KeyCheck:
    """ASGI middleware that answers 401 where no key is given, before a body is read.

    A key is a bearer token, or the password of HTTP Basic with any name, which browsers ask their user for.
    Whether the service lives is told to all.

    Args:
        app: The application for requests with a key.
        keys: The keys, ASCII.
    """

    def __init__(self, app: ASGIApp, *, keys: Collection[str]) -> None:
        self._app = app
        self._keys = tuple(key.encode() for key in keys)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http" or scope["path"] in _OPEN or self._is_known(Headers(scope=scope)):
            await self._app(scope, receive, send)
            return
        answer = RefusedError(
            401, "a key is needed, as a bearer token or as the password of any name"
        ).answer()
        answer.headers.update(_ASKED)
        await answer(scope, receive, send)

    def _is_known(self, headers: Headers) -> bool:
        given = _key_in(headers.getlist("authorization"))
        if given is None:
            return False
        # In constant time, so that it tells nothing of any.
        return any(hmac.compare_digest(given, key) for key in self._keys)


def _key_in(authorizations: Collection[str]) -> bytes | None:
    """The key of a request; None where there is none, or more than one header."""
    if len(authorizations) != 1:
        return None
    (authorization,) = authorizations
    scheme, _, credentials = authorization.partition(" ")
    credentials = credentials.strip()
    if scheme.lower() == "bearer":
        return credentials.encode()
    if scheme.lower() != "basic":
        return None
    try:
        _name, colon, password = base64.b64decode(credentials, validate=True).partition(b":")
    except (binascii.Error, ValueError):  # the latter of characters beyond ASCII
        return None
    return password if colon else None
