"""Formats of exported models: writing and running of each."""

import importlib
import io
import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.jit import TracerWarning  # type: ignore[attr-defined]

from lts.base import ConfigError

INPUT, OUTPUT = "hu", "probs"
"""Names of what the graph takes and gives."""

METADATA_KEY = "lts"
"""Where an ONNX file keeps the metadata, one JSON, in its `metadata_props`."""

METADATA_FILE = "lts.json"
"""Where a TorchScript file keeps the same, among its extra files."""

ONNX_OPSET = 18
"""The oldest operator set that the exporter writes without converting, for the most runtimes."""

ONNX_MOST_BYTES = 2**31 - 2**24
"""Weights that one ONNX file can hold: protobuf ends at 2 GiB, and the graph needs some of it."""

_TRACED_SHAPE = (2, 64, 96)
"""Batch, height and width of the traced slices: all different, none 1, which exporters take for fixed."""

Run = Callable[[Tensor], Tensor]
"""`(B, N, H, W)` to `(B, R, H, W)`, float32 on the CPU."""


@dataclass(frozen=True)
class FileFormat:
    """One format of files.

    Attributes:
        runtime: What runs the files, by the name it is known by.
        packages: What must be installed beside the dependencies of lts.
        make: Called with the model in evaluation mode, the slices that it takes and the metadata; returns
            what the file holds.
        open: Called with the path; the runtime uses as many threads as PyTorch.
    """

    runtime: str
    packages: tuple[str, ...]
    make: Callable[[nn.Module, int, str], bytes | memoryview]
    open: Callable[[Path], Run]


def find_format(name: str) -> FileFormat:
    """Look up a format by name and see that it can be written here.

    Raises:
        ConfigError: There is no such format, or a package that it needs is missing.

    Example:
        >>> find_format("torchscript").runtime
        'TorchScript'
        >>> find_format("tensorrt")
        Traceback (most recent call last):
        lts.base._errors.ConfigError: format: must be one of onnx, torchscript, got 'tensorrt'
    """
    if name not in FORMATS:
        raise ConfigError(f"format: must be one of {', '.join(FORMATS)}, got {name!r}")
    for package in FORMATS[name].packages:
        try:
            importlib.import_module(package)
        except ModuleNotFoundError as error:
            raise ConfigError(
                f"format: {name} needs the package {error.name}, which is not installed; "
                'pip install ".[export]"'
            ) from error
    return FORMATS[name]


def _make_onnx(model: nn.Module, slices: int, metadata: str) -> bytes:
    weights_bytes = sum(tensor.nbytes for tensor in model.state_dict().values())
    if weights_bytes > ONNX_MOST_BYTES:
        raise ConfigError(
            f"format: a file of onnx holds at most {ONNX_MOST_BYTES} bytes of weights, got {weights_bytes}; "
            "torchscript holds more"
        )
    with _quiet_exporters(), torch.no_grad():
        program = torch.onnx.export(
            model,
            (_example(slices),),
            dynamo=True,
            opset_version=ONNX_OPSET,
            input_names=[INPUT],
            output_names=[OUTPUT],
            dynamic_shapes=({0: "batch", 2: "height", 3: "width"},),
            verbose=False,
        )
    assert program is not None
    proto = program.model_proto
    _forget_source(proto.graph)
    for function in proto.functions:
        _forget_source(function)
    entry = proto.metadata_props.add()
    entry.key, entry.value = METADATA_KEY, metadata
    content: bytes = proto.SerializeToString()
    return content


def _forget_source(graph: Any) -> None:
    """Drop the exporter's notes on where in the code a node came from: they name folders of this machine."""
    del graph.metadata_props[:]
    for part in (*graph.node, *graph.value_info):
        del part.metadata_props[:]


def _open_onnx(path: Path) -> Run:
    import onnxruntime  # only where the extra is installed

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    # Threads that wait for the next batch in a loop would slow down whatever else runs, PyTorch included.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3  # errors alone
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])

    def run(hu: Tensor) -> Tensor:
        return torch.from_numpy(session.run([OUTPUT], {INPUT: hu.numpy()})[0])

    return run


def _make_torchscript(model: nn.Module, slices: int, metadata: str) -> memoryview:
    with _quiet_exporters(), torch.no_grad():
        traced = torch.jit.trace(  # type: ignore[no-untyped-call]
            model, (_example(slices),), check_trace=False
        )
        content = io.BytesIO()
        torch.jit.save(traced, content, _extra_files={METADATA_FILE: metadata})
    return content.getbuffer()


def _open_torchscript(path: Path) -> Run:
    with _quiet_exporters():
        model = torch.jit.load(str(path), map_location="cpu")  # type: ignore[no-untyped-call]

    def run(hu: Tensor) -> Tensor:
        with torch.no_grad():
            probs: Tensor = model(hu)
        return probs

    return run


def _example(slices: int) -> Tensor:
    batch, height, width = _TRACED_SHAPE
    shape = (batch, slices, height, width)
    return torch.linspace(-200, 300, batch * slices * height * width).reshape(shape)


@contextmanager
def _quiet_exporters() -> Iterator[None]:
    """Context that hides exporters' warnings to developers.

    TorchScript's deprecation is the user's choice. Warnings that a trace may have fixed a size come with
    every comparison; whether it did is checked on other sizes afterwards.
    """
    disabled = logging.root.manager.disable
    logging.disable(logging.ERROR)
    try:
        with warnings.catch_warnings(), redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
            warnings.filterwarnings("ignore", r"`torch\.jit\.\w+` is deprecated")
            warnings.filterwarnings("ignore", category=TracerWarning)
            yield
    finally:
        logging.disable(disabled)


FORMATS = {
    "onnx": FileFormat("ONNX Runtime", ("onnx", "onnxscript", "onnxruntime"), _make_onnx, _open_onnx),
    "torchscript": FileFormat("TorchScript", (), _make_torchscript, _open_torchscript),
}
