"""A first network that finds the liver: its settings, where it comes from, and what it has seen."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from lts.app.config.component import OPEN, Component
from lts.app.config.serialization import with_output_dir
from lts.app.config.settings import LocatorSettings, TaskSettings, TrainSettings
from lts.base import DESCRIPTION_KEY, CheckpointError, ConfigError, LtsError, one_line
from lts.inference import build_locator, cases_learned_from, locator_in, read_checkpoint
from lts.slices import Recipe, check_margin

LOCATOR_FOLDER = "locator"
"""In the folder of a run that trains its locator."""

_REGION = "liver"
_CALLBACKS = ("best", "last", "learning_rate", "overlays")
_OWN_KEYS = {
    "model": "locator.model",
    "data.image_size": "locator.image_size",
    "budget_minutes": "budget_minutes (the part by locator.share)",
}
"""Keys of the locator's own training that are set elsewhere in the run's settings."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Locator:
    """A trained locator.

    Attributes:
        path: The checkpoint that it comes from.
        description: What a checkpoint holds of it, weights included.
        cases: Those that it was trained on: `case`, `patient` and `sha256`.
    """

    path: Path
    description: Mapping[str, Any]
    cases: Sequence[Mapping[str, str]]


def recipe_of(settings: TrainSettings) -> Recipe:
    """How the volumes of a run become slices, once size and pixels are chosen."""
    data, locator = settings.data, settings.locator
    image_size, pixel_mm = data.image_size, data.pixel_mm
    assert image_size != "auto"
    assert pixel_mm != "auto"
    return Recipe(
        image_size=image_size,
        pixel_mm=pixel_mm,
        modality=data.modality,
        focus="liver" if locator else None,
        margin_mm=locator.margin_mm if locator else 0.0,
    )


def recipe_of_locator(settings: TrainSettings) -> Recipe | None:
    """How the volumes of a run become slices of the locator that it trains; None where it trains none."""
    if settings.locator is None or not trains_locator(settings):
        return None
    return Recipe(image_size=settings.locator.image_size, pixel_mm=None, modality=settings.data.modality)


def trains_locator(settings: TrainSettings) -> bool:
    """Whether a run trains its locator itself."""
    return settings.locator is not None and settings.locator.ckpt is None


def share_of_budget(settings: TrainSettings) -> float:
    """The share of `budget_minutes` that is left to a run's own network."""
    return 1 - settings.locator.share if settings.locator and trains_locator(settings) else 1.0


def check_locator(locator: LocatorSettings, trainer: Component) -> None:
    """Check what can be told of a locator by itself.

    Raises:
        ConfigError: A setting breaks its rule, or several devices would train it.
    """
    try:
        check_margin(locator.margin_mm)
    except ConfigError as error:
        raise ConfigError(f"locator.{error}") from error
    if not 0 < locator.share < 1:
        raise ConfigError(f"locator.share: must lie between 0 and 1, got {locator.share}")
    if locator.ckpt is not None:
        return
    for name in ("devices", "num_nodes"):
        if (number := trainer.arguments.get(name, 1)) != 1:
            raise ConfigError(
                f"locator: is trained on one device, got trainer.{name}={number}; "
                "train it in a run of its own and give locator.ckpt=FILE"
            )


def training_of_locator(settings: TrainSettings) -> TrainSettings:
    """The settings that a run trains its locator with: its own, but for what makes it one of the liver.

    Args:
        settings: Those of the run, with absolute paths.
    """
    locator = settings.locator
    assert locator is not None
    epochs = max(1, round(locator.share * settings.max_epochs))
    trainer, scheduler = settings.trainer, settings.scheduler
    every = trainer.arguments.get("check_val_every_n_epoch")
    if isinstance(every, int) and every > epochs:
        trainer = trainer.with_arguments(check_val_every_n_epoch=epochs)
    if scheduler and scheduler.arguments.get("T_max") == settings.max_epochs:
        scheduler = scheduler.with_arguments(T_max=epochs)
    callbacks = {name: each for name, each in settings.callbacks.items() if name in _CALLBACKS}
    if "best" in callbacks:
        callbacks["best"] = callbacks["best"].with_arguments(monitor=OPEN, mode=OPEN)
    budget = settings.budget_minutes
    own = replace(
        settings,
        budget_minutes=None if budget is None else budget * locator.share,
        ckpt=None,
        init=None,
        locator=None,
        task=TaskSettings(),
        callbacks=callbacks,
        scheduler=scheduler,
        trainer=trainer.with_arguments(max_epochs=epochs),
        data=replace(
            settings.data, regions=(_REGION,), image_size=locator.image_size, pixel_mm=None, context=0
        ),
        model=locator.model,
    )
    moved = with_output_dir(own, Path(settings.paths.output_dir) / LOCATOR_FOLDER)
    paths = replace(settings.paths, output_dir=moved.paths.output_dir)
    return replace(moved, data=own.data, paths=paths)  # scans and store may lie in the folder of the run


@contextmanager
def keys_of_locator() -> Iterator[None]:
    """Context of the locator's training: errors name the keys of the run's settings."""
    try:
        yield
    except LtsError as error:
        key, _, rule = str(error).partition(": ")
        for own, place in _OWN_KEYS.items():
            if key == own or key.startswith(f"{own}."):
                error.args = (one_line(f"{place}{key.removeprefix(own)}: {rule}"),)
                raise
        error.args = (one_line(f"locator: {error}"),)
        raise


def open_locator(settings: TrainSettings) -> Locator | None:
    """The locator of `locator.ckpt`, None without one.

    Raises:
        CheckpointError: It cannot be read, or describes no model.
        ConfigError: It is none of the liver, of another modality, or does not look at whole slices.
    """
    if settings.locator is None or settings.locator.ckpt is None:
        return None
    try:
        locator = read_locator(Path(settings.locator.ckpt))
        model = build_locator(locator.description, trusted_modules=settings.trusted_modules)
    except CheckpointError as error:
        raise CheckpointError(f"locator.ckpt: {error}") from error
    if _REGION not in model.regions:
        got = ", ".join(model.regions)
        raise ConfigError(f"locator.ckpt: {locator.path} must segment the {_REGION}, got a model of {got}")
    if model.recipe.modality != settings.data.modality:
        raise ConfigError(
            f"locator.ckpt: {locator.path} must be for {settings.data.modality}, got {model.recipe.modality}"
        )
    return locator


def read_locator(path: Path) -> Locator:
    """The liver network of a checkpoint as a locator; of one that has a locator itself, that.

    Raises:
        CheckpointError: It cannot be read, or describes no model.
    """
    saved = read_checkpoint(path)
    try:
        return Locator(
            path=path,
            description=locator_in(saved),
            cases=cases_learned_from(saved[DESCRIPTION_KEY]),
        )
    except (AttributeError, KeyError, TypeError) as error:
        raise CheckpointError(f"{path} does not describe a model: {error}") from error
