"""What every command shares: a config, an exit code, and one clear line when the input was wrong."""

import functools
import os
import sys
from contextlib import AbstractContextManager
from dataclasses import replace
from importlib import import_module
from io import TextIOWrapper
from pathlib import Path
from typing import Any

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from lts import __version__
from lts.app.config.arguments import check_arguments, with_home
from lts.app.config.composed import read_settings, settings_of
from lts.app.config.groups import CONF
from lts.app.config.hydra_internals import keep_own_choices, name_spoilt_files, share_structured_configs
from lts.app.config.options import options_first
from lts.app.config.serialization import settings_from_dict, with_output_dir
from lts.app.config.settings import SETTINGS
from lts.app.run.environment import RUN_FOLDER_VARIABLE, follows
from lts.app.run.failures import (
    INPUT_WAS_WRONG,
    catch_thread_failures,
    exit_code_of,
    print_error,
    raise_thread_failure,
)
from lts.app.run.invocation import FROM_PYTHON, Invocation
from lts.app.run.memory import return_freed_memory, use_large_pages
from lts.app.run.processors import limit_threads
from lts.app.run.records import CONFIG_FILE
from lts.app.sweep.lifecycle import sweep_ends
from lts.app.sweep.shards import are_shards, run_shard, shards_end
from lts.app.sweep.study import direction_of_study
from lts.base import shown

_IN_SHARDS = ("predict", "store")
"""Commands whose `-m shards=N` divides their work among jobs."""
_WITH_RECORD = ("train", "evaluate", "check")
"""Commands that make a run folder with a record."""

_USAGE = """\
Liver tumor segmentation in CT and MR.

    lts train [data=lits data.root=DIR] [GROUP=CHOICE ...] [KEY=VALUE ...]
    lts store [the settings of lts train] [shards=8 shard=0]
    lts evaluate ckpt=FILE [subset=test]
    lts predict ckpt=FILE input=FILE-or-DIR output=DIR
    lts check data=lits data.root=DIR
    lts export ckpt=FILE format=onnx output=FILE
    lts serve ckpt=FILE [port=8000]

lts COMMAND --help tells more of each; lts --version says which this is."""


def main() -> None:
    """The program `lts`: `lts train model=unet` is `python train.py model=unet` outside of a checkout."""
    if follows():
        run_command("train")  # alone starts other processes
        return
    name = sys.argv[1] if len(sys.argv) > 1 else "--help"
    if name in SETTINGS:
        del sys.argv[1]
        run_command(name)
    elif name == "--version":
        print(f"lts {__version__}")
    elif name in ("--help", "-h"):
        print(_USAGE)
    else:
        print_error("lts", f"{shown(name)}: must be one of {', '.join(SETTINGS)}")
        sys.exit(INPUT_WAS_WRONG)


def run_command(name: str) -> None:
    """Compose `conf/<name>.yaml` with the command line, and run the command with what it says.

    The process ends with code 0 when all is done, 2 when the user's input or config was wrong, 1 for a bug.

    Args:
        name: Name of the command and of its config.
    """
    # Without this, Hydra prints errors of its own and exits with 1.
    os.environ["HYDRA_FULL_ERROR"] = "1"
    share_structured_configs()
    name_spoilt_files()
    use_large_pages()
    return_freed_memory()
    limit_threads()
    _print_any_sign()
    catch_thread_failures()
    if follows():
        with exit_code_of(name):
            _run(name, _settings_followed(name), FROM_PYTHON)
        return
    keep_own_choices()
    with exit_code_of(name), _jobs_end(name):
        sys.argv[1:] = options_first(with_home(sys.argv[1:]), name=name)
        check_arguments(sys.argv[1:])
        task = functools.partial(_do, name=name)
        task.__module__ = f"lts.app.commands.{name}"  # Hydra names jobs after its last part
        hydra.main(version_base="1.3", config_path=str(CONF), config_name=name)(task)()
        raise_thread_failure()


def _jobs_end(name: str) -> AbstractContextManager[None]:
    """Tells what came of all jobs of `-m`."""
    if name in _IN_SHARDS:
        return shards_end(name, _on_call(name, "conclude_shards"))
    return sweep_ends(name)


def _do(config: DictConfig, *, name: str) -> float | None:
    """Run a command with a composed config: by itself, or as a job of a sweep."""
    if HydraConfig.get().mode == RunMode.MULTIRUN and name in _IN_SHARDS:
        if are_shards(config):
            run_shard(config, _on_call(name, f"{name}_shard"), name=name)
            return None
    elif HydraConfig.get().mode == RunMode.MULTIRUN and "sweep" in config:
        from lts.app.sweep.jobs import run_job

        return run_job(config, functools.partial(_do_job, name=name), name=name)
    # Leaves before Hydra would print a line of its own about the failed job.
    with exit_code_of(name):
        return _run(name, settings_of(name, config), _invocation(config))


def _do_job(config: DictConfig, folder: Path, *, goes_on: bool, name: str) -> float | None:
    settings = with_output_dir(settings_of(name, config), folder)
    if goes_on:
        settings = replace(settings, ckpt="last")
    return _run(name, settings, replace(_invocation(config), folder_is_named_by_time=False))


def _run(name: str, settings: Any, invocation: Invocation) -> float | None:
    """Run a command, imported only now: it is heavy, and the settings are known to be of the right types.

    Returns:
        The score by which jobs of a sweep are compared, None where there is none.
    """
    command = _command(name, name)
    done = command(settings, invocation) if name in _WITH_RECORD else command(settings)
    score: float | None = getattr(done, "score", None)
    return score


def _command(name: str, function: str) -> Any:
    return getattr(import_module(f"lts.app.commands.{name}"), function)


def _on_call(name: str, function: str) -> Any:
    """The same, imported when it is called."""

    def call(*arguments: Any) -> Any:
        return _command(name, function)(*arguments)

    return call


def _invocation(config: DictConfig) -> Invocation:
    paths: Any = OmegaConf.to_container(config.get("paths") or OmegaConf.create({}), resolve=False)
    return Invocation(
        overrides=tuple(HydraConfig.get().overrides.task),
        folder_is_named_by_time="${now:" in str(paths.get("output_dir")),
        study_direction=direction_of_study(),
    )


def _settings_followed(name: str) -> Any:
    """The settings of the job that this process is part of; its command line may be that of a whole sweep."""
    return settings_from_dict(
        SETTINGS[name], read_settings(Path(os.environ[RUN_FOLDER_VARIABLE]) / CONFIG_FILE)
    )


def _print_any_sign() -> None:
    """Have signs that the terminal's encoding lacks written out, where printing them would be an error."""
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # as stderr does by itself
