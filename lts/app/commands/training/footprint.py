"""The disk space and memory that a run will take."""

import os
from collections.abc import Sequence
from pathlib import Path

from lts.slices import StoredCase

_WORKER_BYTES = 20 * 2**20
"""What a loader worker changes of the memory that it shares with the first process, measured on Linux."""
_BATCHES_OF_A_WORKER = 3
"""Two prefetched batches, and one in preparation."""


def footprint_line(
    stored: Sequence[StoredCase], *, store_dir: Path, batch_size: int, context: int, num_workers: int
) -> str:
    """The disk that the slices take and the memory of loader workers, in one line.

    Args:
        stored: The cases of the run, at least one.
        store_dir: Folder of all stores.
        batch_size: Slices of a batch.
        context: Neighboring slices on each side.
        num_workers: Loader workers.
    """
    store_bytes = sum(_bytes_in(case.folder) for case in stored)
    line = f"store {_as_size(store_bytes)} for {len(stored)} cases in {store_dir}"
    if not num_workers:
        return f"{line}; no loader workers"
    _, height, width = stored[0].shape
    batch_bytes = batch_size * height * width * (2 * (2 * context + 1) + 1)  # int16 slices, uint8 labels
    worker_bytes = _WORKER_BYTES + _BATCHES_OF_A_WORKER * batch_bytes
    return f"{line}; loader workers {num_workers}, each with about {_as_size(worker_bytes)} of memory"


def _bytes_in(folder: Path) -> int:
    return sum(entry.stat().st_size for entry in os.scandir(folder))


def _as_size(size_bytes: int) -> str:
    mib = size_bytes / 2**20
    return f"{mib:.0f} MiB" if mib < 1000 else f"{mib / 1024:.1f} GiB"
