"""Losses on logits. A region is a channel with its own sigmoid: liver and tumor overlap."""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lts.base import ConfigError


class RegionLoss(nn.Module, ABC):
    """Weighted mean over regions of a loss that a subclass works out for each.

    Args:
        region_weights: One weight >= 0 per region in channel order, at least one of them > 0; None for equal.

    Raises:
        ConfigError: A weight breaks its rule.

    Example:
        >>> class MissedShare(RegionLoss):
        ...     def per_region(self, logits, target):
        ...         return ((logits < 0) * target).sum((0, 2, 3)) / target.sum((0, 2, 3))
        >>> MissedShare()(torch.tensor([[[[3.0, -3.0]]]]), torch.ones(1, 1, 1, 2))
        tensor(0.5000)
    """

    region_weights: Tensor | None

    def __init__(self, *, region_weights: Sequence[float] | None = None) -> None:
        super().__init__()
        weights = None
        if region_weights is not None:
            listed = isinstance(region_weights, Sequence) and all(map(_is_number, region_weights))
            if not (listed and min(region_weights, default=0) >= 0 and sum(region_weights) > 0):
                raise ConfigError(
                    f"region_weights: must list numbers >= 0, one of them > 0, got {region_weights!r}"
                )
            weights = torch.tensor(list(region_weights), dtype=torch.float32)
        self.register_buffer("region_weights", weights, persistent=False)

    @abstractmethod
    def per_region(self, logits: Tensor, target: Tensor) -> Tensor:
        """`(B, R, H, W)` logits and target of one floating dtype to `(R,)` losses."""

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """The loss of a batch.

        Worked out in float32 whatever the dtype of the logits, also under autocast (float64 stays float64).

        Args:
            logits: `(B, R, H, W)`, floating.
            target: `(B, R, H, W)`, 0 or 1 in any dtype.

        Returns:
            Scalar.

        Raises:
            ConfigError: `region_weights` or `pos_weight` is not one number per region.
            ValueError: The shapes differ or are not of four dimensions.
        """
        if logits.ndim != 4 or logits.shape != target.shape:
            shapes = f"{tuple(logits.shape)} and {tuple(target.shape)}"
            raise ValueError(f"logits and target must both be (B, R, H, W), got {shapes}")
        _check_length("region_weights", self.region_weights, logits.shape[1])
        if logits.dtype != torch.float64:
            logits = logits.float()
        losses = self.per_region(logits, target.to(logits.dtype))
        if self.region_weights is None:
            return losses.mean()
        weights = self.region_weights.to(losses.dtype)
        return (weights * losses).sum() / weights.sum()


class BCEDiceLoss(RegionLoss):
    """`(1 - dice_weight) * BCE + dice_weight * (1 - Dice)` per region.

    Args:
        region_weights: See `RegionLoss`.
        pos_weight: Factor > 0 on the BCE of foreground pixels, one for all regions or one each; None for 1.
        dice_weight: Share of the Dice term, in [0, 1].
        smooth: Pixels, > 0, in `(2 TP + smooth) / (2 TP + FP + FN + smooth)`; see `soft_tversky`.

    Raises:
        ConfigError: An argument breaks its rule.

    Example:
        >>> logits, target = torch.zeros(1, 2, 4, 4), torch.ones(1, 2, 4, 4)
        >>> BCEDiceLoss()(logits, target)  # a half of log(2), and a half of 1 - 17 / 25
        tensor(0.5066)
    """

    pos_weight: Tensor | None

    def __init__(
        self,
        *,
        region_weights: Sequence[float] | None = None,
        pos_weight: float | Sequence[float] | None = None,
        dice_weight: float = 0.5,
        smooth: float = 1.0,
    ) -> None:
        super().__init__(region_weights=region_weights)
        _check_share("dice_weight", dice_weight)
        _check_smooth(smooth)
        self.register_buffer("pos_weight", _pos_weight(pos_weight), persistent=False)
        self.dice_weight, self.smooth = dice_weight, smooth

    def per_region(self, logits: Tensor, target: Tensor) -> Tensor:
        """`(B, R, H, W)` twice to `(R,)`."""
        pixels = self.pixel_loss(logits, target)
        if self.pos_weight is not None:
            _check_length("pos_weight", self.pos_weight, logits.shape[1])
            factor = self.pos_weight.to(logits.dtype).reshape(-1, 1, 1)
            pixels = pixels * (1 + (factor - 1) * target)
        dice = soft_tversky(logits, target, alpha=0.5, beta=0.5, smooth=self.smooth / 2)
        return (1 - self.dice_weight) * pixels.mean(dim=(0, 2, 3)) + self.dice_weight * (1 - dice)

    def pixel_loss(self, logits: Tensor, target: Tensor) -> Tensor:
        """Binary cross-entropy of every pixel, `(B, R, H, W)`."""
        return F.binary_cross_entropy_with_logits(logits, target, reduction="none")


