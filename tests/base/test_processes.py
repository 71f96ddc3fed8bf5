"""Processes that work on cases, and how they end."""

import os
import signal
import subprocess
import sys
import time
from concurrent.futures import Future
from pathlib import Path

import pytest

from lts.base import LtsError, WorkerPool

ROOT = Path(__file__).parents[2]


class Stop(BaseException):
    """As a signal ends a run."""


def kill_yourself() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def test_work_is_done_and_a_failure_of_it_comes_back() -> None:
    with WorkerPool(1) as pool:
        assert pool.submit(divmod, 7, 2).result() == (3, 1)
        with pytest.raises(ZeroDivisionError):
            pool.submit(divmod, 7, 0).result()


def test_a_process_that_was_killed_is_told_in_one_line() -> None:
    with pytest.raises(LtsError, match="a process that worked on cases was killed, as for want of memory"):
        _wait_for_the_killed()


def _wait_for_the_killed() -> None:
    with WorkerPool(1) as pool:
        pool.submit(kill_yourself).result()


def _leave_by(error: BaseException, *, wait: bool) -> tuple[Future[None], float]:
    """Leave a pool whose worker works for a minute, or for half a second where it is waited for."""
    try:
        with WorkerPool(1, wait=wait) as pool:
            assert pool.submit(abs, -1).result() == 1
            job = pool.submit(time.sleep, 0.5 if wait else 60)
            while not job.running():
                time.sleep(0.01)
            waiting = [pool.submit(time.sleep, 1) for _ in range(5)]  # a pool may take one of them in hand
            began = time.monotonic()
            raise error
    except type(error):
        assert waiting[-1].cancelled() or waiting[-1].exception()
        return job, time.monotonic() - began


def test_a_stop_ends_the_work_in_hand() -> None:
    job, took_s = _leave_by(Stop(), wait=False)
    assert job.exception()
    assert took_s < 50  # of the minute that it would have worked


@pytest.mark.parametrize(("error", "wait"), [(Stop(), True), (ValueError(), True)])
def test_work_in_hand_is_waited_for(error: BaseException, wait: bool) -> None:
    job, _ = _leave_by(error, wait=wait)
    assert job.exception() is None


ON_CTRL_C = """
import os, signal, sys, time
from pathlib import Path
from lts.base import WorkerPool

if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background is born without one
    os.setpgid(0, 0)
    with WorkerPool(2) as pool:
        jobs = [pool.submit(time.sleep, 60) for _ in range(2)]
        if sys.argv[1] == "working":
            while not all(job.running() for job in jobs):
                time.sleep(0.01)
            time.sleep(0.5)
        os.killpg(0, signal.SIGINT)  # as a terminal does
        jobs[0].result()
"""


@pytest.mark.parametrize("moment", ["starting", "working"])
def test_ctrl_c_is_the_business_of_the_first_process_alone(moment: str, tmp_path: Path) -> None:
    # "starting": the workers are interpreters that import.
    (tmp_path / "program.py").write_text(ON_CTRL_C)
    done = subprocess.run(
        [sys.executable, str(tmp_path / "program.py"), moment],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=50,
    )
    assert done.returncode == -signal.SIGINT
    assert done.stderr.count("Traceback") == 1, (
        done.stderr
    )  # that of the first process, which handles nothing


SCRIPT = """
from lts.base import WorkerPool

print("here")
with WorkerPool(1) as pool:
    print(pool.submit(divmod, 7, 2).result())
"""


def test_a_script_is_not_run_again_in_each_process(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(SCRIPT)
    done = subprocess.run(
        [sys.executable, str(tmp_path / "program.py")],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "here\n(3, 1)\n"), done.stderr
