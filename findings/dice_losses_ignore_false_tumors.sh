#!/usr/bin/env bash
# A batch of slices without a tumor, on which a network sees tumor everywhere: what Dice losses teach it.
#
# Guessed:     the loss is near 1, and its gradient pushes the tumor back as hard as any.
# Found:       in segmentation_models.pytorch the loss of a region that no slice of the batch holds is set to 0, with no
#              gradient: Dice, Tversky and Jaccard, however much is seen. MONAI's are 1, and their gradient is less than a
#              millionth of what it is once a slice of the batch holds a tumor. Dice without what is added to its
#              denominator would be 1 whatever is seen, so nothing else can come of it. By these losses alone false tumors
#              cost nothing on healthy slices, and what is learned depends on which slices share a batch.
# Versions:    segmentation-models-pytorch 0.6.0, monai 1.6.1, torch 2.14.1, torchvision 0.29.1
# Source:      DiceLoss.forward in segmentation_models_pytorch/losses/dice.py, which TverskyLoss inherits, and jaccard.py;
#              DiceLoss and TverskyLoss in monai/losses, smooth_nr = smooth_dr = 1e-5
# Output seen: smp Dice: 0.000, gradient 0, beside a slice with a tumor 0.0046
#              MONAI Dice: 1.000, gradient 1.2e-10, beside a slice with a tumor 0.0046
# For training: add a term of each voxel, such as cross-entropy or focal loss.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet \
    segmentation-models-pytorch==0.6.0 monai==1.6.1 torch==2.14.1 torchvision==0.29.1 numpy==2.4.6
cd "$folder"
venv/bin/python -W ignore - <<'PYTHON'
import torch
from monai.losses import DiceLoss, TverskyLoss
from segmentation_models_pytorch import losses

LOSSES = {
    "smp Dice": losses.DiceLoss("multilabel"),
    "smp Tversky": losses.TverskyLoss("multilabel"),
    "smp Jaccard": losses.JaccardLoss("multilabel"),
    "MONAI Dice": DiceLoss(sigmoid=True, batch=True),
    "MONAI Tversky": TverskyLoss(sigmoid=True, batch=True),
}
SLICES = (2, 1, 32, 32)
healthy = torch.zeros(SLICES)
ill = healthy.clone()
ill[1, 0, 4:20, 4:20] = 1


def taught(loss, masks):
    """The loss where tumor is seen everywhere, and the pull of its gradient on the first slice, which is healthy."""
    logits = torch.full(SLICES, 3.0, requires_grad=True)
    value = loss(logits, masks)
    value.backward()
    return value.item(), logits.grad[0].sum().item()


for name, loss in LOSSES.items():
    (value, pull), (_, beside_a_tumor) = taught(loss, healthy), taught(loss, ill)
    print(f"{name}: {value:.3f}, gradient {pull:.2g}, beside a slice with a tumor {beside_a_tumor:.2g}")
    assert beside_a_tumor > 1e-3
    assert value == pull == 0 if name.startswith("smp") else value > 0.99 and 0 < pull < 1e-6 * beside_a_tumor
PYTHON
