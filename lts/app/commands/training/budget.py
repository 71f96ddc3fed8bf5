"""As many epochs and slices as a budget of minutes allows at the pace of this machine."""

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.utils.data import DataLoader

from lts.app.commands.training.locator import share_of_budget
from lts.app.commands.training.network import build_network
from lts.app.config.instantiate import build_component
from lts.app.config.settings import TrainSettings
from lts.app.run.distributed import precision_of
from lts.app.run.resume_settings import settings_expected
from lts.base import DESCRIPTION_KEY, ConfigError
from lts.data import SliceDataModule
from lts.data.datamodule import MOST_SLICES
from lts.inference import read_checkpoint
from lts.task import WholeCheckpointIO, parameter_groups
from lts.task.compiling import LONG_RUN_STEPS, why_not_compiled
from lts.task.logs import as_duration

_FIRST_STEPS, _TIMED_STEPS = 3, 60
"""Memory is first claimed, and kernels are chosen, in the first of them."""
_TIMING_SHARE = 0.05
"""Of the budget, that each timing may take beyond its first steps."""
_COMPILED_FROM_S = 1800.0
"""Budget from which it is worth a minute to compile a network and time it."""
_RESERVE_SHARE = 0.03
"""Of the budget, for what goes slower than in the timed steps."""
_LOGS_S = 0.3
"""Of the end of an epoch: curves, logs and pictures of validation cases."""
_CHECKPOINTS = 2
"""At the end of an epoch: the last one and, if it is that, the best."""
_END_OF_EPOCHS_SHARE = 0.2
"""Of the budget, that validation and the ends of epochs may take before there are fewer epochs."""


