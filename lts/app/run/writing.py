"""Facts and tables as files, each whole or not at all."""

import csv
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lts.base import written_whole


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write JSON.

    Raises:
        StorageError: It cannot be written; what was there stays.
    """
    _write(path, json.dumps(content, indent=2, allow_nan=False) + "\n")


def write_csv(path: Path, rows: Sequence[Mapping[str, Any]], *, columns: Sequence[str] | None = None) -> None:
    """Write rows that share their keys; `columns` names them where there may be no row.

    Raises:
        StorageError: It cannot be written; what was there stays.
    """
    table = io.StringIO(newline="")
    writer = csv.DictWriter(table, fieldnames=list(columns or rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    _write(path, table.getvalue())


def _write(path: Path, text: str) -> None:
    with written_whole(path) as file:
        # A file name that is not UTF-8 reaches here as lone surrogates.
        file.write(text.encode("utf-8", "backslashreplace"))
