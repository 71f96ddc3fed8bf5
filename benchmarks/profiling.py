"""Where the time of a call goes, as a few lines of text."""

import cProfile
import io
import pstats
from collections.abc import Callable

from torch.profiler import ProfilerActivity, profile

_ROWS = 12


def profile_of(work: Callable[[], object]) -> str:
    """The functions of Python with the most time of their own."""
    profiler = cProfile.Profile()
    profiler.runcall(work)
    text = io.StringIO()
    pstats.Stats(profiler, stream=text).strip_dirs().sort_stats("tottime").print_stats(_ROWS)
    lines = text.getvalue().splitlines()
    start = next(number for number, line in enumerate(lines) if line.lstrip().startswith("ncalls"))
    return "\n".join(line[:110] for line in lines[start:] if line.strip())


def operator_profile_of(work: Callable[[], object]) -> str:
    """The operators of torch with the most time of their own."""
    with profile(activities=[ProfilerActivity.CPU]) as profiler:
        work()
    events = sorted(profiler.key_averages(), key=lambda event: event.self_cpu_time_total, reverse=True)
    total = sum(event.self_cpu_time_total for event in events)
    rows = [
        f"{event.self_cpu_time_total / 1e3:9.1f} ms {event.self_cpu_time_total / total:6.1%}"
        f" {event.count:5d} x {event.key}"
        for event in events[:_ROWS]
    ]
    return "\n".join(rows)
