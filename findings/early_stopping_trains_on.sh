#!/usr/bin/env bash
# A training that EarlyStopping ended trains one more epoch each time it is resumed, and more patience is not taken.
#
# Guessed:     resumed from its last checkpoint, a training that had stopped ends at once; with a larger patience in the
#              code, as when it stopped too early, it goes on by that.
# Found:       the checkpoint brings back the count of validations without improvement and the patience of then, in place of
#              the one that was given. That the count has reached it is looked at after the next validation alone, so
#              each resumed training adds an epoch, whatever patience is asked for, and nothing is printed.
# Versions:    pytorch-lightning 2.6.6, torch 2.14.1
# Source:      EarlyStopping.load_state_dict and _run_early_stopping_check in lightning's callbacks/early_stopping.py
# Output seen: patience 3: ended after 4 epochs
#              resumed with patience 3: ended after 5 epochs, by a patience of 3
#              resumed with patience 3: ended after 6 epochs, by a patience of 3
#              resumed with patience 20: ended after 7 epochs, by a patience of 3
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet pytorch-lightning==2.6.6 torch==2.14.1
cd "$folder"
venv/bin/python -W ignore - <<'PYTHON'
import logging

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import EarlyStopping, ModelCheckpoint

logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)


class Module(pl.LightningModule):
    """Has the same score after each epoch."""

    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(1, 1)

    def training_step(self, batch, _):
        return 0 * self.layer(batch).sum()

    def validation_step(self, _, __):
        self.log("score", 0.5)

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), 0.1)


def train(patience, start=None):
    stop = EarlyStopping("score", mode="max", patience=patience)
    trainer = pl.Trainer(
        accelerator="cpu",
        max_epochs=50,
        callbacks=[stop, ModelCheckpoint(dirpath="checkpoints", save_last=True)],
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
    )
    batches = torch.utils.data.DataLoader(torch.ones(2, 1))
    trainer.fit(Module(), batches, batches, ckpt_path=start)
    return trainer.current_epoch, stop.patience


epochs, _ = train(3)
print(f"patience 3: ended after {epochs} epochs")
assert epochs == 4
for number, patience in enumerate((3, 3, 20), start=1):
    epochs, taken = train(patience, "checkpoints/last.ckpt")
    print(f"resumed with patience {patience}: ended after {epochs} epochs, by a patience of {taken}")
    assert (epochs, taken) == (4 + number, 3)
PYTHON
