"""One evaluation: a model, a cross-validation or masks of any system scored; or two evaluations compared."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from lts.app.commands.cases import open_cohort
from lts.app.commands.check import tell_of_twins
from lts.app.commands.compare import compare_runs
from lts.app.commands.folds import choose_models, load_folds
from lts.app.commands.mask_pairs import pair_masks
from lts.app.commands.open_model import load_checkpoints, open_predictor, origins
from lts.app.commands.scoring import ScoringSettings, score_masks, score_model, score_models
from lts.app.config.plain import plain
from lts.app.run.console import say
from lts.app.run.lock import alone_in_folder_of
from lts.app.run.provenance import RunRecord, StopLine
from lts.app.run.recording import record_kept
from lts.app.run.records import CONFIG_FILE
from lts.app.run.writing import write_config
from lts.base import REGION_MIN_LABEL, CheckpointError, CohortError, ConfigError, check_regions
from lts.cohort import LAYOUTS, Case, Cohort, name_some
from lts.inference import Checkpoint
from lts.slices import content_hash

SUBSETS = ("train", "val", "test", "all")

_OWN_KEYS = ("layout", "root", "phantom")
_FIXED = ("intensity", "augment")
TASKS = ("ckpt", "folds", "predictions", "compare")
_OF_A_MODEL = ("batch_size", "flips", "temperature", "postprocess")
_WITHOUT_MEANING = {
    "ckpt": ("references", "allow_unpaired"),
    "folds": ("subset", "references", "allow_unpaired", "allow_training_cases"),
    "predictions": ("subset", "allow_training_cases", *_OF_A_MODEL),
    "compare": ("subset", "references", "allow_unpaired", "allow_training_cases", "data", *_OF_A_MODEL),
}


def evaluate(config: DictConfig) -> float | None:
    """Score a checkpoint, folds or masks, or compare two runs, and write the files of that.

    Returns:
        Of a model, the Dice per case of its last region; else None.

    Raises:
        LtsError: The input or config was wrong.
    """
    task = task_of(config)
    tasks = {
        "ckpt": _evaluate_model,
        "folds": _evaluate_folds,
        "predictions": _evaluate_masks,
        "compare": _compare,
    }
    with alone_in_folder_of(config) as output_dir, record_kept("evaluate") as stop:
        config.paths.output_dir = str(output_dir)
        score: float | None = tasks[task](config, stop)
    say(f"all files are in {output_dir}")
    return score


def task_of(config: DictConfig) -> str:
    """What is scored: the one of `TASKS` that is set.

    Raises:
        ConfigError: None is, or several are; or a setting that has no meaning for it.
    """
    asked = [name for name in TASKS if config[name] is not None]
    if len(asked) != 1:
        got = " and ".join(asked) or "none"
        raise ConfigError(f"{', '.join(TASKS)}: give one of them to say what is scored, got {got}")
    (task,) = asked
    _refuse(config, _WITHOUT_MEANING[task], task)
    return task


def _evaluate_model(config: DictConfig, stop: StopLine) -> float:
    if config.subset not in (None, *SUBSETS):
        raise ConfigError(f"subset: must be one of {', '.join(SUBSETS)}, got {config.subset!r}")
    _refuse_fixed_settings()
    own_data = config.data.root is None
    if not own_data and config.data.layout is None:
        raise ConfigError(f"data: must be chosen beside data.root, as data={' or data='.join(LAYOUTS)}")
    predictor = open_predictor(config, load_checkpoints(config))
    checkpoints = predictor.checkpoints
    trained_on = OmegaConf.create(checkpoints[0].config["data"])
    data = trained_on if own_data else config.data
    if data.get("layout") is None:
        raise ConfigError(
            f"data: must be chosen, {checkpoints[0].path} does not say which cases it was trained beside"
        )
    if not own_data and data.get("modality", "ct") != predictor.modality:
        raise ConfigError(f"data.modality: the checkpoint is for {predictor.modality}, got {data.modality}")
    subset = config.subset or ("test" if own_data else "all")
    output_dir = Path(config.paths.output_dir)
    settings = ScoringSettings(**plain(config.scoring))
    rules = settings.rules(predictor.regions, output_dir=output_dir, window_hu=trained_on.display_hu)
    cases = choose_cases(
        open_cohort(data),
        checkpoints,
        subset=subset,
        own_data=own_data,
        allow_training_cases=config.allow_training_cases,
    )
    record = _begin(config, stop)
    record.add(checkpoints=origins(predictor))
    metrics = score_model(
        predictor,
        cases,
        subset=subset,
        output_dir=output_dir,
        rules=rules,
        settings=settings,
        record=record,
    )
    region = predictor.regions[-1]
    score = float(metrics["regions"][region]["dice_per_case"])
    record.finish(monitor=f"{subset}/{region}/dice_per_case", mode="max", best_score=score)
    return score


def _evaluate_folds(config: DictConfig, stop: StopLine) -> float:
    """Score all cases of a cross-validation, each by the model that did not know it, as one cohort."""
    _refuse_fixed_settings()
    settings = ScoringSettings(**plain(config.scoring))
    folder = Path(config.folds).expanduser().resolve()
    folds = load_folds(folder, trusted_modules=list(config.trusted_modules))
    predictors = {fold.number: open_predictor(config, (fold.checkpoint,)) for fold in folds}
    predictor = predictors[0]
    trained_on = OmegaConf.create(folds[0].checkpoint.config["data"])
    data = trained_on if config.data.root is None else config.data
    output_dir = Path(config.paths.output_dir)
    rules = settings.rules(predictor.regions, output_dir=output_dir, window_hu=trained_on.display_hu)
    chosen = choose_models(open_cohort(data), folds)
    record = _begin(config, stop)
    record.add(checkpoints=[origin for each in predictors.values() for origin in origins(each)])
    told = [
        {
            "fold": fold.number,
            "checkpoint": str(fold.checkpoint.path),
            "cases": [case.id for case, by in chosen if by is fold],
        }
        for fold in folds
    ]
    metrics = score_models(
        [(case, predictors[fold.number]) for case, fold in chosen],
        subset="folds",
        title=f"{len(folds)} folds, each case by the model that did not know it",
        facts={"folds": told},
        output_dir=output_dir,
        rules=rules,
        settings=settings,
        record=record,
    )
    region = predictor.regions[-1]
    score = float(metrics["regions"][region]["dice_per_case"])
    record.finish(monitor=f"folds/{region}/dice_per_case", mode="max", best_score=score)
    return score


def _evaluate_masks(config: DictConfig, stop: StopLine) -> None:
    regions = check_regions(config.data.get("regions") or list(REGION_MIN_LABEL))
    output_dir = Path(config.paths.output_dir)
    settings = ScoringSettings(**plain(config.scoring))
    rules = settings.rules(regions, output_dir=output_dir, window_hu=config.data.get("display_hu"))
    pairs = pair_masks(config)
    record = _begin(config, stop)
    record.add(predictions=str(Path(config.predictions).resolve()))
    score_masks(
        pairs,
        modality=config.data.get("modality", "ct"),
        output_dir=output_dir,
        rules=rules,
        settings=settings,
        record=record,
    )
    record.finish()


def _compare(config: DictConfig, stop: StopLine) -> None:
    runs: Sequence[str] = list(config.compare)
    if len(runs) != 2:
        raise ConfigError(f"compare: must be two folders, [RUN_A,RUN_B], got {len(runs)}")
    first, second = (Path(run).expanduser().resolve() for run in runs)
    settings = ScoringSettings(**plain(config.scoring))
    compare_runs(
        first,
        second,
        settings=settings,
        output_dir=Path(config.paths.output_dir),
        begin=lambda: _begin(config, stop),
    )


def _begin(config: DictConfig, stop: StopLine) -> RunRecord:
    output_dir = Path(config.paths.output_dir)
    record = stop.record = RunRecord(output_dir, command="evaluate")
    write_config(output_dir / CONFIG_FILE, config)
    return record


def _refuse(config: DictConfig, keys: Sequence[str], task: str) -> None:
    """A setting without effect is a misunderstanding."""
    settings = plain(config)
    for key in keys:
        value = settings[key]
        if isinstance(value, dict):
            value = {name: item for name, item in value.items() if item}
        if value is not False and value not in (None, [], {}):
            raise ConfigError(f"{key}: has no meaning for {task}=..., got {value!r}")


def choose_cases(
    cohort: Cohort,
    checkpoints: Sequence[Checkpoint],
    *,
    subset: str,
    own_data: bool,
    allow_training_cases: bool,
) -> list[Case]:
    """Take a subset of a cohort, told by the content of the scans and not by their names.

    Args:
        cohort: The cases at hand.
        checkpoints: Know the content of the cases of their subsets; the subset is that of the first.
        subset: `train`, `val`, `test` or `all`.
        own_data: Whether the cohort is the one the checkpoint was trained on.
        allow_training_cases: Whether training cases may be among them.

    Raises:
        CohortError: A case of the subset is missing or changed, or no case belongs to it.
        CheckpointError: A checkpoint was trained on a case, and that is not allowed.
    """
    checkpoint = checkpoints[0]
    subset_of = {member["sha256"]: name for name, members in checkpoint.split.items() for member in members}
    names = SUBSETS[:3] if subset == "all" else (subset,)
    expected = {member["case"] for name in names for member in checkpoint.split[name]}
    candidates = [case for case in cohort.cases if not own_data or case.id in expected]
    content_of = {case.id: content_hash(case.image) for case in candidates}
    found_in = {case: subset_of.get(content) for case, content in content_of.items()}
    chosen = [case for case in candidates if subset == "all" or found_in[case.id] == subset]
    if own_data and (lost := sorted(expected - {case.id for case in chosen if found_in[case.id]})):
        raise CohortError(
            f"{cohort.root}: cases are missing or have changed since training: {name_some(lost)}"
        )
    if own_data and not expected:
        raise CheckpointError(f"{checkpoint.path}: must have cases of the {subset} subset, its run had none")
    if not chosen:
        raise CohortError(f"{cohort.root}: no case is of the checkpoint's {subset} subset; use subset=all")
    contents = {case.id: content_of[case.id] for case in chosen}
    if not allow_training_cases:
        _refuse_training_cases(contents, checkpoints)
    tell_of_twins(contents, chosen)
    return chosen


def _refuse_training_cases(content_of: Mapping[str, str], checkpoints: Sequence[Checkpoint]) -> None:
    for checkpoint in checkpoints:
        trained_on = [case for case, content in content_of.items() if checkpoint.was_trained_on(content)]
        if trained_on:
            raise CheckpointError(
                f"{checkpoint.path}: was trained on {name_some(trained_on)}; "
                "scores of these say little, allow_training_cases=true gives them all the same"
            )


def _refuse_fixed_settings() -> None:
    """A setting that the checkpoint fixes would otherwise be taken and have no effect."""
    for override in HydraConfig.get().overrides.task:
        key = override.lstrip("+~").split("=")[0]
        section, _, name = key.partition(".")
        fixed = name and name.split(".")[0] not in _OWN_KEYS if section == "data" else section in _FIXED
        if fixed:
            raise ConfigError(f"{key}: is fixed by the checkpoint, of data {', '.join(_OWN_KEYS)} can be set")
