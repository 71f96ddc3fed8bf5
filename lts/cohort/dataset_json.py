"""The two layouts with a dataset.json: Medical Segmentation Decathlon (MSD) and nnU-Net.

Sources: Antonelli et al., Nature Communications 13:4128, 2022 (MSD); Isensee et al., Nature Methods
18:203-211, 2021 (nnU-Net).
"""

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from lts.base import (
    BACKGROUND,
    LIVER,
    TUMOR,
    CohortError,
    MaskLabels,
    is_file,
    name_some,
    read_json_object,
    shown,
)
from lts.cohort.case import Case, Cohort, IncompleteCohortError
from lts.cohort.files import (
    case_stem,
    combined_error,
    grouped,
    is_hidden,
    matched_cases,
    scan_files,
    shared_file_problems,
)
from lts.volume import MASK_SUFFIX, kinds_in_words, scan_suffixes, suffixes_in_words

_TUMOR_NAMES = ("tumor", "tumour", "cancer", "lesion")
_IGNORE = "ignore"
# nnU-Net may state the liver as a region, that is with its tumors.
_NUMBERS_OF_LABEL = {
    "background": ([BACKGROUND],),
    "liver": ([LIVER], [LIVER, TUMOR]),
    **dict.fromkeys(_TUMOR_NAMES, ([TUMOR],)),
}
_MOST_DIGITS = 10
_CHANNEL_SUFFIX = re.compile(r"(.+)_(\d{4})")


def _stated_labels(meta: dict[str, Any]) -> tuple[MaskLabels | None, list[str]]:
    """The stated labels, None for those of lts, and problems if they differ in more than one to ignore.

    MSD states names by number, `{"1": "liver"}`, nnU-Net numbers by name, `{"liver": 1, "ignore": 3}`.
    """
    stated = meta.get("labels", {})
    if isinstance(stated, dict):
        numbers_of_name = [
            (value, [int(key)] if key.isdecimal() and len(key) < _MOST_DIGITS else key)
            if isinstance(value, str)
            else (key, value if isinstance(value, list) else [value])
            for key, value in stated.items()
        ]
        ignored = [numbers for name, numbers in numbers_of_name if name.lower() == _IGNORE]
        known = {name.lower(): numbers for name, numbers in numbers_of_name if name.lower() != _IGNORE}
        if all(numbers in _NUMBERS_OF_LABEL.get(name, ()) for name, numbers in known.items()):
            if not ignored:
                return None, []
            tumor = (TUMOR,) if known.keys() & set(_TUMOR_NAMES) else ()
            (numbers, *others) = ignored
            if not others and len(numbers) == 1 and _is_free(numbers[0], LIVER, *tumor):
                return MaskLabels(liver=(LIVER,), tumor=tumor, ignore=(numbers[0],)), []
    rule = f"background {BACKGROUND}, liver {LIVER} and {' or '.join(_TUMOR_NAMES)} {TUMOR}"
    rule += f", and {_IGNORE}, if it is there, another number"
    return None, [f"labels in dataset.json must be {rule}, got {shown(stated)}"]


def _is_free(number: object, *taken: int) -> bool:
    """Whether a number can be that of a label beside others."""
    return isinstance(number, int) and not isinstance(number, bool) and number not in (BACKGROUND, *taken)


def _channel_problems(meta: dict[str, Any]) -> list[str]:
    """A problem if there is more than one channel."""
    stated = meta.get("channel_names", meta.get("modality", {}))
    if isinstance(stated, dict) and len(stated) <= 1:
        return []
    return [f"dataset.json must state one channel, got {shown(stated)}"]


def _place_problems(meta: dict[str, Any]) -> list[str]:
    """Problems of the images of an nnU-Net dataset: elsewhere, or of a format that is not read."""
    problems = []
    ending = meta.get("file_ending", MASK_SUFFIX)
    if ending not in scan_suffixes():
        rule = f"file_ending in dataset.json must be {suffixes_in_words()}"
        problems.append(f"{rule}, got {shown(ending)}")
    if "dataset" in meta:
        problems.append('"dataset" in dataset.json (a list of paths) is not read: use data=pairs')
    return problems


def _read_meta(root: Path) -> dict[str, Any]:
    """The content of dataset.json, empty without the file."""
    path = root / "dataset.json"
    return read_json_object(path) if path.is_file() else {}


def _has_channel_suffix(root: Path) -> bool:
    return any(_CHANNEL_SUFFIX.fullmatch(stem) for stem, _ in scan_files(root / "imagesTr"))


def is_msd(root: Path) -> bool:
    """Whether the folder looks like an MSD task: a list of training pairs, images without channel suffix."""
    try:
        return isinstance(_read_meta(root).get("training"), list) and not _has_channel_suffix(root)
    except CohortError:
        return False


def is_nnunet(root: Path) -> bool:
    """Whether the folder looks like an nnU-Net dataset: a dataset.json, and images with a channel suffix.

    One that says itself that its images are elsewhere, or are not read, does so too.
    """
    try:
        meta = _read_meta(root)
    except CohortError:
        meta = {}
    return bool(_place_problems(meta)) or ((root / "dataset.json").is_file() and _has_channel_suffix(root))


