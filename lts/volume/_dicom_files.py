"""DICOM files by their headers: the series that a folder holds, and how pydicom is called."""

import logging
import os
import re
import threading
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from lts.base import ConfigError, LtsError, VolumeError

_MAGIC, _MAGIC_AT = b"DICM", 128

_NO_IMAGES = frozenset({"SEG", "RTSTRUCT", "RTPLAN", "RTDOSE", "RTRECORD", "SR", "PR", "KO", "REG", "DOC"})
"""Modalities of objects that describe images; some of them have rows and columns of their own."""

_STORAGE = "1.2.840.10008.5.1.4.1.1"

_NO_IMAGE_CLASSES = (f"{_STORAGE}.66", f"{_STORAGE}.481.2", f"{_STORAGE}.4.2")
"""What the SOP classes of segmentations and registrations, doses, and spectra start with: they may name the
modality of an image, and have rows and columns."""

_IMAGE_CLASSES = ("", *(f"{_STORAGE}.{n}" for n in ("2", "2.1", "2.2", "4", "4.1", "4.4")))
"""SOP classes, of CT and MR and where none is named, that must have rows and columns."""

_TAGS = [
    *("SOPClassUID", "Modality", "SeriesInstanceUID", "SeriesDescription"),
    *("Rows", "Columns", "NumberOfFrames"),
]

_LOGGERS = ("pydicom", "highdicom", "pylibjpeg", "openjpeg")

_ONE_AT_A_TIME = threading.RLock()


@dataclass(frozen=True)
class DicomSeries:
    """One series, as its headers tell, in no proven order yet.

    Attributes:
        folder: The folder its files lie in, themselves or in folders of their own.
        uid: SeriesInstanceUID; "" where it was removed, and then a folder is taken for a series.
        modality: DICOM's, such as "CT" or "MR".
        description: SeriesDescription or "".
        files: In natural order of their paths, which proves nothing of their order in space.
        n_voxels: Rows times columns times frames, summed over the files.
        broken: A file in the folders of its files that cannot be read, and why; "" where all can. It may be a
            slice of this series, so the series is not to be read.
    """

    folder: Path
    uid: str
    modality: str
    description: str
    files: tuple[Path, ...]
    n_voxels: int
    broken: str = ""


@dataclass(frozen=True)
class _Image:
    path: Path
    uid: str
    modality: str
    description: str
    n_voxels: int


def find_dicom_series(folder: Path) -> tuple[DicomSeries, ...]:
    """Find the series of images in a folder and its subfolders, reading headers alone.

    Hidden files, files that are not DICOM, DICOMDIR, and objects that are no images (segmentations,
    structures, doses, reports, presentation states) are left out. A file that cannot be read marks all
    series of its folder as broken, and no others; where there are none, it is a broken series of its own.

    Args:
        folder: The folder, or a single file.

    Returns:
        The series in natural order of their first files, empty ones last; nothing where there is none.

    Raises:
        VolumeError: The folder is missing, or one in it cannot be listed.
        ConfigError: There are DICOM files, and pydicom is not installed.
    """
    folder = Path(folder)
    if not folder.exists():
        raise VolumeError(f"{folder}: no such folder")
    images: dict[tuple[str, Path], list[_Image]] = {}
    broken: dict[Path, str] = {}
    for path in _files(folder):
        try:
            image = _read_image(path) if _is_dicom(path) else None
        except VolumeError as error:
            broken.setdefault(path.parent, str(error))
            continue
        if image is not None:
            place = Path() if image.uid else path.parent
            images.setdefault((image.uid, place), []).append(image)
    found = [_series(group, broken=broken) for group in images.values()]
    taken = {image.path.parent for group in images.values() for image in group}
    return (
        *found,
        *(DicomSeries(place, "", "", "", (), 0, why) for place, why in broken.items() if place not in taken),
    )


