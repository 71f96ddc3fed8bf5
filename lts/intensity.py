"""From raw Hounsfield units to network channels in [0, 1].

Each module takes `(B, 1, H, W)`, int16 or finite float, and returns `(B, channels, H, W)` float32. The same
module serves training, prediction and export: its forward can be traced, no branch in it depends on values.
"""

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from lts.base import AIR_HU, HU_BINS, CheckpointError, ConfigError

_HIGHEST_HU = AIR_HU + HU_BINS - 1
_FARTHEST_HU = 1_000_000
"""Beyond it a window's float32 has no digits left for Hounsfield units."""
_PERCENT_STEPS = 1_000_000


def window(hu: Tensor, *, level_hu: float = 40, width_hu: float = 400) -> Tensor:
    """Clip to a window and scale to [0, 1].

    Args:
        hu: `(B, 1, H, W)`, Hounsfield units, any real dtype.
        level_hu: Center of the window.
        width_hu: Width of the window, > 0 and up to 1,000,000.

    Returns:
        `(B, 1, H, W)` float32.

    Raises:
        ConfigError: `width_hu` is not positive, or one of the two is beyond 1,000,000.

    Example:
        >>> window(torch.tensor([[[[-1000, 40, 140]]]]), level_hu=40, width_hu=400)
        tensor([[[[0.0000, 0.5000, 0.7500]]]])
    """
    _check_window(level_hu, width_hu)
    low_hu = level_hu - width_hu / 2
    return ((hu.float() - low_hu) / width_hu).clamp(0.0, 1.0)


class Intensity(nn.Module):
    """A map from `(B, 1, H, W)` raw values to `(B, channels, H, W)` float32 in [0, 1].

    Example:
        >>> class Positive(Intensity):
        ...     channels = 1
        ...     def forward(self, hu):
        ...         return (hu > 0).float()
        >>> Channels([Window(), Positive()]).channels
        2
    """

    channels: int

    @property
    def reads_regions(self) -> bool:
        """Whether `fit` must be given the voxels within regions, which are counted under the masks."""
        return False

    def fit(self, hu_counts: Tensor, region_hu_counts: Mapping[str, Tensor] | None = None) -> None:
        """Learn from the training cases; nothing to learn unless a subclass says so.

        Args:
            hu_counts: `(4096,)` int64, voxels of the training cases at each HU, see `lts.base.HU_BINS`.
            region_hu_counts: Likewise those within each region, by its name; for maps that read regions.
        """


class Window(Intensity):
    """A window as one channel, by default that in which abdominal CT is read; see `window`.

    Args:
        level_hu: Center of the window.
        width_hu: Width of the window, > 0 and up to 1,000,000.

    Raises:
        ConfigError: `width_hu` is not positive, or one of the two is beyond 1,000,000.

    Example:
        >>> Window()(torch.tensor([[[[-1000, 40, 140]]]]))
        tensor([[[[0.0000, 0.5000, 0.7500]]]])
    """

    channels = 1

    def __init__(self, *, level_hu: float = 40, width_hu: float = 400) -> None:
        super().__init__()
        _check_window(level_hu, width_hu)
        self.level_hu = float(level_hu)
        self.width_hu = float(width_hu)

    def forward(self, hu: Tensor) -> Tensor:
        _check_shape(hu)
        return window(hu, level_hu=self.level_hu, width_hu=self.width_hu)

    def extra_repr(self) -> str:
        return f"level_hu={self.level_hu:g}, width_hu={self.width_hu:g}"


