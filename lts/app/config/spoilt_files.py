"""Hydra's own reading of `conf/`: a file that is no YAML is told by its name, line and column."""

from typing import Any

from hydra._internal.config_repository import ConfigRepository
from hydra.core.object_type import ObjectType
from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException

from lts.app.config.yaml_files import naming_file

_OF_HYDRA = (OmegaConfBaseException, HydraException)
"""Errors that say themselves what is wrong."""


def name_spoilt_files() -> None:
    """Have Hydra say which file of its search path cannot be read, and where, which it does not by itself."""
    load = ConfigRepository.load_config
    if getattr(load, "names_files", False):
        return

    def load_or_tell(repository: ConfigRepository, config_path: str) -> Any:
        source = repository._find_object_source(config_path=config_path, object_type=ObjectType.CONFIG)
        with naming_file(
            f"{source.path}/{config_path.removesuffix('.yaml')}.yaml" if source else config_path,
            but=_OF_HYDRA,
        ):
            return load(repository, config_path)

    load_or_tell.names_files = True  # type: ignore[attr-defined]
    ConfigRepository.load_config = load_or_tell  # type: ignore[method-assign, assignment]
