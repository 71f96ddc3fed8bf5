"""JSON and CSV files from outside, read within limits or refused in one line."""

import csv
import io
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lts.base._errors import CohortError, LtsError
from lts.base._text import shown

_MOST_BYTES = 64 * 2**20  # a hundred thousand cases take 20 MiB
_DEEPEST = 100  # deeper nesting would end in a recursion error later
_MOST_DIGITS = 300  # more do not fit a float


def read_json_object(path: Path, *, error: type[LtsError] = CohortError) -> dict[str, Any]:
    """The object in a JSON file, with finite numbers and unique names.

    Args:
        path: The file; in UTF-8, with or without a byte order mark.
        error: The class that is raised.

    Raises:
        LtsError: The file cannot be read or is too large, is not JSON, is not an object, is nested too
            deeply, or has a number that is not finite or too long, or a duplicate name.
    """
    text = _read_text(path, kind="JSON", error=error)
    try:
        content = json.loads(
            text,
            object_pairs_hook=_named_once,
            parse_int=_whole_number,
            parse_float=_finite_number,
            parse_constant=_no_number,
        )
    except RecursionError:
        raise error(f"{path}: must be JSON nested at most {_DEEPEST} deep, goes deeper") from None
    except ValueError as wrong:
        raise error(f"{path}: must be JSON in UTF-8: {wrong}") from wrong
    if not isinstance(content, dict):
        raise error(f"{path}: must hold a JSON object, got {_kind_of(content)}")
    if _depth(content) > _DEEPEST:
        raise error(f"{path}: must be JSON nested at most {_DEEPEST} deep, goes deeper")
    return content


def read_csv_rows(path: Path, *, columns: Sequence[str]) -> list[tuple[int, dict[str, str]]]:
    """The rows of a CSV file by column, with stripped cells; empty rows are left out.

    Args:
        path: The file; in UTF-8, with or without a byte order mark.
        columns: Required columns; others are allowed.

    Returns:
        Each row with its number in the file; the header is row 1.

    Raises:
        CohortError: The file cannot be read or is too large, is not CSV, lacks a column or has one twice, or
            a row has more or fewer cells than the header.
    """
    # line ends within quotes are the cell's own
    reader = csv.reader(
        io.StringIO(_read_text(path, kind="a CSV file", error=CohortError), newline=""), strict=True
    )
    try:
        lines = [(reader.line_num, [cell.strip() for cell in line]) for line in reader]
    except csv.Error as wrong:
        raise CohortError(f"{path}: must be a CSV file in UTF-8: row {reader.line_num}: {wrong}") from wrong
    header = lines[0][1] if lines else []
    if any(header.count(column) != 1 for column in columns):
        rule = f"the first row must name the columns {', '.join(columns)}, each once"
        one_cell = len(header) == 1 and any(sign in header[0] for sign in ";\t")
        raise CohortError(f"{path}: {rule}{', separated by commas' if one_cell else ''}, got {shown(header)}")
    if twice := next((column for column in header if column and header.count(column) > 1), None):
        raise CohortError(f"{path}: the first row must name each column once, got {shown(twice)} twice")
    rows = []
    for number, cells in lines[1:]:
        if not any(cells):
            continue
        if len(cells) != len(header):
            raise CohortError(f"{path}: row {number} must have {len(header)} cells, got {len(cells)}")
        rows.append((number, dict(zip(header, cells, strict=True))))
    return rows


def _read_text(path: Path, *, kind: str, error: type[LtsError]) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(_MOST_BYTES + 1)
    except OSError as wrong:
        raise error(f"{path}: cannot be read: {wrong.strerror or wrong}") from wrong
    if len(content) > _MOST_BYTES:
        raise error(f"{path}: must be {kind} of at most {_MOST_BYTES >> 20} MiB, is larger")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as wrong:
        raise error(f"{path}: must be {kind} in UTF-8: {wrong}") from wrong


def _named_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"an object must have each name once, got {shown(twice)} twice")
    return found


def _whole_number(text: str) -> int:
    if len(text) > _MOST_DIGITS:
        raise ValueError(f"a number must have at most {_MOST_DIGITS} digits, got {len(text)}")
    return int(text)


def _finite_number(text: str) -> float:
    if math.isinf(number := float(text)):
        raise ValueError(f"a number must be one that a computer can hold, got {shown(text)}")
    return number


def _no_number(text: str) -> float:
    raise ValueError(f"a number must be finite, got {text}")


def _depth(content: object) -> int:
    """Nesting depth of objects and lists, counted without recursion."""
    level: list[object] = [content]
    depth = 0
    while level := [item for item in level if isinstance(item, dict | list)]:
        depth += 1
        if depth > _DEEPEST:
            break
        level = [inner for item in level for inner in (item.values() if isinstance(item, dict) else item)]
    return depth


def _kind_of(content: object) -> str:
    kinds = {list: "a list", str: "a text", bool: "true or false", type(None): "null"}
    return kinds.get(type(content), "a number")
