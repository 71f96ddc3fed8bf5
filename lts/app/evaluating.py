"""One evaluation: a checkpoint, or masks of any system, scored on cases; or two evaluations compared."""

from collections.abc import Sequence
from pathlib import Path

import torch
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from lts.app.cases import open_cohort
from lts.app.comparing import compare_runs
from lts.app.console import say
from lts.app.masks import pair_masks
from lts.app.model import plain
from lts.app.provenance import RunRecord
from lts.app.scoring import ScoringSettings, score_masks, score_model
from lts.base import REGION_MIN_LABEL, CheckpointError, CohortError, ConfigError, check_regions
from lts.cohort import Case, Cohort
from lts.inference import Checkpoint, Predictor, load_checkpoint
from lts.slices import content_hash

SUBSETS = ("train", "val", "test", "all")

_OWN_KEYS = ("layout", "root", "phantom")
_FIXED = ("intensity", "augment")
_TASKS = ("ckpt", "predictions", "compare")


def evaluate(config: DictConfig) -> None:
    """Score a checkpoint or masks, or compare two runs, and write the files of that.

    Raises:
        LtsError: The input or config was wrong.
    """
    asked = [name for name in _TASKS if config[name] is not None]
    if len(asked) != 1:
        got = " and ".join(asked) or "none"
        raise ConfigError(f"{', '.join(_TASKS)}: give one of them to say what is scored, got {got}")
    config.paths.output_dir = str(Path(config.paths.output_dir).expanduser().resolve())
    {"ckpt": _evaluate_model, "predictions": _evaluate_masks, "compare": _compare}[asked[0]](config)
    say(f"all files are in {config.paths.output_dir}")


def _evaluate_model(config: DictConfig) -> None:
    if config.subset not in (None, *SUBSETS):
        raise ConfigError(f"subset: must be one of {', '.join(SUBSETS)}, got {config.subset!r}")
    _refuse_fixed_settings()
    checkpoint = load_checkpoint(Path(config.ckpt))
    trained_on = OmegaConf.create(checkpoint.config["data"])
    own_data = config.data.root is None
    data = trained_on if own_data else config.data
    if not own_data and data.get("modality", "ct") != checkpoint.recipe.modality:
        raise ConfigError(
            f"data.modality: the checkpoint is for {checkpoint.recipe.modality}, got {data.modality}"
        )
    subset = config.subset or ("test" if own_data else "all")
    cohort = open_cohort(data)
    cases = choose_cases(
        cohort, checkpoint, subset=subset, own_data=own_data, allow_training_cases=config.allow_training_cases
    )
    predictor = Predictor(
        checkpoint,
        device=_device(config.device),
        batch_size=checkpoint.config["data"]["batch_size"],
        temperature=config.temperature,
    )
    output_dir = Path(config.paths.output_dir)
    settings = ScoringSettings(**plain(config.scoring))
    rules = settings.rules(checkpoint.regions, output_dir=output_dir, window_hu=trained_on.display_hu)
    record = _begin(config)
    record.add(checkpoint=str(checkpoint.path.resolve()), checkpoint_sha256=content_hash(checkpoint.path))
    score_model(
        predictor,
        cases,
        subset=subset,
        output_dir=output_dir,
        rules=rules,
        settings=settings,
        record=record,
    )
    record.finish()


def _evaluate_masks(config: DictConfig) -> None:
    _refuse(config, ("subset", "temperature"), "predictions")
    pairs = pair_masks(config)
    regions = check_regions(config.data.get("regions") or list(REGION_MIN_LABEL))
    output_dir = Path(config.paths.output_dir)
    settings = ScoringSettings(**plain(config.scoring))
    rules = settings.rules(regions, output_dir=output_dir, window_hu=config.data.get("display_hu"))
    record = _begin(config)
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


def _compare(config: DictConfig) -> None:
    _refuse(config, ("subset", "temperature", "references"), "compare")
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
        begin=lambda: _begin(config),
    )


def _begin(config: DictConfig) -> RunRecord:
    output_dir = Path(config.paths.output_dir)
    record = RunRecord(output_dir, command="evaluate")
    OmegaConf.save(config, output_dir / "config.yaml", resolve=True)
    return record


def _refuse(config: DictConfig, keys: Sequence[str], task: str) -> None:
    """A setting without effect is a misunderstanding."""
    for key in keys:
        if config[key] is not None:
            raise ConfigError(f"{key}: has no meaning for {task}=..., got {config[key]!r}")


def choose_cases(
    cohort: Cohort, checkpoint: Checkpoint, *, subset: str, own_data: bool, allow_training_cases: bool
) -> list[Case]:
    """Take a subset of a cohort, told by the content of the scans and not by their names.

    Args:
        cohort: The cases at hand.
        checkpoint: Knows the content of the cases of its subsets.
        subset: `train`, `val`, `test` or `all`.
        own_data: Whether the cohort is the one the checkpoint was trained on.
        allow_training_cases: Whether training cases may be among them.

    Raises:
        CohortError: A case of the subset is missing or changed, or no case belongs to it.
        CheckpointError: The checkpoint was trained on a case, and that is not allowed.
    """
    subset_of = {member["sha256"]: name for name, members in checkpoint.split.items() for member in members}
    names = SUBSETS[:3] if subset == "all" else (subset,)
    expected = {member["case"] for name in names for member in checkpoint.split[name]}
    candidates = [case for case in cohort.cases if not own_data or case.id in expected]
    found_in = {case.id: subset_of.get(content_hash(case.image)) for case in candidates}
    chosen = [case for case in candidates if subset == "all" or found_in[case.id] == subset]
    if own_data and (lost := sorted(expected - {case.id for case in chosen if found_in[case.id]})):
        raise CohortError(
            f"{cohort.root}: cases are missing or have changed since training: {', '.join(lost)}"
        )
    if not chosen:
        raise CohortError(f"{cohort.root}: no case is of the checkpoint's {subset} subset; use subset=all")
    trained_on = [case.id for case in chosen if found_in[case.id] == "train"]
    if trained_on and not allow_training_cases:
        raise CheckpointError(
            f"{checkpoint.path}: was trained on {', '.join(trained_on)}; "
            "scores of these say little, allow_training_cases=true gives them all the same"
        )
    return chosen


def _refuse_fixed_settings() -> None:
    """A setting that the checkpoint fixes would otherwise be taken and have no effect."""
    for override in HydraConfig.get().overrides.task:
        key = override.lstrip("+~").split("=")[0]
        section, _, name = key.partition(".")
        fixed = name and name.split(".")[0] not in _OWN_KEYS if section == "data" else section in _FIXED
        if fixed:
            raise ConfigError(f"{key}: is fixed by the checkpoint, of data {', '.join(_OWN_KEYS)} can be set")


def _device(name: str) -> torch.device:
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if name not in ("cpu", "cuda"):
        raise ConfigError(f"device: must be auto, cpu or cuda, got {name!r}")
    if name == "cuda" and not torch.cuda.is_available():
        raise ConfigError("device: cuda was asked for, but there is none on this machine")
    return torch.device(name)
