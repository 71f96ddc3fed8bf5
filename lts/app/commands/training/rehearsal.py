"""All parts of a training, built without data, so that wrong settings are found before anything is read."""

import math
import os
import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import ReduceLROnPlateau

from lts.app.commands.cases import check_split
from lts.app.commands.training.budget import check_budget
from lts.app.commands.training.locator import (
    check_locator,
    keys_of_locator,
    training_of_locator,
    trains_locator,
)
from lts.app.commands.training.loggers import make_loggers
from lts.app.commands.training.monitor import check_monitors, follow, monitor_of
from lts.app.commands.training.network import build_network
from lts.app.commands.training.parts import make_callbacks, make_scheduler
from lts.app.commands.training.trainer_factory import make_trainer
from lts.app.commands.training.warm_start import WarmStart, fit_to_network
from lts.app.config.component import OPEN
from lts.app.config.instantiate import as_config_error, build_component, keys_in_errors
from lts.app.config.settings import DataSettings, TrainSettings
from lts.app.config.values import shown
from lts.base import ConfigError
from lts.data import check_intensity, check_loading
from lts.intensity import Intensity
from lts.networks.meta import check_answer, without_memory
from lts.slices import Recipe, check_plane
from lts.task import mode_of, parameter_groups
from lts.task.compiling import why_not_compiled

_LARGEST_SEED = 2**32 - 1
_BYTES_OF_A_PARAMETER = 16
"""In training: the weight, its gradient, and two means of the optimizer."""
_PIXELS = 4
_STEPS = 2


def rehearse(settings: TrainSettings, start: WarmStart | None = None) -> None:
    """Check the settings of a training by building all its parts, the network without memory.

    Imports what they are made of; writes nothing.

    Args:
        settings: Those of the run.
        start: The weights that it begins with, if they are those of another run.

    Raises:
        ConfigError: A setting breaks its rule, or cannot be had on this machine.
    """
    if not 0 <= settings.seed <= _LARGEST_SEED:
        raise ConfigError(f"seed: must be from 0 to {_LARGEST_SEED}, got {settings.seed}")
    check_budget(settings)
    check_slices(settings)
    data = settings.data
    with keys_in_errors("data", check_loading):
        check_loading(
            context=data.context,
            batch_size=data.batch_size,
            num_workers=data.num_workers,
            region_share=data.region_share,
            slices_per_epoch=data.slices_per_epoch,
        )
    if data.display_hu is not None and not data.display_hu[1] > 0:
        raise ConfigError(f"data.display_hu: must be a level and a width > 0, got {list(data.display_hu)}")
    build_component(settings.augment, key="augment", kind=Callable)  # type: ignore[arg-type]
    channels = _channels_of(settings)
    _check_checkpoints(settings)
    settled = _with_some_monitor(settings)
    loggers = make_loggers(settings, for_rehearsal=True)
    callbacks = make_callbacks(settled, loggers)
    check_monitors(callbacks, tuple(data.regions))
    trainer = make_trainer(settings, callbacks=list(callbacks.values()), loggers=loggers)
    _check_compiler(settings.compile, trainer.strategy.root_device)
    network = _network_without_memory(settings, channels=channels)
    if start:
        with without_memory():
            fit_to_network(start, network, settings, in_channels=channels)
    _try_loss(settings, regions=len(data.regions))
    _try_optimizer(settings, network, device=trainer.strategy.root_device)
    if trains_locator(settings):
        with keys_of_locator():
            rehearse(training_of_locator(settings))


def check_slices(settings: TrainSettings) -> None:
    """Check what decides which slices a training has.

    Raises:
        ConfigError: A setting breaks its rule.
    """
    data, locator = settings.data, settings.locator
    with keys_in_errors("data", check_plane):
        check_plane(
            image_size=_size_to_rehearse(data), pixel_mm=None if data.pixel_mm == "auto" else data.pixel_mm
        )
    if locator:
        check_locator(locator, settings.trainer)
    if locator and trains_locator(settings):
        with keys_in_errors("locator", check_plane):
            check_plane(image_size=locator.image_size, pixel_mm=None)
    check_split(settings.split)
    _intensity_of(settings)


def rehearse_network(settings: TrainSettings) -> None:
    """Check the network once more, at the size that was fitted to the data.

    Raises:
        ConfigError: It does not take slices of that size.
    """
    _network_without_memory(settings, channels=_channels_of(settings))


def _size_to_rehearse(data: DataSettings) -> int:
    """The side of slices; some size where it is not known yet."""
    return Recipe().image_size if data.image_size == "auto" else data.image_size


def _channels_of(settings: TrainSettings) -> int:
    return _intensity_of(settings).channels * (2 * settings.data.context + 1)


def _intensity_of(settings: TrainSettings) -> Intensity:
    intensity: Intensity = build_component(settings.intensity, key="intensity", kind=Intensity)
    check_intensity(intensity, modality=settings.data.modality)
    return intensity


