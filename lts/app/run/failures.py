"""Errors that end a command: one line and an exit code."""

import errno
import os
import select
import sys
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from lts.app.run.signals import Interrupted
from lts.base import LtsError, StorageError, causes_of, is_out_of_memory, one_line

BUG, INPUT_WAS_WRONG, INTERRUPTED = 1, 2, 130
_NOBODY_READS = 141
"""As a shell tells the signal that ends other programs then."""

_DISK_ERRORS = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS}
"""Errors of writing that are not bugs."""

_PATH_ERRORS = {
    *(errno.EACCES, errno.EPERM, errno.ENAMETOOLONG, errno.ELOOP, errno.EILSEQ),
    *(errno.EEXIST, errno.ENOTDIR, errno.EISDIR),  # a file where a folder is wanted, or the other way round
    *(errno.EMFILE, errno.ENFILE),
}
"""Errors of paths that are not bugs either."""

_failed_in_threads: list[str] = []
"""Write errors in threads of libraries, such as TensorBoard's; the command ends with the first."""


@dataclass(frozen=True, kw_only=True)
class Failure:
    """What went wrong, in one line, and its exit code: of wrong input, or of a bug."""

    reason: str
    exit_code: int

    @property
    def is_bug(self) -> bool:
        """Whether it is a bug, which needs a traceback."""
        return self.exit_code == BUG


def failure_of(error: BaseException, name: str) -> Failure:
    """The failure of the command `name` that an error caused."""
    message = _user_message(error, name)
    if message is not None:
        return Failure(reason=one_line(message), exit_code=INPUT_WAS_WRONG)
    lines = str(error).strip().splitlines()
    reason = f"{type(error).__name__}: {lines[0] if lines else ''}".rstrip(": ")
    return Failure(reason=one_line(reason), exit_code=BUG)


def print_error(name: str, line: object) -> None:
    """Print an error of a command: one line on stderr."""
    print(f"{name}: {one_line(line)}", file=sys.stderr)


@contextmanager
def exit_code_of(name: str) -> Iterator[None]:
    """Context that ends the process with the exit code and line of an error."""
    try:
        yield
    except KeyboardInterrupt:
        print(f"{name}: interrupted", file=sys.stderr)
        sys.exit(INTERRUPTED)
    except Interrupted as stopped:
        if stopped.advice is not None:
            print_error(name, stopped)
        _release_references(stopped)
        sys.exit(stopped.exit_code)
    except Exception as error:
        if isinstance(error, BrokenPipeError) and _output_is_gone():
            _release_references(error)
            sys.exit(_NOBODY_READS)
        failure = failure_of(error, name)
        if failure.is_bug:
            traceback.print_exc()
        else:
            print_error(name, failure.reason)
        _release_references(error)
        sys.exit(failure.exit_code)


def _output_is_gone() -> bool:
    """Whether nobody reads what is printed any more, as behind `| head`; what is left is dropped then."""
    try:
        output = sys.stdout.fileno()
    except (AttributeError, OSError):  # there is none, or it is no file
        return False
    poll = select.poll()
    poll.register(output, 0)
    if not any(event & select.POLLERR for _, event in poll.poll(0)):
        return False
    os.dup2(os.open(os.devnull, os.O_WRONLY), output)  # or the interpreter tells it at its end
    return True


def _release_references(error: BaseException | None) -> None:
    """Drop references held by an error, such as loader workers, which must end before the process."""
    for each in causes_of(error):
        traceback.clear_frames(each.__traceback__)


def _user_message(error: BaseException, name: str) -> str | None:
    """One line for an error of the user, None for a bug."""
    for cause in causes_of(error, in_passing=False):
        if isinstance(cause, LtsError):
            return _as_line(cause)
    message = None
    if type(error).__module__.partition(".")[0] in ("hydra", "omegaconf"):
        from lts.app.config.hydra_errors import is_of_a_constructor, message_of

        if is_of_a_constructor(error):
            return None
        message = message_of(error, name=name)
    return message or _disk_message(error) or _message_of_a_library(error)


def _as_line(error: BaseException) -> str:
    return " ".join(str(error).split())


def _message_of_a_library(error: BaseException) -> str | None:
    """One line for settings that Lightning refuses during a run, or that need too much memory.

    Errors are matched by name, as importing their classes takes seconds.
    """
    for cause in causes_of(error, in_passing=False):
        if type(cause).__name__ == "MisconfigurationException":
            return _as_line(cause)
        if is_out_of_memory(cause):
            why = _as_line(cause) or "there is too little for what was asked"
            return f"memory: {why}; a smaller batch_size, image_size or model takes less"
    return None


def _disk_message(error: BaseException | None) -> str | None:
    """One line for a full or read-only disk, or an impossible path.

    Libraries wrap these errors in their own.
    """
    for each in causes_of(error):
        if isinstance(each, OSError) and each.errno in _DISK_ERRORS:
            return f"{each.filename or 'a file of the run'}: cannot be written: {each.strerror}"
        if isinstance(each, OSError) and each.errno in _PATH_ERRORS:
            return f"{each.filename or 'a file of the run'}: cannot be used: {each.strerror}"
    return None


def catch_thread_failures() -> None:
    """Report a full disk in a thread of a library in one line instead of a traceback."""

    def note(failure: threading.ExceptHookArgs) -> None:
        if (message := _disk_message(failure.exc_value)) is None:
            threading.__excepthook__(failure)
        else:
            _failed_in_threads.append(message)

    threading.excepthook = note


def raise_thread_failure() -> None:
    """Raise an error that `catch_thread_failures` caught in a thread of a library.

    Raises:
        StorageError: A file could not be written.
    """
    if _failed_in_threads:
        raise StorageError(_failed_in_threads[0])
