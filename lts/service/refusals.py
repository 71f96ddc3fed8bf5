"""Refusals of requests: a status and one line, in the same form everywhere."""

import errno

from starlette.responses import JSONResponse

from lts.base import causes_of, is_out_of_memory, one_line

_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO})
_TOO_BUSY = frozenset({errno.EMFILE, errno.ENFILE, errno.EAGAIN, errno.ENOMEM})


class RefusedError(Exception):
    """The service refuses a request.

    Args:
        status: Of the answer.
        detail: One line for the client, made printable and short here; without details of the server.
        retry_after_s: When to try again, None if unknown.
    """

    def __init__(self, status: int, detail: str, *, retry_after_s: int | None = None) -> None:
        super().__init__(one_line(detail))
        self.status, self.detail, self.retry_after_s = status, one_line(detail), retry_after_s

    def answer(self) -> JSONResponse:
        """The refusal as JSON, `{"detail": ...}`."""
        headers = {} if self.retry_after_s is None else {"Retry-After": str(self.retry_after_s)}
        return JSONResponse({"detail": self.detail}, status_code=self.status, headers=headers)


def shutting_down() -> RefusedError:
    """The service is shutting down."""
    return RefusedError(503, "the service is shutting down and takes no more scans")


def too_large(max_upload_mib: int) -> RefusedError:
    """An upload beyond its limit."""
    return RefusedError(413, f"the upload must be at most {max_upload_mib} MiB")


def not_the_senders(error: BaseException) -> RefusedError | None:
    """The refusal for an error caused by this machine and not by the scan; None for others.

    Errors of disk or memory may be wrapped in errors that name a file, so causes are checked.
    """
    for cause in causes_of(error):
        if is_out_of_memory(cause):
            return RefusedError(507, "the service has not enough memory for this scan")
        if isinstance(cause, OSError) and cause.errno in _NO_ROOM:
            return RefusedError(507, "the service cannot store the scan: its disk is full or fails")
        if isinstance(cause, OSError) and cause.errno in _TOO_BUSY:
            return RefusedError(
                503, "the service has too much open at once, try again later", retry_after_s=5
            )
    return None


def no_such_result() -> RefusedError:
    """A result that was never there, or is not any more."""
    return RefusedError(404, "there is no such result, or it is no longer kept")


def lost() -> RefusedError:
    """An upload whose file has vanished from the private folder."""
    return RefusedError(503, "the service lost the upload, send it again", retry_after_s=1)
