"""What is wrong with the cases of a folder: a table, `doctor.json`, and lines before a training."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lts.app.commands.cases import make_phantoms, mask_labels
from lts.app.config.instantiate import keys_in_errors
from lts.app.config.serialization import settings_to_dict, with_output_dir
from lts.app.config.settings import CheckSettings
from lts.app.config.types import check_settings
from lts.app.config.yaml_files import write_settings
from lts.app.run.console import ShowProgress, print_line, print_table
from lts.app.run.invocation import FROM_PYTHON, Invocation
from lts.app.run.lock import locked_run_folder
from lts.app.run.provenance import RunRecord, StopMessage
from lts.app.run.recording import recorded_run
from lts.app.run.records import CONFIG_FILE
from lts.base import CohortError, ConfigError, counted, listed, name_some, write_json
from lts.cohort import Case, Cohort, Split, find_cases
from lts.cohort.doctor import (
    Content,
    Finding,
    check_headers,
    diagnose,
    judge_contents,
    survey_cohort,
)

DOCTOR_FILE = "doctor.json"

_MOST_LISTED = 3
_WORST_FIRST = ("error", "warning", "note")


def check(settings: CheckSettings, invocation: Invocation = FROM_PYTHON) -> None:
    """Check all cases of `data`, except those that `split.file` leaves out.

    Raises:
        CohortError: An error was found; all findings are in `doctor.json`.
        LtsError: The input or config was wrong.
    """
    check_settings(settings)
    if settings.data.root is None:
        raise ConfigError(
            "data: must name a data set that holds its own cases, such as lits, got no data.root"
        )
    with (
        locked_run_folder(
            settings.paths.output_dir, is_named_by_time=invocation.folder_is_named_by_time
        ) as output_dir,
        recorded_run("check") as stop,
    ):
        findings, n_cases = _diagnose(with_output_dir(settings, output_dir), invocation, stop)
    _report(findings, n_cases=n_cases, where=output_dir / DOCTOR_FILE)


def _diagnose(
    settings: CheckSettings, invocation: Invocation, stop: StopMessage
) -> tuple[Sequence[Finding], int]:
    """The findings, and how many cases were read."""
    make_phantoms(settings.data)
    output_dir, data, split_file = Path(settings.paths.output_dir), settings.data, settings.split.file
    assert data.root is not None
    assert data.layout is not None
    if split_file is not None and not Path(split_file).expanduser().is_file():
        raise ConfigError(f"split.file: no such file: {split_file}")
    with keys_in_errors("data", find_cases):
        survey = survey_cohort(
            Path(data.root).expanduser(),
            layout=data.layout,
            split_file=None if split_file is None else Path(split_file).expanduser(),
            labels=mask_labels(data.labels),
        )
    record = stop.record = RunRecord(output_dir, command="check", overrides=invocation.overrides)
    write_settings(output_dir / CONFIG_FILE, settings_to_dict(settings))
    progress = ShowProgress("checking cases")
    diagnosis = diagnose(survey, modality=data.modality, progress=progress)
    facts = {
        "root": str(survey.cohort.root.resolve()),
        "layout": survey.cohort.layout,
        "n_cases": len(survey.cases),
        "findings": [finding.to_dict() for finding in diagnosis.findings],
        "checks": diagnosis.counts,
    }
    write_json(output_dir / DOCTOR_FILE, facts)
    record.finish(n_cases=len(survey.cases), n_findings=len(diagnosis.findings))
    return diagnosis.findings, len(survey.cases)


def check_before_training(cohort: Cohort, split: Split) -> None:
    """Print what is wrong with the headers of the cases of a split; only opens the files.

    Raises:
        CohortError: A header is refused, or has an error.
    """
    cases = [cohort.case(case_id) for case_id in split.subset("all")]
    _print_findings([finding for case in cases for finding in check_headers(case)])


def check_members(members: Mapping[str, Sequence[Mapping[str, str]]], cohort: Cohort, split: Split) -> None:
    """Print which cases of a split have the same scan file.

    Args:
        members: The cases of each part of the split: `case` and `sha256` of the scan's file.
        cohort: The cases.
        split: Their split.

    Raises:
        CohortError: Two of them are in different parts.
    """
    contents = {one["case"]: Content(one["sha256"]) for part in members.values() for one in part}
    _print_findings(judge_contents(contents, cases=cohort.cases, split=split))


def check_not_learned_from(
    learned: Sequence[Mapping[str, str]], members: Mapping[str, Sequence[Mapping[str, str]]], *, by: str
) -> None:
    """Refuse a network that has learned from cases on which a run is judged.

    Args:
        learned: The cases that it was trained on, with the hashes of their scans.
        members: The cases of each part of the split, likewise.
        by: What names the network, as `init: FILE`.

    Raises:
        ConfigError: There are such cases.
    """
    hashes = {case["sha256"] for case in learned}
    for subset in ("val", "test"):
        if known := [member["case"] for member in members[subset] if member["sha256"] in hashes]:
            raise ConfigError(
                f"{by} was trained on {name_some(known)}, here among the {subset} cases; "
                "split.file can name the split.json of that run"
            )


def warn_of_duplicates(content_of: Mapping[str, str], cases: Sequence[Case]) -> None:
    """Print which cases that are scored together have the same scan file, and so count more than once.

    Args:
        content_of: SHA-256 of the scan's file by case id.
        cases: The cases.
    """
    contents = {case_id: Content(sha256) for case_id, sha256 in content_of.items()}
    together = Split(train=(), val=(), test=tuple(content_of))
    for finding in judge_contents(contents, cases=cases, split=together):
        print_line(f"{finding.case}: {finding.message}: scores count both")


def _report(findings: Sequence[Finding], *, n_cases: int, where: Path) -> None:
    """Print the table; raise if there is an error."""
    in_order = sorted(findings, key=lambda finding: _WORST_FIRST.index(finding.severity))
    if in_order:
        rows: list[dict[str, Any]] = [
            {
                "case": finding.case,
                "code": finding.code,
                "severity": finding.severity,
                "found": finding.message,
            }
            for finding in in_order
        ]
        print_table(f"findings, cases read: {n_cases}", rows)
        for code, remedy in dict.fromkeys((finding.code, finding.remedy) for finding in in_order):
            print_line(f"{code}: {remedy}")
    errors = [finding for finding in in_order if finding.severity == "error"]
    if errors:
        raise CohortError(f"{_summary(errors)}; all are in {where}")
    warnings = sum(finding.severity == "warning" for finding in findings)
    notes = len(findings) - warnings
    checked = ", ".join((counted(n_cases, "case"), counted(warnings, "warning"), counted(notes, "note")))
    print_line(f"no error in {checked}; all are in {where}")


def _summary(errors: Sequence[Finding]) -> str:
    lines = (f"{error.case or 'cohort'}: {error.code}: {error.message}" for error in errors)
    return f"{counted(len(errors), 'error')}: {listed(lines, most=_MOST_LISTED, separator='; ')}"


def _print_findings(findings: Sequence[Finding]) -> None:
    for finding in findings:
        print_line(finding.line())
    if errors := [finding for finding in findings if finding.severity == "error"]:
        raise CohortError(_summary(errors))
