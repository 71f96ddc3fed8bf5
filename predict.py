"""Predict masks of new scans: `python predict.py ckpt=FILE input=FILE-or-DIR output=DIR`."""

from omegaconf import DictConfig

from lts.app.command import run_command


def predict(config: DictConfig) -> None:
    """Write the mask of each scan on the scan's own grid, and what the masks say in numbers."""
    from lts.app.commands.predict import (
        predict as run,  # heavy, so not before the config is known to be right
    )

    run(config)


if __name__ == "__main__":
    run_command("predict", predict)
