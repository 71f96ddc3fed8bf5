"""Make the slices of a training beforehand: `python store.py data=lits data.root=DIR [KEY=VALUE ...]`."""

from lts.app.command import run_command

if __name__ == "__main__":
    run_command("store")
