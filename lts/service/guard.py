"""Keeps other web sites from using a service on the same machine through a browser."""

from collections.abc import Collection
from ipaddress import ip_address
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from lts.service.refusals import RefusedError

_SECURITY_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}
_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
_DEFAULT_PORTS = {"http": ":80", "https": ":443"}


def is_loopback(host: str) -> bool:
    """Whether a host is this machine's own, as a name or an address."""
    if host.lower().rstrip(".") == "localhost":
        return True
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


class Guard:
    """ASGI middleware: known hosts only, no writes from other origins, strict headers on every answer.

    A page of another site cannot forge `Host` or `Origin`: the first check stops DNS rebinding, the second
    stops cross-site forms and scripts.

    Args:
        app: The application for requests that pass.
        loopback_only: Whether the service listens on loopback, so that only names of this machine are right.
        allowed_hosts: Further names, such as that of a proxy in front.
    """

    def __init__(self, app: ASGIApp, *, loopback_only: bool, allowed_hosts: Collection[str]) -> None:
        self._app = app
        self._checks_host = loopback_only or bool(allowed_hosts)
        self._allowed_hosts = {host.lower() for host in allowed_hosts}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _SECURITY_HEADERS.items():
                    headers[name] = value
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        try:
            self._check(scope["method"], Headers(scope=scope))
        except RefusedError as refusal:
            await refusal.answer()(scope, receive, send_guarded)
            return
        await self._app(scope, receive, send_guarded)

    def _check(self, method: str, headers: Headers) -> None:
        hosts = headers.getlist("host")
        host = hosts[0].lower() if len(hosts) == 1 else ""
        name = _name(host)
        if self._checks_host and not (is_loopback(name) or name in self._allowed_hosts):
            raise RefusedError(
                403, "the Host header names another host than this service; allowed_hosts adds one"
            )
        if method in _SAFE_METHODS:
            return
        origin = headers.get("origin")
        from_elsewhere = headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none")
        if from_elsewhere or (origin is not None and _netloc(origin) not in _same(host)):
            raise RefusedError(403, "requests from pages of other origins are refused")


def _name(host: str) -> str:
    """The name in a Host header, without its port."""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


def _netloc(origin: str) -> str | None:
    """Host and port of an origin, without a scheme's own port; None where there is none."""
    try:
        parts = urlsplit(origin.lower())
    except ValueError:
        return None
    return parts.netloc.removesuffix(_DEFAULT_PORTS.get(parts.scheme, "")) or None


def _same(host: str) -> set[str]:
    return {host} | {host.removesuffix(port) for port in _DEFAULT_PORTS.values()}