class HistogramEqualization(Intensity):
    """Equalize by the distribution of the training cases: every shade gets the same share of their voxels.

    One curve for all scans keeps equal HU equal, which equalizing each slice by its own histogram would undo.
    Values between two whole HU are interpolated; `low_hu` and below map to 0, `high_hu` and above to 1.

    Args:
        low_hu: Lower end of the range, a whole HU, at least -1024.
        high_hu: Upper end of the range, a whole HU, at most 3071.

    Raises:
        ConfigError: The ends are not whole, not in that range or not in order.
        CheckpointError: Used before `fit` and without a fitted state loaded.

    Example:
        >>> equalization = HistogramEqualization(low_hu=0, high_hu=4)
        >>> equalization.fit(torch.ones(4096, dtype=torch.int64))  # every HU as often
        >>> equalization(torch.tensor([[[[-50, 1, 2, 300]]]]))
        tensor([[[[0.0000, 0.2500, 0.5000, 1.0000]]]])
    """

    channels = 1
    curve: Tensor

    def __init__(self, *, low_hu: int = -200, high_hu: int = 300) -> None:
        super().__init__()
        whole = low_hu % 1 == 0 and high_hu % 1 == 0
        if not (whole and AIR_HU <= low_hu < high_hu <= _HIGHEST_HU):
            raise ConfigError(
                f"low_hu and high_hu: must be whole HU, {AIR_HU} <= low_hu < high_hu <= {_HIGHEST_HU}, "
                f"got {low_hu} and {high_hu}"
            )
        self.low_hu, self.high_hu = int(low_hu), int(high_hu)
        # NaN says "not fitted" in the state, `_fitted` says it to forward, which must not read the device.
        self.register_buffer("curve", torch.full((self.high_hu - self.low_hu + 1,), torch.nan))
        self._fitted = False
        self.register_load_state_dict_post_hook(_mark_fitted)  # type: ignore[no-untyped-call]

    def fit(
        self,
        hu_counts: Tensor,
        region_hu_counts: Mapping[str, Tensor] | None = None,  # noqa: ARG002
    ) -> None:
        """Take the cumulative share of the training voxels in the range as the curve.

        Args:
            hu_counts: `(4096,)` int64, voxels of the training cases at each HU, see `lts.base.HU_BINS`.
            region_hu_counts: Not looked at.

        Raises:
            ConfigError: No training voxel lies above `low_hu` and up to `high_hu`.
        """
        assert hu_counts.shape == (HU_BINS,), f"hu_counts has shape {tuple(hu_counts.shape)}"
        counts = hu_counts[self.low_hu - AIR_HU : self.high_hu - AIR_HU + 1].cpu().double()
        counts[0] = 0.0  # low_hu itself maps to 0, so its voxels are no part of the rise
        total = counts.sum()
        if total == 0:
            raise ConfigError(
                "HistogramEqualization found no training voxel "
                f"above low_hu={self.low_hu} and up to high_hu={self.high_hu}"
            )
        self.curve.copy_(counts.cumsum(0) / total)
        self._fitted = True

    def forward(self, hu: Tensor) -> Tensor:
        _check_shape(hu)
        if not self._fitted:
            raise CheckpointError("HistogramEqualization was neither fitted on training cases nor loaded")
        last = self.high_hu - self.low_hu
        position = (hu.float() - self.low_hu).clamp(0.0, float(last))
        below = position.long()
        at_below = self.curve[below]
        at_above = self.curve[(below + 1).clamp(max=last)]
        return at_below + (position - below) * (at_above - at_below)

    def extra_repr(self) -> str:
        return f"low_hu={self.low_hu}, high_hu={self.high_hu}"


