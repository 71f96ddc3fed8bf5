"""Training of any segmentation network: loss, optimizer groups and validation scores."""

import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import torch
from pytorch_lightning import LightningModule
from pytorch_lightning.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn
from torch.optim import Adam, Optimizer
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

from lts.base import MASK_THRESHOLD, CheckpointError, ConfigError
from lts.metrics import BinnedAUROC, CaseOverlap
from lts.task.epochs import scores_of_epoch
from lts.task.model_selection import TRAIN_LOSS, VAL_LOSS

Batch = Mapping[str, Tensor]
ParameterGroup = dict[str, Any]

ADAM = partial(Adam, lr=1e-4, weight_decay=1e-5)
"""The default optimizer. Its decay is coupled: twice the lambda of an L2 penalty."""

PLATEAU = partial(ReduceLROnPlateau, mode="min", factor=0.5, patience=5, min_lr=1e-6)
"""The default scheduler."""

_CONVOLUTIONS = (
    *(nn.Conv1d, nn.Conv2d, nn.Conv3d),
    *(nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d),
)
_SURE_OF_BACKGROUND = -30.0
"""A logit that, where the target is background, adds nothing to any loss: its probability is 1e-13."""

_NEVER = sys.maxsize
"""Epochs until Lightning would step a plateau itself."""


