"""How soon the command line answers."""

import subprocess
import sys
import time
from pathlib import Path

from benchmarks.measuring import Figure, Report

ROOT = Path(__file__).parents[1]
REPEATS, GOAL_S = 5, 1.0
CASES = {
    "`python train.py --help`": (["train.py", "--help"], 0),
    "`python train.py` with a misspelt key": (["train.py", "modle=unet"], 2),
}


def main(result: Path, scratch: Path) -> None:  # noqa: ARG001
    """Measure and write the figures."""
    report = Report()
    for what, (arguments, code) in CASES.items():
        _run([*arguments], code=code)
        report.figures.append(
            Figure(
                what=what,
                against="a clock",
                values=tuple(_run(arguments, code=code) for _ in range(REPEATS)),
                unit="s",
                goal=GOAL_S,
                better="less",
                detail=f"exit code {code}, {_heavy(arguments)}",
            )
        )
    report.save(result)


def _run(arguments: list[str], *, code: int) -> float:
    began = time.perf_counter()
    done = subprocess.run([sys.executable, *arguments], cwd=ROOT, capture_output=True, check=False)
    elapsed = time.perf_counter() - began
    assert done.returncode == code, done
    return elapsed


def _heavy(arguments: list[str]) -> str:
    command = [sys.executable, "-X", "importtime", *arguments]
    stderr = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False).stderr
    imported = {line.rpartition("|")[2].strip() for line in stderr.splitlines()}
    assert "hydra" in imported
    assert "torch" not in imported
    return "torch is not imported"


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
