"""Scores the masks of any system with the code that scores models of lts."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from benchmarks.accuracy.job import Job
from lts.cohort import Case
from lts.evaluation import ScoringRules
from lts.evaluation.scores import case_rows
from lts.scores import CaseMasks, LesionCounts
from lts.scores.lesions import RuleCounts
from lts.volume import read_geometry, read_mask


def score(job: Job) -> list[dict[str, Any]]:
    """Score the masks of a job.

    Returns:
        For each case `case`, `patient`, `rows`: the scores of `cases.csv` by region, and `lesions`: hits,
        false alarms and misses by matching rule and size, None without the region tumor.

    Raises:
        VolumeError: A mask is missing, has unknown labels, or another grid than its scan.
    """
    rules = ScoringRules(regions=job.regions)
    return [_scored(case, job, rules) for case in job.test]


def lesion_counts(content: Mapping[str, Any]) -> LesionCounts:
    """The counts that `score` wrote."""
    half, any_ = (
        RuleCounts(**{kind: tuple(numbers) for kind, numbers in content[rule].items()})
        for rule in ("half", "any")
    )
    return LesionCounts(half=half, any=any_)


def _scored(case: Case, job: Job, rules: ScoringRules) -> dict[str, Any]:
    assert case.mask is not None
    grid = read_geometry(case.image)
    prediction, reference = (read_mask(path, image=grid).voxels for path in (job.mask_of(case), case.mask))
    masks = CaseMasks(case=case.id, prediction=prediction, reference=reference, voxel=grid.voxel)
    found = rules.score_case(masks)
    return {
        "case": case.id,
        "patient": case.patient,
        "rows": {row["region"]: row for row in case_rows([found], rules=rules)},
        "lesions": None if found.lesions is None else asdict(found.lesions),
    }
