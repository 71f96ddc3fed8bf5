"""Score a checkpoint: `python evaluate.py ckpt=FILE [data=lits data.root=DIR] [subset=test]`."""

from omegaconf import DictConfig

from lts.app.command import run_command


def evaluate(config: DictConfig) -> float | None:
    """Score a model, folds or masks on each scan's own grid, compare two runs; of models return the Dice."""
    from lts.app.commands.evaluate import (
        evaluate as run,  # heavy, so not before the config is known to be right
    )

    return run(config)


if __name__ == "__main__":
    run_command("evaluate", evaluate)
