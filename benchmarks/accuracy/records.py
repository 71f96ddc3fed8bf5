"""Results, one JSON line per run, so that a stopped benchmark resumes."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

FILE = "results.jsonl"


@dataclass(frozen=True, kw_only=True, order=True)
class Run:
    """The key of a result."""

    part: str
    fold: int
    system: str
    seed: int
    minutes: float
    cores: int

    def __str__(self) -> str:
        return f"{self.part}, fold {self.fold}, {self.system}, seed {self.seed}, {self.minutes:g} min"


@dataclass(frozen=True, kw_only=True)
class Record:
    """The result of a run.

    Attributes:
        run: Its key.
        slices_seen: Slices, or patches of slices, that the network was trained on.
        train_s: Seconds of the training.
        all_s: Seconds of the whole process: preparing, training, predicting.
        cpu_s: Its processor time; much less than cores times `all_s` means that it had to wait.
        at_once: Runs that shared the machine, each with processors of its own.
        cases: The scores of each test case, as `scoring.score` returns them.
        machine: The machine and library versions.
    """

    run: Run
    slices_seen: int
    train_s: float
    all_s: float
    cpu_s: float
    at_once: int
    cases: list[dict[str, Any]]
    machine: dict[str, str]


def read_records(folder: Path) -> dict[Run, Record]:
    """All results of a folder; a line cut short by a kill is ignored."""
    path = folder / FILE
    found = {}
    for line in path.read_text().splitlines() if path.exists() else []:
        try:
            content = json.loads(line)
        except json.JSONDecodeError:
            continue
        run = Run(**content.pop("run"))
        found[run] = Record(run=run, **content)
    return found


def add_record(folder: Path, record: Record) -> None:
    """Append a line; the file may end in one that was cut short."""
    path = folder / FILE
    is_cut = path.exists() and not path.read_bytes().endswith(b"\n") and path.stat().st_size > 0
    with path.open("a") as file:
        file.write(("\n" if is_cut else "") + as_line(record))


def as_line(record: Record) -> str:
    """A result as `read_records` reads it."""
    return json.dumps(asdict(record), allow_nan=False) + "\n"
