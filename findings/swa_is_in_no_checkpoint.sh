#!/usr/bin/env bash
# Lightning averages the last epochs of a net with instance norm: its best and its last checkpoint hold no average.
#
# Guessed:     once averaging began, validation and checkpoints are of the average, or at least last.ckpt is.
# Found:       with instance norm the model gets the average after the last checkpoint was written: none has it for its
#              weights, validation never saw it, and the best is the best of those without. It lies among the states of
#              the callbacks, as average_model_state. With batch norm there is an epoch more, for its statistics, and
#              the last checkpoint is of that one. Either way weights are taken as an epoch begins, so what the last
#              epoch learned is no part of the average.
# Versions:    lightning 2.6.6, torch 2.13.0
# Source:      on_train_epoch_start and on_train_end in lightning/pytorch/callbacks/stochastic_weight_avg.py
# Output seen: a weight that grows by 4 an epoch, averaged over the last 6 of 10 epochs, as validated and in checkpoints:
#              InstanceNorm1d: after fit 26, before 4 8 12 16 20 24 28 32 36 40, last 40, hidden in last 26
#              BatchNorm1d: after fit 26, before 4 8 12 16 20 24 28 32 36 40 26, last 26, hidden in last 26
# For models:  trainer.save_checkpoint after fit, and validate that one before it is called the better.
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
from lightning.pytorch.callbacks import ModelCheckpoint, StochasticWeightAveraging
from torch.utils.data import DataLoader

EPOCHS, FIRST, STEPS = 10, 4, 4


class Growing(lightning.LightningModule):
    def __init__(self, norm):
        super().__init__()
        self.norm, self.weight, self.validated = norm, torch.nn.Parameter(torch.zeros(1)), []

    def training_step(self, batch, _):
        self.norm(batch[:, None])
        return -self.weight.sum()

    def validation_step(self, *_):
        self.validated.append(self.weight.item())

    def configure_optimizers(self):
        return torch.optim.SGD([self.weight], lr=1.0)


def load(path):
    return torch.load(path, weights_only=False)


print(
    f"a weight that grows by {STEPS} an epoch, averaged over the last {EPOCHS - FIRST} of {EPOCHS} epochs, "
    "as validated and in checkpoints:"
)
for norm in (torch.nn.InstanceNorm1d(1), torch.nn.BatchNorm1d(1)):
    name = type(norm).__name__
    trainer = lightning.Trainer(
        max_epochs=EPOCHS,
        accelerator="cpu",
        logger=False,
        num_sanity_val_steps=0,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=[
            StochasticWeightAveraging(swa_lrs=1.0, swa_epoch_start=FIRST + 1, annealing_epochs=1),
            ModelCheckpoint(dirpath=name, filename="{epoch}", save_top_k=-1, save_last=True),
        ],
    )
    model = Growing(norm)
    trainer.fit(model, DataLoader(torch.rand(STEPS, 8)), DataLoader(torch.rand(1, 8)))
    paths = sorted(Path(name).glob("epoch=*.ckpt"), key=lambda path: int(path.stem.partition("=")[2]))
    saved, last = [load(path)["state_dict"]["weight"].item() for path in paths], load(Path(name, "last.ckpt"))
    hidden = last["callbacks"]["StochasticWeightAveraging"]["average_model_state"]["weight"].item()
    in_last = last["state_dict"]["weight"].item()
    print(
        f"{name}: after fit {model.weight.item():g}, before {' '.join(f'{each:g}' for each in saved)}, "
        f"last {in_last:g}, hidden in last {hidden:g}"
    )
    begun_with = [STEPS * epoch for epoch in range(FIRST, EPOCHS)]
    average = sum(begun_with) / len(begun_with)
    assert model.weight.item() == hidden == average
    plain = [STEPS * (epoch + 1) for epoch in range(EPOCHS)]
    extra = [average] if name == "BatchNorm1d" else []
    assert saved == model.validated == plain + extra
    assert in_last == saved[-1]
PYTHON
