"""A resumed training goes on with the settings that it is given, as exactly as they can be."""

from collections.abc import Callable
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn
from torch.optim.lr_scheduler import CosineAnnealingLR, ReduceLROnPlateau, StepLR

from lts.losses import BCEDiceLoss
from lts.task import ApplyNewSettings, SeedEpochs, SegmentationTask

Scheduler = Callable[..., Any] | None


def task(scheduler: Scheduler, *, lr: float = 1e-3, weight_decay: float = 0.1) -> SegmentationTask:
    torch.manual_seed(0)
    return SegmentationTask(
        network=nn.Conv2d(1, 2, 3),
        loss=BCEDiceLoss(region_weights=None, pos_weight=None, dice_weight=0.5, smooth=1.0),
        optimizer=partial(torch.optim.Adam, lr=lr, weight_decay=weight_decay),
        scheduler=scheduler,
        regions=("liver", "tumor"),
        val_cases=1,
        encoder_lr_scale=1.0,
    )


def train(module: SegmentationTask, losses: list[float]) -> tuple[torch.optim.Optimizer, Any]:
    """Take a step for each epoch of these validation losses."""
    optimizer = module.make_optimizer()
    scheduler = module.make_scheduler(optimizer) if module._scheduler else None
    for loss in losses:
        for parameter in module.network.parameters():
            parameter.grad = torch.ones_like(parameter)
        optimizer.step()
        if isinstance(scheduler, ReduceLROnPlateau):
            scheduler.step(loss)
        elif scheduler:
            scheduler.step()
    return optimizer, scheduler


def go_on(
    before: Scheduler, after: SegmentationTask, losses: list[float], *, learning_rate_changed: bool
) -> tuple[torch.optim.Optimizer, Any]:
    """Restore what a training saved, as Lightning does, and take the settings of another task."""
    saved_optimizer, saved_scheduler = train(task(before), losses)
    optimizer = after.make_optimizer()
    scheduler = after.make_scheduler(optimizer) if before else None
    optimizer.load_state_dict(saved_optimizer.state_dict())
    if scheduler:
        scheduler.load_state_dict(saved_scheduler.state_dict())
    configs = [SimpleNamespace(scheduler=scheduler)] if scheduler else []
    trainer: Any = SimpleNamespace(optimizers=[optimizer], lr_scheduler_configs=configs)
    ApplyNewSettings(learning_rate_changed=learning_rate_changed).on_train_start(trainer, after)
    return optimizer, scheduler


def rates(optimizer: torch.optim.Optimizer) -> list[float]:
    return [group["lr"] for group in optimizer.param_groups]


def test_a_constant_rate_is_the_new_one_and_moments_stay() -> None:
    optimizer, _ = go_on(None, task(None, lr=1e-5, weight_decay=0.3), [1.0] * 3, learning_rate_changed=True)
    assert rates(optimizer) == [1e-5, 1e-5]
    groups = {group["name"]: group["weight_decay"] for group in optimizer.param_groups}
    assert groups == {"network/kernels": 0.3, "network/rest": 0.0}
    moments = list(optimizer.state.values())
    assert [int(moment["step"]) for moment in moments] == [3, 3]
    assert all(moment["exp_avg"].abs().sum() > 0 for moment in moments)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (partial(CosineAnnealingLR, T_max=4), partial(CosineAnnealingLR, T_max=10)),
        (partial(StepLR, step_size=2, gamma=0.1), partial(StepLR, step_size=3, gamma=0.5)),
    ],
)
def test_a_schedule_goes_on_where_the_new_curve_is_by_now(before: Scheduler, after: Scheduler) -> None:
    optimizer, scheduler = go_on(before, task(after, lr=2e-3), [1.0] * 4, learning_rate_changed=True)
    whole, whole_scheduler = train(task(after, lr=2e-3), [1.0] * 4)
    for _ in range(5):
        assert rates(optimizer) == rates(whole) == scheduler.get_last_lr()
        optimizer.step()
        whole.step()
        scheduler.step()
        whole_scheduler.step()


PLATEAU = partial(ReduceLROnPlateau, factor=0.5, patience=0)
FELL_TWICE = [1.0, 2.0, 2.0]


def test_a_plateau_keeps_its_counts_and_the_rate_that_it_has_come_down_to() -> None:
    patient = partial(ReduceLROnPlateau, factor=0.1, patience=7)
    optimizer, scheduler = go_on(PLATEAU, task(patient), FELL_TWICE, learning_rate_changed=False)
    assert rates(optimizer) == pytest.approx([2.5e-4, 2.5e-4])
    assert (scheduler.factor, scheduler.patience, scheduler.best) == (0.1, 7, 1.0)


def test_a_new_rate_is_taken_as_it_is_by_a_plateau() -> None:
    optimizer, scheduler = go_on(PLATEAU, task(PLATEAU, lr=1e-5), FELL_TWICE, learning_rate_changed=True)
    assert rates(optimizer) == [1e-5, 1e-5]
    assert scheduler.best == 1.0
    scheduler.step(2.0)
    assert rates(optimizer) == pytest.approx([5e-6, 5e-6])


def drawn(*, seed: int = 0, epoch: int = 0, rank: int = 0) -> list[float]:
    trainer: Any = SimpleNamespace(current_epoch=epoch, global_rank=rank)
    SeedEpochs(seed=seed).on_train_epoch_start(trainer, None)  # type: ignore[arg-type]
    return torch.rand(4).tolist()


def test_what_an_epoch_draws_follows_from_seed_epoch_and_process_alone() -> None:
    first = drawn(epoch=3)
    torch.rand(17)
    assert drawn(epoch=3) == first
    assert first not in [drawn(epoch=4), drawn(epoch=3, seed=1), drawn(epoch=3, rank=1)]
