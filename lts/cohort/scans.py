"""Scans to predict: what a file, a folder or an archive holds."""

import math
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from lts.base import CohortError, Modality
from lts.cohort.archive import ArchiveLimits, unpack_zip
from lts.cohort.case import case_id_problem, natural_key
from lts.cohort.files import files_below, grouped, name_some, nifti_stem
from lts.volume import (
    DicomSeries,
    Volume,
    find_dicom_series,
    read_dicom,
    read_geometry,
    read_image,
)

_CHANNEL = re.compile(r"_0000$")
_SEGMENTATION = re.compile(r"^segmentation-(\d+)$")
_ZIP = b"PK\x03\x04"
_DEEPEST = 20  # folders within each other in an archive
_UNSAFE = re.compile(r'[/\\:*?"<>|\s]+|\.\.+')


@dataclass(frozen=True)
class ScanSource:
    """One scan: a NIfTI file, or a DICOM series.

    Attributes:
        case: Its name, safe as a file name.
        path: The file, or the folder of the series.
        series: The series, None for NIfTI.
    """

    case: str
    path: Path
    series: DicomSeries | None = None

    def n_voxels(self) -> int:
        """Voxels by the header alone, before any is read.

        Raises:
            VolumeError: The header is not sound.
        """
        return self.series.n_voxels if self.series else math.prod(read_geometry(self.path).shape)

    def read(self, *, modality: Modality) -> Volume:
        """Read the scan: Hounsfield units for `ct`, its own scale for `mr`.

        Raises:
            VolumeError: It cannot be read, or is not a sound volume.
        """
        if self.series:
            return read_dicom(self.series, modality=modality)
        return read_image(self.path, modality=modality)


def find_scans(path: Path, *, unpack_to: Path, limits: ArchiveLimits) -> list[ScanSource]:
    """Find the scans of a file, a folder or a zip archive; none is read.

    A folder gives its NIfTI files, and every DICOM series in it or below. Cases are named by file, without
    `.nii.gz` and nnU-Net's `_0000`, series by their folders, and the only scan of an archive by the archive.
    Where files are named as LiTS names them, `segmentation-N` beside `volume-N` is a mask and no scan.

    Args:
        path: A NIfTI file, a DICOM file or folder, a folder of either, or a zip archive of these.
        unpack_to: An empty folder, used for an archive.
        limits: How much an archive may hold.

    Raises:
        CohortError: There is no such path, no scan in it, two of one name, or the archive is refused.
        VolumeError: A folder cannot be listed.
        ConfigError: There is DICOM, and the extra `dicom` is not installed.
    """
    if not path.exists():
        raise CohortError(f"{path}: no such file or folder")
    if path.is_dir():
        return _named(path, _in_folder(path, depth=0))
    if _is_zip(path):
        unpack_zip(path, unpack_to, limits=limits)
        found = list(_in_folder(unpack_to, depth=_DEEPEST))
        names = [f"{path.stem}_{scan.case}" if found[1:] else path.stem for scan in found]
        return _named(path, [replace(scan, case=name) for scan, name in zip(found, names, strict=True)])
    stem = nifti_stem(path) or path.stem
    if series := find_dicom_series(path):
        return _named(path, [ScanSource(stem, path, one) for one in series])
    return _named(path, [ScanSource(_CHANNEL.sub("", stem), path)])


def _in_folder(folder: Path, *, depth: int) -> Iterator[ScanSource]:
    """NIfTI files of a folder and of those in it, `depth` levels down, and the DICOM series of all."""
    files = [(path, stem) for path in files_below(folder, depth=depth) if (stem := nifti_stem(path))]
    stems = {stem for _, stem in files}
    for path, stem in files:
        of_lits = _SEGMENTATION.match(stem)
        if not (of_lits and f"volume-{of_lits[1]}" in stems):
            folders = path.parent.relative_to(folder).parts
            yield ScanSource("_".join([*folders, _CHANNEL.sub("", stem)]), path)
    for series in find_dicom_series(folder):
        folders = series.folder.relative_to(folder).parts
        yield ScanSource("_".join(folders) or folder.resolve().name, series.folder, series)


def _named(path: Path, found: Iterable[ScanSource]) -> list[ScanSource]:
    """The scans in natural order, under safe names; series of one name are numbered."""
    by_name = grouped((_safe(source.case), source) for source in found)
    if not by_name:
        raise CohortError(f"{path}: must hold a scan (NIfTI, or a DICOM series), got none")
    named = []
    for name, sources in by_name.items():
        series = [source for source in sources if source.series]
        for source in sources:
            number = f"_{series.index(source) + 1}" if source.series and series[1:] else ""
            named.append(replace(source, case=name + number))
    twice = [name for name, sources in grouped((one.case, one) for one in named).items() if sources[1:]]
    if twice:
        raise CohortError(f"{path}: two scans must not have the same name, got {name_some(twice)}")
    return sorted(named, key=lambda source: natural_key(source.case))


def _safe(name: str) -> str:
    """A name that can stand in a file name."""
    safe = _UNSAFE.sub("_", "".join(sign for sign in name if sign.isprintable())).strip("._ ")
    return safe if safe and case_id_problem(safe) is None else "scan"


def _is_zip(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(len(_ZIP)) == _ZIP
    except OSError as error:
        raise CohortError(f"{path}: cannot be read: {error.strerror or error}") from error
