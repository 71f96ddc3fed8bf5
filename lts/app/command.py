"""What every command shares: a config, an exit code, and one clear line when the input was wrong."""

import errno
import functools
import os
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import TextIOWrapper
from pathlib import Path
from typing import Any

import hydra
from hydra.core.config_store import ConfigStore
from hydra.core.hydra_config import HydraConfig
from hydra.errors import InstantiationException
from hydra.types import RunMode
from omegaconf import DictConfig

from lts.app.arguments import CONF, check_arguments, with_home
from lts.app.hydra_errors import told_of, without_jargon
from lts.app.interruption import Interrupted
from lts.app.memory import return_freed_memory, use_large_pages
from lts.app.options import options_first
from lts.app.processors import use_the_share_of_processors
from lts.app.settings import check_settings
from lts.app.yaml_files import load_settings, name_spoilt_files
from lts.base import LtsError, StorageError, causes_of, one_line

BUG, INPUT_WAS_WRONG, INTERRUPTED = 1, 2, 130

CONFIG_FILE = "config.yaml"

RUN_FOLDER_VARIABLE = "LTS_RUN_FOLDER"
"""Names, in the environment of a process that trains beside a first one, the folder of their run."""

SWEEP_BEGAN_VARIABLE = "LTS_SWEEP_BEGAN"
"""Tells the processes of a sweep's jobs when it began: UTC, ISO 8601."""

_DISK_ERRORS = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS}
"""What stands in the way of writing and is nobody's bug."""

_NO_MEMORY = ("OutOfMemoryError", "DefaultCPUAllocator: can't allocate memory")
"""How torch says that memory is full."""

_PATH_ERRORS = {
    *(errno.EACCES, errno.EPERM, errno.ENAMETOOLONG, errno.ELOOP, errno.EILSEQ),
    *(errno.EEXIST, errno.ENOTDIR, errno.EISDIR),  # a file where a folder is wanted, or the other way round
    *(errno.EMFILE, errno.ENFILE),
}
"""What keeps a path from being read or written, and is nobody's bug either."""

_failed_in_threads: list[str] = []
"""What a thread of a library could not write, as TensorBoard's; the command ends with the first of these."""


def run_command(name: str, run: Callable[[DictConfig], object]) -> None:
    """Compose `conf/<name>.yaml` with the command line and call `run` with it.

    The process ends with code 0 when all is done, 2 when the user's input or config was wrong, 1 for a bug.

    Args:
        name: Name of the command and of its config.
        run: Called with the config; must import what is heavy only then.
    """
    # Without this, Hydra prints errors of its own and exits with 1.
    os.environ["HYDRA_FULL_ERROR"] = "1"
    _share_structured_configs()
    name_spoilt_files()
    use_large_pages()
    return_freed_memory()
    use_the_share_of_processors()
    _print_any_sign()
    hear_threads()
    if follows():
        with exit_code_of(name):
            run(_job_followed())
        return

    def checked(config: DictConfig) -> Any:
        check_settings(name, config)
        return run(config)

    @functools.wraps(run)
    def job(config: DictConfig) -> object:
        if "sweep" in config and HydraConfig.get().mode == RunMode.MULTIRUN:
            from lts.app.jobs import run_job

            return run_job(config, checked, name=name, explain=functools.partial(failure_of, name=name))
        # Leaves before Hydra would print a line of its own about the failed job.
        with exit_code_of(name):
            return checked(config)

    from lts.app.sweep import sweep_ends

    with exit_code_of(name), sweep_ends(name):
        sys.argv[1:] = options_first(with_home(sys.argv[1:]), name=name)
        check_arguments(sys.argv[1:])
        hydra.main(version_base="1.3", config_path=str(CONF), config_name=name)(job)()
        if _failed_in_threads:
            raise StorageError(_failed_in_threads[0])


def hear_threads() -> None:
    """Have a full disk that ends a thread of a library told in one line, where Python prints a traceback."""

    def note(failure: threading.ExceptHookArgs) -> None:
        if (message := _disk_message(failure.exc_value)) is None:
            threading.__excepthook__(failure)
        else:
            _failed_in_threads.append(message)

    threading.excepthook = note