class FittedWindow(Intensity):
    """A window as one channel that shows liver and tumors of the training cases, and what borders on them.

    It begins `margin_hu` below the lower percentile of the darker region and ends as far above the upper
    percentile of the brighter one: each region has percentiles of its own, as small tumors would hardly move
    those of all voxels. The margin keeps neighbors apart from each other: fat lies some 100 HU below liver,
    vessels and kidneys up to 100 above. Beyond the HU that training scans hold at all, as where all were cut
    to 0 to 255 HU, a window would be empty, and a scan that was not cut would look unlike all of them; it
    ends there.

    Args:
        lower_percent: Percentile of each region's voxels that is within the window for sure.
        upper_percent: Its upper counterpart.
        margin_hu: What is added at both ends.

    Raises:
        ConfigError: The percentiles are out of order or range, or the margin is not from 0 to 4095 HU.
        CheckpointError: Used before `fit` and without a fitted state loaded.

    Example:
        >>> hu_counts, liver = torch.ones(4096, dtype=torch.int64), torch.zeros(4096, dtype=torch.int64)
        >>> liver[1024 + 50 : 1024 + 151] = 1  # a voxel each at 50 to 150 HU
        >>> window_of_liver = FittedWindow(lower_percent=10, upper_percent=90, margin_hu=60)
        >>> window_of_liver.fit(hu_counts, {"liver": liver})
        >>> window_of_liver.window_hu, window_of_liver(torch.tensor([[[[-500, 0, 100, 300]]]]))
        ((0, 200), tensor([[[[0.0000, 0.0000, 0.5000, 1.0000]]]]))
    """

    channels = 1
    ends_hu: Tensor

    def __init__(
        self, *, lower_percent: float = 0.5, upper_percent: float = 99.5, margin_hu: float = 100
    ) -> None:
        super().__init__()
        _check_percents(lower_percent, upper_percent)
        if not 0 <= margin_hu < HU_BINS:
            raise ConfigError(f"margin_hu: must be from 0 to {HU_BINS - 1} HU, got {margin_hu}")
        self.lower_percent, self.upper_percent = float(lower_percent), float(upper_percent)
        self.margin_hu = float(margin_hu)
        self.register_buffer("ends_hu", torch.full((2,), torch.nan))  # as in HistogramEqualization
        self._fitted = False
        self.register_load_state_dict_post_hook(_mark_fitted)  # type: ignore[no-untyped-call]

    @property
    def reads_regions(self) -> bool:
        """It does."""
        return True

    @property
    def window_hu(self) -> tuple[int, int] | None:
        """Its ends, whole HU; None before it was fitted."""
        low_hu, high_hu = self.ends_hu.tolist()
        return (int(low_hu), int(high_hu)) if self._fitted else None

    def fit(self, hu_counts: Tensor, region_hu_counts: Mapping[str, Tensor] | None = None) -> None:
        """Take the percentiles of the regions, with the margin, as the ends, rounded outward to whole HU.

        Args:
            hu_counts: `(4096,)` int64, voxels of the training cases at each HU, see `lts.base.HU_BINS`.
            region_hu_counts: Likewise those within each region, by its name; a region without voxels is left
                out.

        Raises:
            ConfigError: No region has a voxel, or a window between these ends would have no width.
        """
        assert region_hu_counts is not None
        filled = [counts.cpu() for counts in region_hu_counts.values() if counts.any()]
        if not filled:
            raise ConfigError(
                "FittedWindow needs voxels of liver or tumor in the training cases, their masks hold 0"
            )
        present = hu_counts.cpu().nonzero().flatten()
        lowest, highest = (AIR_HU + int(present[place]) for place in (0, -1))
        low_hu = min(hu_percentile(counts, self.lower_percent) for counts in filled) - self.margin_hu
        high_hu = max(hu_percentile(counts, self.upper_percent) for counts in filled) + self.margin_hu
        ends_hu = max(math.floor(low_hu), lowest), min(math.ceil(high_hu), highest)
        if not ends_hu[0] < ends_hu[1]:
            raise ConfigError(
                f"FittedWindow must have a width > 0, the training cases give {ends_hu[0]} to {ends_hu[1]} HU"
            )
        self.ends_hu.copy_(torch.tensor(ends_hu))
        self._fitted = True

    def forward(self, hu: Tensor) -> Tensor:
        _check_shape(hu)
        if not self._fitted:
            raise CheckpointError("FittedWindow was neither fitted on training cases nor loaded")
        low_hu, high_hu = self.ends_hu.unbind()
        return ((hu.float() - low_hu) / (high_hu - low_hu)).clamp(0.0, 1.0)

    def extra_repr(self) -> str:
        of_regions = f"lower_percent={self.lower_percent:g}, upper_percent={self.upper_percent:g}"
        return f"{of_regions}, margin_hu={self.margin_hu:g}"


