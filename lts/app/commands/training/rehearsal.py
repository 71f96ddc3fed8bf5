"""All parts of a training, built on nothing: a wrong setting is found before anything is read or written."""

import math
import os
import warnings
from collections.abc import Callable
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import ReduceLROnPlateau

from lts.app.commands.cases import check_split
from lts.app.commands.training.monitor import check_monitors
from lts.app.commands.training.network import build_network
from lts.app.commands.training.parts import make_callbacks, make_loggers, make_scheduler
from lts.app.commands.training.trainer_factory import make_trainer
from lts.app.config.making import make, told_as
from lts.app.config.plain import plain
from lts.app.config.values import shown
from lts.base import ConfigError
from lts.data import check_loading
from lts.intensity import Intensity
from lts.networks.meta import check_answer, without_memory
from lts.slices import check_plane
from lts.task import CompileNetwork, mode_of, parameter_groups

_LARGEST_SEED = 2**32 - 1
_BYTES_OF_A_PARAMETER = 16
"""In training: the weight, its gradient, and two means of the optimizer."""
_PIXELS = 4
_STEPS = 2


def rehearse(config: DictConfig) -> None:
    """Check the settings of a training by building all its parts, the network without memory.

    Imports what they are made of, and reads start weights; writes nothing.

    Raises:
        ConfigError: A setting breaks its rule, or cannot be had on this machine.
    """
    if not 0 <= config.seed <= _LARGEST_SEED:
        raise ConfigError(f"seed: must be from 0 to {_LARGEST_SEED}, got {config.seed}")
    data = config.data
    check_plane(image_size=data.image_size, pixel_mm=data.pixel_mm)
    check_loading(
        context=data.context,
        batch_size=data.batch_size,
        num_workers=data.num_workers,
        region_share=data.region_share,
        slices_per_epoch=data.slices_per_epoch,
    )
    if data.display_hu is not None and not data.display_hu[1] > 0:
        raise ConfigError(f"data.display_hu: must be a level and a width > 0, got {list(data.display_hu)}")
    check_split(config.split)
    CompileNetwork(when=config.compile, tell=lambda _line: None)
    make(config.augment, key="augment", kind=Callable)  # type: ignore[arg-type]
    intensity: Intensity = make(config.intensity, key="intensity", kind=Intensity)
    channels = intensity.channels * (2 * data.context + 1)
    settled = _with_some_monitor(config)
    _check_checkpoints(settled)
    loggers = make_loggers(config)
    callbacks = make_callbacks(settled, loggers)
    check_monitors(callbacks, tuple(data.regions))
    trainer = make_trainer(config, callbacks=list(callbacks.values()), loggers=loggers)
    network = _network_without_memory(config, channels=channels)
    _try_loss(config, regions=len(data.regions))
    _try_optimizer(config, network, device=trainer.strategy.root_device)


def _check_checkpoints(config: DictConfig) -> None:
    """Check that checkpoints come to lie where a run that goes on looks for them."""
    callbacks = plain(config.callbacks)
    for name, target, free in (
        ("best", "lts.task.BestCheckpoint", {"monitor", "mode"}),
        ("last", "pytorch_lightning.callbacks.ModelCheckpoint", set()),
    ):
        expected = {
            "_target_": target,
            "dirpath": f"{config.paths.output_dir}/checkpoints",
            "filename": name,
            "save_on_train_epoch_end": True,
            "enable_version_counter": False,
        }
        given = callbacks.get(name)
        if not isinstance(given, dict):
            raise ConfigError(f"callbacks.{name}: must be given, runs end with one and go on from the other")
        for key in [key for key in {**expected, **given} if key not in free]:
            value = shown(expected[key]) if key in expected else "left out"
            if given.get(key) != expected.get(key) or type(given.get(key)) is not type(expected.get(key)):
                raise ConfigError(f"callbacks.{name}.{key}: must be {value}, got {shown(given.get(key))}")


def _with_some_monitor(config: DictConfig) -> DictConfig:
    """The config with any score in the place of one that only the cases will tell."""
    settled = config.copy()
    best = settled.callbacks.get("best")
    if isinstance(best, DictConfig):
        if OmegaConf.is_missing(best, "monitor"):
            best.monitor = "val/loss"
        if OmegaConf.is_missing(best, "mode"):
            best.mode = mode_of(str(best.get("monitor")))
    return settled


def _network_without_memory(config: DictConfig, *, channels: int) -> nn.Module:
    size, regions = config.data.image_size, len(config.data.regions)
    with without_memory(), warnings.catch_warnings(), told_as("model"):
        warnings.simplefilter("ignore")  # start weights go nowhere
        network, _ = build_network(config, in_channels=channels, out_channels=regions)
        _check_memory(network)
        images = (min(config.data.batch_size, _PIXELS), channels, size, size)
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


def _try_loss(config: DictConfig, *, regions: int) -> None:
    loss: nn.Module = make(config.loss, key="loss", kind=nn.Module)
    logits = torch.zeros(1, regions, _PIXELS, _PIXELS, requires_grad=True)
    with told_as("loss"):
        value: Tensor = loss(logits, torch.zeros_like(logits, dtype=torch.bool))
        if value.ndim or not math.isfinite(value.item()):
            raise ConfigError(f"loss: must be one finite number, got {value.tolist()}")
        torch.autograd.grad(value, logits)


def _try_optimizer(config: DictConfig, network: nn.Module, *, device: torch.device) -> None:
    """Let optimizer and scheduler step on a number a group of parameters."""
    if not config.task.encoder_lr_scale > 0:
        raise ConfigError(f"task.encoder_lr_scale: must be > 0, got {config.task.encoder_lr_scale}")
    own_rate = config.task.encoder_lr_scale != 1
    if own_rate and not isinstance(getattr(network, "encoder", None), nn.Module):
        raise ConfigError(
            f"task.encoder_lr_scale: must be 1 for a network without a part called encoder, "
            f"got {config.task.encoder_lr_scale}"
        )
    groups = parameter_groups(network, split_encoder=own_rate)
    numbers = [nn.Parameter(torch.zeros(1, device=device)) for _ in groups]
    optimizer_of = make(config.optimizer, key="optimizer", kind=Optimizer, partial=True)
    scheduler_of = make_scheduler(config)

    def loss() -> float:
        for number in numbers:
            number.grad = torch.zeros_like(number)
        return 0.0

    with told_as("optimizer"):
        optimizer: Optimizer = optimizer_of(
            [{**group, "params": [number]} for group, number in zip(groups, numbers, strict=True)]
        )
        optimizer.step(loss)
    if scheduler_of is None:
        return
    with told_as("scheduler"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        scheduler: Any = scheduler_of(optimizer)
        for _ in range(_STEPS):
            if isinstance(scheduler, ReduceLROnPlateau):
                scheduler.step(1.0)
            else:
                scheduler.step()
