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
    """The series that have been answered last, and those in hand, in little memory.

    Args:
        most: How many that have been answered are remembered.

    Example:
        >>> answered = Answered(most=100)
        >>> answered.begin("1.2", {"1.2.1", "1.2.2"})
        >>> answered.judge("1.2", {"1.2.1"}).value, answered.judge("1.2", {"1.2.2", "1.2.3"}).value
        ('known', 'part')
        >>> answered.judge("1.2", {"1.2.1", "1.2.2", "1.2.3"}).value, answered.judge("1.3", {"1.3.1"}).value
        ('new', 'new')
    """

    def __init__(self, *, most: int) -> None:
        self._most = most
        self._in_hand: set[tuple[str, frozenset[bytes]]] = set()
        self._answered: OrderedDict[str, bytes] = OrderedDict()

    def judge(self, series_uid: str, instances: Collection[str]) -> Verdict:
        """Compare a series with what is known of it, answered or in hand."""
        in_hand = (held for uid, held in self._in_hand if uid == series_uid)
        known = _unpacked(self._answered.get(series_uid, b"")).union(*in_hand)
        given = _digests(instances)
        if known >= given:
            return Verdict.KNOWN
        return Verdict.NEW if given >= known else Verdict.PART

    def begin(self, series_uid: str, instances: Collection[str]) -> None:
        """A series is to be answered: it is in hand."""
        self._in_hand.add((series_uid, _digests(instances)))

    def finish(self, series_uid: str, instances: Collection[str]) -> None:
        """A series has been answered, and is remembered; the oldest is forgotten."""
        self.forget(series_uid, instances)
        known = _unpacked(self._answered.get(series_uid, b"")) | _digests(instances)
        self._answered[series_uid] = b"".join(known)
        self._answered.move_to_end(series_uid)
        if len(self._answered) > self._most:
            self._answered.popitem(last=False)

    def forget(self, series_uid: str, instances: Collection[str]) -> None:
        """A series is not in hand any more; unless it has been answered, it will be when it comes again."""
        self._in_hand.discard((series_uid, _digests(instances)))


def _digests(uids: Collection[str]) -> frozenset[bytes]:
    return frozenset(blake2b(uid.encode(), digest_size=_DIGEST_BYTES).digest() for uid in uids)


def _unpacked(packed: bytes) -> frozenset[bytes]:
    return frozenset(packed[at : at + _DIGEST_BYTES] for at in range(0, len(packed), _DIGEST_BYTES))
