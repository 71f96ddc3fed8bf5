"""Score a checkpoint: `python evaluate.py ckpt=FILE [data=lits data.root=DIR] [subset=test]`."""

from lts.app.command import run_command

if __name__ == "__main__":
    run_command("evaluate")
