"""Where the masks and scans of an evaluation lie, so that its cases can be drawn again."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lts.app.commands.mask_pairs import MaskPair
from lts.base import CohortError, ConfigError, MaskLabels, Modality, path_exists, read_json_object, write_json

SOURCES_FILE = "sources.json"
MASK_FOLDER = "masks"
"""Of the masks that a model made."""

_LABELS = ("prediction_labels", "reference_labels")


@dataclass(frozen=True, kw_only=True)
class Sources:
    """What was scored, and how its scans are shown.

    Attributes:
        made_by: What made the masks, in words.
        modality: Of the scans.
        window_hu: Level and width of the gray window; None for percentiles.
        pairs: By case, its prediction, its reference and its scan.
    """

    made_by: str
    modality: Modality
    window_hu: tuple[float, float] | None
    pairs: Mapping[str, MaskPair]


def write_sources(
    folder: Path,
    pairs: Sequence[MaskPair],
    *,
    made_by: str,
    modality: Modality,
    window_hu: tuple[float, float] | None,
) -> None:
    """Write `sources.json` of an evaluation.

    Args:
        folder: Of the evaluation; files in it are named from there, so that it can be moved.
        pairs: What was scored.
        made_by: As in `Sources`; so are the others.
        modality: Of the scans.
        window_hu: Level and width of the gray window.

    Raises:
        StorageError: It cannot be written.
    """
    window = None if window_hu is None else list(window_hu)
    cases = {pair.case: _facts_of(pair, folder.resolve()) for pair in pairs}
    facts = {"made_by": made_by, "modality": modality, "window_hu": window, "cases": cases}
    write_json(folder / SOURCES_FILE, facts)


def read_sources(folder: Path) -> Sources:
    """Read `sources.json` of an evaluation.

    Raises:
        CohortError: It cannot be read, or is damaged.
    """
    path = folder / SOURCES_FILE
    content = read_json_object(path)
    try:
        window = content["window_hu"]
        modality: Modality = {"ct": "ct", "mr": "mr"}[content["modality"]]  # type: ignore[assignment]
        return Sources(
            made_by=str(content["made_by"]),
            modality=modality,
            window_hu=None if window is None else (float(window[0]), float(window[1])),
            pairs={case: _pair_of(case, facts, folder) for case, facts in content["cases"].items()},
        )
    except (KeyError, IndexError, TypeError, ValueError, AttributeError, ConfigError) as error:
        raise CohortError(f"{path}: is damaged: {type(error).__name__} {error}") from error


def _facts_of(pair: MaskPair, folder: Path) -> dict[str, Any]:
    def place(path: Path | None) -> str | None:
        if path is None:
            return None
        whole = path.resolve()
        return str(whole.relative_to(folder) if whole.is_relative_to(folder) else whole)

    return {
        **{name: place(getattr(pair, name)) for name in ("prediction", "reference", "image")},
        **{name: labels.to_dict() for name in _LABELS if (labels := getattr(pair, name)) is not None},
    }


def _pair_of(case: str, facts: Mapping[str, Any], folder: Path) -> MaskPair:
    return MaskPair(
        case,
        prediction=folder / facts["prediction"],
        reference=folder / facts["reference"],
        image=None if facts["image"] is None else folder / facts["image"],
        **{
            name: MaskLabels(**{region: tuple(values) for region, values in facts[name].items()})
            for name in _LABELS
            if name in facts
        },
    )


def check_masks_are_ours(folder: Path, pairs: Sequence[MaskPair]) -> None:
    """Check that the masks that a model is to write replace none but those of an earlier evaluation there.

    Args:
        folder: Of the evaluation; it was one before if it has `sources.json`.
        pairs: What is to be scored.

    Raises:
        ConfigError: A file of that name is somebody else's.
    """
    if (folder / SOURCES_FILE).is_file():
        return
    if there := [pair.prediction for pair in pairs if path_exists(pair.prediction)]:
        raise ConfigError(
            f"paths.output_dir: {there[0]} is there and of no evaluation; choose another folder"
        )
