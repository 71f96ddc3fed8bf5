"""Parts of lts as its own configs make them."""

import os
from pathlib import Path
from typing import Any

os.environ["NO_ALBUMENTATIONS_UPDATE"] = "1"

from hydra.utils import instantiate
from omegaconf import OmegaConf

CONF = Path(__file__).parents[1] / "conf"


def shipped(choice: str, section: str | None = None, **arguments: Any) -> Any:
    """What `conf/<choice>.yaml` describes.

    Args:
        choice: As `augment/default`.
        section: The part of the file that describes it; None is all of it.
        **arguments: What the file leaves open, or other values.
    """
    config = OmegaConf.load(CONF / f"{choice}.yaml")
    return instantiate(config[section] if section else config, _convert_="all", **arguments)
