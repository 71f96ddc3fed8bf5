"""What is used of Hydra beyond its public interface, all of it; `hydra-core` is bounded for this.

`tests/test_private_interfaces.py` says which of it a new version breaks.
"""

from argparse import ArgumentParser
from typing import Any

from hydra._internal.config_repository import ConfigRepository
from hydra._internal.utils import get_args_parser
from hydra.core.config_store import ConfigStore
from hydra.core.object_type import ObjectType
from hydra.core.plugins import Plugins
from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException

from lts.app.config.yaml_files import naming_file

_OF_HYDRA = (OmegaConfBaseException, HydraException)
"""Errors that say themselves what is wrong."""


def parser_of_options() -> ArgumentParser:
    """The parser that `hydra.main` reads `sys.argv` with: Hydra gives its options no other way."""
    return get_args_parser()


def name_spoilt_files() -> None:
    """Have Hydra say which file of its search path cannot be read, and where.

    Its public errors do not name a file that is no text, nor one that is nested too deeply.
    """
    load = ConfigRepository.load_config
    if getattr(load, "names_files", False):
        return

    def load_with_reason(repository: ConfigRepository, config_path: str) -> Any:
        source = repository._find_object_source(config_path=config_path, object_type=ObjectType.CONFIG)
        with naming_file(
            f"{source.path}/{config_path.removesuffix('.yaml')}.yaml" if source else config_path,
            but=_OF_HYDRA,
        ):
            return load(repository, config_path)

    load_with_reason.names_files = True  # type: ignore[attr-defined]
    ConfigRepository.load_config = load_with_reason  # type: ignore[method-assign, assignment]


def share_structured_configs() -> None:
    """Let copies of Hydra's repositories hold the one store of structured configs.

    Hydra copies a repository whole for each group of which it asks the choices: three quarters of the time
    of `--help`. What it takes from the store it copies again.
    """
    ConfigStore.__deepcopy__ = lambda store, _memo: store  # type: ignore[attr-defined]


def keep_own_choices() -> None:
    """Have `hydra/sweeper=optuna` and its samplers be those of `conf`, whatever plugins are installed.

    Hydra holds a file against what a plugin stores under the same name, as hydra-optuna-sweeper does, and no
    method of a store takes it away.
    """
    Plugins.instance()  # imports them all
    stored = ConfigStore.instance().repo["hydra"]
    stored["sweeper"] = _Sweepers(stored["sweeper"])


class _Sweepers(dict[str, Any]):
    """What plugins store as choices of `hydra/sweeper`, without those that are ours.

    The processes of jobs get the store, and then import the plugins, which store theirs again.
    """

    def __init__(self, stored: dict[str, Any]) -> None:
        super().__init__({name: found for name, found in stored.items() if name != "optuna.yaml"})
        super().__setitem__("sampler", _NoChoices())

    def __setitem__(self, name: str, choice: Any) -> None:
        if name != "optuna.yaml":
            super().__setitem__(name, choice)


class _NoChoices(dict[str, Any]):
    """A group that stays empty."""

    def __setitem__(self, name: str, choice: Any) -> None:
        """Leave it out."""
