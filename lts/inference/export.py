"""From a checkpoint to one file that other programs run: raw values in, probabilities out."""

import json
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any

import torch
from torch import Tensor, nn

from lts.base import CheckpointError, ConfigError, LtsError, Progress, written_whole
from lts.inference.agreement import Agreement, measure_agreement
from lts.inference.checkpoint import Checkpoint
from lts.inference.formats import FileFormat, find_format
from lts.inference.metadata import describe
from lts.inference.model import Model
from lts.intensity import apply_with_context
from lts.networks import Padded


class ServingModel(nn.Module):
    """Everything between slices and probabilities, in one module.

    It shares the modules of the model and runs where they are, channels last, which is faster.

    Args:
        model: The model.

    Example:
        >>> from lts.intensity import Window
        >>> from lts.networks import UNet
        >>> from lts.slices import Recipe
        >>> model = Model(
        ...     network=UNet(in_channels=3, out_channels=2, width=4),
        ...     intensity=Window(level_hu=40, width_hu=400),
        ...     regions=("liver", "tumor"),
        ...     recipe=Recipe(image_size=64, pixel_mm=None, modality="ct"),
        ...     context=1,
        ... )
        >>> probs = ServingModel(model).eval()(torch.zeros(5, 3, 40, 60))
        >>> probs.shape
        torch.Size([5, 2, 40, 60])
    """

    def __init__(self, model: Model) -> None:
        super().__init__()
        self.intensity = model.intensity
        self.network = model.network.to(memory_format=torch.channels_last)
        self.input_slices = 1 + 2 * model.context

    def forward(self, hu: Tensor) -> Tensor:
        """Probabilities of every pixel and region.

        Args:
            hu: `(B, input_slices, H, W)` float32, finite: a slice in the middle of its neighbors, from foot
                to head, in HU, or in MR's own scale for a model of MR; any H and W >= 1.

        Returns:
            `(B, R, H, W)` float32 in [0, 1], contiguous: other languages read the memory itself.
        """
        channels = apply_with_context(self.intensity, hu).contiguous(memory_format=torch.channels_last)
        logits: Tensor = self.network(channels)
        return logits.sigmoid().contiguous()


@dataclass(frozen=True)
class Exported:
    """A written file, and the result of its check.

    Attributes:
        path: The file.
        size_bytes: Its size.
        metadata: Its metadata; see `lts.inference.describe`.
        runtime: The runtime of the check.
        agreement: Difference from PyTorch, and time.
        locator: The same of the file of its locator, None without one.

    Example:
        See `export_model`.

        >>> list(Exported.__dataclass_fields__)
        ['path', 'size_bytes', 'metadata', 'runtime', 'agreement', 'locator']
    """

    path: Path
    size_bytes: int
    metadata: dict[str, Any]
    runtime: str
    agreement: Agreement
    locator: "Exported | None" = None


def export_model(
    checkpoint: Checkpoint,
    output: Path,
    *,
    format_name: str,
    slices: Tensor,
    overwrite: bool,
    locator_slices: Tensor | None = None,
    progress: Progress = lambda _done, _total: None,
) -> Exported:
    """Write a checkpoint as ONNX or TorchScript, if the file computes what PyTorch computes.

    It is compared on all slices with their context, and on tiles of them at other sizes. The file appears
    whole and checked, or not at all. Of a checkpoint with a locator both networks are written, and a JSON
    that says how they go together, see `files_of`; all of them or none.

    Args:
        checkpoint: The model, on the CPU.
        output: The file to write.
        format_name: `onnx` or `torchscript`.
        slices: `(Z, image_size, image_size)`, slices of a scan as the model is given them, Z >= 1.
        overwrite: Whether the files may exist.
        locator_slices: The same as the locator is given them, for a checkpoint that has one.
        progress: Told after each batch.

    Raises:
        ConfigError: The format is unknown or lacks a package, or `output` breaks a rule of `check_output`.
        StorageError: `output` cannot be written.
        CheckpointError: The network cannot be written so, a probability differs by more than 1e-4, or the
            file cannot be run.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> from lts.inference import load_checkpoint, save_checkpoint
        >>> from lts.intensity import Window
        >>> from lts.networks import UNet
        >>> from lts.slices import Recipe
        >>> with TemporaryDirectory() as folder:
        ...     save_checkpoint(
        ...         f"{folder}/model.ckpt",
        ...         UNet(in_channels=1, out_channels=1, width=4),
        ...         intensity=Window(level_hu=40, width_hu=400),
        ...         regions=("tumor",),
        ...         recipe=Recipe(image_size=64, pixel_mm=None, modality="ct"),
        ...     )
        ...     exported = export_model(
        ...         load_checkpoint(f"{folder}/model.ckpt"),
        ...         Path(folder) / "model.pt",
        ...         format_name="torchscript",
        ...         slices=torch.zeros(2, 64, 64),
        ...         overwrite=False,
        ...     )
        >>> exported.agreement.largest_difference < 1e-4
        True
    """
    files = files_of(checkpoint, output)
    file_format = find_format(format_name)
    parts: list[tuple[Path, Model, Tensor]] = [(output, checkpoint, slices)]
    if checkpoint.locator:
        assert locator_slices is not None
        parts.append((files[1], checkpoint.locator, locator_slices))

    def check_files() -> None:
        for path in files:
            check_output(path, overwrite=overwrite, inputs=[checkpoint.path])

    check_files()
    exported: list[Exported] = []
    with ExitStack() as open_files:  # their names are given at its end
        for path, model, shown in parts:
            file = open_files.enter_context(written_whole(path))
            exported.append(_write(file, path, model, shown, checkpoint, file_format, format_name, progress))
        if checkpoint.locator:
            description = {each.path.name: each.metadata for each in exported}
            sidecar = open_files.enter_context(written_whole(files[2]))
            sidecar.write(json.dumps(description, indent=1).encode())
        check_files()  # another may have written them
    network, *others = (replace(each, size_bytes=each.path.stat().st_size) for each in exported)
    return replace(network, locator=others[0]) if others else network


