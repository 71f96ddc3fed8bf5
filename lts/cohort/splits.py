"""Divide a cohort into training, validation and test cases, so that no patient is in two parts."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lts.base import CohortError, ConfigError, name_some, natural_key, read_json_object, shown
from lts.cohort.case import Case
from lts.cohort.files import combined_error, composed, grouped
from lts.volume import header_suffixes, source_files

PARTS = ("train", "val", "test")


@dataclass(frozen=True)
class Split:
    """Case ids of each part, each part in natural order; a part may be given in any order, and may be empty.

    Attributes:
        train: Cases to train on.
        val: Cases to choose the checkpoint by.
        test: Cases to report scores of.
        unused: Cases left out on purpose.

    Raises:
        CohortError: A case is named twice.

    Example:
        >>> split = Split(train=("case-10", "case-2"), val=("case-7",))
        >>> split.train, split.test, split.subset("all")
        (('case-2', 'case-10'), (), ('case-2', 'case-7', 'case-10'))
    """

    train: tuple[str, ...]
    val: tuple[str, ...] = ()
    test: tuple[str, ...] = ()
    unused: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for part in (*PARTS, "unused"):
            object.__setattr__(self, part, tuple(sorted(map(composed, getattr(self, part)), key=natural_key)))
        if problems := _repeated((part, case_id) for part, ids in self._parts().items() for case_id in ids):
            raise combined_error("split", problems)

    def _parts(self) -> dict[str, tuple[str, ...]]:
        return {"train": self.train, "val": self.val, "test": self.test, "unused": self.unused}

    def subset(self, name: str) -> tuple[str, ...]:
        """The case ids of `train`, `val` or `test`, or of the three together (`all`).

        Raises:
            ConfigError: The name is another one.
        """
        if name == "all":
            return tuple(sorted(self.train + self.val + self.test, key=natural_key))
        if name not in PARTS:
            raise ConfigError(f"subset: must be one of {', '.join(PARTS)}, all, got {name!r}")
        return self._parts()[name]

    def to_dict(self) -> dict[str, list[str]]:
        """Plain types for JSON and checkpoints; `unused` only where there are such cases."""
        return {part: list(ids) for part, ids in self._parts().items() if ids or part in PARTS}

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> "Split":
        """The split that `to_dict` wrote; other keys are not read.

        Raises:
            CohortError: A part is missing or is no list of case ids; a case is named twice.
        """
        parts = {part: content.get(part, [] if part == "unused" else None) for part in (*PARTS, "unused")}
        for part, ids in parts.items():
            if not isinstance(ids, list) or not all(isinstance(case_id, str) for case_id in ids):
                raise CohortError(f"split: {part!r} must be a list of case ids, got {shown(ids)}")
        return cls(**{part: tuple(ids) for part, ids in parts.items()})


def limit_split(split: Split, cases: Iterable[Case], *, limit: int) -> Split:
    """Keep so many cases of each part, those whose scans have the smallest files; the others become unused.

    Args:
        split: The split.
        cases: Its cases and maybe others.
        limit: How many of each part are kept, > 0; parts that have fewer keep all.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     cases = [Case(name, patient=name, image=Path(folder, name), mask=None) for name in "ab"]
        ...     sizes = [case.image.write_text("x" * size) for case, size in zip(cases, (4, 1), strict=True)]
        ...     limit_split(Split(train=("a", "b")), cases, limit=1)
        Split(train=('b',), val=(), test=(), unused=('a',))
    """
    file_bytes = {case.id: _file_bytes(case.image) for case in cases}
    kept = {part: sorted(split.subset(part), key=file_bytes.__getitem__)[:limit] for part in PARTS}
    left = set(split.subset("all")).difference(*kept.values())
    return Split(**{part: tuple(ids) for part, ids in kept.items()}, unused=(*split.unused, *left))


def _file_bytes(image: Path) -> int:
    """Bytes of all files of a scan: a series in a folder, or the voxels beside a header, too."""
    if image.is_dir():
        files: Iterable[Path] = (path for path in image.rglob("*") if path.is_file())
    else:
        files = source_files(image) if image.name.lower().endswith(header_suffixes()) else (image,)
    return sum(path.stat().st_size for path in files)


def _repeated(named: Iterable[tuple[str, str]]) -> list[str]:
    """A problem for the cases that are named more than once, with the parts that name them."""
    parts = grouped((case_id, part) for part, case_id in named)
    repeated = [f"{case_id} ({', '.join(in_parts)})" for case_id, in_parts in parts.items() if in_parts[1:]]
    return [f"cases named twice: {name_some(repeated)}"] if repeated else []


def _shuffled_patients(cases: Sequence[Case], *, least: int, seed: int) -> list[tuple[str, ...]]:
    """The case ids of each patient; the order of patients depends on their names and the seed alone."""
    ids_of_patient = grouped((case.patient, case.id) for case in cases)
    patients = sorted(ids_of_patient, key=natural_key)
    if len(patients) < least:
        raise CohortError(
            f"a split by patient into {least} parts needs {least} patients or more, got {len(patients)}"
            f" ({name_some(patients)})"
        )
    order = np.random.default_rng(seed).permutation(len(patients))
    return [tuple(ids_of_patient[patients[index]]) for index in order]


def _joined(patients: Iterable[tuple[str, ...]]) -> tuple[str, ...]:
    return tuple(case_id for ids in patients for case_id in ids)


def check_draw(
    *, val_share: float = 0.2, test_share: float = 0, folds: int = 2, fold: int = 0, seed: int = 0
) -> None:
    """Check the settings of a split without cases.

    Args:
        val_share: As for `split_by_patient`.
        test_share: As for `split_by_patient`.
        folds: As for `split_into_folds`.
        fold: As for `split_into_folds`.
        seed: 0 or more.

    Raises:
        ConfigError: A number is outside its range, or the shares leave nothing to train on.

    Example:
        >>> check_draw(val_share=0.2, folds=5, fold=4)
        >>> check_draw(folds=5, fold=5)
        Traceback (most recent call last):
        lts.base...ConfigError: fold: must be from 0 to 4 of 5 folds, got 5
    """
    for name, share in (("val_share", val_share), ("test_share", test_share)):
        if not 0 <= share < 1:
            raise ConfigError(f"{name}: must be 0 or more and less than 1, got {share}")
    if val_share + test_share >= 1:
        raise ConfigError(
            "val_share and test_share: must leave cases to train on (sum below 1), "
            f"got {val_share} and {test_share}"
        )
    if folds < 2:
        raise ConfigError(f"folds: must be 2 or more, got {folds}")
    if not 0 <= fold < folds:
        raise ConfigError(f"fold: must be from 0 to {folds - 1} of {folds} folds, got {fold}")
    if seed < 0:
        raise ConfigError(f"seed: must be 0 or more, got {seed}")


def _rounded_count(share: float, *, of: int) -> int:
    """`share` of that many patients, halves up, but 1 at least; none for a share of 0."""
    return max(1, int(share * of + 0.5)) if share else 0


def split_by_patient(
    cases: Sequence[Case], *, val_share: float = 0.2, test_share: float = 0.2, seed: int = 0
) -> Split:
    """Draw whole patients into validation and test, the rest into training.

    Shares are of patients, rounded to the nearest count (halves up). A part of share 0 stays empty, any other
    gets one patient at least: where validation and test would leave none to train on, the larger of the two
    gives one up (the test part if they are equal). The draw depends on the seed and the patients' names, not
    on the order of `cases`.

    Args:
        cases: Cases of as many patients as there are parts, or more.
        val_share: Share of patients to validate on, in [0, 1).
        test_share: Share of patients to test on, in [0, 1).
        seed: 0 or more.

    Raises:
        ConfigError: A share is outside [0, 1), the two leave nothing to train on, or the seed is negative.
        CohortError: There are fewer patients than parts.

    Example:
        >>> cases = [Case(f"scan-{n}", f"patient-{n // 2}", Path(f"{n}.nii"), None) for n in range(10)]
        >>> split = split_by_patient(cases, seed=1)
        >>> len(split.train), split.val, split.test
        (6, ('scan-0', 'scan-1'), ('scan-8', 'scan-9'))
    """
    check_draw(val_share=val_share, test_share=test_share, seed=seed)
    patients = _shuffled_patients(cases, least=1 + bool(val_share) + bool(test_share), seed=seed)
    val_count, test_count = (_rounded_count(share, of=len(patients)) for share in (val_share, test_share))
    while val_count + test_count >= len(patients):
        if val_count > test_count:
            val_count -= 1
        else:
            test_count -= 1
    test, rest = patients[:test_count], patients[test_count:]
    return Split(train=_joined(rest[val_count:]), val=_joined(rest[:val_count]), test=_joined(test))


def split_into_folds(
    cases: Sequence[Case], *, folds: int, fold: int, val_share: float = 0.2, seed: int = 0
) -> Split:
    """One fold of a cross-validation by patient: over all folds, each case is tested exactly once.

    The sizes of folds differ by one patient at most. Validation takes patients that the fold does not test,
    and others in each fold.

    Args:
        cases: Cases of 3 patients or more, of 2 where none is validated on.
        folds: Number of folds, 2 or more.
        fold: Which of them is the test part, from 0 to `folds` - 1.
        val_share: Share of the patients not tested to validate on, in [0, 1); rounded, one at least unless it
            is 0, and one is left to train on.
        seed: 0 or more; the same for all folds of a cross-validation.

    Raises:
        ConfigError: A number is outside its range; there are more folds than patients, or a fold leaves
            too few patients to train and validate on.
        CohortError: There are too few patients.

    Example:
        >>> cases = [Case(f"scan-{n}", f"patient-{n}", Path(f"{n}.nii"), None) for n in range(6)]
        >>> [split_into_folds(cases, folds=3, fold=fold).test for fold in range(3)]
        [('scan-2', 'scan-3'), ('scan-4', 'scan-5'), ('scan-0', 'scan-1')]
    """
    check_draw(val_share=val_share, folds=folds, fold=fold, seed=seed)
    left = 1 + bool(val_share)
    patients = _shuffled_patients(cases, least=left + 1, seed=seed)
    if folds > len(patients):
        raise ConfigError(f"folds: must be at most the number of patients ({len(patients)}), got {folds}")
    largest_fold = -(-len(patients) // folds)
    if len(patients) - largest_fold < left:
        raise ConfigError(
            f"folds: each fold must leave {left} patients to train and validate on; "
            f"{folds} folds of {len(patients)} patients do not"
        )
    start, stop = (len(patients) * number // folds for number in (fold, fold + 1))
    # The patients after the fold come first, so that each fold validates on others.
    rest = patients[stop:] + patients[:start]
    val_count = min(_rounded_count(val_share, of=len(rest)), len(rest) - 1)
    return Split(
        train=_joined(rest[val_count:]), val=_joined(rest[:val_count]), test=_joined(patients[start:stop])
    )


def parse_split(path: Path) -> Split:
    """The split in a JSON file, without a check against cases.

    Raises:
        CohortError: The file cannot be read, has no such lists, or names a case twice.

    Example:
        >>> _ = Path("split.json").write_text('{"train": ["a", "b"], "val": ["c"], "test": []}')
        >>> parse_split(Path("split.json")).train
        ('a', 'b')
    """
    content = read_json_object(path)
    try:
        return Split.from_dict(content)
    except CohortError as error:
        raise CohortError(f"{path}: {error}") from error


def membership_problems(split: Split, cases: Iterable[Case]) -> list[str]:
    """Problems of a split for these cases: each must be named, no others, and one to train on.

    Example:
        >>> membership_problems(Split(train=("a", "b")), [Case("a", "a", Path("a.nii"), None)])
        ['cases the cohort does not have: b']
    """
    present = {case.id for case in cases}
    problems = [] if split.train else ["train must name one case or more"]
    named = set(split.subset("all")) | set(split.unused)
    if unknown := named - present:
        problems.append(f"cases the cohort does not have: {name_some(unknown)}")
    if not_named := present - named:
        problems.append(f'cases of the cohort in no part (list them under "unused"?): {name_some(not_named)}')
    return problems


def leaked_patients(split: Split, cases: Iterable[Case]) -> dict[str, tuple[str, ...]]:
    """The patients with cases in two or three parts, and these parts.

    Example:
        >>> cases = [Case(name, "patient-1", Path(f"{name}.nii"), None) for name in ("a", "b")]
        >>> leaked_patients(Split(train=("a",), test=("b",)), cases)
        {'patient-1': ('train', 'test')}
    """
    part_of = {case_id: part for part in PARTS for case_id in split.subset(part)}
    parts_of = grouped((case.patient, part_of[case.id]) for case in cases if case.id in part_of)
    return {
        patient: tuple(part for part in PARTS if part in parts)
        for patient, parts in parts_of.items()
        if len(set(parts)) > 1
    }


def read_split(path: Path, *, cases: Sequence[Case]) -> Split:
    """The split in a JSON file: `{"train": [...], "val": [...], "test": [...]}`, other keys not read.

    Every case of the cohort is in one part or in the optional list `unused`. Validation and test may be
    empty.

    Raises:
        CohortError: The file cannot be read or has no such lists; there is nothing to train on; a case is
            unknown, named twice or not named; a patient is in two parts.

    Example:
        >>> _ = Path("split.json").write_text('{"train": ["a"], "val": [], "test": ["b"]}')
        >>> read_split(Path("split.json"), cases=[Case(id, id, Path(f"{id}.nii"), None) for id in "ab"]).test
        ('b',)
    """
    split = parse_split(path)
    problems = membership_problems(split, cases)
    if leaked := leaked_patients(split, cases):
        named = name_some(f"{patient} ({', '.join(parts)})" for patient, parts in leaked.items())
        problems.append(f"patients in two parts: {named}")
    if problems:
        raise combined_error(str(path), problems)
    return split