def _named_cases(root: Path, entries: list[Any]) -> tuple[list[Case], list[str]]:
    """The cases in the list "training", and problems of its entries."""
    cases, broken, missing, without_mask = [], [], [], []
    for number, entry in enumerate(entries, start=1):
        image, mask = (entry.get("image"), entry.get("label")) if isinstance(entry, dict) else (None, None)
        stem = case_stem(Path(image)) if isinstance(image, str) else None
        if not isinstance(image, str) or not stem:
            broken.append(f"{number} ({shown(entry)})")
        elif is_hidden(Path(image)):
            continue
        elif not isinstance(mask, str) or not mask:
            without_mask.append(stem)
        else:
            missing += [path for path in (image, mask) if not is_file(root / path)]
            cases.append(Case(id=stem, patient=stem, image=root / image, mask=root / mask))
    twice = [
        f"{case_id} ({', '.join(images)})"
        for case_id, images in grouped((case.id, str(case.image)) for case in cases).items()
        if images[1:]
    ]
    problems = [
        f"{problem}: {name_some(names)}"
        for problem, names in (
            (f'entries of "training" without a {kinds_in_words()} "image"', broken),
            ("images without mask", without_mask),
            ("files that dataset.json names and that do not exist", missing),
            ("cases named twice", twice),
        )
        if names
    ]
    return cases, problems + ([] if twice else shared_file_problems(cases))


def _sound(cases: Sequence[Case]) -> list[Case]:
    """Cases whose files exist and that are named once."""
    same_id = grouped((case.id, case) for case in cases)
    return [
        case
        for case in cases
        if not same_id[case.id][1:] and is_file(case.image) and case.mask and is_file(case.mask)
    ]


def find_msd_cases(root: Path, labels: MaskLabels | None = None) -> Cohort:
    """The training cases that dataset.json names, such as those of MSD Task03_Liver.

    A case has the name of its image without the suffix, and is a patient of its own. Other files of the same
    folders are listed in the notes. Without a dataset.json with a list "training" there are no cases.

    Raises:
        CohortError: The labels are others than those of lts, and none are given; there are several channels;
            an entry has no image or mask, names a file that does not exist or an image that is not read; a
            case or file is there twice.
    """
    meta = _read_meta(root)
    entries = meta.get("training")
    if not isinstance(entries, list):
        return Cohort(layout="msd", root=root, cases=())
    cases, problems = _named_cases(root, entries)
    own, label_problems = (labels, []) if labels else _stated_labels(meta)
    cases = [replace(case, labels=own) for case in cases]
    problems = label_problems + _channel_problems(meta) + problems
    if problems:
        if _has_channel_suffix(root):
            problems.append("this folder looks like data=nnunet")
        raise IncompleteCohortError(f"{root} (data=msd)", problems, _sound(cases))
    named = {path for case in cases for path in (case.image, case.mask) if path}
    present = {path for folder in {path.parent for path in named} for _, path in scan_files(folder)}
    unnamed = [f"{path.parent.name}/{path.name}" for path in present - named]
    notes = (f"files that dataset.json does not name are not used: {name_some(unnamed)}",) if unnamed else ()
    return Cohort(layout="msd", root=root, cases=tuple(cases), notes=notes)


def _first_channel_images(root: Path) -> tuple[list[tuple[str, Path]], list[str]]:
    """Case id and path of each `imagesTr/CASE_0000.nii.gz`, and problems of other images."""
    images, unsuffixed, further = [], [], []
    for stem, path in scan_files(root / "imagesTr"):
        parts = _CHANNEL_SUFFIX.fullmatch(stem)
        if parts is None:
            unsuffixed.append(path.name)
        elif parts[2] != "0000":
            further.append(path.name)
        else:
            images.append((parts[1], path))
    problems = [f"images without the suffix _0000: {name_some(unsuffixed)}"] if unsuffixed else []
    if further:
        problems.append(f"images of a second channel, where one is allowed: {name_some(further)}")
    return images, problems


def find_nnunet_cases(root: Path, labels: MaskLabels | None = None) -> Cohort:
    """The cases of an nnU-Net dataset: `imagesTr/CASE_0000.nii.gz` and `labelsTr/CASE.nii.gz`.

    Each case is a patient of its own. No case where `imagesTr` holds no scan with a channel suffix,
    and dataset.json does not say why.

    Raises:
        CohortError: There is no dataset.json; the labels are others than those of lts, and none are given;
            there are several channels, or images without the suffix of a channel; the files are not read;
            their number is not "numTraining"; an image has no mask, a mask no image, or a case has several
            files.
    """
    where = f"{root} (data=nnunet)"
    if not _has_channel_suffix(root):
        if problems := _place_problems(_read_meta(root)):
            raise combined_error(where, problems)
        return Cohort(layout="nnunet", root=root, cases=())
    if not (root / "dataset.json").is_file():
        raise combined_error(where, ["dataset.json is missing"])
    meta = _read_meta(root)
    own, problems = (labels, []) if labels else _stated_labels(meta)
    problems = problems + _channel_problems(meta) + _place_problems(meta)
    images, image_problems = _first_channel_images(root)
    found, unmatched = matched_cases(grouped(images), grouped(scan_files(root / "labelsTr")))
    cases = tuple(replace(case, labels=own) for case in found)
    stated = meta.get("numTraining", len(cases))
    if stated != len(cases) and not unmatched:
        unmatched = [f"numTraining in dataset.json is {shown(stated)}, but there are {len(cases)} cases"]
    problems += image_problems + unmatched
    if problems:
        raise IncompleteCohortError(where, problems, cases)
    return Cohort(layout="nnunet", root=root, cases=cases)
