"""Timing of several ways to do one thing, in turns, and what is told of it."""

import gc
import json
import os
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

Sides = Mapping[str, Callable[[], object]]


@dataclass(frozen=True)
class Figure:
    """One line of the table: what was measured, and how it stands to its goal.

    Attributes:
        what: What is done.
        against: What it is held against.
        values: One per repeat, in `unit`.
        unit: `x` for a ratio, else that of the values.
        goal: What the median should reach; None where the figure is told for itself.
        better: Whether more or less is better.
        detail: The measured times or rates behind the figure.
        same_work: How it was made sure that both sides do the same.
        profile: Where the time goes; told where the goal was missed.
    """

    what: str
    against: str
    values: tuple[float, ...]
    unit: str
    goal: float | None
    better: Literal["more", "less"]
    detail: str
    same_work: str = ""
    profile: str = ""

    @property
    def median(self) -> float:
        """The middle of the values."""
        return statistics.median(self.values)

    @property
    def met(self) -> bool | None:
        """Whether the median reaches the goal; None without one."""
        if self.goal is None:
            return None
        return self.median >= self.goal if self.better == "more" else self.median <= self.goal


@dataclass
class Report:
    """What a benchmark found, and the file in which the next process reads it.

    Attributes:
        figures: In the order of the table.
        notes: Sentences below the table.
        growth: Per measured thing its cost by size, see `benchmarks.growth`.
    """

    figures: list[Figure] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    growth: dict[str, Any] = field(default_factory=dict)

    def save(self, path: Path) -> None:
        """Write it as JSON."""
        path.write_text(json.dumps(asdict(self), indent=1) + "\n")

    @classmethod
    def load(cls, path: Path) -> "Report":
        """Read what `save` wrote."""
        content = json.loads(path.read_text())
        figures = [Figure(**{**one, "values": tuple(one["values"])}) for one in content.pop("figures")]
        return cls(figures=figures, **content)


def in_turns(sides: Sides, *, repeats: int, warm_up: int = 1) -> dict[str, list[float]]:
    """Time each side once a round, so that whatever slows the machine for a while slows them all.

    Args:
        sides: What to call, by name.
        repeats: Rounds that count.
        warm_up: Rounds before them.

    Returns:
        Seconds of each round, by name.
    """
    times: dict[str, list[float]] = {name: [] for name in sides}
    for turn in range(warm_up + repeats):
        for name, work in sides.items():
            gc.collect()
            os.sync()  # what one side wrote is not brought to the disk in the time of the next
            began = time.perf_counter()
            work()
            elapsed = time.perf_counter() - began
            if turn >= warm_up:
                times[name].append(elapsed)
    return times


def ratios(slow: Sequence[float], fast: Sequence[float]) -> tuple[float, ...]:
    """How many times as long as `fast` `slow` took, round by round."""
    return tuple(a / b for a, b in zip(slow, fast, strict=True))


def rate(times: Sequence[float], *, items: int) -> float:
    """Items a second in the median round."""
    return items / statistics.median(times)


def middle(times: Sequence[float]) -> float:
    """Seconds of the median round."""
    return statistics.median(times)


def reset_peak() -> None:
    """Begin the peak of resident memory anew (Linux)."""
    Path("/proc/self/clear_refs").write_text("5")


def peak_mib() -> float:
    """The most resident memory of this process since it began, or since `reset_peak`, in MiB (Linux)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    (peak,) = (line.split()[1] for line in lines if line.startswith("VmHWM:"))
    return int(peak) / 1024
