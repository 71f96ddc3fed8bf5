"""Calls of pydicom on a user's file, without warnings and with errors in one line."""

import logging
import threading
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from io import BytesIO
from pathlib import Path
from typing import Any

from lts.base import ConfigError, LtsError, VolumeError
from lts.volume._dicom_kind import PREAMBLE, Beginning, beginning_of

_LOGGERS = ("pydicom", "highdicom", "pylibjpeg", "openjpeg")

_META = 4096
"""Bytes within which a file states its transfer syntax."""

_CHUNK = 1 << 20
_MOST_INFLATED = 1 << 30
"""A file of 2,000 frames of 512 x 512."""

_ONE_AT_A_TIME = threading.RLock()


def require(module: str) -> Any:
    """Import a module of the optional DICOM packages.

    Raises:
        ConfigError: It is not installed.
    """
    try:
        return import_module(module)
    except ImportError as error:
        raise ConfigError(f'DICOM needs the extra: pip install ".[dicom]" ({error})') from error


@contextmanager
def parsing(path: Path, *, broken: str = "broken DICOM header") -> Iterator[None]:
    """Context for pydicom on a user's file: no warnings, and any error in one line.

    Files from scanners and archives break many small rules (UIDs with leading zeros, values too long) that do
    not concern voxels; those that matter here are checked by value.

    Args:
        path: The file, for the message.
        broken: The message for a file that pydicom cannot read.

    Raises:
        VolumeError: Whatever pydicom or a decoder raised: they name no complete set of errors.
    """
    with _quiet():
        try:
            yield
        except (LtsError, MemoryError):
            raise
        except OSError as error:
            raise VolumeError(f"{path}: cannot be read: {error.strerror or error}") from error
        except Exception as error:
            reason = " ".join(str(error).split()) or type(error).__name__
            raise VolumeError(f"{path}: {broken}: {reason}") from error


def read_header(path: Path, *, tags: list[str] | None = None) -> Any:
    """The pydicom dataset of a file without its pixels; to be called, and read, while `parsing`."""
    return _read(path, stop_before_pixels=True, specific_tags=tags)


def read_whole(path: Path) -> Any:
    """The pydicom dataset of a file with its pixels as they are stored; to be called while `parsing`."""
    return _read(path)


def _read(path: Path, **options: Any) -> Any:
    dcmread = require("pydicom").dcmread
    beginning = beginning_of(path)
    _check_inflates(path, beginning)
    if beginning is Beginning.PREFIX:
        with path.open("rb") as stream:
            content = stream.read()
        return dcmread(BytesIO(bytes(PREAMBLE) + content), **options)
    if beginning is not Beginning.DATA_SET:
        return dcmread(path, **options)
    dataset = dcmread(path, force=True, **options)
    if not dataset.file_meta:
        # nothing states the transfer syntax; pydicom has told it by the first element
        dataset.file_meta.TransferSyntaxUID = _guessed_syntax(dataset)
    return dataset


def _check_inflates(path: Path, beginning: Beginning) -> None:
    """Refuse a deflated file that inflates beyond limits, as pydicom inflates it at once."""
    if beginning is not Beginning.PREAMBLE:
        return
    with path.open("rb") as stream:
        uid = require("pydicom.uid").DeflatedExplicitVRLittleEndian
        head = stream.read(_META)
        if uid.encode() not in head:
            return
        meta = require("pydicom.filereader").read_file_meta_info(path)
        if meta.get("TransferSyntaxUID") != uid:
            return
        # the preamble, DICM, and the element that says how long the others are
        stream.seek(PREAMBLE + 4 + 12 + int(meta.FileMetaInformationGroupLength))
        inflater = zlib.decompressobj(-zlib.MAX_WBITS)
        size, packed = 0, stream.read(_CHUNK)
        while packed and not inflater.eof:
            size += len(inflater.decompress(packed, _CHUNK))
            if size > _MOST_INFLATED:
                raise VolumeError(f"{path}: must inflate to at most {_MOST_INFLATED} bytes")
            packed = inflater.unconsumed_tail or stream.read(_CHUNK)


def _guessed_syntax(dataset: Any) -> Any:
    uid = require("pydicom.uid")
    implicit, little_endian = dataset.original_encoding
    if implicit:
        return uid.ImplicitVRLittleEndian
    return uid.ExplicitVRLittleEndian if little_endian else uid.ExplicitVRBigEndian


@contextmanager
def _quiet() -> Iterator[None]:
    """Context that turns off warnings and small checks of pydicom, highdicom and decoders.

    These settings are global in Python and pydicom, so they are changed only during a call, by one thread at
    a time.

    Raises:
        ConfigError: pydicom is not installed.
    """
    config = require("pydicom.config")
    loggers = [logging.getLogger(name) for name in _LOGGERS]
    with _ONE_AT_A_TIME, warnings.catch_warnings(), config.disable_value_validation():
        warnings.simplefilter("ignore")
        levels = [logger.level for logger in loggers]
        for logger in loggers:
            logger.setLevel(logging.CRITICAL)
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)
