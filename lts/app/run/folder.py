"""The folder of a run: made, and free of other runs."""

import tempfile
from pathlib import Path

from lts.app.run.records import RUN_FILE
from lts.base import ConfigError


def run_folder(output_dir: str | Path) -> Path:
    """The absolute folder of a run."""
    return Path(output_dir).expanduser().resolve()


def make_folder(folder: Path, *, key: str) -> None:
    """Make a folder and check that files can be written there.

    Raises:
        ConfigError: They cannot.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise ConfigError(f"{key}: {folder} cannot be written to: {error.strerror or error}") from error


def check_folder_is_free(folder: Path, *, command: str) -> None:
    """Refuse to overwrite another run.

    Raises:
        ConfigError: The folder holds a run.
    """
    if (folder / RUN_FILE).exists():
        way_on = "go on with it by ckpt=last, or " if command == "train" else ""
        raise ConfigError(f"paths.output_dir: {folder} holds a run already; {way_on}choose another folder")
