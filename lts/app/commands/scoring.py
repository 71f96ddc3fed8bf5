"""Scores models or masks on cases."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from lts.app.commands.case_viewers import write_viewers
from lts.app.commands.mask_pairs import MaskPair
from lts.app.commands.results import SHOWN_LESIONS, write_results
from lts.app.commands.sources import MASK_FOLDER, check_masks_are_ours, write_sources
from lts.app.config.instantiate import keys_in_errors
from lts.app.config.settings import ScoringSettings
from lts.app.run.console import ShowProgress, print_line
from lts.app.run.provenance import RunRecord
from lts.base import ConfigError, Modality, listed, usable_processors
from lts.cohort import Case
from lts.evaluation import Bootstrap, CaseScorer, ProbabilityScores, ScoringRules, summarize
from lts.figures import forget_lesion_pictures
from lts.inference import Predictor
from lts.scores import CaseMasks
from lts.volume import MASK_SUFFIX, read_image, read_mask, read_mask_geometry, write_mask

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


def score_model(
    predictor: Predictor,
    cases: Sequence[Case],
    *,
    subset: str,
    output_dir: Path,
    rules: ScoringRules,
    settings: ScoringSettings,
    record: RunRecord,
    viewers: int = 0,
) -> dict[str, Any]:
    """Score a model on each scan's own grid and write all files of an evaluation, its masks among them.

    Args:
        predictor: The model.
        cases: Cases with masks, at least one.
        subset: What the cases are called in `metrics.json`.
        output_dir: Folder that the files are written to.
        rules: What is scored, made of the settings before anything costly began.
        settings: How masks are scored.
        record: The run, for the report.
        viewers: How many cases have a page in `viewer/` at most.

    Returns:
        What `metrics.json` holds.

    Raises:
        VolumeError: A scan or mask cannot be read.
    """
    return score_models(
        [(case, predictor) for case in cases],
        subset=subset,
        title="whole data set" if subset == "all" else f"{subset} subset",
        facts={},
        output_dir=output_dir,
        rules=rules,
        settings=settings,
        record=record,
        viewers=viewers,
    )


def score_models(
    cases: Sequence[tuple[Case, Predictor]],
    *,
    subset: str,
    title: str,
    facts: Mapping[str, Any],
    output_dir: Path,
    rules: ScoringRules,
    settings: ScoringSettings,
    record: RunRecord,
    viewers: int = 0,
) -> dict[str, Any]:
    """Score each case by a model of its own, as one cohort; otherwise as `score_model`.

    Args:
        cases: Cases with masks and the models that predict them, at least one; regions are the same for all.
        subset: What the cases are called in `metrics.json`.
        title: What they are called in tables and the report.
        facts: Go into `metrics.json` too.
        output_dir: Folder that the files are written to.
        rules: What is scored.
        settings: How masks are scored.
        record: The run, for the report.
        viewers: How many cases have a page in `viewer/` at most.
    """
    first = cases[0][1]
    mask_dir = output_dir / MASK_FOLDER
    mask_dir.mkdir(parents=True, exist_ok=True)
    pairs = [_pair(case, mask_dir / f"{case.id}_mask{MASK_SUFFIX}") for case, _ in cases]
    check_masks_are_ours(output_dir, pairs)
    made_by = _in_words([predictor for _, predictor in cases])
    write_sources(output_dir, pairs, made_by=made_by, modality=first.modality, window_hu=rules.window_hu)
    probabilities = ProbabilityScores(first.regions)
    with _case_scorer(rules, settings, title=f"scoring {subset} cases", pairs=pairs) as scorer:
        for pair, (_, predictor) in zip(pairs, cases, strict=True):
            scorer.add(_predicted(pair, predictor, probabilities))
        scored = scorer.result()
    summary = summarize(
        scored,
        rules=rules,
        probabilities=probabilities,
        batch_size=first.checkpoints[0].config["data"]["batch_size"],
        bootstrap=bootstrap_of(settings),
    )
    return write_results(
        summary,
        rules,
        title=title,
        subset=subset,
        facts=facts,
        output_dir=output_dir,
        level=settings.level,
        record=record,
        view=partial(
            write_viewers,
            pairs,
            regions=rules.regions,
            modality=first.modality,
            output_dir=output_dir,
            most=viewers,
        ),
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


def score_masks(
    pairs: Sequence[MaskPair],
    *,
    modality: Modality,
    output_dir: Path,
    rules: ScoringRules,
    settings: ScoringSettings,
    record: RunRecord,
    viewers: int = 0,
) -> dict[str, Any]:
    """Score masks of any system against their references; otherwise as `score_model`."""
    with _case_scorer(rules, settings, title="scoring masks", pairs=pairs) as scorer:
        for pair in pairs:
            image = read_image(pair.image, modality=modality) if pair.image else None
            geometry = image.geometry if image else read_mask_geometry(pair.reference_files[0])
            prediction, reference = (
                read_mask(path, image=geometry, labels=labels)
                for path, labels in (
                    (pair.prediction, pair.prediction_labels),
                    (pair.reference, pair.reference_labels),
                )
            )
            scorer.add(
                CaseMasks(
                    case=pair.case,
                    prediction=reference.where_known(prediction.voxels),
                    reference=reference.voxels,
                    image=image.voxels if image else None,
                    is_ct=modality == "ct",
                    voxel=geometry.voxel,
                )
            )
        scored = scorer.result()
    made_by = f"masks in {pairs[0].prediction.resolve().parent}"
    write_sources(output_dir, pairs, made_by=made_by, modality=modality, window_hu=rules.window_hu)
    summary = summarize(
        scored,
        rules=rules,
        probabilities=None,
        batch_size=_SLICES_OF_A_BATCH,
        bootstrap=bootstrap_of(settings),
    )
    return write_results(
        summary,
        rules,
        title="masks",
        subset="masks",
        facts={},
        output_dir=output_dir,
        level=settings.level,
        record=record,
        view=partial(
            write_viewers,
            pairs,
            regions=rules.regions,
            modality=modality,
            output_dir=output_dir,
            most=viewers,
        ),
    )


def _case_scorer(
    rules: ScoringRules, settings: ScoringSettings, *, title: str, pairs: Sequence[MaskPair]
) -> CaseScorer:
    if rules.lesion_dir:  # a resumed run may have pictures of lesions that another checkpoint missed
        forget_lesion_pictures(rules.lesion_dir, [pair.case for pair in pairs])
    progress, cases = ShowProgress(title), len(pairs)
    return CaseScorer(
        of_cases(rules, cases),
        workers=min(cases, settings.workers or usable_processors()),
        on_scored=lambda done: progress(done, cases),
    )
