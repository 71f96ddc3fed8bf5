"""The layout `pairs`: a CSV file with image, mask and patient of each case."""

from pathlib import Path

from lts.base import (
    MOST_NAMED,
    CohortError,
    MaskLabels,
    is_file,
    is_folder,
    name_some,
    path_exists,
    read_csv_rows,
)
from lts.cohort.case import Case, Cohort, IncompleteCohortError, case_id_problem, patient_problem
from lts.cohort.files import composed, shared_file_problems
from lts.volume import MASK_SUFFIX, kinds_in_words

COLUMNS = ("case", "patient", "image", "mask")
CSV_NAMES = ("cases.csv", "pairs.csv")


def _csv_files(root: Path) -> list[Path]:
    if root.is_file():
        return [root] if root.suffix.lower() == ".csv" else []
    return [root / name for name in CSV_NAMES if (root / name).is_file()]


def is_pairs(root: Path) -> bool:
    """Whether the path is a CSV file, or a folder with one of a known name."""
    return bool(_csv_files(root))


def _row_problem(
    row: dict[str, str], *, folder: Path, row_of_case: dict[str, int], labels: MaskLabels | None
) -> str | None:
    """A problem of a row other than a missing mask, given the rows before it."""
    case_id = composed(row["case"])
    if empty := [column for column in COLUMNS if column != "mask" and not row[column]]:
        return f"{', '.join(empty)} must not be empty"
    if problem := case_id_problem(case_id) or patient_problem(row["patient"]):
        return problem
    if case_id in row_of_case:
        return f"case {case_id} is already in row {row_of_case[case_id]}"
    are_folders = labels is not None and labels.are_files
    if row["mask"] and not are_folders and is_folder(folder / row["mask"]):
        rule = f"mask must be a {kinds_in_words()} file, got the folder {row['mask']}"
        return f"{rule} (DICOM SEG is not read here); convert it to {MASK_SUFFIX}"
    # a scan may be a folder, of one DICOM series
    missing = [] if path_exists(folder / row["image"]) else [row["image"]]
    if row["mask"]:
        mask = Path(row["mask"])
        files = labels.files_in(mask) if labels else (mask,)
        missing += [file.as_posix() for file in files if not is_file(folder / file)]
    return f"no such file: {name_some(missing)}" if missing else None


def find_pairs_cases(root: Path, labels: MaskLabels | None = None) -> Cohort:
    """The cases that a CSV file names in the columns case, patient, image and mask; others are not read.

    Paths are relative to the CSV file, or absolute. An image may be a folder that holds one DICOM series.
    `root` is the file, or a folder that holds either cases.csv or pairs.csv. No case where there is no such
    file.

    Raises:
        CohortError: Both files are there; the file is not CSV in UTF-8; a column is missing, a row has too
            few or too many cells, none follows the header; a cell is empty, a case id unsafe or repeated; a
            file does not exist or is used twice; a case has no mask.
    """
    candidates = _csv_files(root)
    if not candidates:
        return Cohort(layout="pairs", root=root, cases=())
    if len(candidates) > 1:
        raise CohortError(f"{root} (data=pairs): must hold one of {', '.join(CSV_NAMES)}, got both")
    path = candidates[0]
    rows = read_csv_rows(path, columns=COLUMNS)
    if not rows:
        raise CohortError(f"{path}: names no case")
    problems: list[str] = []
    without_mask: list[str] = []
    row_of_case: dict[str, int] = {}
    cases = []
    for number, row in rows:
        case_id = composed(row["case"])
        if problem := _row_problem(row, folder=path.parent, row_of_case=row_of_case, labels=labels):
            problems.append(f"row {number}: {problem}")
        elif not row["mask"]:
            without_mask.append(f"{case_id} (row {number})")
        else:
            image, mask = (path.parent / row[column] for column in ("image", "mask"))
            cases.append(Case(case_id, row["patient"], image=image, mask=mask, labels=labels))
        row_of_case.setdefault(case_id, number)
    if problems[MOST_NAMED:]:
        problems[MOST_NAMED:] = [f"and {len(problems) - MOST_NAMED} more rows"]
    problems += shared_file_problems(cases)
    if without_mask:
        problems.append(f"images without mask: {name_some(without_mask)}")
    if problems:
        raise IncompleteCohortError(str(path), problems, cases)
    return Cohort(layout="pairs", root=root, cases=tuple(cases))
