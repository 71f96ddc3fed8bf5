"""The output of a command: tables and progress on a terminal, plain lines elsewhere."""

import sys
import time
from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from lts.base import printable, shortened

_SECONDS_BETWEEN_LINES = 10.0
_WIDEST = 100_000
_MOST_OF_A_CELL = 300


def print_line(line: str) -> None:
    """Print one line and flush it; line ends and escape sequences in names are escaped."""
    print(printable(line), flush=True)


class ShowProgress:
    """Shows progress: a bar on a terminal, a line now and then elsewhere.

    Args:
        title: What is being done.
    """

    def __init__(self, title: str) -> None:
        self._title = title
        self._bar: Progress | None = None
        self._last_line = time.monotonic()

    def __call__(self, done: int, total: int) -> None:
        """Show that `done` of `total` parts are done."""
        if sys.stderr.isatty():
            self._show_bar(done, total)
        elif done == total or time.monotonic() - self._last_line > _SECONDS_BETWEEN_LINES:
            self._last_line = time.monotonic()
            print_line(f"{self._title}: {done}/{total}")

    def _show_bar(self, done: int, total: int) -> None:
        if self._bar is None:
            columns = (
                TextColumn("{task.description}", markup=False),
                BarColumn(),
                MofNCompleteColumn(),
                TimeRemainingColumn(),
            )
            self._bar = Progress(*columns, console=Console(stderr=True))
            self._bar.start()
            self._bar.add_task(printable(self._title), total=total)
        self._bar.update(self._bar.task_ids[0], completed=done)
        if done == total:
            self._bar.stop()
            self._bar = None


def print_table(
    title: str, rows: Sequence[Mapping[str, object]], *, decimals: Mapping[str, int] | None = None
) -> None:
    """Print rows that share their keys as a table; numbers at the right, None as a dash.

    Escape sequences and markup in names have no effect. Very long cells lose their middle.

    Args:
        title: A line or more above the table.
        rows: At least one.
        decimals: Digits after the point by column; 4 in the others.
    """
    digits = decimals or {}
    lines = [printable(line) for line in title.split("\n")]
    table = Table(title=Text("\n".join(lines)), title_justify="left")
    for name in rows[0]:
        numeric = all(isinstance(row[name], int | float | None) for row in rows)
        table.add_column(Text(printable(name)), justify="right" if numeric else "left")
    for row in rows:
        cells = (_shown(value, digits.get(name, 4)) for name, value in row.items())
        table.add_row(*(Text(shortened(cell, most=_MOST_OF_A_CELL)) for cell in cells))
    # Without a terminal a table is as wide as it needs to be: wrapped cells cannot be read or searched.
    console = Console()
    width = console.width if console.is_terminal else Console(width=_WIDEST).measure(table).maximum
    Console(width=width).print(table)


def _shown(value: object, digits: int) -> str:
    if value is None:
        return "-"
    return f"{value:.{digits}f}" if isinstance(value, float) else printable(value)
