"""From settings to a model that predicts: checkpoints, device and post-processing."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lts.app.config.instantiate import keys_in_errors
from lts.app.config.serialization import settings_to_dict
from lts.app.config.settings import PredictionSettings, PredictSettings
from lts.app.config.values import Place
from lts.base import ConfigError, natural_key
from lts.cohort import SeriesChoice
from lts.inference import Checkpoint, Postprocess, Predictor, find_device, load_checkpoint
from lts.slices import content_hash


def load_checkpoints(
    ckpt: Place | Sequence[Place], *, trusted_modules: Sequence[str] = ()
) -> tuple[Checkpoint, ...]:
    """Open the checkpoints of `ckpt`, one file or several; `*` matches several files.

    Raises:
        ConfigError: No file is named, none matches, or two hold the same: one model would count twice.
        CheckpointError: A file cannot be used.
    """
    named = [ckpt] if isinstance(ckpt, str | Path) else ckpt
    paths = [path for name in named for path in _matching(str(name))]
    if not paths:
        raise ConfigError("ckpt: must name a checkpoint file, or a list of them, got none")
    if paths[1:]:
        _check_different([path for path in paths if path.is_file()])
    return tuple(load_checkpoint(path, trusted_modules=trusted_modules) for path in paths)


def _check_different(paths: Sequence[Path]) -> None:
    of_content: dict[str, Path] = {}
    for path in paths:
        if (other := of_content.setdefault(content_hash(path), path)) is not path:
            raise ConfigError(f"ckpt: must name each model once, got {other} and {path} of the same content")


def _matching(name: str) -> list[Path]:
    path = Path(name).expanduser()
    if "*" not in name or path.is_file():
        return [path]
    pattern = str(path.relative_to(path.anchor))
    found = sorted(Path(path.anchor).glob(pattern), key=lambda match: natural_key(str(match)))
    if not found:
        raise ConfigError(f"ckpt: no file matches {name}")
    return found


def open_predictor(
    settings: PredictionSettings, checkpoints: tuple[Checkpoint, ...], *, turn: int = 0
) -> Predictor:
    """The predictor that the settings of `conf/prediction` describe.

    Args:
        settings: The settings.
        checkpoints: The models.
        turn: As of `find_device`.

    Raises:
        ConfigError: A setting breaks its rule.
        CheckpointError: The checkpoints do not fit together.
    """
    with keys_in_errors("postprocess", Postprocess):
        return Predictor(
            checkpoints,
            device=find_device(settings.device, turn=turn),
            batch_size=settings.batch_size,
            flips=settings.flips,
            temperature=settings.temperature,
            precision=settings.precision,
            postprocess=Postprocess(**settings_to_dict(settings.postprocess)),
        )


def series_choice(settings: PredictSettings) -> SeriesChoice:
    """What `series` and `acquisition` choose; numbers may be given as such.

    Raises:
        ConfigError: A name is empty.
    """
    series, acquisition = settings.series, settings.acquisition
    names = () if series is None else series if isinstance(series, tuple) else (series,)
    for key, values in (("series", names), ("acquisition", (acquisition,))):
        if "" in values:
            raise ConfigError(f"{key}: must be a name or number, got ''")
    return SeriesChoice(
        names=tuple(map(str, names)), acquisition="" if acquisition is None else str(acquisition)
    )


def origins(predictor: Predictor) -> list[dict[str, Any]]:
    """Each checkpoint by its path and content, for the record of a run."""
    return [
        {"path": str(checkpoint.path.resolve()), "sha256": content_hash(checkpoint.path)}
        for checkpoint in predictor.checkpoints
    ]
