"""From a folder to all findings: first on files and split, then on every case."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from lts.base import CohortError, ConfigError, MaskLabels, Modality, Progress
from lts.cohort.case import Case, Cohort, IncompleteCohortError
from lts.cohort.doctor.examine import examine_cases
from lts.cohort.doctor.findings import CHECKS, Finding, found
from lts.cohort.doctor.overlap import judge_contents, judge_split
from lts.cohort.layouts import find_cases
from lts.cohort.splits import Split, parse_split


@dataclass(frozen=True)
class Survey:
    """Findings on a folder before a scan is read.

    Attributes:
        cohort: Its sound cases.
        split: Their split; None if none was given or it cannot be parsed.
        findings: Findings on files and split.
    """

    cohort: Cohort
    split: Split | None
    findings: tuple[Finding, ...]

    @property
    def cases(self) -> tuple[Case, ...]:
        """The cases to read: all that the split does not leave out."""
        unused = self.split.unused if self.split else ()
        return tuple(case for case in self.cohort.cases if case.id not in unused)


@dataclass(frozen=True)
class Diagnosis:
    """The findings on a cohort.

    Attributes:
        findings: All findings: on the folder, on each case, and on duplicates.
        counts: Number of findings by code, for all checks that ran.
    """

    findings: tuple[Finding, ...]
    counts: Mapping[str, int]


def survey_cohort(
    root: Path, *, layout: str, split_file: Path | None = None, labels: MaskLabels | None = None
) -> Survey:
    """Find the cases of a folder, and check a split against them.

    Args:
        root: The folder, or the CSV file.
        layout: How it is laid out.
        split_file: JSON with the parts; None for none.
        labels: What in the masks is liver and tumor, None for 1 and 2.

    Raises:
        ConfigError: The layout is unknown, or there is no such file of a split.
        CohortError: There is no such folder, it holds no case, or its list of cases cannot be read.
    """
    if split_file is not None and not split_file.is_file():
        raise ConfigError(f"split_file: no such file: {split_file}")
    try:
        cohort = find_cases(root, layout=layout, labels=labels)
        findings = [found("files-unused", None, note) for note in cohort.notes]
    except IncompleteCohortError as error:
        cohort = Cohort(layout=layout, root=root, cases=error.cases)
        findings = [found("cohort-incomplete", None, str(error))]
    split = None
    if split_file is not None:
        try:
            split = parse_split(split_file)
            findings += judge_split(split, cohort.cases, where=str(split_file))
        except CohortError as error:
            findings.append(found("split-refused", None, str(error)))
    return Survey(cohort, split, tuple(findings))


def diagnose(
    survey: Survey, *, modality: Modality = "ct", progress: Progress = lambda _done, _cases: None
) -> Diagnosis:
    """Check all cases of a folder.

    Args:
        survey: What `survey_cohort` returned.
        modality: Modality of the images; checks of Hounsfield units run for CT only.
        progress: Called after each case.
    """
    reports = examine_cases(survey.cases, modality=modality, progress=progress)
    contents = {report.case: report.content for report in reports if report.content}
    findings = [
        *survey.findings,
        *(finding for report in reports for finding in report.findings),
        *judge_contents(contents, cases=survey.cases, split=survey.split),
    ]
    times = Counter(finding.code for finding in findings)
    counts = {
        code: times[code]
        for code, check in CHECKS.items()
        if times[code] or ((modality == "ct" or not check.ct_only) and (survey.split or not check.of_split))
    }
    return Diagnosis(tuple(findings), counts)
