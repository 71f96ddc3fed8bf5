"""What a sweep knows of the study that draws its jobs; Optuna itself is imported where there is one."""

import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from lts.app.config.serialization import settings_from_dict
from lts.app.config.types import check_section
from lts.app.sweep.study_settings import StudySettings
from lts.base import ConfigError

if TYPE_CHECKING:
    from lts.app.sweep.optuna_study import OptunaStudy

SWEEPER = "hydra_plugins.lts_optuna_sweeper.OptunaSweeper"
"""The `_target_` of the sweeper that runs a study."""

_MODES: dict[str, Literal["min", "max"]] = {"minimize": "min", "maximize": "max"}


def direction_of_study() -> Literal["min", "max"] | None:
    """Which end of the scale the study of this job looks for: `min`, `max`, or None for no study."""
    if not HydraConfig.initialized():
        return None
    hydra: Any = HydraConfig.get()
    return (
        _MODES.get(OmegaConf.select(hydra, "sweeper.direction")) if hydra.mode == RunMode.MULTIRUN else None
    )


def score_for_sweeper(score: float | None, mode: str | None) -> float | None:
    """A score as a study wants it: its sign is turned where the study looks for the other end of the scale.

    Args:
        score: None where there is none.
        mode: Which end of the scale is the best, `min` or `max`; None where there is no score.
    """
    if score is None or mode is None or direction_of_study() in (None, mode):
        return score
    return -score


def prepare_study(sweeper: DictConfig, arguments: Sequence[str]) -> "OptunaStudy":
    """Check what a study is asked for; nothing is made yet.

    Args:
        sweeper: `hydra.sweeper` of the config.
        arguments: What is swept over and set, as on the command line.

    Raises:
        ConfigError: A setting is wrong, nothing can be searched so, or Optuna is not there.
    """
    try:
        import optuna
    except ModuleNotFoundError as error:
        raise ConfigError('hydra/sweeper=optuna: Optuna needs pip install ".[sweep]"') from error
    from lts.app.sweep.optuna_study import OptunaStudy
    from lts.app.sweep.search_space import search_space

    # Its advice is to programmers.
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)
    given: Any = OmegaConf.to_container(sweeper, resolve=True)
    settings = {name: value for name, value in given.items() if name not in ("_target_", "_recursive_")}
    check_section("hydra.sweeper.", settings, StudySettings, optional=False)
    hydra = GlobalHydra.instance()
    loader = hydra.config_loader() if hydra.is_initialized() else None
    space = search_space(arguments, config_loader=loader)
    return OptunaStudy(settings_from_dict(StudySettings, settings), space)
