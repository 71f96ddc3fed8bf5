#!/usr/bin/env bash
# Lightning's moving average of weights, told to begin later, validates and saves an untrained network until then.
#
# Guessed:     until the average begins, validation and checkpoints are of the weights as they are; and an average that
#              is to begin at an epoch begins at that epoch.
# Found:       EMAWeightAveraging validates and saves its average from the first epoch on, and before the first step that
#              it takes that is a copy of the untrained network. The score stands still, EarlyStopping ends the training,
#              a plateau lowers the learning rate, and best.ckpt is the network as it was initialized. With
#              update_starting_at_epoch alone the average begins with the very first step, as the condition on steps
#              is met where no step is given. What the epoch adds from then on is one more step into the average after
#              each validation, so that checkpoints are of other weights than those that were validated.
# Versions:    lightning 2.6.6, torch 2.13.0
# Source:      should_update and on_validation_epoch_start in lightning/pytorch/callbacks/weight_averaging.py
# Output seen: a weight that grows by 4 an epoch from 0, 10 epochs, patience 3:
#              no average: validated 4 8 12 16 20 24 28 32 36 40, best.ckpt 40
#              average from the first step: validated 3.1 7 11 15 19 23 27 31 35 39, best.ckpt 39
#              from step 20: validated 0 0 0 0, best.ckpt 0
#              from epoch 5: validated 3.1 7 11 15 19 23 27 31 35 39, best.ckpt 39.5
# For models:  leave both out: at a decay of 0.999 less than 1 % of the first weights is left after 4,600 steps.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet lightning==2.6.6 torch==2.13.0
cd "$folder"
venv/bin/python -W ignore - 2>log <<'PYTHON' || { cat log; exit 1; }
from pathlib import Path

import lightning
import torch
from lightning.pytorch.callbacks import EarlyStopping, EMAWeightAveraging, ModelCheckpoint
from torch.utils.data import DataLoader

EPOCHS, STEPS, FIRST_EPOCH, PATIENCE = 10, 4, 5, 3


class Growing(lightning.LightningModule):
    """One weight, 0 when untrained, that each step makes larger by 1; the validation wants it large."""

    def __init__(self):
        super().__init__()
        self.weight, self.validated = torch.nn.Parameter(torch.zeros(1)), []

    def training_step(self, *_):
        return -self.weight.sum()

    def validation_step(self, *_):
        self.validated.append(round(self.weight.item(), 1))
        self.log("score", self.weight.item(), batch_size=1)

    def configure_optimizers(self):
        return torch.optim.SGD([self.weight], lr=1.0)


def train(told, *averaging):
    best, model = ModelCheckpoint(dirpath=told, filename="best", monitor="score", mode="max"), Growing()
    trainer = lightning.Trainer(
        max_epochs=EPOCHS,
        accelerator="cpu",
        logger=False,
        num_sanity_val_steps=0,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=[*averaging, best, EarlyStopping("score", mode="max", patience=PATIENCE)],
    )
    trainer.fit(model, DataLoader(torch.rand(STEPS, 1)), DataLoader(torch.rand(1, 1)))
    saved = torch.load(Path(told, "best.ckpt"), weights_only=False)["state_dict"]["weight"].item()
    print(f"{told}: validated {' '.join(f'{each:g}' for each in model.validated)}, best.ckpt {saved:.3g}")
    return model.validated, saved


print(f"a weight that grows by {STEPS} an epoch from 0, {EPOCHS} epochs, patience {PATIENCE}:")
plain, _ = train("no average")
whole, whole_saved = train("average from the first step", EMAWeightAveraging(decay=0.5))
first_step = STEPS * FIRST_EPOCH
late, late_saved = train(
    f"from step {first_step}", EMAWeightAveraging(decay=0.5, update_starting_at_step=first_step)
)
by_epoch, by_epoch_saved = train(
    f"from epoch {FIRST_EPOCH}", EMAWeightAveraging(decay=0.5, update_starting_at_epoch=FIRST_EPOCH)
)
assert plain == [STEPS * (epoch + 1) for epoch in range(EPOCHS)]
assert late == [0] * (1 + PATIENCE)
assert late_saved == 0
assert by_epoch[:FIRST_EPOCH] == whole[:FIRST_EPOCH] != plain[:FIRST_EPOCH]
assert round(whole_saved, 1) == whole[-1]
assert by_epoch_saved > by_epoch[-1] + 0.4
PYTHON
