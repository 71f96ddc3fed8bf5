"""Pairs the masks of any system with their references, by case name, and reads a pair."""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lts.app.commands.cases import mask_labels, open_cohort
from lts.app.config.settings import EvaluateSettings
from lts.base import CohortError, ConfigError, MaskLabels, Modality, name_some, natural_key, read_csv_rows
from lts.cohort import Case, case_id_problem, case_stem
from lts.volume import Geometry, read_image, read_mask, read_mask_geometry, suffixes_in_words

_OF_LITS = re.compile(r"^(volume|segmentation)-(\d+)$", re.IGNORECASE)
_COLUMNS = ("case", "mask")
_SHOWN = 5
_WAY_OUT = "a CSV file with the columns case and mask, in place of the folder, tells which is meant"


@dataclass(frozen=True)
class MaskPair:
    """A mask to score and what it is held against.

    Attributes:
        case: Case name.
        prediction: The mask.
        reference: The reference mask.
        image: The scan, None where it is not at hand.
        prediction_labels: What in the mask is liver and tumor, None for 1 and 2.
        reference_labels: The same of the reference.
    """

    case: str
    prediction: Path
    reference: Path
    image: Path | None
    prediction_labels: MaskLabels | None = None
    reference_labels: MaskLabels | None = None

    @property
    def reference_files(self) -> tuple[Path, ...]:
        """The files of the reference."""
        return self.reference_labels.files_in(self.reference) if self.reference_labels else (self.reference,)


@dataclass(frozen=True, eq=False)
class ReadPair:
    """A mask to score, its reference and its scan in memory, on one grid.

    Attributes:
        geometry: The grid: that of the scan, or of the reference where there is no scan.
        image: `(Z, H, W)` voxels of the scan; None where it is not at hand.
        prediction: `(Z, H, W)` labels, background where the reference says nothing.
        reference: `(Z, H, W)` labels.
    """

    geometry: Geometry
    image: NDArray[Any] | None
    prediction: NDArray[np.uint8]
    reference: NDArray[np.uint8]


def read_pair(pair: MaskPair, *, modality: Modality) -> ReadPair:
    """Read a pair as it is scored.

    Args:
        pair: The files.
        modality: Of the scan.

    Raises:
        VolumeError: A file cannot be read, or a mask lies on another grid.
    """
    scan = read_image(pair.image, modality=modality) if pair.image else None
    geometry = scan.geometry if scan else read_mask_geometry(pair.reference_files[0])
    prediction = read_mask(pair.prediction, image=geometry, labels=pair.prediction_labels)
    reference = read_mask(pair.reference, image=geometry, labels=pair.reference_labels)
    return ReadPair(
        geometry=geometry,
        image=scan.voxels if scan else None,
        prediction=reference.where_known(prediction.voxels),
        reference=reference.voxels,
    )


