"""Predict masks of new scans: `python predict.py ckpt=FILE input=FILE-or-DIR output=DIR`."""

from lts.app.command import run_command

if __name__ == "__main__":
    run_command("predict")