def needs(module: str) -> Any:
    """A module of the optional packages that read and write DICOM.

    Raises:
        ConfigError: It is not installed.
    """
    try:
        return import_module(module)
    except ImportError as error:
        raise ConfigError(f'DICOM needs the extra: pip install ".[dicom]" ({error})') from error


@contextmanager
def parsing(path: Path, *, broken: str = "broken DICOM header") -> Iterator[None]:
    """Call pydicom on a user's file: no warnings, and an error in one line whatever it stumbles over.

    Files from scanners and archives break many small rules (UIDs with leading zeros, values too long) that
    say nothing of the voxels; those that matter here are checked by value.

    Args:
        path: The file, for the message.
        broken: What to say of a file that pydicom cannot take.

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
    return needs("pydicom").dcmread(path, stop_before_pixels=True, specific_tags=tags)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep pydicom, highdicom and the decoders from checking small rules, and from warning.

    The settings for that are global in Python and pydicom, so they are changed for the length of a call and
    for one thread at a time.

    Raises:
        ConfigError: pydicom is not installed.
    """
    config = needs("pydicom.config")
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


def _files(folder: Path) -> Iterator[Path]:
    """Files that may be DICOM, in natural order."""
    if folder.is_file():
        yield folder
        return
    paths: list[Path] = []
    for parent, folders, names in os.walk(folder, onerror=_refuse):
        folders[:] = [name for name in folders if not name.startswith(".")]
        paths += [
            Path(parent, name) for name in names if not name.startswith(".") and name.upper() != "DICOMDIR"
        ]
    yield from (path for path in sorted(paths, key=_natural_key) if path.is_file())


def _is_dicom(path: Path) -> bool:
    try:
        with path.open("rb") as stream:
            stream.seek(_MAGIC_AT)
            return stream.read(len(_MAGIC)) == _MAGIC
    except OSError as error:
        raise VolumeError(f"{path}: cannot be read: {error.strerror or error}") from error


def _refuse(error: OSError) -> None:
    raise VolumeError(f"{error.filename}: cannot be read: {error.strerror or error}") from error


def _natural_key(path: Path) -> list[tuple[list[str | int], str]]:
    """Image 2 comes before image 10: `re.split` puts text at even places and numbers at odd ones."""
    return [
        ([int(p) if i % 2 else p.casefold() for i, p in enumerate(re.split(r"([0-9]+)", part))], part)
        for part in path.parts
    ]


def _read_image(path: Path) -> _Image | None:
    """What a file says of its series, or None where it is no image."""
    with parsing(path):
        header = read_header(path, tags=_TAGS)
        modality = str(header.get("Modality") or "")
        sop_class = str(header.file_meta.get("MediaStorageSOPClassUID") or header.get("SOPClassUID") or "")
        rows, columns = int(header.get("Rows") or 0), int(header.get("Columns") or 0)
        if modality in _NO_IMAGES or sop_class.startswith(_NO_IMAGE_CLASSES):
            return None
        if min(rows, columns) < 1:
            if sop_class in _IMAGE_CLASSES:
                # a slice that is left out at either end of a volume would never be missed
                raise VolumeError(f"{path}: an image must have Rows and Columns, got {rows} and {columns}")
            return None
        return _Image(
            path=path,
            uid=str(header.get("SeriesInstanceUID") or ""),
            modality=modality,
            description=str(header.get("SeriesDescription") or ""),
            n_voxels=rows * columns * int(header.get("NumberOfFrames") or 1),
        )


def _series(images: list[_Image], *, broken: Mapping[Path, str]) -> DicomSeries:
    first = images[0]
    folders = dict.fromkeys(image.path.parent for image in images)
    return DicomSeries(
        folder=Path(os.path.commonpath(list(folders))),
        uid=first.uid,
        modality=first.modality,
        description=first.description,
        files=tuple(image.path for image in images),
        n_voxels=sum(image.n_voxels for image in images),
        broken=next((broken[folder] for folder in folders if folder in broken), ""),
    )
