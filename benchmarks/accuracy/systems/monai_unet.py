"""MONAI's BasicUNet in two dimensions, by the recipes of MONAI's own tutorials.

- `2d_segmentation/torch/unet_training_dict.py`: `RandCropByPosNegLabeld` with patches of 96x96, positive and
  negative 1:1, 4 per image, batches of 2 images, `RandRotate90d`, Adam with 1e-3, sliding window of 96x96, 4
  windows at once.
- `3d_segmentation/spleen_segmentation_3d.ipynb`: RAS axes, pixels of 1.5 mm, -57 to 164 HU scaled to 0 to 1,
  `CacheDataset`, and `Invertd` of predictions to the grid of the scan before argmax.
- `3d_segmentation/unetr_btcv_segmentation_3d.ipynb`: `DiceCELoss` with softmax.

The spacing of slices is kept, and patches are one slice thick. BasicUNet has its default features.
"""

from collections.abc import Iterator
from itertools import chain, repeat
from typing import Any

import nibabel
import numpy as np
import torch
from monai.data import CacheDataset, DataLoader, decollate_batch
from monai.inferers import SliceInferer
from monai.losses import DiceCELoss
from monai.networks.nets import BasicUNet
from monai.transforms import (
    Compose,
    EnsureChannelFirstd,
    Invertd,
    LoadImaged,
    MapLabelValued,
    Orientationd,
    RandCropByPosNegLabeld,
    RandRotate90d,
    ScaleIntensityRanged,
    Spacingd,
    SpatialPadd,
    SqueezeDimd,
)
from monai.utils import set_determinism
from torch import nn

from benchmarks.accuracy.clock import Clock
from benchmarks.accuracy.job import Answer, Job

_PATCH, _PATCHES, _IMAGES, _WINDOWS = (96, 96), 4, 2, 4
_MODES = {"image": "bilinear", "label": "nearest"}


def run(job: Job) -> Answer:
    """Train for the minutes of a job, and write its masks."""
    set_determinism(job.seed)
    network = BasicUNet(spatial_dims=2, in_channels=1, out_channels=job.classes)
    batches = _batches(job)
    answer = _train(network, batches, job)
    _predict(network.eval(), job)
    return answer


def _train(network: nn.Module, batches: Iterator[dict[str, torch.Tensor]], job: Job) -> Answer:
    loss = DiceCELoss(to_onehot_y=True, softmax=True)
    optimizer = torch.optim.Adam(network.parameters(), 1e-3)
    clock, seen = Clock(job.minutes), 0
    while clock.share < 1:
        batch = next(batches)
        optimizer.zero_grad()
        loss(network(batch["image"]), batch["label"]).backward()
        optimizer.step()
        seen += len(batch["image"])
    return Answer(slices_seen=seen, train_s=clock.spent_s)


def _batches(job: Job) -> Iterator[dict[str, torch.Tensor]]:
    """Endless batches."""
    files = [{"image": case.image, "label": case.mask} for case in job.train]
    keys = ("image", "label")
    labels = range(3)  # without the region tumor, tumors are liver
    transform = Compose(
        [
            *_on_grid(keys),
            MapLabelValued("label", labels, [min(label, job.classes - 1) for label in labels]),
            SpatialPadd(keys, (*_PATCH, 1)),
            RandCropByPosNegLabeld(
                keys,
                label_key="label",
                spatial_size=(*_PATCH, 1),
                pos=1,
                neg=1,
                num_samples=_PATCHES,
                image_key="image",
                image_threshold=0,
            ),
            SqueezeDimd(keys, dim=-1),
            RandRotate90d(keys, prob=0.5, spatial_axes=(0, 1)),
        ]
    )
    dataset = CacheDataset(files, transform, num_workers=job.cores, progress=False)
    return chain.from_iterable(repeat(DataLoader(dataset, batch_size=_IMAGES, shuffle=True)))


def _on_grid(keys: tuple[str, ...]) -> list[Any]:
    return [
        LoadImaged(keys, reader="NibabelReader"),
        EnsureChannelFirstd(keys),
        Orientationd(keys, axcodes="RAS", labels=None),
        Spacingd(keys, pixdim=(1.5, 1.5, -1), mode=[_MODES[key] for key in keys]),  # -1 keeps it
        ScaleIntensityRanged("image", a_min=-57, a_max=164, b_min=0, b_max=1, clip=True),
    ]


@torch.no_grad()
def _predict(network: nn.Module, job: Job) -> None:
    transform = Compose(_on_grid(("image",)))
    back = Invertd("probs", transform, orig_keys="image", nearest_interp=False)
    infer = SliceInferer(roi_size=_PATCH, sw_batch_size=_WINDOWS, spatial_dim=2)
    dataset = CacheDataset(
        [{"image": case.image} for case in job.test], transform, cache_rate=0, progress=False
    )
    for case, batch in zip(job.test, DataLoader(dataset, batch_size=1), strict=True):
        batch["probs"] = infer(batch["image"], network).softmax(1)
        (found,) = map(back, decollate_batch(batch))
        labels = found["probs"].argmax(0).numpy().astype(np.uint8)
        nibabel.save(nibabel.Nifti1Image(labels, nibabel.load(case.image).affine), job.mask_of(case))