def pair_masks(settings: EvaluateSettings) -> list[MaskPair]:
    """Pair `predictions` with `references`, or with the cases of `data.root`.

    Case names are file names without their suffix and without `_mask` at its end, and
    `segmentation-7` of LiTS is `volume-7`; or what a CSV file says. A file of a whole name that a case of the
    other side has, and none has the shortened one, is of that case.

    Raises:
        CohortError: A folder holds no masks, two files of one case, a file that may be of two cases, or a
            case that the other lacks; or a mask is its own reference.
        ConfigError: Neither or both of `references` and `data.root` are given.
    """
    if (settings.references is None) == (settings.data.root is None):
        raise ConfigError(
            "references: must be a folder, or the data set be named by data=... data.root=..., not both"
        )
    assert settings.predictions is not None
    predictions = Path(settings.predictions)
    of_predictions = mask_labels(settings.prediction_labels, key="prediction_labels")
    if of_predictions and of_predictions.ignore:
        raise ConfigError(
            "prediction_labels.ignore: must be empty, as references alone can leave voxels out, "
            f"got {list(of_predictions.ignore)}"
        )
    of_references = mask_labels(settings.reference_labels, key="reference_labels")
    masks = masks_in(predictions, of_predictions)
    if settings.references is not None:
        held = Path(settings.references)
        found = masks_in(held, of_references)
        masks = _as_meant(predictions, masks, others=found, there=held)
        references: dict[str, tuple[Path, Path | None, MaskLabels | None]] = {
            name: (path, None, of_references)
            for name, path in _as_meant(held, found, others=masks, there=predictions).items()
        }
    else:
        if of_references:
            raise ConfigError("reference_labels: must be left out with data.root; data.labels says it there")
        assert settings.data.root is not None
        held = Path(settings.data.root)
        cases = _by_name(held, open_cohort(settings.data).cases, masks=masks)
        masks = _as_meant(predictions, masks, others=cases, there=held)
        references = {name: (case.mask, case.image, case.labels) for name, case in cases.items() if case.mask}
    _check_pairs(set(masks), set(references), predictions, held, allow_unpaired=settings.allow_unpaired)
    pairs = []
    for name in sorted(masks.keys() & references.keys(), key=natural_key):
        reference, image, labels = references[name]
        pairs.append(MaskPair(name, masks[name], reference, image, of_predictions, labels))
    if same := [pair.case for pair in pairs if pair.prediction.resolve() == pair.reference.resolve()]:
        named = name_some(same, most=_SHOWN)
        raise CohortError(f"{predictions}: must hold predictions, got the references themselves: {named}")
    return pairs


def masks_in(folder: Path, labels: MaskLabels | None = None) -> dict[str, Path]:
    """Masks of a folder by case name: files, or folders where `labels` names files.

    Where files are named as LiTS names them, volumes are scans and not masks. The files of a case may also
    lie in `segmentations` of its folder, as in TotalSegmentator's data set. A CSV file in place of a folder
    names each mask and its case.

    Raises:
        CohortError: There is no such folder or file, no mask in it, two of one case, or one whose name is
            unsafe; or a mask that a file names is not there.
    """
    if _is_list(folder):
        return _named_in(folder, labels)
    if not folder.is_dir():
        raise CohortError(f"{folder}: no such folder")
    if labels and labels.are_files:
        return _organs_in(folder, labels)
    files = [
        (path, stem) for path in sorted(folder.iterdir()) if (stem := case_stem(path)) and path.name[0] != "."
    ]
    if any(stem.lower().startswith("segmentation-") for _, stem in files):
        files = [(path, stem) for path, stem in files if not re.fullmatch(r"volume-\d+", stem.lower())]
    found: dict[str, Path] = {}
    for path, stem in files:
        name = case_name(stem)
        if problem := case_id_problem(name):
            raise CohortError(f"{folder}: {problem}")
        if name in found:
            raise CohortError(
                f"{folder}: case {name} is there twice, as {found[name].name} and {path.name}; {_WAY_OUT}"
            )
        found[name] = path
    if not found:
        has_folders = any(path.is_dir() for path in folder.iterdir())
        hint = "; folders of single organs need labels that name their files" if has_folders else ""
        raise CohortError(f"{folder}: must hold masks, {suffixes_in_words()}, got none{hint}")
    return found


def _is_list(path: Path) -> bool:
    """Whether a file names masks."""
    return path.suffix.lower() == ".csv" and path.is_file()


def _by_name(root: Path, cases: Sequence[Case], *, masks: Collection[str]) -> dict[str, Case]:
    """Cases by the names that their masks have: that of a file without `_mask`, else their own.

    Args:
        root: Where they lie.
        cases: Of a data set.
        masks: Names of the masks to score.

    Raises:
        CohortError: Two have one name.
    """
    own = {case.id for case in cases}
    found: dict[str, Case] = {}
    for case in cases:
        name = case_name(case.id)
        if case.id in masks or name in own:
            name = case.id
        if name in found:
            raise CohortError(
                f"{root}: cases {found[name].id} and {case.id} are both {name} by the names of files; "
                f"{_WAY_OUT}"
            )
        found[name] = case
    return found


