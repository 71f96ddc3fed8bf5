"""The commands, each in a process of its own, forked from one that has imported what is heavy.

What a user runs is `python train.py ...`, and most of a short run is the importing of torch and Lightning. A
test of the importing itself, or of what the interpreter is told, begins with an interpreter.
"""

import atexit
import io
import multiprocessing
import os
import runpy
import signal
import subprocess
import sys
import tempfile
import threading
import traceback
from collections.abc import Mapping
from multiprocessing.reduction import DupFd
from pathlib import Path
from typing import Any, TextIO

from lts.base import _processors

ROOT = Path(__file__).parents[2]

_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload(
    [
        "lts.app.command",
        "lts.service",
        *(
            f"lts.app.commands.{name}"
            for name in ("train", "store", "evaluate", "predict", "check", "export", "serve")
        ),
    ]
)
_PYTHONPATH = os.environ.get("PYTHONPATH")


class Started:
    """A command that runs; what a test uses of `subprocess.Popen`, under the same names."""

    def __init__(
        self,
        command: str | Path,
        *arguments: str,
        cwd: Path,
        env: Mapping[str, str] | None = None,
        output: Path | None = None,
    ) -> None:
        """Start it, by its name, or a program that runs one in another way.

        Args:
            command: `train` or another, or the file of a program.
            arguments: What follows on the command line.
            cwd: Where it is started.
            env: Variables beside those of this process. PYTHONPATH leads to modules that nobody has imported.
            output: The file for all that it prints, in place of `stdout` and `stderr`.
        """
        assert os.environ.get("PYTHONPATH") == _PYTHONPATH, "is read as an interpreter begins: see run_anew"
        program = command if isinstance(command, Path) else ROOT / f"{command}.py"
        self.args = (str(program), *arguments)
        if output:
            ends = [os.open(output, os.O_WRONLY | os.O_CREAT)] * 2
            self.stdout: TextIO = io.StringIO()
            self.stderr: TextIO = io.StringIO()
        else:
            (out, out_end), (err, err_end) = os.pipe(), os.pipe()
            ends = [out_end, err_end]
            self.stdout, self.stderr = os.fdopen(out), os.fdopen(err)
        given = self.args, str(cwd), {**os.environ, **(env or {})}, *map(DupFd, ends)
        self._process = _FORKS.Process(target=_be, args=given)
        self._process.start()
        for end in set(ends):
            os.close(end)
        assert self._process.pid
        self.pid = self._process.pid

    @property
    def returncode(self) -> int | None:
        """The exit code, minus the number of the signal that ended it, None while it runs."""
        return self._process.exitcode

    def poll(self) -> int | None:
        """See `returncode`."""
        return self.returncode

    def send_signal(self, signum: int) -> None:
        """Send a signal, unless it has ended."""
        if self._process.is_alive():
            os.kill(self.pid, signum)

    def kill(self) -> None:
        """End it as the system ends a process that takes too much memory."""
        self.send_signal(signal.SIGKILL)

    def close(self) -> None:
        """End it, if it runs, and let go of what it printed."""
        self.kill()
        self.wait()
        self.stdout.close()
        self.stderr.close()

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end; its exit code."""
        self._process.join(timeout)
        if self.returncode is None:
            raise subprocess.TimeoutExpired(self.args, timeout or 0)
        return self.returncode

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        """Wait for its end; all that it printed since, to stdout and to stderr."""
        printed = {}

        def read(name: str) -> None:
            with getattr(self, name) as stream:
                printed[name] = stream.read()

        readers = [threading.Thread(target=read, args=(name,), daemon=True) for name in ("stdout", "stderr")]
        for reader in readers:
            reader.start()
        self.wait(timeout)
        for reader in readers:
            reader.join()
        return printed["stdout"], printed["stderr"]


def run(
    command: str | Path, *arguments: str, cwd: Path, env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Do what `python COMMAND.py ARGUMENT...` does in a folder, to its end, whatever the exit code."""
    started = Started(command, *arguments, cwd=cwd, env=env)
    out, err = started.communicate()
    return subprocess.CompletedProcess(started.args, started.wait(), out, err)


def run_anew(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """`python ARGUMENT...` by an interpreter of its own."""
    line = [sys.executable, *arguments]
    return subprocess.run(line, cwd=cwd, capture_output=True, text=True, check=False)


def _be(args: tuple[str, ...], cwd: str, environment: dict[str, str], stdout: Any, stderr: Any) -> None:
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(cwd)
    for descriptor, given in ((1, stdout), (2, stderr)):
        os.dup2(file := given.detach(), descriptor)
        os.close(file)
    sys.stdout = os.fdopen(1, "w", closefd=False)
    sys.stdout.reconfigure(write_through="PYTHONUNBUFFERED" in environment)
    sys.stderr = os.fdopen(2, "w", buffering=1, errors="backslashreplace", closefd=False)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    multiprocessing.set_start_method(None, force=True)  # the system's own, and not that of this process
    tempfile.tempdir = None  # as TMPDIR says now
    # Another test has the other processors, and a pool of processes for a few voxels would only import.
    _processors.processors_of_affinity = lambda: 1
    sys.argv = list(args)
    sys.path[:0] = [str(ROOT), *filter(None, environment.get("PYTHONPATH", "").split(os.pathsep))]
    code: int | str | None = 0
    try:
        runpy.run_path(args[0], run_name="__main__")
    except SystemExit as ended:
        code = ended.code
    except BaseException:
        traceback.print_exc()
        code = 1
    # As an interpreter ends; without the first, idle workers of joblib are waited for, for minutes.
    threading._shutdown()
    atexit._run_exitfuncs()
    sys.exit(code)
