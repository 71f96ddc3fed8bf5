"""Why a request is turned down: a status and one line, the same shape everywhere."""

from starlette.responses import JSONResponse


class RefusedError(Exception):
    """A request that the service turns down.

    Args:
        status: Of the answer.
        detail: One line for the person who asked; names nothing of the server.
        retry_after_s: When to try again, None where that is not known.
    """

    def __init__(self, status: int, detail: str, *, retry_after_s: int | None = None) -> None:
        super().__init__(detail)
        self.status, self.detail, self.retry_after_s = status, detail, retry_after_s

    def answer(self) -> JSONResponse:
        """The refusal as JSON, `{"detail": ...}`."""
        headers = {} if self.retry_after_s is None else {"Retry-After": str(self.retry_after_s)}
        return JSONResponse({"detail": self.detail}, status_code=self.status, headers=headers)


def shutting_down() -> RefusedError:
    """No more scans, since the service ends."""
    return RefusedError(503, "the service is shutting down and takes no more scans")


def too_large(max_upload_mib: int) -> RefusedError:
    """An upload beyond its limit."""
    return RefusedError(413, f"the upload must be at most {max_upload_mib} MiB")
