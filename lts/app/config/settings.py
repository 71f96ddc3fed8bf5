"""The settings of every command, typed and frozen, with keys, types and defaults.

`lts.train`, `lts.evaluate` and `lts.predict` take them, and a command line is converted to them. Comments are
in `conf/`, rules about values in the classes that receive them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from lts.app.config.component import OPEN, Component
from lts.app.config.values import Place
from lts.base import Modality


@dataclass(frozen=True, kw_only=True)
class PhantomSettings:
    """See `conf/data/phantom.yaml`."""

    cases: int = 40
    matrix: int = 128
    seed: int = 0


@dataclass(frozen=True, kw_only=True)
class LabelSettings:
    """What in a mask is liver, tumor and ignored: numbers or names of files; see `lts.base.MaskLabels`."""

    liver: tuple[int | str, ...] = ()
    tumor: tuple[int | str, ...] = ()
    ignore: tuple[int | str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class DataSettings:
    """See `conf/data/base.yaml`."""

    layout: str
    root: Place
    labels: LabelSettings | None = None
    modality: Modality = "ct"
    regions: tuple[str, ...] = ("liver", "tumor")
    image_size: int | Literal["auto"] = 256
    pixel_mm: float | Literal["auto"] | None = None
    context: int = 0
    batch_size: int = 16
    num_workers: int = 2
    region_share: float = 0.5
    slices_per_epoch: int | None = None
    display_hu: tuple[float, float] | None = (40, 400)
    phantom: PhantomSettings | None = None


@dataclass(frozen=True, kw_only=True)
class CasesSettings:
    """The data of commands that do not train; settings that only training needs may be open."""

    layout: str | None = None
    root: Place | None = None
    phantom: PhantomSettings | None = None
    labels: LabelSettings | None = None
    modality: Modality = "ct"
    regions: tuple[str, ...] | None = None
    image_size: int | Literal["auto"] | None = None
    pixel_mm: float | Literal["auto"] | None = None
    context: int | None = None
    batch_size: int | None = None
    num_workers: int | None = None
    region_share: float | None = None
    slices_per_epoch: int | None = None
    display_hu: tuple[float, float] | None = None


@dataclass(frozen=True, kw_only=True)
class SplitSettings:
    """See `conf/train.yaml`."""

    file: Place | None = None
    val_share: float = 0.2
    test_share: float = 0.2
    folds: int | None = None
    fold: int | None = None
    seed: int = 0
    limit: int | None = None


@dataclass(frozen=True, kw_only=True)
class SplitFileSettings:
    """See `conf/check.yaml`."""

    file: Place | None = None


@dataclass(frozen=True, kw_only=True)
class SweepSettings:
    """See `conf/train.yaml`."""

    stop_on_failure: bool = False


@dataclass(frozen=True, kw_only=True)
class TaskSettings:
    """See `conf/train.yaml`."""

    encoder_lr_scale: float = 1.0


@dataclass(frozen=True, kw_only=True)
class ScoringSettings:
    """See `conf/scoring/default.yaml`."""

    nsd_mm: tuple[float, ...] = (2.0,)
    lits: bool = False
    level: float = 0.95
    resamples: int = 2000
    seed: int = 0
    workers: int | None = None


def _named_by_time(folder: str) -> str:
    return f"{folder}/{datetime.now():%Y-%m-%d_%H-%M-%S}"


@dataclass(frozen=True, kw_only=True)
class RunPaths:
    """See `conf/paths/default.yaml`."""

    data_dir: Place = "data"
    store_dir: Place = "data/store"
    output_dir: Place = field(default_factory=lambda: _named_by_time("runs"))


@dataclass(frozen=True, kw_only=True)
class EvaluationPaths:
    """See `conf/paths/evaluate.yaml`."""

    output_dir: Place = field(default_factory=lambda: _named_by_time("evaluations"))
    data_dir: Place = "data"


@dataclass(frozen=True, kw_only=True)
class CheckPaths:
    """See `conf/paths/check.yaml`."""

    output_dir: Place = field(default_factory=lambda: _named_by_time("checks"))
    data_dir: Place = "data"


@dataclass(frozen=True, kw_only=True)
class PostprocessSettings:
    """See `conf/prediction/default.yaml`."""

    largest_liver: bool = False
    tumor_within_liver: bool = False
    min_lesion_ml: float = 0
    min_lesion_probability: float = 0


@dataclass(frozen=True, kw_only=True)
class PredictionSettings:
    """See `conf/prediction/default.yaml`."""

    device: str = "auto"
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    batch_size: int | None = None
    flips: tuple[Literal["left_right", "front_back"], ...] = ()
    temperature: tuple[float, ...] | None = None
    trusted_modules: tuple[str, ...] = ()
    postprocess: PostprocessSettings = field(default_factory=PostprocessSettings)


@dataclass(frozen=True, kw_only=True)
class ArchiveSettings:
    """See `conf/predict.yaml`."""

    max_gib: float = 32
    max_files: int = 100_000


@dataclass(frozen=True, kw_only=True)
class LocatorSettings:
    """See `conf/locator/coarse.yaml`."""

    ckpt: Place | None = None
    margin_mm: float = 20
    share: float = 0.25
    image_size: int = 64
    model: Component = Component("lts.networks.UNet", {"width": 8})


def _intensity() -> Component:
    window = "lts.intensity.Window"
    equalized = Component("lts.intensity.HistogramEqualization", {"low_hu": -200, "high_hu": 300})
    windows = [
        Component(window, {"level_hu": level, "width_hu": width}) for level, width in ((30, 150), (60, 200))
    ]
    return Component("lts.intensity.Channels", {"channels": [*windows, equalized]})


def _callbacks() -> dict[str, Component]:
    checkpoint = {
        "dirpath": OPEN,
        "save_on_train_epoch_end": True,
        "enable_version_counter": False,
    }
    return {
        "best": Component(
            "lts.task.BestCheckpoint", {**checkpoint, "filename": "best", "monitor": OPEN, "mode": OPEN}
        ),
        "last": Component("pytorch_lightning.callbacks.ModelCheckpoint", {**checkpoint, "filename": "last"}),
        "learning_rate": Component(
            "pytorch_lightning.callbacks.LearningRateMonitor", {"logging_interval": "epoch"}
        ),
        "overlays": Component("lts.task.LogOverlays", {"window_hu": OPEN}),
    }


@dataclass(frozen=True, kw_only=True)
class TrainSettings:
    """The settings of a training; see `conf/train.yaml`.

    Example:
        >>> data = DataSettings(layout="lits", root="scans", batch_size=8)
        >>> settings = TrainSettings(data=data, model=Component("lts.networks.UNet", {"width": 16}))
        >>> settings.split.val_share
        0.2
    """

    seed: int = 0
    budget_minutes: float | None = None
    compile: bool | Literal["auto"] = "auto"
    ckpt: Place | None = None
    init: Place | None = None
    sweep: SweepSettings = field(default_factory=SweepSettings)
    split: SplitSettings = field(default_factory=SplitSettings)
    task: TaskSettings = field(default_factory=TaskSettings)
    trusted_modules: tuple[str, ...] = ()
    intensity: Component = field(default_factory=_intensity)
    augment: Component = Component("lts.data.augment.Augmentation")
    loss: Component = Component("lts.losses.BCEDiceLoss")
    optimizer: Component = Component(
        "torch.optim.Adam", {"_partial_": True, "lr": 1e-4, "weight_decay": 1e-5}
    )
    scheduler: Component | None = Component(
        "torch.optim.lr_scheduler.ReduceLROnPlateau",
        {"_partial_": True, "mode": "min", "factor": 0.5, "patience": 5, "min_lr": 1e-6},
    )
    scoring: ScoringSettings = field(default_factory=ScoringSettings)
    paths: RunPaths = field(default_factory=RunPaths)
    trainer: Component = Component(
        "pytorch_lightning.Trainer",
        {
            **{"accelerator": "auto", "devices": 1, "max_epochs": 50, "precision": "auto"},
            **{"gradient_clip_val": 1.0, "num_sanity_val_steps": 0, "log_every_n_steps": 1},
            **{"sync_batchnorm": False, "plugins": [], "use_distributed_sampler": False},
            "enable_model_summary": False,
        },
    )
    callbacks: Mapping[str, Component] = field(default_factory=_callbacks)
    logger: Mapping[str, Component] | None = field(
        default_factory=lambda: {
            "tensorboard": Component(
                "pytorch_lightning.loggers.TensorBoardLogger",
                {"save_dir": OPEN, "name": "tensorboard", "version": ""},
            )
        }
    )
    locator: LocatorSettings | None = None
    data: DataSettings
    model: Component = Component("lts.networks.UNet")

    @property
    def max_epochs(self) -> int:
        """The epochs of `trainer`."""
        epochs: int = self.trainer.arguments["max_epochs"]
        return epochs


@dataclass(frozen=True, kw_only=True)
class StoreSettings(TrainSettings):
    """The settings of the training whose slices are made; see `conf/store.yaml`."""

    shards: int = 1
    shard: int | None = None


@dataclass(frozen=True, kw_only=True)
class EvaluateSettings(PredictionSettings):
    """See `conf/evaluate.yaml`."""

    ckpt: Place | tuple[Place, ...] | None = None
    subset: Literal["train", "val", "test", "all"] | None = None
    allow_training_cases: bool = False
    folds: Place | None = None
    sweep: SweepSettings = field(default_factory=SweepSettings)
    predictions: Place | None = None
    references: Place | None = None
    prediction_labels: LabelSettings | None = None
    reference_labels: LabelSettings | None = None
    allow_unpaired: bool = False
    compare: tuple[Place, ...] | None = None
    overlays: bool = False
    viewers: int | Literal["all"] | None = None
    data: CasesSettings = field(default_factory=CasesSettings)
    scoring: ScoringSettings = field(default_factory=ScoringSettings)
    paths: EvaluationPaths = field(default_factory=EvaluationPaths)
    intensity: object = None
    augment: object = None


@dataclass(frozen=True, kw_only=True)
class PredictSettings(PredictionSettings):
    """See `conf/predict.yaml`."""

    ckpt: Place | tuple[Place, ...]
    input: Place
    output: Place
    output_format: Literal["nii.gz", "nii", "nrrd", "mha"] = "nii.gz"
    mask_suffix: str = "_mask"
    overwrite: bool = False
    probabilities: bool = False
    dicom_seg: bool = False
    dicom_seg_layout: Literal["nested", "disjoint", "labelmap"] = "nested"
    dicom_rtstruct: bool = False
    dicom_sr: bool = False
    overlays: bool = False
    series: str | int | tuple[str | int, ...] | None = None
    acquisition: str | int | None = None
    shards: int = 1
    shard: int | None = None
    archive: ArchiveSettings = field(default_factory=ArchiveSettings)


@dataclass(frozen=True, kw_only=True)
class CheckSettings:
    """See `conf/check.yaml`."""

    data: CasesSettings
    split: SplitFileSettings = field(default_factory=SplitFileSettings)
    paths: CheckPaths = field(default_factory=CheckPaths)
    intensity: object = None
    augment: object = None


@dataclass(frozen=True, kw_only=True)
class ExportSettings:
    """See `conf/export.yaml`."""

    ckpt: Place
    format: str
    output: Place
    overwrite: bool = False
    scan: Place | None = None
    card: Place | None = None
    scores: tuple[Place, ...] = ()
    trusted_modules: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class PacsSettings:
    """See `conf/serve.yaml`."""

    send_to: str | None = None
    credentials_file: Place | None = None
    host: str = "127.0.0.1"
    port: int | None = None
    ae_title: str = "LTS"
    calling: tuple[str, ...] = ()
    description: str | None = None
    results: tuple[Literal["seg", "rtstruct", "sr"], ...] = ("seg",)
    answered_file: Place | None = None
    quiet_s: float = 10
    idle_s: float = 300
    drop_s: float = 600
    max_associations: int = 8
    max_series: int = 16
    max_series_mib: int = 1024
    retry_s: float = 5
    send_minutes: float = 60


@dataclass(frozen=True, kw_only=True)
class ServeSettings(PredictionSettings):
    """See `conf/serve.yaml`."""

    ckpt: Place | tuple[Place, ...]
    host: str = "127.0.0.1"
    port: int = 8000
    allowed_hosts: tuple[str, ...] = ()
    root_path: str = ""
    api_key_file: Place | None = None
    queue_size: int = 8
    max_upload_mib: int = 1024
    max_unpacked_mib: int = 2048
    max_files: int = 20_000
    max_voxels: int = 400_000_000
    keep_results: int = 16
    keep_minutes: float = 30
    stalled_s: float = 30
    least_kib_s: float = 8
    headers_s: float = 20
    max_connections: int = 256
    drain_s: float = 60
    pacs: PacsSettings = field(default_factory=PacsSettings)


SETTINGS: Mapping[str, type[Any]] = {
    "train": TrainSettings,
    "store": StoreSettings,
    "evaluate": EvaluateSettings,
    "predict": PredictSettings,
    "check": CheckSettings,
    "export": ExportSettings,
    "serve": ServeSettings,
}
"""By the name of the command."""
