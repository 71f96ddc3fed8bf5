"""Compressed pixels of DICOM files, decoded in processes that can be killed.

A decoder is a C library that is given whatever a file holds: it may take minutes for one slice, take all
memory, or crash. None of that may happen in the process that serves requests or handles signals.
"""

import json
import math
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from time import monotonic
from types import TracebackType
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from lts.base import VolumeError, usable_processors

FRAME_LIMIT_S = 30.0
"""Time limit of one frame: a slice of 512 x 512 takes hundredths of a second."""

START_LIMIT_S = 120.0
"""Time limit of starting a process, which imports numpy and pydicom."""

_MOST_PROCESSES = 4
_FILES_PER_PROCESS = 16
"""For fewer files, another process would take longer to start than to work."""

_TICK_S = 0.1
_AHEAD = 2
"""Frames that a process may prefetch."""

_RUN = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from lts.volume._dicom_decoder import main; main()"
)

_ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")


@dataclass(frozen=True)
class DecodeRequest:
    """Frames of one file to decode.

    Attributes:
        path: The file.
        frames: Which, from 0, in the order they are wanted.
        syntax: Its transfer syntax.
        shape: Rows and columns of each.
    """

    path: Path
    frames: tuple[int, ...]
    syntax: str
    shape: tuple[int, int]


def decoded_frames(
    files: Sequence[DecodeRequest], *, check: Callable[[], None]
) -> Generator[npt.NDArray[Any]]:
    """Decode files in processes of their own, as many as there are processors and files for them.

    The processes end with the iteration, however it ends, and by themselves where this process dies.

    Args:
        files: In the order that their frames are yielded in.
        check: Called many times a second; what it raises ends all.

    Raises:
        VolumeError: Pixels cannot be decoded, take longer than `FRAME_LIMIT_S`, or end the decoder.
    """
    with ExitStack() as stack:
        n_processes = min(_MOST_PROCESSES, usable_processors(), math.ceil(len(files) / _FILES_PER_PROCESS))
        processes = [stack.enter_context(_Process(check)) for _ in range(n_processes)]
        # each process decodes every n-th file, and gets the next one when the last is received
        for process, file in zip(processes, files, strict=False):
            process.send(file)
        following = iter(islice(files, n_processes, None))
        for index, file in enumerate(files):
            process = processes[index % n_processes]
            yield from process.receive(file)
            if (further := next(following, None)) is not None:
                process.send(further)


class _Process:
    """A process that decodes one file after the other. Use it as a context, which ends it.

    Args:
        check: Called while waiting for answers.
    """

    def __init__(self, check: Callable[[], None]) -> None:
        self._check = check
        self._began = False
        self._answers: queue.SimpleQueue[tuple[dict[str, Any], bytes]] = queue.SimpleQueue()
        self._room, self._closing = threading.Semaphore(_AHEAD), False
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-c", _RUN, json.dumps(sys.path), str(FRAME_LIMIT_S)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, **_ONE_THREAD},
        )
        # reading a pipe with a timeout is not possible on every system
        self._reader = threading.Thread(target=self._read, name="lts-decoder", daemon=True)
        self._reader.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._closing = True
        self._room.release()
        self._process.wait()
        self._reader.join()
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe
            try:
                pipe.close()
            except BrokenPipeError:  # unsent requests
                continue

    def send(self, file: DecodeRequest) -> None:
        """Have a file decoded."""
        assert self._process.stdin
        line = json.dumps({"path": str(file.path), "frames": file.frames, "syntax": file.syntax})
        try:
            self._process.stdin.write(line.encode() + b"\n")
            self._process.stdin.flush()
        except BrokenPipeError:  # it is dead, which `receive` reports
            return

    def receive(self, file: DecodeRequest) -> Iterator[npt.NDArray[Any]]:
        """The frames of the file that was sent.

        Raises:
            VolumeError: As `decoded_frames`.
        """
        if not self._began:
            self._answer(file, limit_s=START_LIMIT_S)
            self._began = True
        for _ in file.frames:
            header, content = self._answer(file, limit_s=FRAME_LIMIT_S)
            if "error" in header:
                raise VolumeError(str(header["error"]))
            yield _frame(file, header, content)

    def _answer(self, file: DecodeRequest, *, limit_s: float) -> tuple[dict[str, Any], bytes]:
        end = monotonic() + limit_s
        while True:
            self._check()
            try:
                header, content = self._answers.get(timeout=_TICK_S)
            except queue.Empty:
                if monotonic() > end:
                    raise VolumeError(
                        f"{file.path}: pixels must be decoded within {limit_s:g} s, got none by then"
                    ) from None
                continue
            self._room.release()
            if "ended" in header:
                self._process.wait()
                raise VolumeError(
                    f"{file.path}: broken pixel data: its decoder was ended by it "
                    f"({_how_it_ended(self._process.returncode)})"
                )
            return header, content

    def _read(self) -> None:
        """Queue answers as they come, up to the prefetch limit."""
        stream = self._process.stdout
        assert stream
        while True:
            if not self._closing:
                self._room.acquire()
            try:
                header = json.loads(stream.readline())
                content = stream.read(int(header.get("n_bytes", 0)))
            except (ValueError, AttributeError):  # the end, or half an answer before it
                self._answers.put(({"ended": True}, b""))
                return
            self._answers.put((header, content))


def _frame(file: DecodeRequest, header: dict[str, Any], content: bytes) -> npt.NDArray[Any]:
    """A decoded frame; the decoder's answer is checked like a file."""
    dtype = np.dtype(str(header["dtype"]))
    n_bytes = math.prod(file.shape) * dtype.itemsize
    if tuple(header["shape"]) != file.shape or dtype.kind not in "iuf" or len(content) != n_bytes:
        raise VolumeError(
            f"{file.path}: broken pixel data: must be {file.shape} rows and columns, got {header['shape']}"
        )
    return np.frombuffer(content, dtype).reshape(file.shape)


def _how_it_ended(code: int) -> str:
    return f"signal {-code}" if code < 0 else f"exit code {code}"
