"""Shared by the layouts: file names, matching of images and masks, problems in one line."""

import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from lts.base import CohortError, name_some
from lts.cohort.case import Case
from lts.volume import scan_stem

T = TypeVar("T")

DICOMDIR = "DICOMDIR"
"""The file that lists the DICOM files of a disc."""


def combined_error(where: str, problems: Sequence[str]) -> CohortError:
    """One error with one line for all problems of one place."""
    return CohortError(f"{where}: " + "; ".join(problems))


def is_hidden(path: Path) -> bool:
    """Whether a file or folder is hidden: dot files, macOS's `._` files and `__MACOSX`."""
    return path.name.startswith(".") or path.name == "__MACOSX"


def case_stem(path: Path) -> str | None:
    """The name without its suffix, such as `.nii.gz` in any case; None for what is no scan by its name.

    Composed (NFC), so that a file copied from macOS, which decomposes accents, names the same case.

    Example:
        >>> case_stem(Path("imagesTr/liver_0.nii.gz")), case_stem(Path("notes.txt"))
        ('liver_0', None)
    """
    stem = scan_stem(path)
    return None if stem is None else composed(stem)


def composed(name: str) -> str:
    """A name with composed accents (NFC), as most systems write them."""
    return unicodedata.normalize("NFC", name)


def files_below(folder: Path, *, depth: int) -> Iterator[Path]:
    """Every file of `folder` and of the folders in it, `depth` levels down; nothing where it is no folder."""
    if not folder.is_dir():
        return
    for path in sorted(folder.iterdir()):
        if is_hidden(path):
            continue
        if not path.is_dir():
            yield path
        elif depth > 0:
            yield from files_below(path, depth=depth - 1)


def scan_files(folder: Path) -> Iterator[tuple[str, Path]]:
    """Stem and path of each scan or mask of `folder`; nothing where there is no such folder."""
    for path in files_below(folder, depth=0):
        if stem := case_stem(path):
            yield stem, path


def grouped(pairs: Iterable[tuple[str, T]]) -> dict[str, list[T]]:
    """All values of each key, in the order they came."""
    groups: dict[str, list[T]] = defaultdict(list)
    for key, value in pairs:
        groups[key].append(value)
    return dict(groups)


def matched_cases(
    images: Mapping[str, Sequence[Path]], masks: Mapping[str, Sequence[Path]]
) -> tuple[tuple[Case, ...], list[str]]:
    """Match images and masks by case id; each case is a patient of its own.

    Returns:
        The cases with one image and one mask, and the problems of the others.
    """
    problems = []
    for kind, files in (("images", images), ("masks", masks)):
        twice = [f"{case_id} ({', '.join(map(str, paths))})" for case_id, paths in files.items() if paths[1:]]
        if twice:
            problems.append(f"cases with several {kind}: {name_some(twice)}")
    for kind, files, other_kind, others in (
        ("images", images, "mask", masks),
        ("masks", masks, "image", images),
    ):
        alone = [paths[0].name for case_id, paths in files.items() if case_id not in others]
        if alone:
            problems.append(f"{kind} without {other_kind}: {name_some(alone)}")
    cases = tuple(
        Case(id=case_id, patient=case_id, image=images[case_id][0], mask=masks[case_id][0])
        for case_id in images.keys() & masks.keys()
    )
    return cases, problems


def shared_file_problems(cases: Iterable[Case]) -> list[str]:
    """A problem for files used twice, in two cases or as image and mask of one."""
    users = grouped((str(path), case.id) for case in cases for path in (case.image, *case.mask_files))
    shared = [f"{path} ({', '.join(ids)})" for path, ids in users.items() if ids[1:]]
    return [f"files used twice: {name_some(shared)}"] if shared else []
