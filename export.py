"""Export a checkpoint: `python export.py ckpt=FILE format=onnx|torchscript output=FILE [scan=FILE]`."""

from omegaconf import DictConfig

from lts.app.command import run_command


def export(config: DictConfig) -> None:
    """Write a checkpoint as a file that runs without lts, and check that it computes the same."""
    from lts.app.commands.export import export as run  # heavy, so not before the config is known to be right

    run(config)


if __name__ == "__main__":
    run_command("export", export)
