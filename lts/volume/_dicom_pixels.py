"""The stored pixels of DICOM files, decoded in this process."""

from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy.typing as npt

from lts.base import VolumeError
from lts.volume._dicom_calls import parsing, read_whole, require
from lts.volume._dicom_kind import Beginning, beginning_of

_BROKEN = "truncated or broken pixel data"


def stored_frames(path: Path, frames: Sequence[int], *, syntax: str) -> Iterator[npt.NDArray[Any]]:
    """The frames of a file, `(rows, columns)` each, one in memory at a time.

    Args:
        path: The file.
        frames: Which, from 0, in the order they are wanted.
        syntax: Its transfer syntax, checked by `check_decoder`.

    Raises:
        VolumeError: Pixels are missing or cannot be decoded.
    """
    pixels = require("pydicom.pixels")
    source = _source(path, syntax)
    with closing(pixels.iter_pixels(source, indices=list(frames), raw=True)) as images:
        for _ in frames:
            with parsing(path, broken=_BROKEN):
                stored: npt.NDArray[Any] = next(images)
            yield stored


def is_compressed(syntax: str) -> bool:
    """Whether pixels are to be decoded."""
    return bool(require("pydicom.uid").UID(syntax).is_encapsulated)


def check_decoder(path: Path, syntax: str) -> None:
    """Check that a transfer syntax can be decoded here.

    Raises:
        VolumeError: There is none, or nothing that decodes it.
    """
    if not syntax:
        raise VolumeError(f"{path}: TransferSyntaxUID is missing")
    with parsing(path):
        name = f"{require('pydicom.uid').UID(syntax).name} ({syntax})"
        try:
            decoder = require("pydicom.pixels").get_decoder(syntax)
        except NotImplementedError as error:
            raise VolumeError(f"{path}: transfer syntax cannot be decoded: {name}") from error
    if not decoder.is_available:
        plugins = " or ".join(decoder.missing_dependencies)
        raise VolumeError(
            f"{path}: transfer syntax cannot be decoded here: {name}; it takes one of {plugins}"
        )


def _source(path: Path, syntax: str) -> Any:
    """The source of frames for pydicom: the file, unless it is deflated or lacks the preamble."""
    deflated = syntax == require("pydicom.uid").DeflatedExplicitVRLittleEndian
    if not deflated and beginning_of(path) is Beginning.PREAMBLE:
        return path
    with parsing(path, broken="truncated or broken data"):
        dataset = read_whole(path)
        encapsulated = "PixelData" in dataset and dataset["PixelData"].is_undefined_length
        if encapsulated and not is_compressed(syntax):
            raise VolumeError(f"{path}: TransferSyntaxUID is missing, and its pixels are compressed")
        return dataset