def hu_percentile(hu_counts: Tensor, percent: float) -> float:
    """A percentile of voxels that were counted by HU, linearly interpolated as in `np.percentile`.

    Args:
        hu_counts: `(4096,)` int64, voxels at each HU, at least one; see `lts.base.HU_BINS`.
        percent: From 0 to 100.

    Example:
        >>> counts = torch.zeros(4096, dtype=torch.int64)
        >>> counts[1024 + 40], counts[1024 + 60] = 3, 1
        >>> hu_percentile(counts, 50), hu_percentile(counts, 90)
        (40.0, 54.0)
    """
    up_to = hu_counts.cumsum(0)
    whole = 100 * _PERCENT_STEPS
    below, steps = divmod((int(up_to[-1]) - 1) * round(percent * _PERCENT_STEPS), whole)
    ranks = torch.tensor([below, below + bool(steps)])
    at_below, at_above = (AIR_HU + torch.searchsorted(up_to, ranks, right=True)).tolist()
    return float(at_below + steps / whole * (at_above - at_below))


class MRPercentiles(Intensity):
    """Each slice from its own percentiles to [0, 1], clipped: MR has no scale that two scans share.

    A positive affine rescaling of the raw values changes nothing. A constant slice maps to 0. Percentiles are
    interpolated linearly, as in `np.percentile`, for batches of any size.

    Args:
        lower_percent: Percentile that maps to 0.
        upper_percent: Percentile that maps to 1.

    Raises:
        ConfigError: Not 0 <= `lower_percent` < `upper_percent` <= 100.

    Example:
        >>> slices = torch.tensor([[[[0.0, 100.0, 400.0]]]])
        >>> MRPercentiles(lower_percent=0, upper_percent=100)(slices)
        tensor([[[[0.0000, 0.2500, 1.0000]]]])
    """

    channels = 1

    def __init__(self, *, lower_percent: float = 1, upper_percent: float = 99) -> None:
        super().__init__()
        _check_percents(lower_percent, upper_percent)
        self.lower_percent = float(lower_percent)
        self.upper_percent = float(upper_percent)

    def forward(self, hu: Tensor) -> Tensor:
        _check_shape(hu)
        raw = hu.float()
        ordered = raw.flatten(1).sort(dim=1).values
        lower = _percentile(ordered, self.lower_percent)
        upper = _percentile(ordered, self.upper_percent)
        spread = upper - lower
        # Where both percentiles meet, the ramp between them is a step; a constant slice lies at its foot.
        scaled = torch.where(spread == 0, (raw > upper).float(), (raw - lower) / spread)
        return scaled.clamp(0.0, 1.0)

    def extra_repr(self) -> str:
        return f"lower_percent={self.lower_percent:g}, upper_percent={self.upper_percent:g}"


