"""What a prediction prints at its end: volumes, warnings, and what failed."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lts.app.commands.dicom_outputs import unwritten
from lts.app.commands.mask_pictures import write_contact_sheet
from lts.app.commands.predictions import PREDICTIONS_FILE
from lts.app.config.values import Place
from lts.app.run.console import print_line, print_table
from lts.base import CohortError, listed

_MOST_LISTED = 3
_TABLE = ("case", "liver_ml", "tumor_ml", "tumor_burden", "lesion_count")
_DECIMALS = {"liver_ml": 1, "tumor_ml": 1, "tumor_burden": 3}


def report(
    cases: Mapping[str, Mapping[str, Any]],
    failures: Mapping[str, Mapping[str, Any]],
    asked: Sequence[str],
    output: Place,
) -> None:
    """Print the table of what was asked for, and its warnings; lay its pictures on one sheet.

    Args:
        cases: Rows of `predictions.json` by case.
        failures: Its rows of failed cases.
        asked: Names of cases.
        output: The output folder.

    Raises:
        CohortError: Some failed, or lack a DICOM object.
    """
    rows, failed = ([rows[case] for case in asked if case in rows] for rows in (cases, failures))
    if rows:
        shown = [{name: row.get(name) for name in _TABLE} for row in rows]
        print_table(f"masks in {output}", shown, decimals=_DECIMALS)
    folder = Path(output).expanduser()
    pictures = [folder / row["overlay"] for row in rows if "overlay" in row]
    if sheet := write_contact_sheet(folder, pictures):
        print_line(sheet)
    for row in rows:
        for warning in row.get("warnings", ()):
            print_line(f"{row['case']}: {warning}")
    problems = []
    if failed:
        how_many = f"{len(failed)} of {len(asked)} scans could not be predicted: " if asked[1:] else ""
        problems.append(how_many + _some([failure["reason"] for failure in failed]))
    for names, reasons in unwritten(rows):
        how_many = f"{len(reasons)} of {len(rows)} masks are written, but not as {names}: "
        problems.append(how_many + _some(reasons))
    if problems:
        raise CohortError("; ".join(problems))


def _some(reasons: Sequence[str]) -> str:
    see = f", see {PREDICTIONS_FILE}" if len(reasons) > _MOST_LISTED else ""
    return listed(reasons, most=_MOST_LISTED, separator="; ") + see
