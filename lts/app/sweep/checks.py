"""What is checked of a sweep before anything is made."""

from pathlib import Path
from typing import Any

from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import IntervalSweep, Override
from hydra.types import RunMode
from omegaconf import MISSING, DictConfig, OmegaConf

from lts.base import ConfigError

_PLACE_OF_CASES = {"data.root", "data.layout"}


def swept_arguments(config: DictConfig) -> list[str]:
    """What is swept over and set, in the order in which the later wins."""
    params = config.hydra.sweeper.get("params") or {}
    return [*(f"{key}={value}" for key, value in params.items()), *config.hydra.overrides.task]


def check_folder_left_out(arguments: list[str]) -> None:
    """Refuse to name the folder of runs that have folders of their own: it would have no effect.

    Raises:
        ConfigError: `paths.output_dir` is among the arguments of a sweep.
    """
    key = "paths.output_dir"
    for argument in arguments:
        name, _, value = argument.lstrip("+").partition("=")
        if name == key:
            raise ConfigError(
                f"{key}: must be left out of a sweep, whose jobs have folders of their own in "
                f"hydra.sweep.dir, got {value}"
            )


def compose_jobs(config: DictConfig, arguments: list[str], *, config_name: str) -> list[DictConfig]:
    """Compose jobs so that a misspelt key or choice is found before anything is made.

    Each choice of a group is tried once, as are the places of cases; of other keys the first value: its
    spelling decides, not its value.

    Returns:
        What was composed.

    Raises:
        HydraException: A key or choice does not exist.
    """
    hydra = GlobalHydra.instance().hydra
    assert hydra is not None
    loader = hydra.config_loader
    parsed = OverridesParser.create(config_loader=loader).parse_overrides(arguments)
    values = {override.get_key_element(): _values(override) for override in parsed}
    groups = {
        override.get_key_element() for override in parsed if loader.get_group_options(override.key_or_group)
    }
    each = (groups | _PLACE_OF_CASES) & values.keys()
    tried = [{key: choices[0] for key, choices in values.items()}]
    tried += [{**tried[0], key: choice} for key in each for choice in values[key][1:]]
    composed = [
        hydra.compose_config(
            config_name=config_name,
            overrides=[*config.hydra.overrides.hydra, *(f"{key}={value}" for key, value in job.items())],
            run_mode=RunMode.RUN,
            with_log_configuration=False,
            from_shell=False,
        )
        for job in tried
    ]
    return [without_hydra(job) for job in composed]


def without_hydra(config: DictConfig) -> DictConfig:
    """The settings of a command, without those of Hydra."""
    return OmegaConf.masked_copy(config, [str(key) for key in config if key != "hydra"])


def check_data(jobs: list[DictConfig]) -> None:
    """Look for the cases if all jobs look for them in one place, so that a wrong `data.root` is told once.

    Args:
        jobs: What `compose_jobs` composed.

    Raises:
        LtsError: There are none.
    """
    places = {_place_of_cases(job) for job in jobs}
    if len(places) == 1 and (place := places.pop()):
        from lts.app.config.instantiate import keys_in_errors
        from lts.cohort import find_cases

        root, layout = place
        with keys_in_errors("data", find_cases):
            find_cases(Path(root).expanduser().resolve(), layout=layout)


def _place_of_cases(job: DictConfig) -> tuple[str, str] | None:
    """Root and layout of a job's cases; None where they are made, open, or follow from other settings."""
    data: Any = OmegaConf.to_container(job.data, resolve=False)
    root, layout = str(data["root"]), str(data["layout"])
    if data["phantom"] or not data["root"] or MISSING in (root, layout) or "${" in root:
        return None
    return root, layout


def _values(override: Override) -> list[str]:
    """The values that an override goes through; of an interval its start."""
    if not override.is_sweep_override():
        return [override.get_value_element_as_str()]
    if override.is_discrete_sweep():
        return list(override.sweep_string_iterator())
    value = override.value()
    assert isinstance(value, IntervalSweep)
    return [str(value.start)]