class Channels(Intensity):
    """Several maps of the same slice, one after the other along the channel axis.

    Args:
        channels: The maps, at least one; None for three views of CT: a narrow window of the liver, a wider
            one for its tumors, and the whole of the soft tissue, equalized.

    Raises:
        ConfigError: There is none.

    Example:
        >>> Channels([Window(level_hu=60, width_hu=200), Window()])(torch.zeros(1, 1, 8, 8)).shape
        torch.Size([1, 2, 8, 8])
        >>> Channels().channels
        3
    """

    def __init__(self, channels: Sequence[Intensity] | None = None) -> None:
        super().__init__()
        if channels is None:
            channels = (
                Window(level_hu=30, width_hu=150),
                Window(level_hu=60, width_hu=200),
                HistogramEqualization(),
            )
        if not channels:
            raise ConfigError("channels: must name at least one map, got none")
        self.maps = nn.ModuleList(channels)
        self.channels = sum(each.channels for each in channels)

    @property
    def reads_regions(self) -> bool:
        """Whether one of them does."""
        return any(each.reads_regions for each in self.maps)

    def fit(self, hu_counts: Tensor, region_hu_counts: Mapping[str, Tensor] | None = None) -> None:
        """Fit each map; see `Intensity.fit`."""
        for each in self.maps:
            assert isinstance(each, Intensity)
            if each.reads_regions:
                each.fit(hu_counts, region_hu_counts)
            else:
                each.fit(hu_counts)

    def forward(self, hu: Tensor) -> Tensor:
        return torch.cat([each(hu) for each in self.maps], dim=1)


def apply_with_context(intensity: Intensity, hu: Tensor) -> Tensor:
    """Map a slice and its neighbors, each by itself, to channels.

    Args:
        intensity: The map of one slice.
        hu: `(B, N, H, W)`, N slices from foot to head, raw values.

    Returns:
        `(B, N * intensity.channels, H, W)` float32, slice after slice: all channels of one, then the next.

    Example:
        >>> apply_with_context(Window(), torch.zeros(2, 3, 8, 8)).shape  # a slice and two neighbors
        torch.Size([2, 3, 8, 8])
    """
    batch, slices, height, width = hu.shape
    mapped: Tensor = intensity(hu.reshape(batch * slices, 1, height, width))
    return mapped.reshape(batch, slices * intensity.channels, height, width)


def _percentile(ordered: Tensor, percent: float) -> Tensor:
    """The percentile of each row of `(B, n)` ascending values, linearly interpolated, as `(B, 1, 1, 1)`."""
    # Not torch.quantile: older releases refuse more than 16 million values. In whole numbers the rank is
    # exact, and n may stay unknown until an exported model runs.
    steps = (ordered.shape[1] - 1) * round(percent * _PERCENT_STEPS)
    whole = 100 * _PERCENT_STEPS
    below = steps // whole
    # Rounded up without negative numbers: ONNX divides whole numbers toward zero, Python toward the floor.
    above = (steps + whole - 1) // whole
    fraction = (steps % whole) / whole
    at_below = ordered[:, below]
    return (at_below + fraction * (ordered[:, above] - at_below))[:, None, None, None]


def _mark_fitted(module: nn.Module, _incompatible_keys: object) -> None:
    """After loading a state: numbers without NaN are fitted ones."""
    assert isinstance(module, HistogramEqualization | FittedWindow)
    module._fitted = not any(bool(numbers.isnan().any()) for numbers in module.buffers())


def _check_window(level_hu: float, width_hu: float) -> None:
    if not 0 < width_hu <= _FARTHEST_HU:
        raise ConfigError(f"width_hu: must be > 0 and at most {_FARTHEST_HU} HU, got {width_hu}")
    if not abs(level_hu) <= _FARTHEST_HU:
        raise ConfigError(f"level_hu: must be from -{_FARTHEST_HU} to {_FARTHEST_HU} HU, got {level_hu}")


def _check_percents(lower_percent: float, upper_percent: float) -> None:
    if not 0 <= lower_percent < upper_percent <= 100:
        raise ConfigError(
            "lower_percent and upper_percent: must be 0 <= lower_percent < upper_percent <= 100, "
            f"got {lower_percent} and {upper_percent}"
        )


def _check_shape(hu: Tensor) -> None:
    # While tracing, sizes are part of the graph and cannot be compared.
    tracing = torch.jit.is_tracing()  # type: ignore[attr-defined, no-untyped-call]
    is_slices = hu.dim() == 4 and (tracing or hu.shape[1] == 1)
    assert is_slices, f"hu must be (B, 1, H, W), got {tuple(hu.shape)}"
