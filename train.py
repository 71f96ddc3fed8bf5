"""Train a model: `python train.py model=unet [data=lits data.root=DIR]`; `-m` sweeps."""

from omegaconf import DictConfig

from lts.app.command import run_command


def train(config: DictConfig) -> float | None:
    """Train, score the best checkpoint on the test subset, and return its best validation score."""
    from lts.app.commands.train import train as run  # heavy, so not before the config is known to be right

    return run(config)


if __name__ == "__main__":
    run_command("train", train)
