"""Results kept for viewing: few, for a while, in a private folder, under unguessable ids."""

import secrets
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from lts.service.dicom_files import DicomFiles
from lts.service.folder import PrivateFolder


@dataclass(frozen=True)
class SecondMask:
    """A mask that is seen beside that of a result.

    Attributes:
        path: The file of its labels, in the folder of the result.
        answer: What is told of it, as JSON.
    """

    path: Path
    answer: dict[str, Any]


@dataclass(frozen=True)
class Result:
    """A kept result.

    Attributes:
        folder: Holds its files.
        answer: What is told of the scan, as JSON.
        kept_since_s: On the clock of the results.
        dicom: The DICOM objects of its mask; None where the scan was no series.
        second: The mask beside its own, if there is one.
    """

    folder: Path
    answer: dict[str, Any]
    kept_since_s: float
    dicom: DicomFiles | None = None
    second: SecondMask | None = None

    @property
    def told(self) -> dict[str, Any]:
        """The whole JSON answer."""
        return {**self.answer, "second": None if self.second is None else self.second.answer}


class Results:
    """Results by their ids, the oldest first.

    Args:
        folder: Where each gets a folder.
        most: The maximum number.
        keep_s: How long they are kept.
        clock: Returns seconds.
    """

    def __init__(
        self, folder: PrivateFolder, *, most: int, keep_s: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._folder, self._most, self._keep_s, self._clock = folder, most, keep_s, clock
        self._results: dict[str, Result] = {}
        self._lock = threading.Lock()

    def __len__(self) -> int:
        """How many are kept."""
        return len(self._results)

    def keep(
        self,
        files: Path,
        make_answer: Callable[[str], dict[str, Any]],
        *,
        dicom: DicomFiles | None = None,
    ) -> dict[str, Any]:
        """Keep a result, and remove the oldest if there are too many.

        Args:
            files: The folder of its files, on the same file system; moved.
            make_answer: Called with its id; returns what is told of the scan.
            dicom: The DICOM objects of its mask, if there are any.

        Returns:
            The whole JSON answer.

        Raises:
            OSError: It cannot be kept.
        """
        self.expire()
        id_ = secrets.token_urlsafe(24)
        answer = make_answer(id_)
        folder = self._folder.new("result-")
        try:
            files.replace(folder)
        except OSError:
            self._folder.remove(folder)
            raise
        result = Result(folder, answer, self._clock(), dicom)
        with self._lock:
            self._results[id_] = result
            surplus = [self._results.pop(old) for old in list(self._results)[: -self._most]]
        self._remove(surplus)
        return result.told

    def get(self, id_: str) -> Result | None:
        """A result, None if it is not kept or its files have vanished."""
        with self._lock:
            result = self._results.get(id_)
        return None if result is None or self._is_old(result) or not result.folder.exists() else result

    def remove(self, id_: str) -> bool:
        """Remove a result; returns whether it was kept."""
        with self._lock:
            result = self._results.pop(id_, None)
        self._remove([] if result is None else [result])
        return result is not None

    def lay_beside(self, id_: str, labels: Path, answer: dict[str, Any]) -> bool:
        """Keep a second mask beside that of a result, in place of another one.

        Args:
            id_: Of the result.
            labels: The file of its labels, on the same file system; moved.
            answer: What is told of it.

        Returns:
            Whether the result is still kept; else the mask is not.
        """
        result = self.get(id_)
        if result is None:
            return False
        path = result.folder / f"second-{secrets.token_hex(8)}"
        try:
            labels.replace(path)
        except FileNotFoundError:  # the folder went meanwhile
            return False
        second = SecondMask(path, answer)
        if not self._put(id_, second):
            _unlink(second)
            return False
        return True

    def remove_second(self, id_: str) -> bool:
        """Remove the mask beside that of a result; returns whether the result is kept."""
        return self._put(id_, None)

    def _put(self, id_: str, second: SecondMask | None) -> bool:
        with self._lock:
            result = self._results.get(id_)
            if result is not None:
                self._results[id_] = replace(result, second=second)
        if result is None:
            return False
        if result.second is not None:
            _unlink(result.second)
        return True

    def expire(self) -> None:
        """Remove expired results."""
        with self._lock:
            old = [id_ for id_, result in self._results.items() if self._is_old(result)]
            surplus = [self._results.pop(id_) for id_ in old]
        self._remove(surplus)

    def _is_old(self, result: Result) -> bool:
        return self._clock() - result.kept_since_s >= self._keep_s

    def _remove(self, results: list[Result]) -> None:
        for result in results:
            self._folder.remove(result.folder)


def _unlink(second: SecondMask) -> None:
    """Remove the file of a mask; where that fails it goes with the folder of its result."""
    with suppress(OSError):
        second.path.unlink()
