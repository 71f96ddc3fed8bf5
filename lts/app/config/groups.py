"""Where the groups of settings and their choices are."""

from pathlib import Path

from hydra.core.config_store import ConfigStore
from hydra.core.plugins import Plugins

CONF = Path(__file__).parents[2] / "conf"
"""A link to the `conf` of the checkout, whose files a wheel carries in its place."""


def choices_of(group: str) -> list[str]:
    """The choices of a group, none where there is no such group of ours."""
    return [] if "/" in group else sorted(path.stem for path in (CONF / group).glob("*.yaml"))


def keep_own_choices() -> None:
    """Have `hydra/sweeper=optuna` and its samplers be those of `conf`, whatever plugins are installed.

    Hydra holds a file against what a plugin stores under the same name, as hydra-optuna-sweeper does.
    """
    Plugins.instance()  # imports them all
    stored = ConfigStore.instance().repo.get("hydra", {}).get("sweeper", {})
    for name in ("optuna.yaml", "sampler"):
        stored.pop(name, None)
