"""One evaluation: a model, a cross-validation or masks of any system scored; or evaluations compared."""

import sys
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lts.app.commands.cases import open_cohort
from lts.app.commands.compare import compare_runs
from lts.app.commands.folds import choose_models, load_folds
from lts.app.commands.mask_pairs import pair_masks
from lts.app.commands.open_model import load_checkpoints, open_predictor, origins
from lts.app.commands.scored_cases import choose_cases
from lts.app.commands.scoring import Scoring, rules_of, score_masks, score_model, score_models
from lts.app.commands.temporary_folder import temporary_folder
from lts.app.config.instantiate import keys_in_errors
from lts.app.config.serialization import settings_from_dict, settings_to_dict, with_output_dir
from lts.app.config.settings import CasesSettings, EvaluateSettings
from lts.app.config.types import check_settings
from lts.app.config.yaml_files import write_settings
from lts.app.run.console import print_line
from lts.app.run.invocation import FROM_PYTHON, Invocation
from lts.app.run.lock import locked_run_folder
from lts.app.run.provenance import RunRecord, StopMessage
from lts.app.run.recording import recorded_run
from lts.app.run.records import CONFIG_FILE
from lts.base import REGION_MIN_LABEL, ConfigError, check_regions
from lts.cohort import LAYOUTS
from lts.evaluation import ScoringRules
from lts.inference import Checkpoint

_OWN_KEYS = ("layout", "root", "labels", "phantom")
_FIXED = ("intensity", "augment")
_VIEWERS = 10
TASKS = ("ckpt", "folds", "predictions", "compare")
_OF_A_MODEL = ("batch_size", "flips", "temperature", "postprocess")
_OF_MASKS = ("prediction_labels", "reference_labels")
_WITHOUT_MEANING = {
    "ckpt": ("references", "allow_unpaired", *_OF_MASKS),
    "folds": ("subset", "references", "allow_unpaired", "allow_training_cases", *_OF_MASKS),
    "predictions": ("subset", "allow_training_cases", *_OF_A_MODEL),
    "compare": (
        *("subset", "references", "allow_training_cases", "data", "overlays", "viewers"),
        *_OF_MASKS,
        *_OF_A_MODEL,
    ),
}


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """The result of an evaluation.

    Attributes:
        output_dir: The folder of its files.
        metrics: What `metrics.json` holds; of a comparison what `comparison.json` holds.
        score: Of a model, the Dice per case of its last region; else None.
    """

    output_dir: Path
    metrics: Mapping[str, Any]
    score: float | None


def evaluate(settings: EvaluateSettings, invocation: Invocation = FROM_PYTHON) -> Evaluation:
    """Score a checkpoint, folds or masks, or compare runs, and write the files of that.

    Args:
        settings: What is scored, against what, and where it is written.
        invocation: What the command line says beside them.

    Raises:
        LtsError: The input or a setting was wrong.
    """
    check_settings(settings)
    task = task_of(settings)
    with (
        locked_run_folder(
            settings.paths.output_dir, is_named_by_time=invocation.folder_is_named_by_time
        ) as output_dir,
        recorded_run("evaluate") as stop,
        _sheet_folder(settings) as sheet_dir,
    ):
        done = _TASKS[task](with_output_dir(settings, output_dir), invocation, stop, sheet_dir)
    print_line(f"all files are in {output_dir}")
    return done


def _sheet_folder(settings: EvaluateSettings) -> AbstractContextManager[Path | None]:
    """Where pictures lie until they are on one sheet; None where none is asked for."""
    return temporary_folder() if settings.overlays else nullcontext()


def task_of(settings: EvaluateSettings) -> str:
    """What is scored: the one of `TASKS` that is set.

    Raises:
        ConfigError: None or several are set, or a setting does not apply to it.
    """
    asked = [name for name in TASKS if getattr(settings, name) is not None]
    if len(asked) != 1:
        got = " and ".join(asked) or "none"
        raise ConfigError(f"{', '.join(TASKS)}: give one of them to say what is scored, got {got}")
    (task,) = asked
    _refuse(settings, _WITHOUT_MEANING[task], task)
    if settings.data.labels is not None and settings.data.root is None:
        raise ConfigError("data.labels: has no meaning without data.root")
    if _viewers_of(settings) < 0:
        raise ConfigError(f"viewers: must be 0 or more, or all, got {settings.viewers}")
    return task


