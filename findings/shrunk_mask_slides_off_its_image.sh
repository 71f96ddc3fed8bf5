#!/usr/bin/env bash
# One call shrinks a slice and its mask, 512 to 128 pixels: the mask comes out a pixel and a half away from the image.
#
# Guessed:     a transform that is handed an image and a mask samples both at the same places, the mask at the nearest.
# Found:       the image is averaged around the middle of each new pixel; "nearest" takes the old pixel under the corner
#              of the new one. Both albumentations and torchvision do so by default, as do OpenCV and PyTorch beneath:
#              the mask slides down and right by (factor - 1) / 2 old pixels, 1.5 at a factor of 4, over a millimeter in
#              a usual CT. Pillow and OpenCV's INTER_NEAREST_EXACT take the middle, half a pixel off at even factors.
#              Torchvision has NEAREST_EXACT, which turns image and mask alike into it; the default mixes the two.
# Versions:    albumentations 2.0.8, opencv-python-headless 5.0.0.93, torchvision 0.29.1, torch 2.14.1, Pillow 13.0.0
# Source:      mask_interpolation in albumentations/augmentations/geometric/resize.py; _resize_mask_dispatch in
#              torchvision/transforms/v2/functional/_geometry.py; nearest_neighbor_compute_source_index in PyTorch
# Output seen: moved by pixels down and right: [0.1, -0.0] image and [1.5, 1.5] mask of albumentations, [0.0, 0.0] and
#              [1.5, 1.5] of torchvision; [1.5, 1.5] PyTorch and INTER_NEAREST, [-0.3, -0.7] the exact one and Pillow
# For masks:   shrink them as fractions, as the image, and cut at a half; or sample at the middle of each new pixel.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet \
    torch==2.14.1 torchvision==0.29.1 albumentations==2.0.8 opencv-python-headless==5.0.0.93 pillow==13.0.0
cd "$folder"
NO_ALBUMENTATIONS_UPDATE=1 venv/bin/python - <<'PYTHON'
import albumentations
import cv2
import numpy as np
import torch
from PIL import Image
from torch.nn import functional as F
from torchvision import tv_tensors
from torchvision.transforms import v2

OLD, NEW = 512, 128
rows, columns = np.mgrid[:OLD, :OLD]
disc = ((rows - 250.3) ** 2 + (columns - 261.8) ** 2 <= 80.2**2).astype(np.uint8)


def center(mask):
    mask = np.asarray(mask, np.float64).reshape(len(np.squeeze(mask)), -1)
    along = (np.arange(len(mask)) + 0.5) * OLD / len(mask)
    return np.array([(mask.sum(1) * along).sum(), (mask.sum(0) * along).sum()]) / mask.sum()


def moved(mask):
    return (center(mask) - center(disc)).round(1).tolist()


both = albumentations.Resize(NEW, NEW)(image=disc.astype(np.float32), mask=disc)
tensor = torch.from_numpy(disc)[None]
resize = v2.Resize((NEW, NEW))
found = {
    "albumentations, image": both["image"],
    "albumentations, mask": both["mask"],
    "torchvision, image": resize(tv_tensors.Image(tensor.float()))[0],
    "torchvision, mask": resize(tv_tensors.Mask(tensor))[0],
    "PyTorch, nearest": F.interpolate(tensor[None], size=(NEW, NEW), mode="nearest")[0, 0],
    "OpenCV, INTER_NEAREST": cv2.resize(disc, (NEW, NEW), interpolation=cv2.INTER_NEAREST),
    "OpenCV, INTER_NEAREST_EXACT": cv2.resize(disc, (NEW, NEW), interpolation=cv2.INTER_NEAREST_EXACT),
    "Pillow, NEAREST": Image.fromarray(disc).resize((NEW, NEW), Image.Resampling.NEAREST),
}
for name, shrunk in found.items():
    print(f"{name}: {moved(shrunk)}")
for name in ("albumentations, mask", "torchvision, mask", "PyTorch, nearest", "OpenCV, INTER_NEAREST"):
    assert np.abs(np.array(moved(found[name])) - 1.5).max() <= 0.1, name
for name in ("albumentations, image", "torchvision, image"):
    assert np.abs(moved(found[name])).max() <= 0.15, name
PYTHON
