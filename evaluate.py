"""Score a checkpoint: `python evaluate.py ckpt=FILE [data=lits data.root=DIR] [subset=test]`."""

from omegaconf import DictConfig

from lts.app.command import run_command


def evaluate(config: DictConfig) -> None:
    """Score a checkpoint on each scan's own grid and write the files of an evaluation."""
    from lts.app.evaluating import evaluate as run  # heavy, so not before the config is known to be right

    run(config)


if __name__ == "__main__":
    run_command("evaluate", evaluate)
