"""Scans to predict in a file, a folder or an archive."""

import math
import os
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from lts.base import CohortError, Modality, VolumeError, counted, name_some, natural_key, path_exists
from lts.cohort.archive import DEEPEST, USUAL_LIMITS, ArchiveLimits, unpack_zip
from lts.cohort.case import case_id_problem, length_problem
from lts.cohort.files import DICOMDIR, case_stem, composed, grouped, is_hidden
from lts.cohort.series import ALL_SERIES, SeriesChoice, choose_series
from lts.cohort.skipped_files import describe_files, describe_skipped, first_names
from lts.volume import (
    DicomSeries,
    Volume,
    conversion_advice,
    find_dicom,
    inputs_in_words,
    is_unread,
    kinds_in_words,
    read_dicom,
    read_geometry,
    read_image,
    source_files,
)

_CHANNEL = re.compile(r"_0000$")
_SLICER_SEGMENTATION = ".seg"
"""How 3D Slicer names a segmentation, before `.nrrd`."""
_SEGMENTATION = re.compile(r"^segmentation-(\d+)$", re.IGNORECASE)
_ZIP = b"PK\x03\x04"
_MAY_BE_NIFTI = (".img", ".hdr")
_UNSAFE = re.compile(r'[/\\:*?"<>|\s]+|\.\.+')


def _go_on() -> None:
    pass


@dataclass(frozen=True)
class ScanSource:
    """One scan: a file, or a DICOM series.

    Attributes:
        case: Its name, safe as a file name.
        path: The file, or the folder of the series.
        series: The series, None for a file of another kind.

    Example:
        >>> source = ScanSource("liver-7", Path("liver-7.nii.gz"))
        >>> [path.name for path in source.files], source.series
        (['liver-7.nii.gz'], None)
    """

    case: str
    path: Path
    series: DicomSeries | None = None

    @property
    def files(self) -> tuple[Path, ...]:
        """The files that it is read from."""
        return self.series.files if self.series else source_files(self.path)

    def n_voxels(self) -> int:
        """Voxels by the header alone, before any is read.

        Raises:
            VolumeError: The header is not sound.
        """
        return self.series.n_voxels if self.series else math.prod(read_geometry(self.path).shape)

    def read(self, *, modality: Modality = "ct", check: Callable[[], None] = _go_on) -> Volume:
        """Read the scan: Hounsfield units for `ct`, its own scale for `mr`.

        Args:
            modality: What the scan is taken for.
            check: Called often while a DICOM series is read; what it raises ends the reading at once.

        Raises:
            VolumeError: It cannot be read, or is not a sound volume.
        """
        if self.series:
            return read_dicom(self.series, modality=modality, check=check)
        return read_image(self.path, modality=modality)


@dataclass(frozen=True)
class FoundScans:
    """What a file, a folder or an archive holds.

    Attributes:
        sources: The scans, in natural order of their cases; one or more.
        passed_over: Other files by count and name, one sentence for each kind.

    Example:
        >>> FoundScans(sources=(ScanSource("a", Path("a.nii")),)).passed_over
        ()
    """

    sources: tuple[ScanSource, ...]
    passed_over: tuple[str, ...] = ()


def find_scans(
    path: str | os.PathLike[str],
    *,
    unpack_to: Path | None = None,
    limits: ArchiveLimits = USUAL_LIMITS,
    choice: SeriesChoice = ALL_SERIES,
) -> FoundScans:
    """Find the scans of a file, a folder or a zip archive; none is read.

    A folder gives its files of NIfTI, NRRD and MetaImage, and every DICOM series in it or below that may be a
    volume. Cases are named by file, without its suffix and nnU-Net's `_0000`, series by their folders, and
    the only scan of an archive by the archive. Where files are named as LiTS names them, `segmentation-N`
    beside `volume-N` is a mask and no scan, as is `*.seg.nrrd` of 3D Slicer. All other files are listed.

    Args:
        path: A NIfTI, NRRD or MetaImage file, a DICOM file or folder, a folder of these, or a zip archive.
        unpack_to: An empty folder for the content of an archive; None to refuse archives.
        limits: How much an archive may hold.
        choice: Which series are meant.

    Raises:
        CohortError: There is no such path, no scan in it, two of one name, none of the series that is chosen,
            or the archive is refused.
        VolumeError: A folder cannot be listed.
        ConfigError: There is DICOM, and the extra `dicom` is not installed.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     for name in ("liver_7_0000.nii.gz", "notes.txt"):
        ...         Path(folder, name).touch()
        ...     found = find_scans(folder)
        >>> [source.case for source in found.sources], found.passed_over
        (['liver_7'], ('1 other file (notes.txt)',))
    """
    path = Path(path)
    if not path.exists():
        raise CohortError(f"{path}: no such file or folder")
    if path.is_dir():
        found = _in_folder(path, path, depth=0, choice=choice)
    elif _is_zip(path):
        if unpack_to is None:
            raise CohortError(f"{path}: is an archive, and unpack_to names no folder for what it holds")
        found = _in_archive(path, unpack_to, limits=limits, choice=choice)
    else:
        found = _in_file(path, choice=choice)
    return FoundScans(tuple(_named(path, found)), found.passed_over)


def _in_archive(path: Path, folder: Path, *, limits: ArchiveLimits, choice: SeriesChoice) -> FoundScans:
    hidden = unpack_zip(path, folder, limits=limits)
    found = _in_folder(path, folder, depth=DEEPEST, choice=choice)
    several = len(found.sources) > 1
    sources = (
        replace(one, case=f"{path.stem}_{one.case}" if several else path.stem) for one in found.sources
    )
    left_out = [f"{counted(len(hidden), 'hidden file')} ({first_names(hidden)})"] if hidden else []
    return FoundScans(tuple(sources), (*found.passed_over, *left_out))