class SegmentationTask(LightningModule):
    """Trains a network that maps `(B, C, H, W)` channels to `(B, R, H, W)` logits, one per region.

    Pixels that a batch calls `ignored` `(B, H, W)` change neither weights nor scores: to the loss they are
    background that was predicted with certainty, so that any loss takes them, and a mean over pixels counts
    them as right.

    Logs `train/loss` and `train/accuracy`; of the validation cases `val/loss`, `val/accuracy` and, for each
    region, `val/<region>/{dice_per_case,dice_where_present,iou_per_case,dice_global,iou_global,auroc,...}`.

    Args:
        network: The network; a part called `encoder` can learn at a rate of its own. If it has a
            `deep_supervision` above 0, its `every_level` gives logits of coarser levels too, and each level
            weighs half as much as the one before it in `train/loss`.
        loss: Called with logits and mask.
        optimizer: Called with parameter groups; by default Adam at a rate of 1e-4.
        scheduler: Called with the optimizer, None for a constant rate. A plateau, the default, follows
            `val/loss`, or `train/loss` where validation has no case.
        regions: Regions in channel order.
        val_cases: How many cases validation has; 0 for none.
        encoder_lr_scale: Rate of the encoder relative to that of the rest.

    Example:
        >>> from lts.losses import BCEDiceLoss
        >>> task = SegmentationTask(network=nn.Conv2d(3, 2, 3, padding=1), loss=BCEDiceLoss())
        >>> task(torch.zeros(4, 3, 32, 32)).shape
        torch.Size([4, 2, 32, 32])
        >>> task.make_optimizer().param_groups[0]["lr"]
        0.0001
    """

    def __init__(
        self,
        *,
        network: nn.Module,
        loss: nn.Module,
        optimizer: Callable[[list[ParameterGroup]], Optimizer] = ADAM,
        scheduler: Callable[[Optimizer], Any] | None = PLATEAU,
        regions: Sequence[str] = ("liver", "tumor"),
        val_cases: int = 0,
        encoder_lr_scale: float = 1.0,
    ) -> None:
        super().__init__()
        if not encoder_lr_scale > 0:
            raise ConfigError(f"encoder_lr_scale: must be > 0, got {encoder_lr_scale}")
        self.network, self.loss = network, loss
        self.regions = tuple(regions)
        self._optimizer, self._scheduler = optimizer, scheduler
        self._encoder_lr_scale = encoder_lr_scale
        self.plateau_monitor = VAL_LOSS if val_cases else TRAIN_LOSS
        # Without validation nothing is counted, but the metric needs a size.
        self.overlap = CaseOverlap(regions=regions, cases=max(val_cases, 1), threshold=MASK_THRESHOLD)
        self.auroc = BinnedAUROC(regions=regions)
        self._forward_in_training = self._network_in_training()

    def forward(self, image: Tensor) -> Tensor:
        """Channels `(B, C, H, W)` to logits `(B, R, H, W)`."""
        logits: Tensor = self.network(image)
        return logits

    def compile_for_training(self) -> None:
        """Compile the forward and backward pass of training steps, and nothing else."""
        # A bound method, because a compiled module would come into checkpoints under a second name.
        self._forward_in_training = torch.compile(self._network_in_training(), dynamic=False)

    def _network_in_training(self) -> Callable[[Tensor], Tensor | list[Tensor]]:
        """The call of the network; of one with coarser heads, that which gives their logits too."""
        is_deep = getattr(self.network, "deep_supervision", 0) > 0
        call: Callable[[Tensor], Tensor | list[Tensor]] = (
            self.network.every_level if is_deep else self.network.__call__  # type: ignore[assignment]
        )
        return call

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:  # noqa: ARG002
        """Loss of a batch."""
        found = self._forward_in_training(batch["image"])
        logits, *coarser = found if isinstance(found, list | tuple) else [found]
        loss: Tensor = self.loss(_without_ignored(logits, batch), batch["mask"])
        for level, each in enumerate(coarser, 1):
            loss = loss + self.loss(_without_ignored(each, batch), batch["mask"]) / 2**level
        loss = loss / (2 - 2.0 ** -len(coarser))  # the sum of the weights
        with torch.no_grad():
            accuracy = _accuracy(logits, batch)
        self.log_dict(
            {"train/loss": loss, "train/accuracy": accuracy},
            on_step=False,
            on_epoch=True,
            sync_dist=True,
            batch_size=len(logits),
        )
        return loss

    def validation_step(self, batch: Batch, batch_idx: int) -> Tensor:  # noqa: ARG002
        """Count a batch into the scores; returns probabilities `(B, R, H, W)` float32."""
        logits = self(batch["image"])
        loss = self.loss(_without_ignored(logits, batch), batch["mask"])
        self.log("val/loss", loss, sync_dist=True, batch_size=len(logits))
        probs: Tensor = logits.float().sigmoid()
        ignored = batch.get("ignored")
        self.overlap.update(probs, batch["mask"], batch["case"], ignored=ignored)
        self.auroc.update(probs, batch["mask"], ignored=ignored)
        return probs

    def on_validation_epoch_end(self) -> None:
        """Log the scores of all validation cases."""
        scores = {**self.overlap.compute(), **self.auroc.compute()}
        accuracy = torch.stack([scores.pop(f"{region}/accuracy") for region in self.regions]).mean()
        # The same on every device by now: the metrics have put the devices' counts together.
        logged = {"val/accuracy": accuracy, **{f"val/{name}": score for name, score in scores.items()}}
        self.log_dict({name: score.float() for name, score in logged.items()}, sync_dist=True)
        self.overlap.reset()
        self.auroc.reset()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Refuse a checkpoint of another network.

        Raises:
            CheckpointError: A tensor is missing, unknown or of another shape.
        """
        own, found = self.state_dict(), checkpoint["state_dict"]
        for name in sorted(own.keys() | found.keys()):
            shapes = [tuple(state[name].shape) if name in state else None for state in (own, found)]
            if shapes[0] != shapes[1]:
                raise CheckpointError(
                    f"checkpoint: {name} must be of shape {shapes[0]} for this network, got {shapes[1]}"
                )

    def on_train_epoch_end(self) -> None:
        """Step a plateau scheduler before checkpoints are written; the trainer would do so afterwards.

        Epochs without validation are not counted.
        """
        plateau = self.lr_schedulers()
        scores = scores_of_epoch(self.trainer)
        if isinstance(plateau, ReduceLROnPlateau) and self.plateau_monitor in scores:
            plateau.step(scores[self.plateau_monitor])

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """Optimizer over groups of parameters, with its scheduler."""
        optimizer = self.make_optimizer()
        if self._scheduler is None:
            return optimizer
        scheduler = self.make_scheduler(optimizer)
        return {
            "optimizer": optimizer,
            "lr_scheduler": {
                "scheduler": scheduler,
                "monitor": self.plateau_monitor,
                "frequency": _NEVER if isinstance(scheduler, ReduceLROnPlateau) else 1,
            },
        }

    def make_optimizer(self) -> Optimizer:
        """An optimizer over groups of parameters, at its first rate."""
        groups = parameter_groups(self.network, split_encoder=self._encoder_lr_scale != 1)
        optimizer = self._optimizer(groups)
        for group in optimizer.param_groups:
            if group["name"].startswith("encoder/"):
                group["lr"] *= self._encoder_lr_scale
        return optimizer

    def make_scheduler(self, optimizer: Optimizer) -> LRScheduler:
        """The scheduler of an optimizer, at its beginning; there must be one."""
        assert self._scheduler is not None
        scheduler: LRScheduler = self._scheduler(optimizer)
        return scheduler


def _without_ignored(logits: Tensor, batch: Batch) -> Tensor:
    """Logits `(B, R, H, W)`, sure of background and without gradient where a batch ignores pixels."""
    if "ignored" not in batch:
        return logits
    return logits.masked_fill(batch["ignored"][:, None], _SURE_OF_BACKGROUND)


def _accuracy(logits: Tensor, batch: Batch) -> Tensor:
    """The share of pixels and regions that are right; 1 where all are ignored, as a NaN would spread."""
    right = (logits > 0) == batch["mask"]
    if "ignored" not in batch:
        return right.float().mean()
    known = ~batch["ignored"][:, None].expand_as(right)
    n_known = known.sum()
    return ((right & known).sum() + (n_known == 0)) / n_known.clamp(min=1)


def parameter_groups(network: nn.Module, *, split_encoder: bool = False) -> list[ParameterGroup]:
    """Group parameters by weight decay and learning rate.

    Only weights of convolutions decay, not norms or biases.

    Args:
        network: The network; its part called `encoder` can have groups of its own.
        split_encoder: Whether it has.

    Returns:
        Groups named `encoder/kernels`, `encoder/rest`, `network/kernels`, `network/rest`, without empty ones;
        those of the rest do not decay.

    Example:
        >>> network = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2))
        >>> [(group["name"], len(group["params"])) for group in parameter_groups(network)]
        [('network/kernels', 1), ('network/rest', 3)]
    """
    convolutions = [module for module in network.modules() if isinstance(module, _CONVOLUTIONS)]
    kernels = {id(module.weight) for module in convolutions}
    encoder = getattr(network, "encoder", None) if split_encoder else None
    in_encoder = {id(each) for each in encoder.parameters()} if isinstance(encoder, nn.Module) else set()
    groups: dict[str, ParameterGroup] = {}
    for parameter in network.parameters():
        part = "encoder" if id(parameter) in in_encoder else "network"
        if id(parameter) in kernels:
            group: ParameterGroup = {"name": f"{part}/kernels", "params": []}
        else:
            group = {"name": f"{part}/rest", "params": [], "weight_decay": 0.0}
        groups.setdefault(group["name"], group)["params"].append(parameter)
    return list(groups.values())
