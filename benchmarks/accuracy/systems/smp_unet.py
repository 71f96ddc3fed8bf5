"""The Unet of segmentation_models_pytorch with a ResNet-18 encoder, random weights and a plain recipe.

Whole slices resized to 256x256, window 40 +- 200 HU, batches of 16 in random order, flips and affine
augmentation by albumentations. From `examples/camvid_segmentation_multiclass.ipynb` of that library:
multiclass Dice loss, Adam, and cosine annealing, here over the time. Cross-entropy is added to the loss, and
the learning rate starts at 1e-3 instead of 2e-4, because the encoder has no pretrained weights.
"""

import random
from collections.abc import Iterator

import albumentations
import cv2
import numpy as np
import segmentation_models_pytorch as smp
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional
from torch.optim.lr_scheduler import LambdaLR

from benchmarks.accuracy.clock import Clock
from benchmarks.accuracy.job import Answer, Job
from lts.volume import read_ct, read_mask, write_mask

_SIZE, _BATCH, _RATE = 256, 16, 1e-3
_LOWEST_HU, _HIGHEST_HU = -160, 240


def run(job: Job) -> Answer:
    """Train for the minutes of a job, and write its masks."""
    random.seed(job.seed)
    torch.manual_seed(job.seed)
    network = smp.Unet("resnet18", encoder_weights=None, in_channels=1, classes=job.classes)
    images, masks = _slices(job)
    answer = _train(network, _batches(images, masks, seed=job.seed), job)
    _predict(network.eval(), job)
    return answer


def _train(network: nn.Module, batches: Iterator[tuple[Tensor, Tensor]], job: Job) -> Answer:
    overlap = smp.losses.DiceLoss(smp.losses.MULTICLASS_MODE, from_logits=True)
    optimizer = torch.optim.Adam(network.parameters(), lr=_RATE)
    clock, seen = Clock(job.minutes), 0
    schedule = LambdaLR(optimizer, lambda _: (1 + np.cos(np.pi * clock.share)) / 2)
    while clock.share < 1:
        images, masks = next(batches)
        logits = network(images)
        optimizer.zero_grad()
        (overlap(logits, masks) + functional.cross_entropy(logits, masks)).backward()
        optimizer.step()
        schedule.step()
        seen += len(images)
    return Answer(slices_seen=seen, train_s=clock.spent_s)


def _slices(job: Job) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """Images and masks of all slices, `(N, 256, 256)`."""
    images, masks = [], []
    for case in job.train:
        assert case.mask is not None
        scan = read_ct(case.image)
        labels = np.minimum(read_mask(case.mask, image=scan.geometry).voxels, job.classes - 1)
        images += [_resized(one, cv2.INTER_AREA) for one in _in_window(scan.voxels)]
        masks += [_resized(one, cv2.INTER_NEAREST) for one in labels]
    return np.stack(images), np.stack(masks)


def _in_window(hu: NDArray[np.int16]) -> NDArray[np.float32]:
    share = (hu.astype(np.float32) - _LOWEST_HU) / (_HIGHEST_HU - _LOWEST_HU)
    return np.clip(share, 0, 1)


def _resized(image: NDArray[np.generic], how: int) -> NDArray[np.generic]:
    return cv2.resize(np.ascontiguousarray(image), (_SIZE, _SIZE), interpolation=how)


def _batches(
    images: NDArray[np.float32], masks: NDArray[np.uint8], *, seed: int
) -> Iterator[tuple[Tensor, Tensor]]:
    """Endless batches: random permutations of all slices, one after the other."""
    augment = albumentations.Compose(
        [
            albumentations.HorizontalFlip(p=0.5),
            albumentations.Affine(scale=(0.9, 1.1), translate_percent=(-0.06, 0.06), rotate=(-15, 15), p=0.8),
        ],
        seed=seed,
    )
    random_order = np.random.default_rng(seed)
    order: list[int] = []
    while True:
        while len(order) < _BATCH:
            order += random_order.permutation(len(images)).tolist()
        chosen, order = order[:_BATCH], order[_BATCH:]
        pairs = [augment(image=images[one], mask=masks[one]) for one in chosen]
        yield (
            torch.from_numpy(np.stack([pair["image"] for pair in pairs]))[:, None],
            torch.from_numpy(np.stack([pair["mask"] for pair in pairs])).long(),
        )


@torch.no_grad()
def _predict(network: nn.Module, job: Job) -> None:
    for case in job.test:
        scan = read_ct(case.image)
        labels = np.zeros(scan.voxels.shape, np.uint8)
        for number, image in enumerate(_in_window(scan.voxels)):
            logits = network(torch.from_numpy(_resized(image, cv2.INTER_AREA))[None, None])
            fitted = functional.interpolate(logits, image.shape, mode="bilinear")
            labels[number] = fitted[0].argmax(0).numpy()
        write_mask(job.mask_of(case), labels, geometry=scan.geometry)