def _in_file(path: Path, *, choice: SeriesChoice) -> FoundScans:
    """A single named file, which is read whether or not it makes a volume."""
    stem = case_stem(path) or path.stem
    found = find_dicom(path)
    if found.series:
        named = [replace(one, no_volume="") for one in found.series]
        chosen, _ = choose_series(path, named, choice, folder=path.parent)
        return FoundScans(tuple(ScanSource(stem, path, one) for one in chosen))
    if found.no_images:
        is_index = path.name.upper() == DICOMDIR
        got = "an index of DICOM files; name its folder" if is_index else "a DICOM file without an image"
        raise CohortError(f"{path}: must be a scan, got {got}")
    if is_unread(path) and path.suffix.lower() not in _MAY_BE_NIFTI:
        raise CohortError(f"{path}: must be {inputs_in_words()}; {conversion_advice()}")
    choose_series(path, (), choice, folder=path.parent)
    return FoundScans((ScanSource(_CHANNEL.sub("", stem), path),))


def _in_folder(path: Path, folder: Path, *, depth: int, choice: SeriesChoice) -> FoundScans:
    """Scans in files of a folder and of those in it, `depth` levels down, and the DICOM series of all.

    Args:
        path: What the user named, for messages.
        folder: Where the files are.
        depth: How deep to look for scans in files.
        choice: Which series are meant.
    """
    found = find_dicom(folder)
    chosen, not_chosen = choose_series(path, found.series, choice, folder=folder)
    files = {
        file: stem
        for file in found.others
        if (stem := case_stem(file)) and (file.is_file() or _leads_nowhere(file)) and not is_hidden(file)
    }
    stems = {stem.lower() for stem in files.values()}
    parts = {part for file in files for part in _parts_of(file)}
    sources: list[ScanSource] = []
    masks: list[Path] = []
    below: list[Path] = []
    unchosen: list[Path] = []
    for file, stem in files.items():
        folders = file.parent.relative_to(folder).parts
        of_lits = _SEGMENTATION.match(stem)
        if (of_lits and f"volume-{of_lits[1]}" in stems) or stem.lower().endswith(_SLICER_SEGMENTATION):
            masks.append(file)
        elif choice.names:
            unchosen.append(file)
        elif len(folders) > depth:
            below.append(file)
        else:
            sources.append(ScanSource("_".join([*folders, _CHANNEL.sub("", stem)]), file))
    for series in chosen:
        name = "_".join(series.folder.relative_to(folder).parts) or folder.resolve().name
        sources.append(ScanSource(name, series.folder, series))
    passed_over = (
        *not_chosen,
        *describe_files(unchosen, f"{kinds_in_words(unchosen)} file", folder=folder),
        *describe_files(
            below,
            f"{kinds_in_words(below)} file in a folder below, which is to be named itself",
            f"{kinds_in_words(below)} files in folders below, which are to be named themselves",
            folder=folder,
        ),
        *describe_files(masks, "mask beside its volume", "masks beside their volumes", folder=folder),
        *describe_files(
            found.no_images, "DICOM file without an image", "DICOM files without an image", folder=folder
        ),
        *describe_skipped(
            [file for file in found.others if file not in files and file not in parts], folder=folder
        ),
    )
    return FoundScans(tuple(sources), passed_over)


def _parts_of(file: Path) -> tuple[Path, ...]:
    """The files that a scan is read from; none where that cannot be told, which reading it will tell."""
    try:
        return source_files(file)
    except VolumeError:
        return ()


def _named(path: Path, found: FoundScans) -> list[ScanSource]:
    """The scans in natural order, under safe names; series of one name are numbered."""
    by_name = grouped((_safe(source.case), source) for source in found.sources)
    if not by_name:
        rule = f"must hold a scan ({kinds_in_words()}, or a DICOM series)"
        instead = "; ".join(found.passed_over)
        raise CohortError(f"{path}: {rule}, got none{instead and ': '}{instead}")
    named = []
    for name, sources in by_name.items():
        series = [source for source in sources if source.series]
        for source in sources:
            number = f"_{series.index(source) + 1}" if source.series and series[1:] else ""
            named.append(replace(source, case=name + number))
    twice = [
        f"{name} ({', '.join(source.path.name for source in sources)})"
        for name, sources in grouped((one.case, one) for one in named).items()
        if sources[1:]
    ]
    if twice:
        raise CohortError(f"{path}: two scans must not have the same name, got {name_some(twice)}")
    return sorted(named, key=lambda source: natural_key(source.case))


def _safe(name: str) -> str:
    """A name that can stand in a file name.

    Raises:
        CohortError: It is longer than one may be.
    """
    printed = "".join(sign for sign in composed(name) if sign.isprintable())
    safe = _UNSAFE.sub("_", printed).strip("._ ")
    if problem := length_problem(safe):
        raise CohortError(f"{problem}; rename its file or folder")
    return safe if safe and case_id_problem(safe) is None else "scan"


def _leads_nowhere(path: Path) -> bool:
    """Whether it is a broken link, as in a data set that was not fetched: a scan that cannot be read."""
    return path.is_symlink() and not path_exists(path)


def _is_zip(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(len(_ZIP)) == _ZIP
    except OSError as error:
        raise CohortError(f"{path}: cannot be read: {error.strerror or error}") from error
