"""The decoder process: requests name files, answers are frames as bytes.

A request is a line of JSON; an answer is one too, with the number of bytes that follow it.
"""

import contextlib
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from lts.base import LtsError
from lts.volume._dicom_pixels import stored_frames

_MOST_BYTES = 4 * 2**30
"""Most memory beyond that of the started process."""

_GRACE_S = 5
"""Extra time for a frame before the process ends itself, if the parent is gone."""


def main() -> None:
    """Answer requests until there are no more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # who asks is told too, and ends this one
    limit_s = int(float(sys.argv[2])) + _GRACE_S
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    with Path(os.devnull).open("wb") as nowhere:  # decoders may print
        os.dup2(nowhere.fileno(), sys.stdout.fileno())
    _bound_memory()
    with contextlib.suppress(BrokenPipeError):
        _answer(answers, {"begun": True})
        for line in sys.stdin.buffer:
            _decode(answers, json.loads(line), limit_s=limit_s)


def _decode(answers: BinaryIO, wanted: dict[str, Any], *, limit_s: int) -> None:
    frames = stored_frames(Path(wanted["path"]), wanted["frames"], syntax=wanted["syntax"])
    for _ in wanted["frames"]:
        _end_after(limit_s)
        try:
            stored = np.ascontiguousarray(next(frames))
        except LtsError as error:
            _answer(answers, {"error": str(error)})
            return
        except MemoryError:
            _answer(answers, {"error": f"{wanted['path']}: pixels do not fit into memory"})
            return
        finally:
            _end_after(0)
        header = {"dtype": stored.dtype.str, "shape": stored.shape, "n_bytes": stored.nbytes}
        _answer(answers, header, stored.tobytes())


def _answer(answers: BinaryIO, header: dict[str, Any], content: bytes = b"") -> None:
    answers.write(json.dumps(header).encode() + b"\n" + content)
    answers.flush()


def _end_after(seconds: int) -> None:
    """Have the system end this process after this time, whatever a library does; 0 cancels."""
    if hasattr(signal, "alarm"):
        signal.alarm(seconds)


def _bound_memory() -> None:
    """Limit memory, so that a file that unpacks without end fails in this process."""
    try:
        import resource

        pages = int(Path("/proc/self/statm").read_text().split()[0])
        most = pages * resource.getpagesize() + _MOST_BYTES
        _, hard = resource.getrlimit(resource.RLIMIT_AS)
        resource.setrlimit(resource.RLIMIT_AS, (most if hard < 0 else min(most, hard), hard))
    except (ImportError, OSError, ValueError):
        return  # not on this system


if __name__ == "__main__":
    main()
