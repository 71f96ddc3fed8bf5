"""Serve a checkpoint over HTTP, with a page: `python serve.py ckpt=FILE [host=127.0.0.1] [port=8000]`."""

from omegaconf import DictConfig

from lts.app.command import run_command


def serve(config: DictConfig) -> None:
    """Take scans and answer with masks until told to stop."""
    from lts.app.commands.serve import serve as run  # heavy, so not before the config is known to be right

    run(config)


if __name__ == "__main__":
    run_command("serve", serve)
