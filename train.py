"""Train a model: `python train.py model=unet [data=lits data.root=DIR]`; `-m` sweeps."""

from lts.app.command import run_command

if __name__ == "__main__":
    run_command("train")
