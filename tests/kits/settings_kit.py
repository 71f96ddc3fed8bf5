"""Settings as a command line gives them, without a command."""

from typing import Any

import hydra

from lts.app.config.composed import settings_of
from lts.app.config.groups import CONF


def compose(name: str, *overrides: str) -> Any:
    """The settings of the command `name` with these arguments."""
    with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
        return settings_of(name, hydra.compose(name, overrides=list(overrides)))