def _print_any_sign() -> None:
    """Have signs that the terminal's encoding lacks written out, where printing them would be an error."""
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # as stderr does by itself


def complain(name: str, line: object) -> None:
    """Print what a command has to say against its input: one line on stderr."""
    print(f"{name}: {one_line(line)}", file=sys.stderr)


def _share_structured_configs() -> None:
    """Let copies of Hydra's repositories hold the one store of structured configs.

    Hydra copies a repository whole for each group of which it asks the choices: three quarters of the time
    of `--help`. What it takes from the store it copies again.
    """
    ConfigStore.__deepcopy__ = lambda store, _memo: store  # type: ignore[attr-defined]


@dataclass(frozen=True, kw_only=True)
class Failure:
    """What went wrong, in one line, and the exit code that it has: that of wrong input, or of a bug."""

    reason: str
    exit_code: int

    @property
    def is_bug(self) -> bool:
        """Whether it is ours, and wants a traceback."""
        return self.exit_code == BUG


def failure_of(error: BaseException, name: str) -> Failure:
    """What an error is called that ended the command `name`."""
    message = _user_message(error, name)
    if message is not None:
        return Failure(reason=one_line(message), exit_code=INPUT_WAS_WRONG)
    told = str(error).strip().splitlines()
    reason = f"{type(error).__name__}: {told[0] if told else ''}".rstrip(": ")
    return Failure(reason=one_line(reason), exit_code=BUG)


def follows() -> bool:
    """Whether this process was started to train beside another one."""
    return RUN_FOLDER_VARIABLE in os.environ


def _job_followed() -> DictConfig:
    """The settings of the job that this process is part of; its command line may be that of a whole sweep."""
    return load_settings(Path(os.environ[RUN_FOLDER_VARIABLE]) / CONFIG_FILE)


@contextmanager
def exit_code_of(name: str) -> Iterator[None]:
    """End the process with the code and the line that an error within asks for."""
    try:
        yield
    except KeyboardInterrupt:
        print(f"{name}: interrupted", file=sys.stderr)
        sys.exit(INTERRUPTED)
    except Interrupted as stopped:
        if stopped.advice is not None:
            complain(name, stopped)
        _let_go(stopped)
        sys.exit(stopped.exit_code)
    except Exception as error:
        failure = failure_of(error, name)
        if failure.is_bug:
            traceback.print_exc()
        else:
            complain(name, failure.reason)
        _let_go(error)
        sys.exit(failure.exit_code)


def _let_go(error: BaseException | None) -> None:
    """Drop what an error keeps alive, as loader workers, which are to end before the process does."""
    for each in causes_of(error):
        traceback.clear_frames(each.__traceback__)


def _user_message(error: BaseException, name: str) -> str | None:
    """One line for an error of the user's, None for a bug of ours."""
    for cause in causes_of(error, in_passing=False):
        if isinstance(cause, LtsError):
            return without_jargon(cause)
    # A constructor failed for a reason that it does not blame on its arguments.
    if isinstance(error, InstantiationException):
        return None
    return told_of(error, name=name) or _disk_message(error) or _message_of_a_library(error)


def _message_of_a_library(error: BaseException) -> str | None:
    """One line for settings that Lightning finds wrong as late as in a run, or that want too much memory.

    Errors are known by their names: to import their classes takes seconds.
    """
    for cause in causes_of(error, in_passing=False):
        if type(cause).__name__ == "MisconfigurationException":
            return without_jargon(cause)
        if isinstance(cause, MemoryError) or any(
            name in f"{type(cause).__name__}: {cause}" for name in _NO_MEMORY
        ):
            why = without_jargon(cause) or "there is too little for what was asked"
            return f"memory: {why}; a smaller batch_size, image_size or model takes less"
    return None


def _disk_message(error: BaseException | None) -> str | None:
    """One line for a disk that is full or closed to us, or a path that there cannot be.

    Libraries wrap such an error in errors of their own.
    """
    for each in causes_of(error):
        if isinstance(each, OSError) and each.errno in _DISK_ERRORS:
            return f"{each.filename or 'a file of the run'}: cannot be written: {each.strerror}"
        if isinstance(each, OSError) and each.errno in _PATH_ERRORS:
            return f"{each.filename or 'a file of the run'}: cannot be used: {each.strerror}"
    return None
