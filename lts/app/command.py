"""What every command shares: a config, an exit code, and one clear line when the input was wrong."""

import functools
import os
import sys
from collections.abc import Callable
from io import TextIOWrapper
from pathlib import Path
from typing import Any

import hydra
from hydra.core.config_store import ConfigStore
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from lts.app.config.arguments import CONF, check_arguments, with_home
from lts.app.config.options import options_first
from lts.app.config.settings import check_settings
from lts.app.config.yaml_files import load_settings, name_spoilt_files
from lts.app.run.environment import RUN_FOLDER_VARIABLE, follows
from lts.app.run.failures import exit_code_of, failure_of, hear_threads, raise_what_threads_met
from lts.app.run.memory import return_freed_memory, use_large_pages
from lts.app.run.processors import use_the_share_of_processors
from lts.app.run.records import CONFIG_FILE


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
            from lts.app.sweep.jobs import run_job

            return run_job(config, checked, name=name, explain=functools.partial(failure_of, name=name))
        # Leaves before Hydra would print a line of its own about the failed job.
        with exit_code_of(name):
            return checked(config)

    from lts.app.sweep.lifecycle import sweep_ends

    with exit_code_of(name), sweep_ends(name):
        sys.argv[1:] = options_first(with_home(sys.argv[1:]), name=name)
        check_arguments(sys.argv[1:])
        hydra.main(version_base="1.3", config_path=str(CONF), config_name=name)(job)()
        raise_what_threads_met()


def _print_any_sign() -> None:
    """Have signs that the terminal's encoding lacks written out, where printing them would be an error."""
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # as stderr does by itself


def _share_structured_configs() -> None:
    """Let copies of Hydra's repositories hold the one store of structured configs.

    Hydra copies a repository whole for each group of which it asks the choices: three quarters of the time
    of `--help`. What it takes from the store it copies again.
    """
    ConfigStore.__deepcopy__ = lambda store, _memo: store  # type: ignore[attr-defined]


def _job_followed() -> DictConfig:
    """The settings of the job that this process is part of; its command line may be that of a whole sweep."""
    return load_settings(Path(os.environ[RUN_FOLDER_VARIABLE]) / CONFIG_FILE)
