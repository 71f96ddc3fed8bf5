"""Check the cases of a folder: `python check.py data=lits data.root=DIR [split.file=FILE]`."""

from lts.app.command import run_command

if __name__ == "__main__":
    run_command("check")
