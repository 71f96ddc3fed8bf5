"""Facts, tables and settings as files, each whole or not at all."""

from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from lts.base import write_csv, write_json, write_utf8

__all__ = ["write_config", "write_csv", "write_json"]


def write_config(path: Path, config: DictConfig) -> None:
    """Write settings as YAML, with no reference left in them.

    Raises:
        StorageError: They cannot be written; what was there stays.
    """
    write_utf8(path, OmegaConf.to_yaml(config, resolve=True))
