"""Duplicate scans, and splits that share them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lts.cohort.case import Case
from lts.cohort.doctor.findings import Finding, found
from lts.cohort.files import grouped
from lts.cohort.splits import PARTS, Split, leaked_patients, membership_problems


@dataclass(frozen=True)
class Content:
    """Identifies the content of a scan.

    Attributes:
        voxels: A hash of the voxels.
        grid: The grid, "" if it does not matter.
    """

    voxels: str
    grid: str = ""


def judge_contents(
    contents: Mapping[str, Content], *, cases: Sequence[Case], split: Split | None
) -> list[Finding]:
    """Report each case whose voxels equal those of an earlier one.

    It is an error if both are, or may be drawn, in different parts of a split, as the test would be on
    training data.

    Args:
        contents: By case id; other cases are not checked.
        cases: The cases.
        split: Their split, whose unused cases are not checked; None before a split, when each patient may
            come into any part.
    """
    # without a split, who stays together follows from the patient alone
    parts = {case_id: part for part in PARTS for case_id in split.subset(part)} if split else {}
    home_of = parts if split else {case.id: case.patient for case in cases}
    judged = [case for case in cases if case.id in contents and case.id in home_of]
    findings = []
    for same in grouped((contents[case.id].voxels, case.id) for case in judged).values():
        for number, case_id in enumerate(same[1:], start=1):
            apart = (other for other in same[:number] if home_of[other] != home_of[case_id])
            twin = next(apart, same[0])
            header = "" if contents[case_id].grid == contents[twin].grid else ", under another header"
            message = f"holds the voxels of {twin}{header}"
            if home_of[twin] == home_of[case_id]:
                findings.append(found("duplicate", case_id, message, severity="warning"))
            elif split:
                where = f"they are in {parts[twin]} and {parts[case_id]}"
                findings.append(found("split-shares-content", case_id, f"{message}; {where}"))
            else:
                risk = "a split may put them into two parts"
                findings.append(found("duplicate", case_id, f"{message}; {risk}"))
    return findings


def judge_split(split: Split, cases: Sequence[Case], *, where: str) -> list[Finding]:
    """Report problems of a split for these cases and their patients.

    Args:
        split: The split.
        cases: All cases of the cohort.
        where: The file of the split, for messages.
    """
    findings = [
        found("split-refused", None, f"{where}: {problem}") for problem in membership_problems(split, cases)
    ]
    for patient, parts in leaked_patients(split, cases).items():
        message = f"{where}: patient {patient} has cases in {' and '.join(parts)}"
        findings.append(found("split-shares-patient", None, message))
    return findings
