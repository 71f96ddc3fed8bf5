"""Finds DICOM series in a folder by headers, and which of them may be volumes."""

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lts.base import VolumeError, counted, is_file, listed, natural_key, short_name
from lts.volume._dicom_calls import parsing, read_header
from lts.volume._dicom_image import TAGS, Image, image_of, sorted_by_kind, why_no_volume, without_copies
from lts.volume._dicom_kind import Beginning, beginning_of

_DICOM_ENDINGS = (".dcm", ".dicom", ".ima")
"""A file with such a suffix that is not DICOM is a damaged or incomplete slice."""

_MOST_NAMED = 5

_MOST_DESCRIBED = 10

_FEWEST_ALONE = 3
"""Files of one folder, each a series of its own, that were one series once."""


@dataclass(frozen=True)
class DicomSeries:
    """One series by its headers, not yet sorted in space.

    Attributes:
        folder: The folder of its files, which may be in subfolders.
        uid: SeriesInstanceUID; "" if it was removed, and then a folder counts as a series.
        modality: DICOM's, such as "CT" or "MR".
        description: SeriesDescription or "".
        files: In natural order of their paths, not in spatial order.
        n_voxels: Rows times columns times frames, summed over the files.
        broken: A file in the folders of its files that cannot be read, and why; "" where all can. It may be a
            slice of this series, so the series is not to be read.
        number: SeriesNumber or "".
        left_out: Images in the series that are not slices, such as localizers, and copies of files of it; ""
            for none.
        no_volume: Why it cannot be a volume, such as "2 localizers"; "" if it may.
        acquisition: Which of the acquisitions in it is meant: the label that the message of one that holds
            several gives it, "all" for one volume of all of them, "" where it must hold a single one.

    Example:
        >>> from pydicom.data import get_testdata_file
        >>> (series,) = find_dicom(Path(get_testdata_file("CT_small.dcm"))).series
        >>> series.modality, series.n_voxels, series.no_volume
        ('CT', 16384, '1 image, which has no spacing')
    """

    folder: Path
    uid: str
    modality: str
    description: str
    files: tuple[Path, ...]
    n_voxels: int
    broken: str = ""
    number: str = ""
    left_out: str = ""
    no_volume: str = ""
    acquisition: str = ""

    def describe(self, *, below: Path) -> str:
        """Its name in the study, its place in a folder, and its content, in a few words."""
        number = f" {short_name(self.number)}" if self.number else ""
        description = f" {short_name(self.description)!r}" if self.description else ""
        place = self.folder.relative_to(below).as_posix()
        where = f" in {short_name(place)}" if place != "." else ""
        return f"series{number}{description}{where}, {self.no_volume or counted(len(self.files), 'file')}"


@dataclass(frozen=True)
class DicomFolder:
    """The content of a folder and its subfolders; each file is in one of the three.

    Attributes:
        series: Series of images in natural order of their first files, those of broken files alone last.
        no_images: DICOM files that hold no image: segmentations, structures, doses, reports, DICOMDIR.
        others: Files that are not DICOM, broken links, and folders that are not entered, as they are hidden
            or links.

    Example:
        >>> DicomFolder()
        DicomFolder(series=(), no_images=(), others=())
    """

    series: tuple[DicomSeries, ...] = ()
    no_images: tuple[Path, ...] = ()
    others: tuple[Path, ...] = ()


def describe_series(series: Iterable[DicomSeries], *, below: Path) -> str:
    """Several series in one line, the first of them where they are many.

    Example:
        >>> from pydicom.data import get_testdata_file
        >>> path = Path(get_testdata_file("CT_small.dcm"))
        >>> describe_series(find_dicom(path).series, below=path.parent)
        'series 1, 1 image, which has no spacing'
    """
    return listed((one.describe(below=below) for one in series), most=_MOST_DESCRIBED, separator="; ")


def find_dicom(folder: Path) -> DicomFolder:
    """Find the series of images in a folder and its subfolders, reading headers alone.

    Hidden files and objects that are not images are left out and listed. An unreadable file marks all series
    of its folder as broken, and no others; without any, it is a broken series of its own. So does a file that
    is named as DICOM but is not.

    Args:
        folder: The folder, or a single file.

    Raises:
        VolumeError: The folder is missing, or one in it cannot be listed.
        ConfigError: There are DICOM files, and pydicom is not installed.

    Example:
        >>> from pydicom.data import get_testdata_file
        >>> found = find_dicom(Path(get_testdata_file("CT_small.dcm")))
        >>> [(series.modality, len(series.files)) for series in found.series], found.others
        ([('CT', 1)], ())
    """
    folder = Path(folder)
    if not folder.exists():
        raise VolumeError(f"{folder}: no such folder")
    files, others = _files(folder)
    images: dict[tuple[str, Path], list[Image]] = {}
    no_images: list[Path] = []
    broken: dict[Path, str] = {}
    for path in files:
        try:
            if not is_dicom(path):
                others.append(path)
                continue
            image = None if path.name.upper() == "DICOMDIR" else _read_image(path)
        except VolumeError as error:
            broken.setdefault(path.parent, str(error))
            continue
        if image is None:
            no_images.append(path)
        else:
            place = Path() if image.uid else path.parent
            images.setdefault((image.uid, place), []).append(image)
    groups = _put_together(list(images.values()), broken=broken)
    taken = {image.path.parent for group in images.values() for image in group}
    alone = (
        DicomSeries(place, "", "", "", (), 0, why) for place, why in broken.items() if place not in taken
    )
    return DicomFolder(
        series=(*(_series(group, broken=broken) for group in groups), *alone),
        no_images=tuple(no_images),
        others=tuple(sorted(others, key=_natural_key)),
    )