def _viewers_of(settings: EvaluateSettings) -> int:
    """How many cases have a page at most."""
    if settings.viewers == "all":
        return sys.maxsize
    return _VIEWERS if settings.viewers is None else settings.viewers


def _evaluate_model(
    settings: EvaluateSettings, invocation: Invocation, stop: StopMessage, sheet_dir: Path | None
) -> Evaluation:
    assert settings.ckpt is not None
    _refuse_fixed_settings(invocation)
    own_data = settings.data.root is None
    if not own_data and settings.data.layout is None:
        raise ConfigError(f"data: must be chosen beside data.root, as data={' or data='.join(LAYOUTS)}")
    predictor = open_predictor(
        settings, load_checkpoints(settings.ckpt, trusted_modules=settings.trusted_modules)
    )
    checkpoints = predictor.checkpoints
    trained_on = _data_of(checkpoints[0])
    data = trained_on if own_data else settings.data
    if data.layout is None:
        raise ConfigError(
            f"data: must be chosen, {checkpoints[0].path} does not say which cases it was trained beside"
        )
    if data.modality != predictor.modality:
        raise ConfigError(f"data.modality: the checkpoint is for {predictor.modality}, got {data.modality}")
    subset = settings.subset or ("test" if own_data else "all")
    output_dir = Path(settings.paths.output_dir)
    rules = rules_of(
        settings.scoring,
        predictor.regions,
        output_dir=output_dir,
        window_hu=trained_on.display_hu,
        sheet_dir=sheet_dir,
    )
    cases = choose_cases(
        open_cohort(data),
        checkpoints,
        subset=subset,
        own_data=own_data,
        allow_training_cases=settings.allow_training_cases,
    )
    record = _begin(settings, invocation, stop)
    record.add(checkpoints=origins(predictor), precision=predictor.precision)
    metrics = score_model(predictor, cases, _scoring_of(settings, rules, record), subset=subset)
    return _finished(metrics, subset, predictor.regions[-1], record, output_dir)


def _evaluate_folds(
    settings: EvaluateSettings, invocation: Invocation, stop: StopMessage, sheet_dir: Path | None
) -> Evaluation:
    """Score all cases of a cross-validation as one cohort, each with the model that has not seen it."""
    assert settings.folds is not None
    _refuse_fixed_settings(invocation)
    folder = Path(settings.folds).expanduser().resolve()
    folds = load_folds(folder, trusted_modules=settings.trusted_modules)
    predictors = {fold.number: open_predictor(settings, (fold.checkpoint,)) for fold in folds}
    predictor = predictors[0]
    trained_on = _data_of(folds[0].checkpoint)
    data = trained_on if settings.data.root is None else settings.data
    output_dir = Path(settings.paths.output_dir)
    rules = rules_of(
        settings.scoring,
        predictor.regions,
        output_dir=output_dir,
        window_hu=trained_on.display_hu,
        sheet_dir=sheet_dir,
    )
    chosen = choose_models(open_cohort(data), folds)
    record = _begin(settings, invocation, stop)
    record.add(
        checkpoints=[origin for each in predictors.values() for origin in origins(each)],
        precision=sorted({each.precision for each in predictors.values()}),
    )
    fold_facts = [
        {
            "fold": fold.number,
            "checkpoint": str(fold.checkpoint.path),
            "cases": [case.id for case, by in chosen if by is fold],
        }
        for fold in folds
    ]
    metrics = score_models(
        [(case, predictors[fold.number]) for case, fold in chosen],
        _scoring_of(settings, rules, record),
        subset="folds",
        title=f"{len(folds)} folds, each case by the model that did not know it",
        facts={"folds": fold_facts},
    )
    return _finished(metrics, "folds", predictor.regions[-1], record, output_dir)


