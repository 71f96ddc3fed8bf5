"""The settings of every command: which keys there are, and what type each has.

Comments and defaults stand in `conf/`, rules about values at the classes that settings are given to. Parts
that name their class by `_target_` are held against that class by `lts.app.config.making`.
"""

from collections.abc import Mapping
from dataclasses import MISSING as NO_DEFAULT
from dataclasses import dataclass, fields, is_dataclass
from typing import Any, Literal, get_type_hints

from omegaconf import MISSING, DictConfig, OmegaConf, open_dict
from omegaconf.errors import InterpolationToMissingValueError, OmegaConfBaseException

from lts.app.config.arguments import CONF
from lts.app.config.suggestions import closest
from lts.app.config.values import Place, fits, members, shown, words
from lts.base import ConfigError, Modality

Part = dict[str, Any]
"""Settings of a class that is named by `_target_`."""


@dataclass(frozen=True, kw_only=True)
class PhantomSection:
    """See `conf/data/phantom.yaml`."""

    cases: int
    matrix: int
    seed: int


@dataclass(frozen=True, kw_only=True)
class DataSection:
    """See `conf/data/base.yaml`."""

    layout: str
    root: Place
    modality: Modality
    regions: list[str]
    image_size: int
    pixel_mm: float | None
    context: int
    batch_size: int
    num_workers: int
    region_share: float
    slices_per_epoch: int | None
    display_hu: tuple[float, float] | None
    phantom: PhantomSection | None


@dataclass(frozen=True, kw_only=True)
class CasesSection:
    """The data of commands that do not train: what only training asks for may be open."""

    layout: str | None
    root: Place | None
    phantom: PhantomSection | None
    modality: Modality = "ct"
    regions: list[str] | None = None
    image_size: int | None = None
    pixel_mm: float | None = None
    context: int | None = None
    batch_size: int | None = None
    num_workers: int | None = None
    region_share: float | None = None
    slices_per_epoch: int | None = None
    display_hu: tuple[float, float] | None = None


@dataclass(frozen=True, kw_only=True)
class SplitSection:
    """See `conf/train.yaml`."""

    file: Place | None
    val_share: float
    test_share: float
    folds: int | None
    fold: int | None
    seed: int


@dataclass(frozen=True, kw_only=True)
class SplitFileSection:
    """See `conf/check.yaml`."""

    file: Place | None


@dataclass(frozen=True, kw_only=True)
class SweepSection:
    """See `conf/train.yaml`."""

    stop_on_failure: bool


@dataclass(frozen=True, kw_only=True)
class TaskSection:
    """See `conf/train.yaml`."""

    encoder_lr_scale: float


@dataclass(frozen=True, kw_only=True)
class ScoringSection:
    """See `conf/scoring/default.yaml`."""

    nsd_mm: list[float]
    lits: bool
    level: float
    resamples: int
    seed: int
    workers: int | None


@dataclass(frozen=True, kw_only=True)
class PathsSection:
    """See `conf/paths/default.yaml`."""

    data_dir: Place
    store_dir: Place
    output_dir: Place


@dataclass(frozen=True, kw_only=True)
class OutputSection:
    """See `conf/paths/evaluate.yaml`."""

    output_dir: Place
    data_dir: Place


@dataclass(frozen=True, kw_only=True)
class PostprocessSection:
    """See `conf/prediction/default.yaml`."""

    largest_liver: bool
    tumor_within_liver: bool
    min_lesion_ml: float


@dataclass(frozen=True, kw_only=True)
class PredictionSettings:
    """See `conf/prediction/default.yaml`."""

    device: str
    batch_size: int | None
    flips: list[Literal["left_right", "front_back"]]
    temperature: list[float] | None
    trusted_modules: list[str]
    postprocess: PostprocessSection


@dataclass(frozen=True, kw_only=True)
class ArchiveSection:
    """See `conf/predict.yaml`."""

    max_gib: float
    max_files: int


@dataclass(frozen=True, kw_only=True)
class TrainSettings:
    """See `conf/train.yaml`."""

    seed: int
    compile: bool | Literal["auto"]
    ckpt: Place | None
    sweep: SweepSection
    split: SplitSection
    task: TaskSection
    trusted_modules: list[str]
    intensity: Part
    augment: Part
    loss: Part
    optimizer: Part
    scheduler: Part | None
    scoring: ScoringSection
    paths: PathsSection
    trainer: Part
    callbacks: dict[str, Part]
    logger: dict[str, Part] | None
    data: DataSection
    model: Part


@dataclass(frozen=True, kw_only=True)
class EvaluateSettings(PredictionSettings):
    """See `conf/evaluate.yaml`."""

    ckpt: Place | list[Place] | None
    subset: Literal["train", "val", "test", "all"] | None
    allow_training_cases: bool
    folds: Place | None
    sweep: SweepSection
    predictions: Place | None
    references: Place | None
    allow_unpaired: bool
    compare: list[Place] | None
    data: CasesSection
    scoring: ScoringSection
    paths: OutputSection
    intensity: object = None
    augment: object = None


