"""Checkpoints: their required content, and opening them without running code from them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lts.base import DESCRIPTION_KEY, CheckpointError, check_regions, name_some
from lts.inference.building import build
from lts.inference.model import Model
from lts.intensity import Intensity
from lts.networks.meta import check_answer, without_memory
from lts.slices import Recipe

CHECKPOINT_FORMAT = 1

_PARTS, _MEMBER = ("train", "val", "test"), ("case", "patient", "sha256")
_NETWORK = "network."
_OF_A_MODEL = ("regions", "network", "intensity", "intensity_state", "context", "recipe")
"""What a checkpoint says of its model, and of its locator likewise."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Checkpoint(Model):
    """A trained model, ready to serve, with its description.

    Attributes:
        path: The file.
        split: Per subset, the cases: `case`, `patient` and `sha256` of the image.
        config: The configuration of the run, as plain types.
        versions: Versions of the libraries it was trained with.
        start_cases: Cases that the weights it began with were trained on, or its locator, as in `split`.
        chosen: Keys of `config` that were chosen by the training cases, with their values.

    Example:
        See `load_checkpoint`.

        >>> [field for field in Checkpoint.__dataclass_fields__ if field not in Model.__dataclass_fields__]
        ['path', 'split', 'config', 'versions', 'start_cases', 'chosen']
    """

    path: Path
    split: dict[str, list[dict[str, str]]]
    config: dict[str, Any]
    versions: dict[str, str]
    start_cases: list[dict[str, str]] = field(default_factory=list)
    chosen: dict[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The file."""
        return str(self.path)

    @property
    def batch_size(self) -> int:
        """That of its training."""
        return int(self.config["data"]["batch_size"])

    def was_trained_on(self, sha256: str) -> bool:
        """Whether a scan of this content was among the training cases, of its start and locator too."""
        return any(member["sha256"] == sha256 for member in (*self.split["train"], *self.start_cases))


def load_checkpoint(path: str | Path, *, trusted_modules: Sequence[str] = ()) -> Checkpoint:
    """Open a checkpoint written by a training run or by `save_checkpoint`.

    No code from the file is run. Classes that it names are built if they are networks or intensities of lts,
    of `monai.networks.nets`, of `segmentation_models_pytorch` or of a trusted module.

    Args:
        path: The file.
        trusted_modules: Other modules whose networks it may name, such as `my_package.networks`.

    Raises:
        CheckpointError: The file is missing, damaged, of another format, names something else, or its weights
            do not fit.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> from lts.inference import save_checkpoint
        >>> from lts.intensity import Window
        >>> from lts.networks import UNet
        >>> with TemporaryDirectory() as folder:
        ...     save_checkpoint(
        ...         f"{folder}/model.ckpt",
        ...         UNet(in_channels=1, out_channels=1, width=4),
        ...         intensity=Window(level_hu=40, width_hu=400),
        ...         regions=("tumor",),
        ...         recipe=Recipe(image_size=64, pixel_mm=None, modality="ct"),
        ...     )
        ...     checkpoint = load_checkpoint(f"{folder}/model.ckpt")
        >>> checkpoint.regions, checkpoint.recipe.image_size, checkpoint.was_trained_on("ab12")
        (('tumor',), 64, False)
    """
    path = Path(path)
    return open_saved(path, read_checkpoint(path), trusted_modules=trusted_modules)


def open_saved(path: Path, saved: Mapping[str, Any], *, trusted_modules: Sequence[str]) -> Checkpoint:
    """What `load_checkpoint` makes of what it has read.

    Raises:
        CheckpointError: It describes no model that can be built.
    """
    description = saved[DESCRIPTION_KEY]
    try:
        checkpoint = Checkpoint(
            **_parts_of(description, network_weights(saved), trusted_modules=trusted_modules),
            path=path,
            locator=_locator_of(description.get("locator"), trusted_modules),
            split={part: _members(description["split"][part]) for part in _PARTS},
            config=dict(description["config"]),
            versions=dict(description["versions"]),
            start_cases=_members(description.get("start_cases", [])),
            chosen=dict(description.get("fingerprint", {}).get("chosen", {})),
        )
        _check_sizes(checkpoint, description["network"])
        _ = checkpoint.batch_size  # is there
        return checkpoint
    except Exception as error:  # what comes of a description of other types has no bounds
        raise CheckpointError(
            f"{path}: does not describe a model that can be built: {_reason(error)}"
        ) from error


def _reason(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__


def _locator_of(description: Any, trusted_modules: Sequence[str]) -> Model | None:
    if description is None:
        return None
    try:
        return build_locator(description, trusted_modules=trusted_modules)
    except CheckpointError as error:
        raise CheckpointError(f"locator: {error}") from error


def network_weights(saved: Mapping[str, Any]) -> dict[str, Tensor]:
    """The weights of the network in a checkpoint, by name.

    Example:
        >>> network_weights({"state_dict": {"network.head.bias": torch.zeros(2), "loss.a": torch.ones(1)}})
        {'head.bias': tensor([0., 0.])}
    """
    return {
        key.removeprefix(_NETWORK): value
        for key, value in saved["state_dict"].items()
        if key.startswith(_NETWORK)
    }


def not_finite(weights: Mapping[str, object]) -> list[str]:
    """Names of weights that no training leaves but one that diverged.

    Example:
        >>> not_finite({"head.bias": torch.tensor([0.0, float("nan")]), "head.weight": torch.zeros(1)})
        ['head.bias']
    """
    return [
        name
        for name, weight in weights.items()
        if not (isinstance(weight, Tensor) and not weight.is_complex() and weight.isfinite().all())
    ]


def locator_in(saved: Mapping[str, Any]) -> dict[str, Any]:
    """The description of a locator, plain types and tensors, made of a checkpoint of a liver network.

    Args:
        saved: As `read_checkpoint`; of one that has a locator itself, that is taken.

    Raises:
        KeyError: It does not describe a model.
        TypeError: Likewise.
        AttributeError: Likewise.
    """
    description = saved[DESCRIPTION_KEY]
    if description.get("locator") is not None:
        return dict(description["locator"])
    return {**{key: description[key] for key in _OF_A_MODEL}, "weights": network_weights(saved)}


def build_locator(description: Mapping[str, Any], *, trusted_modules: Sequence[str] = ()) -> Model:
    """The model that a description by `locator_in` is of.

    Raises:
        CheckpointError: It describes no model that can be built.
    """
    try:
        weights = description["weights"]
        locator = Model(**_parts_of(description, weights, trusted_modules=trusted_modules))
        _check_sizes(locator, description["network"])
    except Exception as error:  # as of a whole checkpoint
        raise CheckpointError(_reason(error)) from error
    return locator


def _parts_of(
    description: Mapping[str, Any], weights: Mapping[str, Tensor], *, trusted_modules: Sequence[str]
) -> dict[str, Any]:
    """What a description says of a model, built."""
    if wrong := not_finite(weights):
        raise CheckpointError(f"weights must be finite real numbers, not so: {name_some(wrong)}")
    # A description may state any size: memory is taken when the weights are known to be of that size.
    with without_memory():
        build(description["network"], trusted_modules=trusted_modules).load_state_dict(weights, assign=True)
    network = build(description["network"], trusted_modules=trusted_modules)
    network.load_state_dict(weights)
    intensity = build(description["intensity"], trusted_modules=trusted_modules)
    if not isinstance(intensity, Intensity):
        raise CheckpointError(f"intensity must be one of lts.intensity, got a {type(intensity).__name__}")
    intensity.load_state_dict(description["intensity_state"])
    return {
        "network": network.eval(),
        "intensity": intensity.eval(),
        "regions": check_regions(description["regions"]),
        "recipe": Recipe.from_description(description["recipe"]),
        "context": int(description["context"]),
    }


def cases_learned_from(description: Mapping[str, Any]) -> list[dict[str, str]]:
    """The cases that the weights of a checkpoint were trained on, before its own run and its locator's too.

    Args:
        description: What the checkpoint says of itself.

    Raises:
        KeyError: It does not say so.
        TypeError: Likewise.

    Example:
        >>> case = {"case": "volume-0", "patient": "0", "sha256": "ab12"}
        >>> cases_learned_from({"split": {"train": [case], "val": [], "test": []}})
        [{'case': 'volume-0', 'patient': '0', 'sha256': 'ab12'}]
    """
    return _members([*description["split"]["train"], *description.get("start_cases", [])])


def _members(members: Sequence[Mapping[str, Any]]) -> list[dict[str, str]]:
    return [{key: str(member[key]) for key in _MEMBER} for member in members]


def _check_sizes(model: Model, spec: Mapping[str, Any]) -> None:
    """Check that a network accepts the intensity's channels, and has an output for each region."""
    regions, side = len(model.regions), model.recipe.image_size
    for name, size in (("in_channels", model.channels), ("out_channels", regions)):
        if spec.get(name, size) != size:
            raise CheckpointError(f"network.{name} must be {size}, got {spec[name]}")
    check_answer(model.network, images=(1, model.channels, side, side), regions=regions)


def read_checkpoint(path: Path) -> dict[str, Any]:
    """What a checkpoint file of lts holds, Lightning's own content included.

    Raises:
        CheckpointError: The file is missing, damaged, of another kind or of another format.

    Example:
        >>> read_checkpoint(Path("nowhere.ckpt"))
        Traceback (most recent call last):
        lts.base._errors.CheckpointError: nowhere.ckpt: no such file
    """
    if path.is_dir():
        of_run = path / "checkpoints" / "best.ckpt"
        advice = f"; that of this run is {of_run}" if of_run.is_file() else ""
        raise CheckpointError(f"{path}: must be a checkpoint file, got a folder{advice}")
    if not path.is_file():
        raise CheckpointError(f"{path}: no such file")
    try:
        saved = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # what an unpickler raises on a damaged file has no bounds
        raise CheckpointError(
            f"{path}: is damaged or holds more than weights and plain types, refused"
        ) from error
    if not isinstance(saved, dict):
        raise CheckpointError(f"{path}: is not a checkpoint of lts but a {type(saved).__name__}")
    description = saved.get(DESCRIPTION_KEY)
    if not isinstance(description, Mapping) or "state_dict" not in saved:
        raise CheckpointError(f"{path}: is not a checkpoint of lts: it does not describe itself")
    if description.get("format") != CHECKPOINT_FORMAT:
        found = description.get("format")
        raise CheckpointError(f"{path}: format must be {CHECKPOINT_FORMAT} to be read here, got {found}")
    return saved