@dataclass(frozen=True, kw_only=True)
class Pace:
    """What a training costs on this machine.

    Attributes:
        step_s: A step, loading included.
        epoch_end_s: What follows the steps of an epoch: validation, checkpoints, logs.
        start_s: What the first step takes beyond a step: workers start, the network is compiled.
    """

    step_s: float
    epoch_end_s: float
    start_s: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The settings that a budget decides: `trainer.max_epochs`, `data.slices_per_epoch`, `compile`."""

    max_epochs: int
    slices_per_epoch: int
    compiled: bool


def epochs_and_steps(budget_s: float, pace: Pace, *, most_epochs: int) -> tuple[int, int]:
    """Fill a budget: as many epochs as their ends may take a share of it, of equally many steps.

    Args:
        budget_s: What the training may take.
        pace: That of this machine.
        most_epochs: Epochs that the plan has at most.

    Returns:
        Epochs, and steps of each; 0 steps where not even one epoch of one step fits.
    """
    left_s = budget_s * (1 - _RESERVE_SHARE) - pace.start_s
    epochs = min(most_epochs, max(1, int(_END_OF_EPOCHS_SHARE * left_s / pace.epoch_end_s)))
    steps = int((left_s - epochs * pace.epoch_end_s) / (epochs * pace.step_s))
    return epochs, max(0, steps)


@dataclass(frozen=True, kw_only=True)
class Fitted:
    """Settings that fill a budget.

    Attributes:
        settings: Those of the run, with epochs, slices of an epoch and `compile` chosen.
        facts: What `run.json` says of it.
    """

    settings: TrainSettings
    facts: dict[str, Any]

    def line(self) -> str:
        """What is said of it."""
        facts = self.facts
        return (
            f"budget {facts['minutes']:g} min: trainer.max_epochs={facts['max_epochs']} "
            f"data.slices_per_epoch={facts['slices_per_epoch']} compile={str(facts['compiled']).lower()}, at "
            f"{facts['step_s']:.2g} s a step and {facts['epoch_end_s']:.2g} s for the end of an epoch; "
            f"{as_duration(facts['timing_s'])} went into timing"
        )


def fit_to_budget(settings: TrainSettings, data: SliceDataModule) -> Fitted:
    """Time some steps, and choose epochs, slices of an epoch and whether the network is compiled.

    What is chosen are ordinary settings: a run with these, on any machine, is the same run.

    Args:
        settings: Those of the run, with a budget.
        data: Set up; the run sets up its own, so that nothing is drawn from its numbers here.

    Raises:
        ConfigError: The budget is too small, or several devices would share it.
    """
    assert settings.budget_minutes is not None
    share = share_of_budget(settings)
    began_s, budget_s = time.perf_counter(), 60 * settings.budget_minutes * share
    compiled, pace = _fastest(settings, data, budget_s=budget_s)
    timing_s = time.perf_counter() - began_s
    epochs, steps = epochs_and_steps(budget_s - timing_s, pace, most_epochs=settings.max_epochs)
    if not steps:
        least_s = timing_s + (pace.step_s + pace.epoch_end_s + pace.start_s) / (1 - _RESERVE_SHARE)
        least_min = math.ceil(least_s / share / 6) / 10
        raise ConfigError(
            f"budget_minutes: must be at least {least_min:g} on this machine for one epoch of one step, "
            f"got {settings.budget_minutes:g}"
        )
    if steps * settings.data.batch_size > MOST_SLICES:
        raise ConfigError(
            f"budget_minutes: would take more than {MOST_SLICES} slices an epoch with trainer.max_epochs="
            f"{settings.max_epochs}, got {settings.budget_minutes:g}"
        )
    plan = Plan(max_epochs=epochs, slices_per_epoch=steps * settings.data.batch_size, compiled=compiled)
    return Fitted(
        settings=_with_plan(settings, plan),
        facts={
            "minutes": settings.budget_minutes * share,
            **asdict(plan),
            "step_s": pace.step_s,
            "epoch_end_s": pace.epoch_end_s,
            "timing_s": round(timing_s, 2),
        },
    )


def check_budget(settings: TrainSettings) -> None:
    """Check what can be told of a budget without a machine.

    Raises:
        ConfigError: It is no time, or several devices would share it.
    """
    if settings.budget_minutes is None:
        return
    if not settings.budget_minutes > 0:
        raise ConfigError(f"budget_minutes: must be > 0, got {settings.budget_minutes}")
    for name in ("devices", "num_nodes"):
        if (number := settings.trainer.arguments.get(name, 1)) != 1:
            raise ConfigError(f"budget_minutes: is for one device, got trainer.{name}={number}")


def with_plan_of(settings: TrainSettings, path: Path | None) -> TrainSettings | None:
    """The settings with the plan of the run that they go on with; None where one is still to be made.

    Args:
        settings: Those of the run.
        path: The checkpoint that it goes on from, if any.

    Raises:
        ConfigError: That run had another budget, or none.
        CheckpointError: The checkpoint cannot be read, or lacks its settings.
    """
    if settings.budget_minutes is None:
        return settings
    if path is None:
        return None
    described = read_checkpoint(path)[DESCRIPTION_KEY]
    with settings_expected(path):
        saved = described["config"]
        if (before := saved.get("budget_minutes")) != settings.budget_minutes:
            raise ConfigError(
                f"budget_minutes: must be {'null' if before is None else before} as in {path}, "
                f"got {settings.budget_minutes}; without one, trainer.max_epochs says how far the run goes"
            )
        plan = Plan(
            max_epochs=saved["trainer"]["max_epochs"],
            slices_per_epoch=saved["data"]["slices_per_epoch"],
            compiled=saved["compile"],
        )
    return _with_plan(settings, plan)


def _fastest(settings: TrainSettings, data: SliceDataModule, *, budget_s: float) -> tuple[bool, Pace]:
    """Whether to compile the network, and the pace then."""
    most_s = _TIMING_SHARE * budget_s
    if settings.compile is True:
        return True, measure_pace(settings, data, compiled=True, most_s=most_s)
    pace = measure_pace(settings, data, compiled=False, most_s=most_s)
    is_long = budget_s >= _COMPILED_FROM_S and budget_s / pace.step_s >= LONG_RUN_STEPS
    if settings.compile is False or not is_long or why_not_compiled():
        return False, pace
    compiled = measure_pace(settings, data, compiled=True, most_s=most_s)
    gain_s = budget_s * (1 - compiled.step_s / pace.step_s)
    return (True, compiled) if gain_s > compiled.start_s else (False, pace)


def _with_plan(settings: TrainSettings, plan: Plan) -> TrainSettings:
    scheduler = settings.scheduler
    if scheduler and scheduler.arguments.get("T_max") == settings.max_epochs:  # it falls over the whole run
        scheduler = scheduler.with_arguments(T_max=plan.max_epochs)
    return replace(
        settings,
        compile=plan.compiled,
        scheduler=scheduler,
        trainer=settings.trainer.with_arguments(max_epochs=plan.max_epochs),
        data=replace(settings.data, slices_per_epoch=plan.slices_per_epoch),
    )


def measure_pace(settings: TrainSettings, data: SliceDataModule, *, compiled: bool, most_s: float) -> Pace:
    """Train, validate and store a network of its own for some steps.

    Args:
        settings: Those of the run.
        data: Set up.
        compiled: Whether the network is compiled.
        most_s: What timed steps may take; a step that takes longer is timed alone.
    """
    trainer = settings.trainer.arguments
    precision: Any = precision_of(trainer)
    fabric = Fabric(accelerator=trainer.get("accelerator", "auto"), devices=1, precision=precision)
    network, _ = build_network(settings, in_channels=data.channels, out_channels=len(settings.data.regions))
    loss: nn.Module = build_component(settings.loss, key="loss", kind=nn.Module)
    groups = parameter_groups(network, split_encoder=settings.task.encoder_lr_scale != 1)
    optimizer: Optimizer = build_component(settings.optimizer, key="optimizer", kind=Optimizer, partial=True)(
        groups
    )
    module, optimizer = fabric.setup(network, optimizer)
    called: Callable[[Tensor], Tensor] = torch.compile(module, dynamic=False) if compiled else module

    def learn(batch: dict[str, Tensor]) -> None:
        value = loss(called(batch["image"]), batch["mask"])
        fabric.backward(value)
        fabric.clip_gradients(module, optimizer, max_norm=1.0)
        optimizer.step()
        optimizer.zero_grad()
        value.item()  # waits for a GPU

    def judge(batch: dict[str, Tensor]) -> None:
        with torch.no_grad():
            loss(module(batch["image"]), batch["mask"]).item()

    step_s, start_s = _time(learn, data.train_dataloader(), data, fabric.device, most_s=most_s)
    validation_s = 0.0
    if data.stored("val"):
        loader = data.val_dataloader()
        module.eval()
        batch_s, _ = _time(judge, loader, data, fabric.device, most_s=most_s)
        validation_s = batch_s * len(loader)
    state = {"weights": network.state_dict(), "optimizer": optimizer.state_dict()}
    checkpoint_s = _time_to_write(state, Path(settings.paths.output_dir) / "timing.ckpt")
    epoch_end_s = validation_s + _CHECKPOINTS * checkpoint_s + _LOGS_S
    return Pace(step_s=step_s, epoch_end_s=epoch_end_s, start_s=start_s)


def _time_to_write(state: dict[str, Any], path: Path) -> float:
    began_s = time.perf_counter()
    try:
        WholeCheckpointIO().save_checkpoint(state, path)
        return time.perf_counter() - began_s
    finally:
        path.unlink(missing_ok=True)


def _time(
    do: Callable[[dict[str, Tensor]], None],
    loader: DataLoader[Any],
    data: SliceDataModule,
    device: torch.device,
    *,
    most_s: float,
) -> tuple[float, float]:
    """Seconds of a batch, loading included, and what the first ones took beyond.

    A process takes some dozen steps to reach its pace, so that of the later half is taken.
    """
    ends_s = [time.perf_counter()]
    for batch in _batches(loader):
        on_device = {name: each.to(device) for name, each in batch.items()}
        do(data.on_after_batch_transfer(on_device, 0))
        ends_s.append(time.perf_counter())
        timed = len(ends_s) - 1 - _FIRST_STEPS
        if timed >= _TIMED_STEPS or (timed >= 1 and ends_s[-1] - ends_s[_FIRST_STEPS] > most_s):
            break
    later = (timed + 1) // 2
    batch_s = (ends_s[-1] - ends_s[-1 - later]) / later
    return batch_s, max(0.0, ends_s[-1] - ends_s[0] - (len(ends_s) - 1) * batch_s)


def _batches(loader: DataLoader[Any]) -> Iterator[Any]:
    """Batches without end, of as many passes over a loader as that takes."""
    while True:
        yield from loader