@dataclass(frozen=True, kw_only=True)
class PredictSettings(PredictionSettings):
    """See `conf/predict.yaml`."""

    ckpt: Place | list[Place]
    input: Place
    output: Place
    overwrite: bool
    probabilities: bool
    dicom_seg: bool
    dicom_seg_layout: Literal["nested", "disjoint", "labelmap"]
    series: str | int | list[str | int] | None
    acquisition: str | int | None
    archive: ArchiveSection


@dataclass(frozen=True, kw_only=True)
class CheckSettings:
    """See `conf/check.yaml`."""

    data: CasesSection
    split: SplitFileSection
    paths: OutputSection
    intensity: object = None
    augment: object = None


@dataclass(frozen=True, kw_only=True)
class ExportSettings:
    """See `conf/export.yaml`."""

    ckpt: Place
    format: str
    output: Place
    overwrite: bool
    scan: Place | None
    trusted_modules: list[str]


@dataclass(frozen=True, kw_only=True)
class ServeSettings(PredictionSettings):
    """See `conf/serve.yaml`."""

    ckpt: Place | list[Place]
    host: str
    port: int
    allowed_hosts: list[str]
    queue_size: int
    max_upload_mib: int
    max_unpacked_mib: int
    max_files: int
    max_voxels: int
    keep_results: int
    keep_minutes: float
    stalled_s: float
    least_kib_s: float
    headers_s: float
    max_connections: int
    drain_s: float


SETTINGS: Mapping[str, type] = {
    "train": TrainSettings,
    "evaluate": EvaluateSettings,
    "predict": PredictSettings,
    "check": CheckSettings,
    "export": ExportSettings,
    "serve": ServeSettings,
}


def check_settings(name: str, config: DictConfig) -> None:
    """Check that a command is given each of its settings, of the right type, and no other.

    Imports nothing heavy and writes nothing.

    Args:
        name: Of the command.
        config: Its config.

    Raises:
        ConfigError: A setting is missing, unknown, of another type, or refers to one that does not exist.
    """
    # As they stand first: what a wrong setting spoils of others would be told in place of it.
    _check_section("", OmegaConf.to_container(config), SETTINGS[name])
    _check_section("", _resolved(config, name), SETTINGS[name])


def _resolved(config: DictConfig, name: str) -> Any:
    """The settings with what they refer to; what refers to an open setting is open too."""
    settings = config.copy()
    while True:
        try:
            return OmegaConf.to_container(settings, resolve=True)
        except InterpolationToMissingValueError as error:
            with open_dict(settings):
                OmegaConf.update(settings, str(error.full_key), MISSING)
        except OmegaConfBaseException as error:
            reason = str(error).partition("\n")[0].replace("raised while resolving interpolation: ", "")
            raise ConfigError(f"{error.full_key or name}: cannot be worked out: {reason}") from error


def _check_section(prefix: str, given: Any, section: type) -> None:
    hints, known = get_type_hints(section), {field.name: field for field in fields(section)}
    for key in given:
        if key not in known:
            meant = closest(f"{prefix}{key}", [f"{prefix}{name}" for name in known])
            raise ConfigError(f"{prefix}{key}: is no setting{f'. Did you mean {meant}?' if meant else ''}")
    for name, field in known.items():
        value, key = given.get(name, MISSING), f"{prefix}{name}"
        if value != MISSING:
            _check_value(key, value, hints[name])
        elif field.default is NO_DEFAULT:
            raise ConfigError(f"{key}: must be given{_choices(key)}")


def _check_value(key: str, value: Any, hint: Any) -> None:
    if isinstance(value, str) and "${" in value:
        return None
    if section := next(filter(is_dataclass, members(hint)), None):
        if isinstance(value, dict):
            assert isinstance(section, type)
            return _check_section(f"{key}.", value, section)
        if value is None and section is not hint:
            return None
    if isinstance(value, dict) and dict[str, Part] in members(hint):
        for name, part in value.items():
            _check_value(f"{key}.{name}", part, Part)
        return None
    if hint is not object and not fits(value, hint):
        raise ConfigError(f"{key}: must be {words(hint)}, got {shown(value)}{_advice(key, value, hint)}")
    # The choice `none` of a group is an empty one.
    if value and Part in members(hint) and not isinstance(value.get("_target_"), str):
        raise ConfigError(f"{key}._target_: must name a class, got {shown(value.get('_target_'))}")
    if value == {} and not fits(None, hint):
        raise ConfigError(f"{key}._target_: must be given{_choices(key)}")
    return None


def _advice(key: str, value: Any, hint: Any) -> str:
    if isinstance(value, str) and Place in members(hint):
        return "; names are of 1 to 255 bytes without NUL"
    if isinstance(value, int | float) and {Place, str} & {*members(hint)}:
        return f"""; in quotes it is text: {key}="'{shown(value)}'\""""
    return _choices(key)


def _choices(key: str) -> str:
    """What a group of the config offers, to be told beside its key."""
    found = sorted(path.stem for path in (CONF / key).glob("*.yaml")) if "." not in key else []
    return f"; {key}=CHOICE takes one of {', '.join(found)}" if found else ""
