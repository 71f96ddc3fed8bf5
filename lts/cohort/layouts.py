"""Find the cases of a folder, in one of the layouts that cohorts of CT scans come in."""

import os
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

from lts.base import CohortError, ConfigError, MaskLabels
from lts.cohort.case import Case, Cohort, IncompleteCohortError
from lts.cohort.dataset_json import find_msd_cases, find_nnunet_cases, is_msd, is_nnunet
from lts.cohort.files import DICOMDIR, case_stem, files_below, grouped, is_hidden, matched_cases
from lts.cohort.pairs import find_pairs_cases, is_pairs
from lts.volume import suffix_pattern

_LITS_STEM = re.compile(r"(volume|segmentation)-(\d+)", re.IGNORECASE)
_SUFFIX = suffix_pattern()
# Kaggle's two datasets side by side, each with volume_pt*/volume_pt*/ in it.
_LITS_DEPTH = 3
_MOST_LOOKED_AT = 1000


def _lits_files(root: Path) -> list[tuple[str, str, Path]]:
    """Kind (`volume` or `segmentation`), case id and path of each file named in the manner of LiTS."""
    return [
        (match[1].lower(), f"volume-{int(match[2])}", path)
        for path in files_below(root, depth=_LITS_DEPTH)
        if (match := _LITS_STEM.fullmatch(case_stem(path) or ""))
    ]


def find_lits_cases(root: Path) -> Cohort:
    """The cases of LiTS: `volume-N.nii.gz` and `segmentation-N.nii.gz`, up to three folders below `root`.

    Case `volume-N` is a patient of its own. Where files lie does not matter, so that one flat folder, the
    two training batches and the two datasets on Kaggle (`volume_pt*/`, `segmentations/` or `segmentation/`)
    are read alike. No case where no file has such a name. Source: Bilic et al., Medical Image Analysis
    84:102680, 2023.

    Raises:
        IncompleteCohortError: A volume has no segmentation, a segmentation no volume, or a case has
            several files.

    Example:
        >>> find_lits_cases(Path("no such folder")).cases
        ()
    """
    files = _lits_files(root)
    images = grouped((case_id, path) for kind, case_id, path in files if kind == "volume")
    masks = grouped((case_id, path) for kind, case_id, path in files if kind == "segmentation")
    cases, problems = matched_cases(images, masks)
    if problems:
        if images.keys() ^ masks.keys():
            problems.append("on Kaggle LiTS is two datasets: unpack both under this folder")
        raise IncompleteCohortError(f"{root} (data=lits)", problems, cases)
    return Cohort(layout="lits", root=root, cases=cases)


@dataclass(frozen=True)
class _Layout:
    find: Callable[[Path, MaskLabels | None], Cohort]
    fits: Callable[[Path], bool]
    looks_for: str


_LAYOUTS = {
    "lits": _Layout(
        find=lambda root, _labels: find_lits_cases(root),
        fits=lambda root: bool(_lits_files(root)),
        looks_for=f"volume-N{_SUFFIX} and segmentation-N{_SUFFIX}, up to three folders deep",
    ),
    "msd": _Layout(
        find=find_msd_cases,
        fits=is_msd,
        looks_for='dataset.json with a list "training" of images and labels',
    ),
    "nnunet": _Layout(
        find=find_nnunet_cases,
        fits=is_nnunet,
        looks_for=f"imagesTr/CASE_0000{_SUFFIX}, labelsTr/CASE{_SUFFIX} and dataset.json",
    ),
    "pairs": _Layout(
        find=find_pairs_cases,
        fits=is_pairs,
        looks_for="a CSV file, or a folder with cases.csv or pairs.csv",
    ),
}

LAYOUTS = tuple(_LAYOUTS)
"""The layouts that `find_cases` knows."""


def _fitting_layout(root: Path, *, other_than: str) -> str | None:
    """What the folder, or one of the folders in it, looks like by its names: a sentence, or None."""
    inside = (
        [path for path in sorted(root.iterdir()) if path.is_dir() and not is_hidden(path)]
        if root.is_dir()
        else []
    )
    for folder in (root, *inside):
        for name, layout in _LAYOUTS.items():
            if (folder, name) != (root, other_than) and layout.fits(folder):
                return f"{'this folder' if folder == root else folder} looks like data={name}"
    if any(_is_named_as_dicom(path) for path in islice(root.rglob("*"), _MOST_LOOKED_AT)):
        return "it holds DICOM: data=pairs takes a CSV file that names the folder of each series and its mask"
    return None


def _is_named_as_dicom(path: Path) -> bool:
    return path.suffix.lower() == ".dcm" or path.name.upper() == DICOMDIR


def find_cases(root: str | os.PathLike[str], *, layout: str, labels: MaskLabels | None = None) -> Cohort:
    """The cases below `root`, from their names alone: no scan is opened.

    Args:
        root: The folder of the cohort; for `pairs` also the CSV file itself.
        layout: One of `LAYOUTS`.
        labels: What in the masks is liver and tumor, whatever a dataset.json says; None for 1 and 2. Masks
            that are folders of files can only be named by `pairs`.

    Returns:
        One case or more, each with a mask.

    Raises:
        ConfigError: The layout is unknown.
        IncompleteCohortError: Files have problems, all of which are listed.
        CohortError: `root` does not exist or holds no case of that layout, or a list of cases cannot be read.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     for name in ("volume-0.nii", "segmentation-0.nii.gz", "volume-1.nii", "segmentation-1.nii"):
        ...         Path(folder, name).touch()
        ...     [case.id for case in find_cases(folder, layout="lits").cases]
        ['volume-0', 'volume-1']
    """
    root = Path(root)
    if layout not in _LAYOUTS:
        raise ConfigError(f"layout: must be one of {', '.join(LAYOUTS)}, got {layout!r}")
    if not root.exists():
        raise CohortError(
            f"root: {root} does not exist (layout {layout} looks for {_LAYOUTS[layout].looks_for})"
        )
    if labels and labels.are_files and layout != "pairs":
        raise ConfigError(f"labels: must be numbers with layout {layout}, got {labels.to_dict()}; use pairs")
    try:
        cohort = _LAYOUTS[layout].find(root, labels)
    except IncompleteCohortError as error:
        error.cases = _with_labels(error.cases, labels)
        raise
    if not cohort.cases:
        hint = _fitting_layout(root, other_than=layout)
        if hint is None and layout != "pairs":
            hint = "files with other names can be listed in a CSV file for data=pairs"
        raise CohortError(
            f"root: {root} holds no case of layout {layout}, which looks for {_LAYOUTS[layout].looks_for}"
            + (f"; {hint}" if hint else "")
        )
    return replace(cohort, cases=_with_labels(cohort.cases, labels))


def _with_labels(cases: tuple[Case, ...], labels: MaskLabels | None) -> tuple[Case, ...]:
    """The cases; labels that are given win over what a dataset.json says."""
    return tuple(replace(case, labels=labels) for case in cases) if labels else cases
