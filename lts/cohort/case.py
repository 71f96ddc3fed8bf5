"""A case, and the cohort of cases that one folder holds."""

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from lts.base import CohortError, MaskLabels, natural_key, shown

_UNSAFE_CHARACTERS = set('/\\:*?"<>|')

MOST_BYTES_OF_A_CASE_ID = 200
"""File names hold 255 bytes; output files and temporary names add to the case id."""


def case_id_problem(case_id: str) -> str | None:
    """Why `case_id` cannot be part of a file name, or None if it is safe.

    Example:
        >>> case_id_problem("liver-7")
        >>> case_id_problem("a/b")[:37]
        'case id must be usable as a file name'
    """
    unsafe = (
        not case_id
        or not case_id.isprintable()
        or not _UNSAFE_CHARACTERS.isdisjoint(case_id)
        or case_id != case_id.strip()
        or case_id.startswith(".")
        or ".." in case_id
    )
    if unsafe:
        return (
            "case id must be usable as a file name (not empty, no separators, none of :*?\"<>|, no '..', "
            f"no leading '.', no spaces around it), got {shown(case_id)}"
        )
    return length_problem(case_id)


def length_problem(case_id: str) -> str | None:
    """Why a name is too long for the files of its case, or None.

    Example:
        >>> length_problem("liver-7")
        >>> length_problem("x" * 201)[:41]
        'case id must have at most 200 bytes in UT'
    """
    n_bytes = len(case_id.encode())
    if n_bytes <= MOST_BYTES_OF_A_CASE_ID:
        return None
    rule = f"case id must have at most {MOST_BYTES_OF_A_CASE_ID} bytes in UTF-8, as files are named by it"
    return f"{rule}, got {n_bytes}: {shown(case_id)}"


def patient_problem(patient: str) -> str | None:
    """Why a text cannot name a patient, or None.

    Example:
        >>> patient_problem("Ann"), patient_problem(" ")
        (None, 'patient must not be empty')
    """
    if not patient.strip():
        return "patient must not be empty"
    return None if patient.isprintable() else f"patient must be printable, got {shown(patient)}"


@dataclass(frozen=True)
class Case:
    """One scan, its patient and its mask.

    Attributes:
        id: Name of the case, unique in its cohort, safe as a file name.
        patient: The patient. Cases of one patient always stay in one part of a split.
        image: The scan.
        mask: Its labels, or None for a scan that has none.
        labels: What in the mask is liver and tumor, None for 1 and 2.

    Raises:
        CohortError: The id is not safe as a file name, or the patient is empty or not printable.

    Example:
        >>> Case("liver-7", patient="Ann", image=Path("7.nii.gz"), mask=Path("7-mask.nii.gz")).patient
        'Ann'
    """

    id: str
    patient: str
    image: Path
    mask: Path | None
    labels: MaskLabels | None = None

    def __post_init__(self) -> None:
        if problem := case_id_problem(self.id):
            raise CohortError(f"{self.image}: {problem}")
        if problem := patient_problem(self.patient):
            raise CohortError(f"case {self.id}: {problem}")

    @property
    def mask_files(self) -> tuple[Path, ...]:
        """What its labels are read from: the mask, or files in it that `labels` names; none without one."""
        if self.mask is None:
            return ()
        return self.labels.files_in(self.mask) if self.labels else (self.mask,)


class IncompleteCohortError(CohortError):
    """Files of a folder prevent it from being a cohort.

    Args:
        where: The folder or file, and its layout.
        problems: The problems, joined to one line.
        cases: The sound cases, for callers that continue with them.

    Example:
        >>> raise IncompleteCohortError("scans (data=lits)", ["images without mask: a.nii"], [])
        Traceback (most recent call last):
        lts.cohort.case.IncompleteCohortError: scans (data=lits): images without mask: a.nii
    """

    def __init__(self, where: str, problems: Sequence[str], cases: Iterable[Case]) -> None:
        super().__init__(f"{where}: " + "; ".join(problems))
        self.cases = tuple(cases)


@dataclass(frozen=True)
class Cohort:
    """The cases of one folder, sorted naturally: case 2 before case 10.

    Attributes:
        layout: How the folder is laid out, one of the names `find_cases` takes (or what made the cases).
        root: The folder, or the CSV file.
        cases: The cases; may be given in any order.
        notes: Notes for the user that are not errors; one line each.

    Raises:
        CohortError: Two cases have the same id.

    Example:
        >>> cases = [Case(name, name, Path(f"{name}.nii"), None) for name in ("liver-10", "liver-9")]
        >>> [case.id for case in Cohort("lits", Path("scans"), tuple(cases)).cases]
        ['liver-9', 'liver-10']
    """

    layout: str
    root: Path
    cases: tuple[Case, ...]
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        in_order = tuple(sorted(self.cases, key=lambda case: natural_key(case.id)))
        for one, other in itertools.pairwise(in_order):
            if one.id == other.id:
                raise CohortError(
                    f"{self.root}: case {one.id} is there twice, as {one.image} and {other.image}"
                )
        object.__setattr__(self, "cases", in_order)

    @cached_property
    def _case_of_id(self) -> dict[str, Case]:
        return {case.id: case for case in self.cases}

    def case(self, case_id: str) -> Case:
        """The case of that id.

        Raises:
            CohortError: The cohort has no such case.
        """
        if case_id not in self._case_of_id:
            raise CohortError(f"{self.root}: no case {shown(case_id)} among its {len(self.cases)} cases")
        return self._case_of_id[case_id]