class FocalDiceLoss(BCEDiceLoss):
    """`(1 - dice_weight) * focal + dice_weight * (1 - Dice)` per region.

    Focal loss (Lin et al. 2017): the cross-entropy of a pixel times `(1 - p) ** gamma`, p the probability of
    its true class, and times `alpha` in the foreground, `1 - alpha` in the background.

    Args:
        region_weights: See `RegionLoss`.
        pos_weight: See `BCEDiceLoss`; a factor on foreground pixels beside `alpha`.
        gamma: How far easy pixels are played down, >= 0.
        alpha: Share of the foreground, in [0, 1]; None for no weighting (1 on both sides).
        dice_weight: Share of the Dice term, in [0, 1].
        smooth: See `BCEDiceLoss`.

    Raises:
        ConfigError: An argument breaks its rule.

    Example:
        >>> logits, target = torch.zeros(1, 2, 4, 4), torch.ones(1, 2, 4, 4)
        >>> FocalDiceLoss(dice_weight=0)(logits, target)  # log(2) times (1 - 0.5) ** 2
        tensor(0.1733)
    """

    def __init__(
        self,
        *,
        region_weights: Sequence[float] | None = None,
        pos_weight: float | Sequence[float] | None = None,
        gamma: float = 2.0,
        alpha: float | None = None,
        dice_weight: float = 0.5,
        smooth: float = 1.0,
    ) -> None:
        super().__init__(
            region_weights=region_weights, pos_weight=pos_weight, dice_weight=dice_weight, smooth=smooth
        )
        _check_not_negative("gamma", gamma)
        if alpha is not None:
            _check_share("alpha", alpha)
        self.gamma, self.alpha = gamma, alpha

    def pixel_loss(self, logits: Tensor, target: Tensor) -> Tensor:
        """Focal loss of every pixel, `(B, R, H, W)`."""
        # In logs all the way: (1 - p) ** gamma has no finite gradient at p = 1 where gamma < 1.
        margin = logits * (2 * target - 1)
        focal = -F.logsigmoid(margin) * torch.exp(self.gamma * F.logsigmoid(-margin))
        if self.alpha is None:
            return focal
        return focal * (self.alpha * target + (1 - self.alpha) * (1 - target))


class TverskyLoss(RegionLoss):
    """`1 - Tversky index` per region (Salehi et al. 2017).

    Args:
        region_weights: See `RegionLoss`.
        alpha: Weight of false positives, >= 0.
        beta: Weight of false negatives, >= 0; above `alpha` it favors recall.
        smooth: See `soft_tversky`; in pixels, > 0.

    Raises:
        ConfigError: An argument breaks its rule.

    Example:
        >>> missed = torch.full((1, 1, 8, 8), -9.0), torch.ones(1, 1, 8, 8)
        >>> TverskyLoss(beta=0.9)(*missed) > TverskyLoss(beta=0.5)(*missed)  # misses cost more
        tensor(True)
    """

    def __init__(
        self,
        *,
        region_weights: Sequence[float] | None = None,
        alpha: float = 0.3,
        beta: float = 0.7,
        smooth: float = 1.0,
    ) -> None:
        super().__init__(region_weights=region_weights)
        _check_not_negative("alpha", alpha)
        _check_not_negative("beta", beta)
        if alpha == beta == 0:
            raise ConfigError("alpha, beta: one of them must be > 0, got 0 and 0")
        _check_smooth(smooth)
        self.alpha, self.beta, self.smooth = alpha, beta, smooth

    def per_region(self, logits: Tensor, target: Tensor) -> Tensor:
        """`(B, R, H, W)` twice to `(R,)`."""
        return 1 - soft_tversky(logits, target, alpha=self.alpha, beta=self.beta, smooth=self.smooth)


def soft_tversky(
    logits: Tensor, target: Tensor, *, alpha: float = 0.5, beta: float = 0.5, smooth: float = 1.0
) -> Tensor:
    """Tversky index of probabilities, `(TP + smooth) / (TP + alpha FP + beta FN + smooth)`, per region.

    TP, FP and FN are sums of probability over all pixels of the batch together, so that a slice without
    foreground weighs by its pixels instead of costing 0 or 1. With `alpha = beta = 0.5` it is the Dice
    coefficient `(2 TP + 2 smooth) / (2 TP + FP + FN + 2 smooth)`. `smooth` makes it 1 where target and
    prediction are both empty, and keeps its gradient finite.

    Args:
        logits: `(B, R, H, W)`.
        target: `(B, R, H, W)`, 0 or 1, of the dtype of `logits`.
        alpha: Weight of false positives.
        beta: Weight of false negatives.
        smooth: In pixels, > 0.

    Returns:
        `(R,)`, in (0, 1].

    Example:
        >>> logits = torch.tensor([[[[20.0, 20.0, -20.0, -20.0]]]])
        >>> soft_tversky(logits, (logits > 0).float())
        tensor([1.])
    """
    probs = torch.sigmoid(logits)
    true_positive = (probs * target).sum(dim=(0, 2, 3))
    false_positive = probs.sum(dim=(0, 2, 3)) - true_positive
    false_negative = target.sum(dim=(0, 2, 3)) - true_positive
    return (true_positive + smooth) / (
        true_positive + alpha * false_positive + beta * false_negative + smooth
    )


def _pos_weight(value: float | Sequence[float] | None) -> Tensor | None:
    """None, or a tensor of no dimension (one factor for all regions) or of one."""
    if value is None:
        return None
    factors = list(value) if isinstance(value, Sequence) else [value]
    if not (all(map(_is_number, factors)) and min(factors, default=0) > 0):
        raise ConfigError(f"pos_weight: must be a number > 0 or a list of one per region, got {value!r}")
    return torch.tensor(factors if isinstance(value, Sequence) else value, dtype=torch.float32)


def _check_length(key: str, weights: Tensor | None, regions: int) -> None:
    if weights is not None and weights.ndim == 1 and len(weights) != regions:
        raise ConfigError(f"{key}: must be one number per region ({regions}), got {len(weights)}")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _check_share(key: str, value: float) -> None:
    if not (_is_number(value) and 0 <= value <= 1):
        raise ConfigError(f"{key}: must be a number in [0, 1], got {value!r}")


def _check_not_negative(key: str, value: float) -> None:
    if not (_is_number(value) and value >= 0):
        raise ConfigError(f"{key}: must be a number >= 0, got {value!r}")


def _check_smooth(value: float) -> None:
    if not (_is_number(value) and value > 0):
        raise ConfigError(f"smooth: must be a number of pixels > 0, got {value!r}")
