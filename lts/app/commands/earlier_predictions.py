"""What earlier runs wrote into `predictions.json`: read, checked, and compared with a run."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from lts.app.config.serialization import by_key
from lts.base import CohortError, ConfigError, read_json_object

_CHANGES_NO_MASK = ("batch_size",)
_ADDED_LATER = {
    "output_format": "nii.gz",
    "mask_suffix": "_mask",
    "precision": "float32",
    "postprocess.min_lesion_probability": 0,
}
"""Settings that early records lack, and what held then."""


def read_predictions(path: Path) -> dict[str, Any]:
    """The content of the file, empty without a file.

    Raises:
        ConfigError: It is not one that `Predictions` wrote.
    """
    if not path.exists():
        return {}
    try:
        found = read_json_object(path)
    except CohortError as error:
        raise ConfigError(f"output: {error}; move it away, or choose another folder") from error
    if not _is_ours(found):
        raise ConfigError(
            f"output: {path}: must be the record that predict.py keeps of its masks, and is none; "
            "move it away, or choose another folder"
        )
    return found


def differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[str]:
    """Differences between two runs that affect masks, as `KEY=OLD, now NEW`."""
    hashes = [sorted(one["sha256"] for one in facts["checkpoints"]) for facts in (before, now)]
    if hashes[0] != hashes[1]:
        old, new = (_listed([one.get("path") for one in facts["checkpoints"]]) for facts in (before, now))
        yield f"ckpt={old}, {'whose content has changed since' if old == new else f'now {new}'}"
    was, wanted = ({**_ADDED_LATER, **by_key(facts["settings"])} for facts in (before, now))
    for key in {**wanted, **was}:
        if key not in _CHANGES_NO_MASK and was.get(key) != wanted.get(key):
            yield f"{key}={shown(was.get(key))}, now {shown(wanted.get(key))}"


def shown(value: object) -> str:
    """A setting as messages show it."""
    return json.dumps(value)


def _listed(paths: Sequence[object]) -> str:
    return str(paths[0]) if len(paths) == 1 else f"[{','.join(map(str, paths))}]"


def _is_ours(found: Mapping[str, Any]) -> bool:
    return (
        all(_are_rows(found.get(name), key="case") for name in ("cases", "failed"))
        and _are_rows(found.get("checkpoints"), key="sha256")
        and len({row["case"] for row in found["cases"]}) == len(found["cases"])
        and all(_can_be_compared(row) for row in found["cases"] if "scan_sha256" in row)
        and all(_can_be_printed(row) for row in found["cases"])
        and isinstance(found.get("settings"), dict)
        and _are_texts(found.get("versions"))
        and all(name in found for name in ("regions", "device"))
        and _is_list_of_texts(found.get("in_progress", []))
    )


def _are_rows(rows: object, *, key: str) -> bool:
    return isinstance(rows, list) and all(
        isinstance(row, dict) and isinstance(row.get(key), str) for row in rows
    )


def _can_be_compared(row: Mapping[str, Any]) -> bool:
    return _are_texts(row.get("files_sha256")) and isinstance(row.get("outputs"), dict)


def _can_be_printed(row: Mapping[str, Any]) -> bool:
    return _is_list_of_texts(row.get("warnings", [])) and _are_texts(row.get("versions", {}))


def _are_texts(found: object) -> bool:
    return isinstance(found, dict) and _is_list_of_texts(list(found.values()))


def _is_list_of_texts(found: object) -> bool:
    return isinstance(found, list) and all(isinstance(one, str) for one in found)
