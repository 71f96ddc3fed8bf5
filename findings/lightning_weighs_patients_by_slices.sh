#!/usr/bin/env bash
# A validation step logs the Dice of one patient; Lightning's mean of them is 0.81 for a model whose patients have 0.50.
#
# Guessed:     what each step logs counts once, so the mean over the steps is the mean over the patients.
# Found:       the mean is weighted by the size of the batch, and where log() is not told it, that is the first dimension
#              of the first array of the batch. If a batch is a patient's slices, a scan of 600 slices counts 15 times as
#              much as one of 40. Nothing is printed. If his spacing comes before the slices, all weigh 3, with a
#              warning: the order of a dictionary decides. ModelCheckpoint then keeps the model that is better on
#              long scans and worse on most patients.
# Versions:    lightning 2.6.6, torch 2.13.0
# Source:      extract_batch_size in lightning/pytorch/utilities/data.py; update of _ResultMetric in
#              lightning/pytorch/trainer/connectors/logger_connector/result.py
# Output seen: patients of 600, 60 and 40 slices, Dice of model A 0.9 0.3 0.3, of model B 0.7 0.6 0.6
#              mean over patients: A 0.500, B 0.633
#              slices: A 0.814, B 0.686
#              spacing, then slices: A 0.500, B 0.633
#              slices, batch_size=1: A 0.500, B 0.633
# For scores:  self.log(..., batch_size=1), or log a torchmetrics object, which weighs by itself.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet lightning==2.6.6 torch==2.13.0
cd "$folder"
venv/bin/python -W ignore - 2>log <<'PYTHON' || { cat log; exit 1; }
import lightning
import torch
from torch.utils.data import DataLoader

N_SLICES = [600, 60, 40]
DICE = {"A": [0.9, 0.3, 0.3], "B": [0.7, 0.6, 0.6]}


class Validated(lightning.LightningModule):
    def __init__(self, dice, **options):
        super().__init__()
        self.dice, self.options = dice, options

    def validation_step(self, batch, patient):  # a batch is a patient
        self.log("dice", self.dice[patient], **self.options)


def validate(model, batches, **options):
    trainer = lightning.Trainer(
        accelerator="cpu", logger=False, enable_progress_bar=False, enable_model_summary=False
    )
    loader = DataLoader(batches, batch_size=None)
    (scores,) = trainer.validate(Validated(DICE[model], **options), loader, verbose=False)
    return scores["dice"]


def show(told, found):
    print(f"{told}: {', '.join(f'{model} {dice:.3f}' for model, dice in found.items())}")
    return found


shown = (f"of model {model} {' '.join(map(str, dice))}" for model, dice in DICE.items())
print(f"patients of {N_SLICES[0]}, {N_SLICES[1]} and {N_SLICES[2]} slices, Dice {', '.join(shown)}")
slices = [torch.zeros(n_slices, 1, 4, 4) for n_slices in N_SLICES]
spaced = [{"spacing_mm": torch.ones(3), "slices": each} for each in slices]
true = show("mean over patients", {model: sum(dice) / len(dice) for model, dice in DICE.items()})
plain = show("slices", {model: validate(model, slices) for model in DICE})
ordered = show("spacing, then slices", {model: validate(model, spaced) for model in DICE})
asked = show("slices, batch_size=1", {model: validate(model, slices, batch_size=1) for model in DICE})
for model, dice in DICE.items():
    weighted = sum(n * each for n, each in zip(N_SLICES, dice, strict=True)) / sum(N_SLICES)
    assert abs(plain[model] - weighted) < 1e-4
    assert max(abs(found[model] - true[model]) for found in (ordered, asked)) < 1e-4
assert true["A"] < true["B"]
assert plain["A"] > plain["B"]
PYTHON
