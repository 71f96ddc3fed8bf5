"""Check the cases of a folder: `python check.py data=lits data.root=DIR [split.file=FILE]`."""

from omegaconf import DictConfig

from lts.app.command import run_command


def check(config: DictConfig) -> None:
    """Read and judge every case; tell what is wrong, and what corrects it."""
    from lts.app.commands.check import check as run  # heavy, so not before the config is known to be right

    run(config)


if __name__ == "__main__":
    run_command("check", check)