def _as_meant(
    folder: Path, masks: Mapping[str, Path], *, others: Collection[str], there: Path
) -> dict[str, Path]:
    """The masks of a folder by the names that cases of the other side have.

    A file `a_mask` is of case `a`, but of `a_mask` where there is such a case and no `a`. Where there are
    both, it is of `a` if another file is of `a_mask`.

    Args:
        folder: Where they lie.
        masks: By the names that `masks_in` gave them.
        others: Names of the cases of the other side.
        there: Where these lie.

    Raises:
        CohortError: A file may be of two cases.
    """
    if _is_list(folder):
        return dict(masks)
    found = {}
    for name, path in masks.items():
        stem = case_stem(path)
        is_other = stem is not None and stem != name and stem in others and stem not in masks
        if is_other and name in others:
            raise CohortError(
                f"{folder}: {path.name} may be of case {name} or of case {stem}, both of which {there} has; "
                f"{_WAY_OUT}"
            )
        found[stem if is_other and stem else name] = path
    return found


def _named_in(path: Path, labels: MaskLabels | None) -> dict[str, Path]:
    """The masks that a CSV file names in its columns case and mask, from its folder on."""
    found: dict[str, Path] = {}
    for number, row in read_csv_rows(path, columns=_COLUMNS):
        name, mask = row["case"], path.parent / row["mask"]
        files = labels.files_in(mask) if labels else (mask,)
        if problem := case_id_problem(name):
            raise CohortError(f"{path}: row {number}: {problem}")
        if name in found:
            raise CohortError(f"{path}: row {number}: case {name} is there twice")
        if missing := [file for file in files if not file.is_file()]:
            raise CohortError(f"{path}: row {number}: no such file: {missing[0]}")
        found[name] = mask
    if not found:
        raise CohortError(f"{path}: must have a row for each mask, has none")
    return found


def _organs_in(folder: Path, labels: MaskLabels) -> dict[str, Path]:
    found = {}
    names = ", ".join(file.name for file in labels.files_in(folder))
    for case in sorted(path for path in folder.iterdir() if path.is_dir() and path.name[0] != "."):
        for place in (case, case / "segmentations"):
            files = labels.files_in(place)
            if all(file.is_file() for file in files):
                if problem := case_id_problem(case.name):
                    raise CohortError(f"{folder}: {problem}")
                found[case.name] = place
                break
            if any(file.is_file() for file in files):
                missing = next(file for file in files if not file.is_file())
                raise CohortError(f"{place}: must hold {names}, {missing.name} is not there")
    if not found:
        raise CohortError(f"{folder}: must hold a folder per case with {names}, got none")
    return found


def case_name(stem: str) -> str:
    """Name of the case that a file without its suffix belongs to."""
    name = stem.removesuffix("_mask").removesuffix(".seg")  # the latter of 3D Slicer
    of_lits = _OF_LITS.match(name)
    return f"volume-{of_lits[2]}" if of_lits else name


def _check_pairs(
    predicted: set[str], referred: set[str], predictions: Path, references: Path, *, allow_unpaired: bool
) -> None:
    if not predicted & referred:
        raise CohortError(
            f"{predictions}: no case has its reference in {references}: "
            f"{name_some(predicted, most=_SHOWN)} against {name_some(referred, most=_SHOWN)}"
        )
    if allow_unpaired:
        return
    for lost, there, here in (
        (referred - predicted, references, predictions),
        (predicted - referred, predictions, references),
    ):
        if lost:
            raise CohortError(
                f"{here}: lacks cases that {there} has: {name_some(lost, most=_SHOWN)}; "
                "allow_unpaired=true scores the others alone"
            )