def files_of(checkpoint: Checkpoint, output: Path) -> tuple[Path, ...]:
    """The files that an export writes: the network; of one with a locator also that, and the JSON of both.

    These are `liver.onnx`, `liver_locator.onnx` and `liver.onnx.json`.
    """
    if checkpoint.locator is None:
        return (output,)
    locator = output.with_name(f"{output.stem}_locator{output.suffix}")
    return output, locator, output.with_name(f"{output.name}.json")


def _write(  # noqa: PLR0917
    file: IO[bytes],
    path: Path,
    model: Model,
    slices: Tensor,
    checkpoint: Checkpoint,
    file_format: FileFormat,
    format_name: str,
    progress: Progress,
) -> Exported:
    """Write and check one network; its file has no name yet."""
    locator = files_of(checkpoint, path)[1].name if model is checkpoint and model.locator else None
    serving, metadata = ServingModel(model).eval(), describe(checkpoint, model=model, locator=locator)
    name = f"{checkpoint.path}: {'' if model is checkpoint else 'its locator '}as {format_name}"
    file.write(_made(file_format, serving, json.dumps(metadata, indent=1), name=name))
    file.flush()
    agreement = measure_agreement(
        serving,
        file_format.open(Path(file.name)),
        slices,
        context=model.context,
        name=name,
        progress=progress,
    )
    return Exported(
        path=path, size_bytes=0, metadata=metadata, runtime=file_format.runtime, agreement=agreement
    )


def _made(file_format: FileFormat, model: ServingModel, metadata: str, *, name: str) -> bytes | memoryview:
    try:
        return file_format.make(model, model.input_slices, metadata)
    except LtsError:
        raise
    except Exception as error:
        network = model.network.network if isinstance(model.network, Padded) else model.network
        if type(network).__module__.startswith("lts."):
            raise
        # What exporters make of networks that were not written for them has no bounds.
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise CheckpointError(f"{name} it cannot be written: {reason}") from error


def check_output(output: Path, *, overwrite: bool, inputs: list[Path], key: str = "output") -> None:
    """Check that a file may be written.

    Raises:
        ConfigError: Its folder is missing, it exists and must not be overwritten, or it is a folder or one of
            the inputs.

    Example:
        >>> check_output(Path("model.onnx"), overwrite=False, inputs=[Path("best.ckpt")])
        >>> check_output(Path("nowhere/model.onnx"), overwrite=False, inputs=[])
        Traceback (most recent call last):
        lts.base._errors.ConfigError: output: must lie in a folder that exists, got nowhere/model.onnx
    """
    if not output.parent.is_dir():
        raise ConfigError(f"{key}: must lie in a folder that exists, got {output}")
    if not output.exists():
        return
    if output.is_dir():
        raise ConfigError(f"{key}: must be a file, but {output} is a folder")
    if any(path.exists() and path.samefile(output) for path in inputs):
        raise ConfigError(f"{key}: must not be a file that is read, got {output}")
    if not overwrite:
        raise ConfigError(f"{key}: {output} exists; overwrite=true replaces it")
