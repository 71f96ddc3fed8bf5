"""One model on some slices of a scan: from raw values to probabilities on its square."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lts.inference.model import Model
from lts.inference.precision import autocast
from lts.intensity import apply_with_context
from lts.networks.meta import check_logits
from lts.slices import View, lay_on_plane, slices_around

Axes = tuple[int, ...]
"""The axes of an image that are mirrored; none for the image as it is."""

PIXELS_AT_ONCE = 2**16
"""By each thread of a CPU: what a network makes of more leaves the cache from one layer to the next."""


def probs_on_square(
    model: Model,
    voxels: NDArray[np.generic],
    view: View,
    slices: Sequence[int] | range,
    *,
    device: torch.device,
    dtype: torch.dtype = torch.float32,
    mirrored: Sequence[Axes] = ((),),
) -> Tensor:
    """Probabilities of some slices, the mean over mirrored images.

    Beyond the ends of what the model sees the outermost slice repeats, as it does among stored slices.

    Args:
        model: The model, on `device`.
        voxels: Those of the scan, `(Z, H, W)`.
        view: What the model sees of it.
        slices: Slices of the scan within the view, in order.
        device: Where the model is.
        dtype: What the network computes in.
        mirrored: Which axes are mirrored in each pass.

    Returns:
        `(N, R, image_size, image_size)` float32, on the device.
    """
    wanted = [number - view.first for number in slices]
    around = slices_around(wanted, context=model.context, depth=view.depth)
    seen, places = np.unique(around, return_inverse=True)
    first, stop = view.first + int(seen[0]), view.first + int(seen[-1]) + 1
    some = slice(first, stop) if stop - first == len(seen) else view.first + seen  # the one copies nothing
    slab = lay_on_plane(voxels[some], view.plane, fill=model.recipe.fill)
    around = places.reshape(around.shape)
    hu = slab[torch.from_numpy(around)].to(device)
    channels = apply_with_context(model.intensity, hu)
    probs, *others = (_seen_mirrored(model, channels, axes, dtype) for axes in mirrored)
    for other in others:
        probs += other
    return probs.div_(len(mirrored))


def _seen_mirrored(model: Model, channels: Tensor, axes: Axes, dtype: torch.dtype) -> Tensor:
    seen = (channels.flip(axes) if axes else channels).contiguous(memory_format=torch.channels_last)
    with autocast(dtype, seen.device):
        logits = torch.cat([_logits(model, some) for some in torch.split(seen, _images_at_once(seen))])
    probs = logits.float().sigmoid()
    return probs.flip(axes) if axes else probs


def _images_at_once(images: Tensor) -> int:
    if images.device.type != "cpu":
        return len(images)
    height, width = images.shape[-2:]
    return max(1, torch.get_num_threads() * PIXELS_AT_ONCE // (height * width))


def _logits(model: Model, images: Tensor) -> Tensor:
    logits: Tensor = model.network(images)
    check_logits(logits, images=tuple(images.shape), regions=len(model.regions))
    return logits