def _finished(
    metrics: Mapping[str, Any], subset: str, region: str, record: RunRecord, output_dir: Path
) -> Evaluation:
    """The evaluation of a model, recorded with the score that ranks jobs of a sweep."""
    score = float(metrics["regions"][region]["dice_per_case"])
    record.finish(monitor=f"{subset}/{region}/dice_per_case", mode="max", best_score=score)
    return Evaluation(output_dir=output_dir, metrics=metrics, score=score)


def _data_of(checkpoint: Checkpoint) -> CasesSettings:
    """The cases of the data set that a model was trained on."""
    return settings_from_dict(CasesSettings, checkpoint.config["data"])


def _evaluate_masks(
    settings: EvaluateSettings, invocation: Invocation, stop: StopMessage, sheet_dir: Path | None
) -> Evaluation:
    assert settings.predictions is not None
    with keys_in_errors("data", check_regions):
        regions = check_regions(settings.data.regions or list(REGION_MIN_LABEL))
    output_dir = Path(settings.paths.output_dir)
    rules = rules_of(
        settings.scoring,
        regions,
        output_dir=output_dir,
        window_hu=settings.data.display_hu,
        sheet_dir=sheet_dir,
    )
    pairs = pair_masks(settings)
    record = _begin(settings, invocation, stop)
    record.add(predictions=str(Path(settings.predictions).resolve()))
    metrics = score_masks(pairs, _scoring_of(settings, rules, record), modality=settings.data.modality)
    record.finish()
    return Evaluation(output_dir=output_dir, metrics=metrics, score=None)


def _compare(
    settings: EvaluateSettings, invocation: Invocation, stop: StopMessage, _: Path | None
) -> Evaluation:
    assert settings.compare is not None
    output_dir = Path(settings.paths.output_dir)
    comparison = compare_runs(
        [Path(run).expanduser().resolve() for run in settings.compare],
        settings=settings.scoring,
        allow_unpaired=settings.allow_unpaired,
        output_dir=output_dir,
        begin=lambda: _begin(settings, invocation, stop),
    )
    return Evaluation(output_dir=output_dir, metrics=comparison, score=None)


_TASKS = {
    "ckpt": _evaluate_model,
    "folds": _evaluate_folds,
    "predictions": _evaluate_masks,
    "compare": _compare,
}


def _begin(settings: EvaluateSettings, invocation: Invocation, stop: StopMessage) -> RunRecord:
    output_dir = Path(settings.paths.output_dir)
    record = stop.record = RunRecord(output_dir, command="evaluate", overrides=invocation.overrides)
    write_settings(output_dir / CONFIG_FILE, settings_to_dict(settings))
    return record


def _scoring_of(settings: EvaluateSettings, rules: ScoringRules, record: RunRecord) -> Scoring:
    return Scoring(
        rules=rules,
        settings=settings.scoring,
        output_dir=Path(settings.paths.output_dir),
        record=record,
        viewers=_viewers_of(settings),
    )


def _refuse(settings: EvaluateSettings, keys: Sequence[str], task: str) -> None:
    """Refuse settings without effect."""
    given = settings_to_dict(settings)
    given["data"] = {name: given["data"][name] for name in _OWN_KEYS}
    for key in keys:
        value = given[key]
        if isinstance(value, dict):
            value = {name: item for name, item in value.items() if item}
        if value is not False and value not in (None, [], {}):
            raise ConfigError(f"{key}: has no meaning for {task}=..., got {value!r}")


def _refuse_fixed_settings(invocation: Invocation) -> None:
    """Refuse settings that the checkpoint fixes, as they would have no effect."""
    for override in invocation.overrides:
        key = override.lstrip("+~").split("=")[0]
        section, _, name = key.partition(".")
        fixed = name and name.split(".")[0] not in _OWN_KEYS if section == "data" else section in _FIXED
        if fixed:
            raise ConfigError(f"{key}: is fixed by the checkpoint, of data {', '.join(_OWN_KEYS)} can be set")