def _check_checkpoints(settings: TrainSettings) -> None:
    """Check that checkpoints are written where a resumed run looks for them."""
    for name, target, free in (
        ("best", "lts.task.BestCheckpoint", {"monitor", "mode"}),
        ("last", "pytorch_lightning.callbacks.ModelCheckpoint", set()),
    ):
        expected = {
            "_target_": target,
            "dirpath": f"{settings.paths.output_dir}/checkpoints",
            "filename": name,
            "save_on_train_epoch_end": True,
            "enable_version_counter": False,
        }
        if name not in settings.callbacks:
            raise ConfigError(f"callbacks.{name}: must be given, runs end with one and go on from the other")
        given = settings.callbacks[name].to_dict()
        for key in [key for key in {**expected, **given} if key not in free]:
            value = shown(expected[key]) if key in expected else "left out"
            if given.get(key) != expected.get(key) or type(given.get(key)) is not type(expected.get(key)):
                raise ConfigError(f"callbacks.{name}.{key}: must be {value}, got {shown(given.get(key))}")


def _with_some_monitor(settings: TrainSettings) -> TrainSettings:
    """The settings with some score in place of one that depends on the cases."""
    monitor = monitor_of(settings)
    monitor = "val/loss" if monitor == OPEN else monitor
    asked = settings.callbacks["best"].arguments.get("mode", OPEN)
    return follow(settings, monitor=monitor, mode=mode_of(str(monitor)) if asked == OPEN else asked)


def _check_compiler(when: str | bool, device: torch.device) -> None:
    if when is True and (reason := why_not_compiled(device)):
        raise ConfigError(f"compile: this machine cannot compile ({reason}); use compile=false")


def _network_without_memory(settings: TrainSettings, *, channels: int) -> nn.Module:
    size, regions = _size_to_rehearse(settings.data), len(settings.data.regions)
    with without_memory(), warnings.catch_warnings(), as_config_error("model"):
        warnings.simplefilter("ignore")  # start weights go nowhere
        network, _ = build_network(settings, in_channels=channels, out_channels=regions)
        _check_memory(network)
        images = (min(settings.data.batch_size, _PIXELS), channels, size, size)
        try:
            check_answer(network.train(), images=images, regions=regions)
        except ConfigError as error:
            raise ConfigError(f"model: {error}") from error
    return network


def _check_memory(network: nn.Module) -> None:
    needed = _BYTES_OF_A_PARAMETER * sum(parameter.numel() for parameter in network.parameters())
    held = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    if needed > held:
        raise ConfigError(
            f"model: must fit into the {held / 2**30:.0f} GiB of this machine, "
            f"its parameters alone need {needed / 2**30:.0f} GiB to learn"
        )


def _try_loss(settings: TrainSettings, *, regions: int) -> None:
    loss: nn.Module = build_component(settings.loss, key="loss", kind=nn.Module)
    logits = torch.zeros(1, regions, _PIXELS, _PIXELS, requires_grad=True)
    with as_config_error("loss"):
        with keys_in_errors("loss", type(loss)):
            value: Tensor = loss(logits, torch.zeros_like(logits, dtype=torch.bool))
        if value.ndim or not math.isfinite(value.item()):
            raise ConfigError(f"loss: must be one finite number, got {value.tolist()}")
        torch.autograd.grad(value, logits)


def _try_optimizer(settings: TrainSettings, network: nn.Module, *, device: torch.device) -> None:
    """Let optimizer and scheduler step on one number per parameter group."""
    scale = settings.task.encoder_lr_scale
    if not scale > 0:
        raise ConfigError(f"task.encoder_lr_scale: must be > 0, got {scale}")
    if scale != 1 and not isinstance(getattr(network, "encoder", None), nn.Module):
        raise ConfigError(
            f"task.encoder_lr_scale: must be 1 for a network without a part called encoder, got {scale}"
        )
    groups = parameter_groups(network, split_encoder=scale != 1)
    numbers = [nn.Parameter(torch.zeros(1, device=device)) for _ in groups]
    optimizer_of = build_component(settings.optimizer, key="optimizer", kind=Optimizer, partial=True)
    scheduler_of = make_scheduler(settings)

    def loss() -> float:
        for number in numbers:
            number.grad = torch.zeros_like(number)
        return 0.0

    with as_config_error("optimizer"):
        optimizer: Optimizer = optimizer_of(
            [{**group, "params": [number]} for group, number in zip(groups, numbers, strict=True)]
        )
        optimizer.step(loss)
    if scheduler_of is None:
        return
    with as_config_error("scheduler"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        scheduler: Any = scheduler_of(optimizer)
        for _ in range(_STEPS):
            if isinstance(scheduler, ReduceLROnPlateau):
                scheduler.step(1.0)
            else:
                scheduler.step()
