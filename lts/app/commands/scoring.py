"""Scores models or masks on cases."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from lts.app.commands.case_viewers import write_viewers
from lts.app.commands.mask_pairs import MaskPair, read_pair
from lts.app.commands.results import SHOWN_LESIONS, write_results
from lts.app.commands.sources import MASK_FOLDER, check_masks_are_ours, write_sources
from lts.app.config.instantiate import keys_in_errors
from lts.app.config.settings import ScoringSettings
from lts.app.run.console import ShowProgress, print_line
from lts.app.run.provenance import RunRecord
from lts.base import ConfigError, Modality, listed, usable_processors
from lts.cohort import Case
from lts.evaluation import Bootstrap, CaseScorer, ProbabilityScores, ScoringRules, Summary, summarize
from lts.figures import forget_lesion_pictures
from lts.inference import Predictor
from lts.scores import CaseMasks
from lts.volume import MASK_SUFFIX, read_image, read_mask, write_mask

_SLICES_OF_A_BATCH = 16
_NAMED_MODELS = 5
_MOST_RESAMPLES = 100_000
"""More take memory and add no useful digits."""


def check_scoring(settings: ScoringSettings) -> None:
    """Check the settings of `scoring`; see `conf/scoring/default.yaml`.

    Raises:
        ConfigError: A setting breaks its rule.
    """
    if not 0 < settings.level < 1:
        raise ConfigError(f"scoring.level: must lie between 0 and 1, got {settings.level}")
    if settings.workers is not None and not settings.workers >= 1:
        raise ConfigError(f"scoring.workers: must be >= 1, got {settings.workers}")
    if not 1 <= settings.resamples <= _MOST_RESAMPLES:
        raise ConfigError(f"scoring.resamples: must be from 1 to {_MOST_RESAMPLES}, got {settings.resamples}")
    if settings.seed < 0:
        raise ConfigError(f"scoring.seed: must be 0 or more, got {settings.seed}")


def bootstrap_of(settings: ScoringSettings) -> Bootstrap:
    """How intervals are drawn."""
    return Bootstrap(level=settings.level, resamples=settings.resamples, seed=settings.seed)


def rules_of(
    settings: ScoringSettings,
    regions: Sequence[str],
    *,
    output_dir: Path,
    window_hu: tuple[float, float] | None,
    sheet_dir: Path | None = None,
) -> ScoringRules:
    """What is scored, with pictures in `overlays/` and `lesions/`, and for one sheet in `sheet_dir`.

    Raises:
        ConfigError: A setting breaks its rule.
    """
    check_scoring(settings)
    with keys_in_errors("scoring", ScoringRules):
        return ScoringRules(
            regions=tuple(regions),
            nsd_mm=settings.nsd_mm,
            lits=settings.lits,
            overlay_dir=output_dir / "overlays",
            lesion_dir=output_dir / "lesions",
            sheet_dir=sheet_dir,
            window_hu=window_hu,
        )


def of_cases(rules: ScoringRules, cases: int) -> ScoringRules:
    """Rules that draw of many cases few more lesions than a report shows, as each takes time."""
    return replace(rules, lesions_of_a_kind=min(rules.lesions_of_a_kind, max(1, SHOWN_LESIONS // cases)))


@dataclass(frozen=True, kw_only=True)
class Scoring:
    """How masks are scored, and where what is found goes.

    Attributes:
        rules: What is scored, made of the settings before anything costly began.
        settings: How it is scored.
        output_dir: Folder that the files are written to.
        record: The run, for the report.
        viewers: How many cases have a page in `viewer/` at most.
    """

    rules: ScoringRules
    settings: ScoringSettings
    output_dir: Path
    record: RunRecord
    viewers: int = 0


def score_model(
    predictor: Predictor, cases: Sequence[Case], scoring: Scoring, *, subset: str
) -> dict[str, Any]:
    """Score a model on each scan's own grid and write all files of an evaluation, its masks among them.

    Args:
        predictor: The model.
        cases: Cases with masks, at least one.
        scoring: How, and where to.
        subset: What the cases are called in `metrics.json`.

    Returns:
        What `metrics.json` holds.

    Raises:
        VolumeError: A scan or mask cannot be read.
    """
    return score_models(
        [(case, predictor) for case in cases],
        scoring,
        subset=subset,
        title="whole data set" if subset == "all" else f"{subset} subset",
        facts={},
    )


def score_models(
    cases: Sequence[tuple[Case, Predictor]],
    scoring: Scoring,
    *,
    subset: str,
    title: str,
    facts: Mapping[str, Any],
) -> dict[str, Any]:
    """Score each case by a model of its own, as one cohort; otherwise as `score_model`.

    Args:
        cases: Cases with masks and the models that predict them, at least one; regions are the same for all.
        scoring: How, and where to.
        subset: What the cases are called in `metrics.json`.
        title: What they are called in tables and the report.
        facts: Go into `metrics.json` too.
    """
    first, folder = cases[0][1], scoring.output_dir
    mask_dir = folder / MASK_FOLDER
    mask_dir.mkdir(parents=True, exist_ok=True)
    pairs = [_pair(case, mask_dir / f"{case.id}_mask{MASK_SUFFIX}") for case, _ in cases]
    check_masks_are_ours(folder, pairs)
    made_by = _in_words([predictor for _, predictor in cases])
    _write_sources(pairs, scoring, made_by=made_by, modality=first.modality)
    probabilities = ProbabilityScores(first.regions)
    with _case_scorer(scoring, title=f"scoring {subset} cases", pairs=pairs) as scorer:
        for pair, (_, predictor) in zip(pairs, cases, strict=True):
            scorer.add(_predicted(pair, predictor, probabilities))
        scored = scorer.result()
    summary = summarize(
        scored,
        rules=scoring.rules,
        probabilities=probabilities,
        batch_size=first.checkpoints[0].batch_size,
        bootstrap=bootstrap_of(scoring.settings),
    )
    return _write_results(
        summary, pairs, scoring, modality=first.modality, subset=subset, title=title, facts=facts
    )


def _pair(case: Case, prediction: Path) -> MaskPair:
    assert case.mask is not None
    return MaskPair(case.id, prediction, case.mask, case.image, reference_labels=case.labels)


def _in_words(predictors: Sequence[Predictor]) -> str:
    """The models by their networks and files."""
    models = dict.fromkeys(checkpoint for predictor in predictors for checkpoint in predictor.checkpoints)
    networks = dict.fromkeys(type(model.network).__name__ for model in models)
    return (
        f"{' and '.join(networks)} of {listed((str(m.path.resolve()) for m in models), most=_NAMED_MODELS)}"
    )


def _predicted(pair: MaskPair, predictor: Predictor, probabilities: ProbabilityScores) -> CaseMasks:
    """Predict a case, and write its mask."""
    assert pair.image is not None
    scan = read_image(pair.image, modality=predictor.modality)
    reference = read_mask(pair.reference, image=scan.geometry, labels=pair.reference_labels)
    located = predictor.find_liver(scan)
    for line in dict.fromkeys(line for one in located if one for line in one.warnings()):
        print_line(f"{pair.case}: {line}")
    count = partial(probabilities.add, reference.voxels, ignored=reference.ignored)
    prediction = predictor.mask(scan, on_slab=count, located=located)
    write_mask(pair.prediction, prediction, geometry=scan.geometry)
    return CaseMasks(
        case=pair.case,
        prediction=reference.where_known(prediction),
        reference=reference.voxels,
        image=scan.voxels,
        is_ct=predictor.modality == "ct",
        voxel=scan.geometry.voxel,
    )


def score_masks(pairs: Sequence[MaskPair], scoring: Scoring, *, modality: Modality) -> dict[str, Any]:
    """Score masks of any system against their references; otherwise as `score_model`."""
    with _case_scorer(scoring, title="scoring masks", pairs=pairs) as scorer:
        for pair in pairs:
            found = read_pair(pair, modality=modality)
            scorer.add(
                CaseMasks(
                    case=pair.case,
                    prediction=found.prediction,
                    reference=found.reference,
                    image=found.image,
                    is_ct=modality == "ct",
                    voxel=found.geometry.voxel,
                )
            )
        scored = scorer.result()
    made_by = f"masks in {pairs[0].prediction.resolve().parent}"
    _write_sources(pairs, scoring, made_by=made_by, modality=modality)
    summary = summarize(
        scored,
        rules=scoring.rules,
        probabilities=None,
        batch_size=_SLICES_OF_A_BATCH,
        bootstrap=bootstrap_of(scoring.settings),
    )
    return _write_results(summary, pairs, scoring, modality=modality, subset="masks", title="masks", facts={})


def _write_sources(pairs: Sequence[MaskPair], scoring: Scoring, *, made_by: str, modality: Modality) -> None:
    write_sources(
        scoring.output_dir, pairs, made_by=made_by, modality=modality, window_hu=scoring.rules.window_hu
    )


def _write_results(
    summary: Summary,
    pairs: Sequence[MaskPair],
    scoring: Scoring,
    *,
    modality: Modality,
    subset: str,
    title: str,
    facts: Mapping[str, Any],
) -> dict[str, Any]:
    return write_results(
        summary,
        scoring.rules,
        title=title,
        subset=subset,
        facts=facts,
        output_dir=scoring.output_dir,
        level=scoring.settings.level,
        record=scoring.record,
        view=partial(
            write_viewers,
            pairs,
            regions=scoring.rules.regions,
            modality=modality,
            output_dir=scoring.output_dir,
            most=scoring.viewers,
        ),
    )


def _case_scorer(scoring: Scoring, *, title: str, pairs: Sequence[MaskPair]) -> CaseScorer:
    lesion_dir = scoring.rules.lesion_dir
    if lesion_dir:  # a resumed run may have pictures of lesions that another checkpoint missed
        forget_lesion_pictures(lesion_dir, [pair.case for pair in pairs])
    progress, cases = ShowProgress(title), len(pairs)
    return CaseScorer(
        of_cases(scoring.rules, cases),
        workers=min(cases, scoring.settings.workers or usable_processors()),
        on_scored=lambda done: progress(done, cases),
    )