def _files(folder: Path) -> tuple[list[Path], list[Path]]:
    """Files to read, in natural order, and files and folders that are not read."""
    if folder.is_file():
        return [folder], []
    paths: list[Path] = []
    others: list[Path] = []
    folders = [folder]
    while folders:  # a stack: folders may be nested deeper than calls
        for path in _listed(folders.pop()):
            is_folder = path.is_dir()
            if path.name.startswith(".") or (is_folder and path.is_symlink()):
                others.append(path)
            elif is_folder:
                folders.append(path)
            else:
                paths.append(path)
    return sorted(paths, key=_natural_key), others


def _listed(folder: Path) -> list[Path]:
    try:
        with os.scandir(folder) as entries:
            return [Path(entry.path) for entry in entries]
    except OSError as error:
        raise VolumeError(f"{folder}: cannot be read: {error.strerror or error}") from error


def is_dicom(path: Path) -> bool:
    """Whether a file is DICOM.

    Raises:
        VolumeError: It cannot be read, or is none and has the name of one: a slice that is left out at either
            end of a volume would never be missed.
    """
    named_so = path.name.lower().endswith(_DICOM_ENDINGS)
    if not is_file(path):
        if named_so:
            raise VolumeError(f"{path}: is named as DICOM and is no file")
        return False
    if beginning_of(path) is not Beginning.OTHER:
        return True
    if named_so:
        raise VolumeError(f"{path}: is named as DICOM and is none ({path.stat().st_size} bytes)")
    return False


def _read_image(path: Path) -> Image | None:
    """The header of an image, or None if the file is not an image."""
    with parsing(path):
        return image_of(path, read_header(path, tags=TAGS))


def _put_together(groups: list[list[Image]], *, broken: dict[Path, str]) -> list[list[Image]]:
    """Merge images with a series each, as after file-wise de-identification, into one broken series."""
    whole: list[list[Image]] = []
    alone: dict[tuple[object, ...], list[Image]] = {}
    for group in groups:
        first = group[0]
        if len(group) > 1 or not first.uid or first.n_frames > 1 or first.aside:
            whole.append(group)
        else:
            alike = (first.path.parent, first.modality, first.shape, first.directions)
            alone.setdefault(alike, []).append(first)
    for group in alone.values():
        if len(group) < _FEWEST_ALONE:
            whole += [[image] for image in group]
            continue
        folder = group[0].path.parent
        broken[folder] = (
            f"{folder}: the slices of a volume must share a SeriesInstanceUID, got {len(group)} images alike "
            "with one each, as where files were made anonymous one by one"
        )
        whole.append(group)
    return sorted(whole, key=lambda group: _natural_key(group[0].path))


def _series(images: list[Image], *, broken: Mapping[Path, str]) -> DicomSeries:
    folders = dict.fromkeys(image.path.parent for image in images)
    folder = Path(os.path.commonpath(list(folders)))
    spoilt = next((broken[place] for place in folders if place in broken), "")
    images, copies = without_copies(images)
    no_volume = "" if spoilt else why_no_volume(images)
    slices = images if no_volume else [image for image in images if not image.aside]
    first = (slices or images)[0]
    aside = sorted_by_kind([] if no_volume else [image for image in images if image.aside])
    if copies:
        aside[counted(len(copies), "copy", "copies")] = copies
    return DicomSeries(
        folder=folder,
        uid=first.uid,
        modality=first.modality,
        description=first.description,
        files=tuple(image.path for image in slices),
        n_voxels=sum(image.n_voxels for image in slices),
        broken=spoilt,
        number=first.number,
        left_out=_names(aside, folder=folder),
        no_volume=no_volume,
    )


def _names(kinds: Mapping[str, Sequence[Image]], *, folder: Path) -> str:
    """Images that are left out, by count, kind and name."""
    parts = []
    for count, alike in kinds.items():
        names = [image.path.relative_to(folder).as_posix() for image in alike]
        parts.append(f"{count} ({listed(names, most=_MOST_NAMED)})")
    return ", ".join(parts)


def _natural_key(path: Path) -> list[Any]:
    return [natural_key(part) for part in path.parts]
