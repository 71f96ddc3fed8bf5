"""An output folder that shards share: a lock for each, and one record of all."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lts.app.commands.predictions import PREDICTIONS_FILE, merge_part
from lts.app.config.shard import Shard
from lts.app.run.lock import FolderInUseError, is_locked, locked_folder
from lts.base import ConfigError

FOLDER = "shards"
"""In the output folder, while shards are being predicted and until their records are merged."""

_PATIENCE_S = 10.0
"""With another shard that enters its record into `predictions.json`."""


@contextmanager
def locked_output(output: Path, shard: Shard | None) -> Iterator[Path | None]:
    """Lock an output folder, or a shard's share in it; enter what a killed shard has left into the record.

    Args:
        output: The output folder.
        shard: The shard that is to be predicted, None for all scans.

    Yields:
        File of the shard's record, which is merged at the end; None for all scans.

    Raises:
        ConfigError: The folder, or the shard, is being used by another process.
    """
    if shard is None:
        with locked_folder(output, key="output"):
            if running := _merge_left(output):
                raise ConfigError(
                    f"output: {output} is being predicted into by {', '.join(running)}; wait for its end"
                )
            yield None
        return
    folder = output / FOLDER / str(shard)
    part = folder / PREDICTIONS_FILE
    made = [path for path in (output, *output.parents) if not path.exists()]
    with locked_folder(folder, key="output", made=[folder, folder.parent, *made], patience_s=_PATIENCE_S):
        with locked_folder(output, key="output", patience_s=_PATIENCE_S):
            merge_part(output, part)  # left by a process that was killed
            _merge_left(output)
        try:
            yield part
        finally:
            with locked_folder(output, key="output", patience_s=_PATIENCE_S):
                merge_part(output, part)


def merge_ended(output: Path) -> None:
    """Merge the records of shards that no process is predicting; of one that was killed, what it had done.

    Raises:
        ConfigError: The output folder is being used.
    """
    with locked_folder(output, key="output", patience_s=_PATIENCE_S):
        _merge_left(output)


def _merge_left(output: Path) -> list[str]:
    """Merge the records of shards that no process is predicting, in a locked output folder.

    Returns:
        Names of the shards that are being predicted.
    """
    shards = sorted((output / FOLDER).glob("*-of-*"))
    return [f"shard {shard.name}" for shard in shards if not _merged_if_free(output, shard)]


def _merged_if_free(output: Path, shard: Path) -> bool:
    """Merge the record of a shard, unless a process, this one included, has it or is just beginning it."""
    if is_locked(shard):
        return False
    try:
        with locked_folder(shard, key="output", made=[shard, shard.parent]):
            merge_part(output, shard / PREDICTIONS_FILE)
    except FolderInUseError:
        return False
    return True
