"""One of several equal parts of scans or cases."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from lts.app.config.settings import PredictSettings, StoreSettings
from lts.base import ConfigError

_MOST = 100_000

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Shard:
    """One of several equal parts of scans or cases.

    Attributes:
        number: Which it is, from 0.
        count: How many there are.

    Example:
        >>> shard = Shard(number=1, count=3)
        >>> shard.part_of("abcdefg"), "".join(shard.in_turn("abcdefg"))
        ('be', 'becfadg')
    """

    number: int
    count: int

    def part_of(self, scans: Sequence[T]) -> Sequence[T]:
        """Every `count`-th scan: neighbors, which tend to be alike, are spread over the shards."""
        return scans[self.number :: self.count]

    def in_turn(self, scans: Sequence[T]) -> list[T]:
        """All scans, its own first, then those of the next shard and so on.

        So shards that need something of all scans begin with different ones.
        """
        starts = ((self.number + step) % self.count for step in range(self.count))
        return [scan for start in starts for scan in scans[start :: self.count]]

    def __str__(self) -> str:
        """Such as `1-of-3`."""
        return f"{self.number}-of-{self.count}"


def shard_of(settings: PredictSettings | StoreSettings) -> Shard | None:
    """The shard that a process is to do, None for all scans.

    Raises:
        ConfigError: `shard` or `shards` is out of range, or the former is missing.
    """
    check_shards(settings.shards, () if settings.shard is None else (settings.shard,))
    if settings.shard is None and settings.shards > 1:
        raise ConfigError(
            f"shards: {settings.shards} are done by the command with -m, or one of them with shard=NUMBER"
        )
    return None if settings.shards == 1 else Shard(number=settings.shard or 0, count=settings.shards)


def check_shards(count: int, numbers: Iterable[Any] = ()) -> None:
    """Check how many shards there are, and which of them are asked for.

    Raises:
        ConfigError: One is out of range.
    """
    if not 1 <= count <= _MOST:
        raise ConfigError(f"shards: must be from 1 to {_MOST}, got {count}")
    for number in numbers:
        if number not in range(count):
            raise ConfigError(f"shard: must be a whole number from 0 to {count - 1}, got {number}")
