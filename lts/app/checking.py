"""What is wrong with the cases of a folder: a table, `doctor.json`, and lines before a training."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from lts.app.cases import open_cohort
from lts.app.console import ShowProgress, print_table, say
from lts.app.provenance import RunRecord, run_folder, write_json
from lts.base import CohortError, ConfigError, Modality
from lts.cohort import Cohort, IncompleteCohortError, Split
from lts.cohort.doctor import (
    CHECKS,
    Content,
    Finding,
    check_headers,
    examine_cases,
    found,
    judge_contents,
    judge_split,
)
from lts.cohort.splits import parse_split

DOCTOR_FILE = "doctor.json"

_TOLD = 3
_WORST_FIRST = ("error", "warning", "note")


def check(config: DictConfig) -> None:
    """Read and judge all cases of `data`, but those that `split.file` leaves out.

    Raises:
        CohortError: An error was found; all findings are in `doctor.json`.
        LtsError: The input or config was wrong.
    """
    if config.data.root is None:
        raise ConfigError("data.root: must name the folder of the cases, got null")
    config.paths.output_dir = str(run_folder(config))
    output_dir = Path(config.paths.output_dir)
    cohort, findings = _find(config.data)
    split, problems = _open_split(config.split.file, cohort)
    findings += problems
    cases = [case for case in cohort.cases if split is None or case.id not in split.unused]
    record = RunRecord(output_dir, command="check")
    OmegaConf.save(config, output_dir / "config.yaml", resolve=True)
    say(f"check {output_dir}: {len(cases)} of {len(cohort.cases)} cases of {cohort.root}")
    reports = examine_cases(cases, modality=config.data.modality, progress=ShowProgress("checking cases"))
    contents = {report.case: report.content for report in reports if report.content}
    findings += [finding for report in reports for finding in report.findings]
    findings += judge_contents(contents, cases=cases, split=split)
    facts = {
        "root": str(cohort.root.resolve()),
        "layout": cohort.layout,
        "n_cases": len(cases),
        "findings": [finding.to_dict() for finding in findings],
        "checks": _counts(findings, modality=config.data.modality, with_split=split is not None),
    }
    write_json(output_dir / DOCTOR_FILE, facts)
    by_severity = Counter(finding.severity for finding in findings)
    record.finish(
        n_cases=len(cases),
        errors=by_severity["error"],
        warnings=by_severity["warning"],
        notes=by_severity["note"],
    )
    _tell(findings, n_cases=len(cases), where=output_dir / DOCTOR_FILE)


def check_before_training(cohort: Cohort, split: Split) -> None:
    """Tell what headers say against the cases of a split; costs no more than to open their files.

    Raises:
        CohortError: A header is refused, or nothing sound can be learned of it.
    """
    cases = [cohort.case(case_id) for case_id in split.subset("all")]
    _say_and_stop([finding for case in cases for finding in check_headers(case)])


def check_members(members: Mapping[str, Sequence[Mapping[str, str]]], cohort: Cohort, split: Split) -> None:
    """Tell which cases of a split have the same file of a scan.

    Args:
        members: By part of the split its cases: `case` and `sha256` of the scan's file.
        cohort: The cases.
        split: Their division.

    Raises:
        CohortError: Two of them are in two parts.
    """
    contents = {one["case"]: Content(one["sha256"]) for part in members.values() for one in part}
    _say_and_stop(judge_contents(contents, cases=cohort.cases, split=split))


def _find(data: DictConfig) -> tuple[Cohort, list[Finding]]:
    """The sound cases of a folder, and what is wrong with its other files."""
    try:
        cohort = open_cohort(data)
    except IncompleteCohortError as error:
        problems = [found("cohort-incomplete", None, problem) for problem in error.problems]
        return Cohort(layout=data.layout, root=Path(data.root), cases=error.cases), problems
    return cohort, [found("files-unused", None, note) for note in cohort.notes]


def _open_split(file: str | None, cohort: Cohort) -> tuple[Split | None, list[Finding]]:
    """The split of a file, and what is wrong with it; none where it cannot be understood."""
    if file is None:
        return None, []
    path = Path(file).expanduser()
    if not path.is_file():
        raise ConfigError(f"split.file: no such file: {path}")
    try:
        split = parse_split(path)
    except CohortError as error:
        return None, [found("split-refused", None, str(error))]
    return split, judge_split(split, cohort.cases, where=str(path))


def _counts(findings: Iterable[Finding], *, modality: Modality, with_split: bool) -> dict[str, int]:
    """How often each defect was found that was looked for."""
    counts = Counter(finding.code for finding in findings)
    return {
        code: counts[code]
        for code, check in CHECKS.items()
        if (modality == "ct" or not check.ct_only) and (with_split or not check.of_split or counts[code])
    }


def _tell(findings: Sequence[Finding], *, n_cases: int, where: Path) -> None:
    """Print the table and end with an error where there is one."""
    in_order = sorted(findings, key=lambda finding: _WORST_FIRST.index(finding.severity))
    if in_order:
        rows: list[dict[str, Any]] = [
            {
                "case": finding.case,
                "code": finding.code,
                "severity": finding.severity,
                "found": finding.message,
                "corrected by": finding.remedy,
            }
            for finding in in_order
        ]
        print_table(f"findings in {n_cases} cases", rows)
    errors = [finding for finding in in_order if finding.severity == "error"]
    if errors:
        raise CohortError(f"{_summary(errors)}; all are in {where}")
    warnings = sum(finding.severity == "warning" for finding in findings)
    notes = len(findings) - warnings
    say(f"no error in {n_cases} cases, {warnings} warnings, {notes} notes; all are in {where}")


def _summary(errors: Sequence[Finding]) -> str:
    told = "; ".join(f"{error.case or 'cohort'}: {error.code}: {error.message}" for error in errors[:_TOLD])
    more = f"; and {len(errors) - _TOLD} more" if len(errors) > _TOLD else ""
    return f"{len(errors)} error{'s' if errors[1:] else ''}: {told}{more}"


def _say_and_stop(findings: Sequence[Finding]) -> None:
    for finding in findings:
        say(finding.line())
    if errors := [finding for finding in findings if finding.severity == "error"]:
        raise CohortError(_summary(errors))
