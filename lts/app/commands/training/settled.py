"""Settings of a run with what follows from its folder."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from lts.app.config.component import OPEN, Component
from lts.app.config.instantiate import keys_in_errors
from lts.app.config.serialization import with_output_dir
from lts.app.config.settings import LocatorSettings, TrainSettings
from lts.app.config.values import Place
from lts.base import check_regions


def settled(settings: TrainSettings, output_dir: Path) -> TrainSettings:
    """The settings with dependent values filled in and absolute paths.

    Raises:
        ConfigError: The regions break their rule.
    """
    own: dict[str, Any] = {
        "dirpath": f"{output_dir}/checkpoints",
        "save_dir": str(output_dir),
        "window_hu": settings.data.display_hu,
    }

    def filled(component: Component) -> Component:
        given = component.arguments
        return component.with_arguments(**{key: own[key] for key in own if given.get(key) == OPEN})

    settings = with_output_dir(settings, output_dir)
    with keys_in_errors("data", check_regions):
        regions = check_regions(settings.data.regions)
    return replace(
        settings,
        callbacks={name: filled(each) for name, each in settings.callbacks.items()},
        logger=settings.logger and {name: filled(each) for name, each in settings.logger.items()},
        data=replace(settings.data, regions=regions, root=_absolute(settings.data.root)),
        init=None if settings.init is None else _absolute(settings.init),
        locator=_with_absolute_ckpt(settings.locator),
        paths=replace(settings.paths, store_dir=_absolute(settings.paths.store_dir)),
    )


def _with_absolute_ckpt(locator: LocatorSettings | None) -> LocatorSettings | None:
    if locator is None or locator.ckpt is None:
        return locator
    return replace(locator, ckpt=_absolute(locator.ckpt))


def _absolute(path: Place) -> str:
    return str(Path(path).expanduser().resolve())
