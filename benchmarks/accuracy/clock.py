"""The time limit of a training."""

import time


class Clock:
    """Measures from its construction on.

    Args:
        minutes: The limit.
    """

    def __init__(self, minutes: float) -> None:
        self._all_s = 60 * minutes
        self._began_s = time.perf_counter()

    @property
    def spent_s(self) -> float:
        """Seconds since the start."""
        return time.perf_counter() - self._began_s

    @property
    def share(self) -> float:
        """Share of the limit that has passed, 0 to 1."""
        return min(1.0, self.spent_s / self._all_s)
