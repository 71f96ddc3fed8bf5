"""Which series have been answered, by their instances, so that none is answered twice."""

from collections import OrderedDict
from collections.abc import Collection
from enum import Enum
from hashlib import blake2b

_DIGEST_BYTES = 8


class Verdict(Enum):
    """What a series is, compared with what has been answered."""

    NEW = "new"
    """Unknown, or known with fewer instances."""
    KNOWN = "known"
    """All of its instances have been answered."""
    PART = "part"
    """Some that are new, without all that are known: no whole series."""


class Answered:
    """The series that have been answered last, in little memory.

    Args:
        most: How many are remembered.

    Example:
        >>> answered = Answered(most=100)
        >>> answered.add("1.2", {"1.2.1", "1.2.2"})
        >>> answered.judge("1.2", {"1.2.1"}).value, answered.judge("1.2", {"1.2.2", "1.2.3"}).value
        ('known', 'part')
        >>> answered.judge("1.2", {"1.2.1", "1.2.2", "1.2.3"}).value, answered.judge("1.3", {"1.3.1"}).value
        ('new', 'new')
    """

    def __init__(self, *, most: int) -> None:
        self._most = most
        self._digests: OrderedDict[str, bytes] = OrderedDict()

    def judge(self, series_uid: str, instances: Collection[str]) -> Verdict:
        """Compare a series with what is known of it."""
        packed = self._digests.get(series_uid, b"")
        known = {packed[at : at + _DIGEST_BYTES] for at in range(0, len(packed), _DIGEST_BYTES)}
        given = {_digest(uid) for uid in instances}
        if known >= given:
            return Verdict.KNOWN
        return Verdict.NEW if given >= known else Verdict.PART

    def add(self, series_uid: str, instances: Collection[str]) -> None:
        """Remember a series; the oldest is forgotten."""
        self._digests[series_uid] = b"".join(_digest(uid) for uid in instances)
        self._digests.move_to_end(series_uid)
        if len(self._digests) > self._most:
            self._digests.popitem(last=False)

    def forget(self, series_uid: str) -> None:
        """Forget a series, which is to be answered when it comes again."""
        self._digests.pop(series_uid, None)


def _digest(uid: str) -> bytes:
    return blake2b(uid.encode(), digest_size=_DIGEST_BYTES).digest()
