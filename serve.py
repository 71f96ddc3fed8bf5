"""Serve a checkpoint over HTTP, with a page: `python serve.py ckpt=FILE [host=127.0.0.1] [port=8000]`."""

from lts.app.command import run_command

if __name__ == "__main__":
    run_command("serve")
