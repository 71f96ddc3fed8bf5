"""Which series have been answered, by their instances, so that none is answered twice."""

import json
import os
import threading
from collections import OrderedDict
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from enum import Enum
from hashlib import blake2b
from pathlib import Path

from filelock import FileLock, Timeout

from lts.base import ConfigError, StorageError, path_exists, read_json_object, written_whole

_MOST_SERIES, _MOST_INSTANCES = 1000, 2**20
"""That are remembered: 8 MiB in memory, twice that in a file."""
_DIGEST_BYTES = 8
_FORMAT = 1


class Verdict(Enum):
    """What a series is, compared with what has been answered."""

    NEW = "new"
    """Unknown, or known with fewer instances."""
    KNOWN = "known"
    """All of its instances have been answered."""
    IN_HAND = "in hand"
    """All of its instances have been answered or are in hand, and some of these are not answered yet."""
    PART = "part"
    """Some that are new, without all that are known: no whole series."""


class Answered:
    """The series that have been answered last, and those in hand. Several threads may ask.

    Args:
        how: What answers: what another has answered is not known here.
        file: Where series are remembered beyond the end of this process, by hashes of their UIDs; it is made
            where there is none. None for nowhere.
        most: How many series are remembered.

    Raises:
        ConfigError: `file` cannot be read, or is something else.
        StorageError: It cannot be made.

    Example:
        >>> answered = Answered()
        >>> answered.begin("1.2", {"1.2.1", "1.2.2"})
        >>> answered.judge("1.2", {"1.2.1"}).value, answered.judge("1.2", {"1.2.2", "1.2.3"}).value
        ('in hand', 'part')
        >>> answered.finish("1.2", {"1.2.1", "1.2.2"})
        >>> answered.judge("1.2", {"1.2.1"}).value
        'known'
        >>> answered.judge("1.2", {"1.2.1", "1.2.2", "1.2.3"}).value, answered.judge("1.3", {"1.3.1"}).value
        ('new', 'new')
    """

    def __init__(self, *, how: str = "", file: Path | None = None, most: int = _MOST_SERIES) -> None:
        self._key = blake2b(how.encode(), digest_size=32).digest()
        file = None if file is None else file.resolve()  # what a link leads to is written, not the link
        self._file, self._most = file, most
        self._lock, self._writing = threading.Lock(), threading.Lock()
        self._in_hand: set[tuple[bytes, frozenset[bytes]]] = set()
        self._answered: OrderedDict[bytes, bytes] = OrderedDict()
        self._is_written = True
        if file is not None:
            self._answered.update(_read(file) if path_exists(file) else {})
            self._write(file)

    def judge(self, series_uid: str, instances: Collection[str]) -> Verdict:
        """Compare a series with what is known of it, answered or in hand."""
        series, given = self._digest(series_uid), self._digests(instances)
        with self._lock:
            in_hand = [held for one, held in self._in_hand if one == series]
            answered = _unpacked(self._answered.get(series, b""))
        known = answered.union(*in_hand)
        if answered >= given:
            return Verdict.KNOWN
        if known >= given:
            return Verdict.IN_HAND
        return Verdict.NEW if given >= known else Verdict.PART

    def begin(self, series_uid: str, instances: Collection[str]) -> None:
        """A series is to be answered: it is in hand."""
        held = (self._digest(series_uid), self._digests(instances))
        with self._lock:
            self._in_hand.add(held)

    def finish(self, series_uid: str, instances: Collection[str]) -> None:
        """A series has been answered, and is remembered; the oldest are forgotten.

        Raises:
            StorageError: The file cannot be written; the series is remembered by this process alone, until a
                later call writes the file.
        """
        series, given = self._digest(series_uid), self._digests(instances)
        with self._lock:
            self._in_hand.discard((series, given))
            before = self._answered.pop(series, b"")
            packed = b"".join(sorted(_unpacked(before) | given))
            self._answered[series] = packed
            while len(self._answered) > self._most or self._is_large():
                self._answered.popitem(last=False)
        if self._file is not None and (packed != before or not self._is_written):
            self._write(self._file)

    def forget(self, series_uid: str, instances: Collection[str]) -> None:
        """A series is not in hand any more; unless it has been answered, it will be when it comes again."""
        held = (self._digest(series_uid), self._digests(instances))
        with self._lock:
            self._in_hand.discard(held)

    def _is_large(self) -> bool:
        return sum(map(len, self._answered.values())) > _MOST_INSTANCES * _DIGEST_BYTES

    def _write(self, file: Path) -> None:
        with self._writing:
            with self._lock:
                answered = {series.hex(): packed.hex() for series, packed in self._answered.items()}
            self._is_written = False
            with written_whole(file) as stream:
                os.fchmod(stream.fileno(), 0o600)
                stream.write(json.dumps({"format": _FORMAT, "answered": answered}).encode())
            self._is_written = True

    def _digest(self, uid: str) -> bytes:
        return blake2b(uid.encode(), digest_size=_DIGEST_BYTES, key=self._key).digest()

    def _digests(self, uids: Collection[str]) -> frozenset[bytes]:
        return frozenset(map(self._digest, uids))


@contextmanager
def sole_user_of(file: Path) -> Iterator[None]:
    """Hold the lock of a file of answered series, which two services would take from each other.

    The lock is the operating system's, on a file beside it, so a killed service leaves none.

    Raises:
        ConfigError: Another service holds it, or its folder is not there.
        StorageError: The file beside it cannot be made or locked.
    """
    whole = file.resolve()
    if not whole.parent.is_dir():  # which a lock would make
        raise ConfigError(f"answered_file: {file} must lie in a folder that exists, {whole.parent} does not")
    lock = FileLock(whole.with_name(f"{whole.name}.lock"), thread_local=False)
    try:
        lock.acquire(timeout=0)
    except Timeout as busy:
        raise ConfigError(
            f"answered_file: {file} must be of one service at a time, and one is using it; "
            "wait for its end, or name another file"
        ) from busy
    except (OSError, NotImplementedError) as error:
        reason = getattr(error, "strerror", None) or error
        raise StorageError(f"answered_file: {lock.lock_file} cannot be made and locked: {reason}") from error
    try:
        yield
    finally:
        # While it is held: who opened the file before finds it without a name and opens it anew.
        Path(lock.lock_file).unlink(missing_ok=True)
        lock.release()


def _unpacked(packed: bytes) -> frozenset[bytes]:
    return frozenset(packed[at : at + _DIGEST_BYTES] for at in range(0, len(packed), _DIGEST_BYTES))


def _read(file: Path) -> dict[bytes, bytes]:
    """The digests of a file, the series that was answered first before others.

    Raises:
        ConfigError: It cannot be read, or is something else.
    """
    try:
        content = read_json_object(file, error=ConfigError)
    except ConfigError as error:
        raise ConfigError(f"answered_file: {error}") from error
    wrong = ConfigError(f"answered_file: {file} must be a file that lts has written there, is another one")
    try:
        found = {bytes.fromhex(series): bytes.fromhex(all_) for series, all_ in content["answered"].items()}
    except (LookupError, AttributeError, TypeError, ValueError) as error:
        raise wrong from error
    if content.get("format") != _FORMAT or any(len(packed) % _DIGEST_BYTES for packed in found.values()):
        raise wrong
    return found
