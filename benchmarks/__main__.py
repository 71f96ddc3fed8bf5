"""Run the benchmarks, each in a process of its own, and write docs/benchmarks.md.

python -m benchmarks            all of them
python -m benchmarks loader     one; the figures of the others stay
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.machine import machine_facts
from benchmarks.measuring import Report
from benchmarks.page import write_page

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results"
NAMES = (
    "loader",
    "store",
    "training",
    "metrics",
    "equal_minutes",
    "prediction",
    "nnunet",
    "service",
    "earlier",
    "scoring",
    "command",
    "memory",
    "growth",
    "cuda",
)


def main() -> int:
    """Run what the command line names."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", choices=[*NAMES, []], help="which; all of them if none is named")
    names = parser.parse_args().names or NAMES
    RESULTS.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="lts-bench-") as scratch:
        failed = [name for name in names if not _run(name, Path(scratch) / name)]
    reports = {name: Report.load(_result(name)) for name in NAMES if _result(name).exists()}
    write_page(ROOT / "docs", reports, machine=machine_facts())
    if failed:
        print(f"failed: {', '.join(failed)}; docs/benchmarks.md has the earlier figures of these")
    return 1 if failed else 0


def _run(name: str, scratch: Path) -> bool:
    print(f"{name} ...", flush=True)
    began = time.monotonic()
    scratch.mkdir()
    command = [sys.executable, "-m", f"benchmarks.{name}", str(_result(name)), str(scratch)]
    code = subprocess.run(command, cwd=ROOT, env=_environment(), check=False).returncode
    shutil.rmtree(scratch)
    if code:
        print(f"{name}: exit code {code}")
        return False
    for figure in Report.load(_result(name)).figures:
        print(f"  {figure.what}, {figure.against}: {figure.median:.4g} {figure.unit} ({figure.detail})")
    print(f"  {time.monotonic() - began:.0f} s", flush=True)
    return True


def _result(name: str) -> Path:
    return RESULTS / f"{name}.json"


def _environment() -> dict[str, str]:
    quiet = {"PYTHONWARNINGS": "ignore", "KINETO_LOG_LEVEL": "99"}
    return {**os.environ, "NO_ALBUMENTATIONS_UPDATE": "1", **quiet}


if __name__ == "__main__":
    sys.exit(main())
