"""The kinds of files that scans and masks come in, as one table.

A new kind is an entry here and its reader: cohorts, stores, checks, predictions, scores and the service ask
this table which files are scans, how they are read, and what to say of files that are not.
"""

from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy.typing as npt

from lts.base import Modality, VolumeError, in_words, is_folder, listed
from lts.volume import _headed, _metaimage, _nifti, _nrrd
from lts.volume._dicom import holds_dicom, only_series, open_series, series_geometry
from lts.volume._geometry import Geometry
from lts.volume._stored import Stored

MASK_SUFFIX = ".nii.gz"
"""How the masks and probabilities end that lts writes."""

_UNREAD = (
    *(".mgh", ".mgz", ".mnc", ".hdr", ".img", ".img.gz"),
    *(".nii.bz2", ".nii.xz", ".nii.zst", ".zip", ".tar", ".tar.gz", ".tgz", ".7z", ".rar"),
)
"""How files end that may hold a scan, or some in an archive, and are not read unless an entry says so."""

_SHOWN = 5


class _Write(Protocol):
    def __call__(
        self, path: Path, voxels_on_disk: npt.NDArray[Any], *, geometry: Geometry, slope: float
    ) -> None: ...


def _itself(path: Path) -> tuple[Path, ...]:
    return (path,)


@dataclass(frozen=True, kw_only=True)
class Format:
    """A kind of file.

    Attributes:
        name: What messages call it.
        suffixes: How the names of files end that hold one volume each, in lower case; none where names do not
            tell.
        header_suffixes: Those of them that name a header, whose voxels lie in a file beside it.
        may_be_gzipped: Whether `.gz` may follow each of them.
        fits: Whether a path whose name tells nothing is of this kind.
        read_geometry: Its grid, without a voxel.
        read_image: A scan, given what made it.
        read_mask: A mask; None where masks are not read from it.
        write: A file of `(X, Y, Z)` numbers, which times `slope` are the values, on a grid; None where it is
            not written.
        written: The endings that are written, None for all.
        files: The files that a volume is read from, given the path that names it.

    Example:
        >>> [(one.name, one.endings) for one in FORMATS[:2]]
        [('NIfTI', ('.nii', '.nii.gz')), ('NRRD', ('.nrrd', '.nhdr'))]
    """

    name: str
    suffixes: tuple[str, ...] = ()
    header_suffixes: tuple[str, ...] = ()
    may_be_gzipped: bool = False
    fits: Callable[[Path], bool] = lambda _path: False
    read_geometry: Callable[[Path], Geometry]
    read_image: Callable[[Path, Modality], Stored]
    read_mask: Callable[[Path], Stored] | None = None
    write: _Write | None = None
    written: tuple[str, ...] | None = None
    files: Callable[[Path], tuple[Path, ...]] = _itself

    @property
    def endings(self) -> tuple[str, ...]:
        """Its suffixes, with and without `.gz`."""
        return tuple(f"{one}{gz}" for one in self.suffixes for gz in ("", ".gz")[: 1 + self.may_be_gzipped])

    @property
    def written_endings(self) -> tuple[str, ...]:
        """Those of its endings that are written."""
        return self.endings if self.written is None else self.written


def _headed_format(
    name: str, suffix: str, *, header_suffix: str, parse: _headed.Parse, write: _Write
) -> Format:
    """A kind of file with a header of text, the voxels behind it or in a file beside it."""
    read_stored = partial(_headed.read_stored, parse=parse)
    return Format(
        name=name,
        suffixes=(suffix, header_suffix),
        header_suffixes=(header_suffix,),
        written=(suffix,),
        read_geometry=partial(_headed.read_geometry, parse=parse),
        read_image=lambda path, _modality: read_stored(path),
        read_mask=read_stored,
        write=write,
        files=partial(_headed.source_files, parse=parse),
    )


FORMATS: tuple[Format, ...] = (
    Format(
        name="NIfTI",
        suffixes=(".nii",),
        may_be_gzipped=True,
        read_geometry=lambda path: _nifti.read_header(path).geometry,
        read_image=lambda path, _modality: _nifti.read_stored(path),
        read_mask=_nifti.read_stored,
        write=_nifti.write,
    ),
    _headed_format("NRRD", ".nrrd", header_suffix=".nhdr", parse=_nrrd.parse, write=_nrrd.write),
    _headed_format("MetaImage", ".mha", header_suffix=".mhd", parse=_metaimage.parse, write=_metaimage.write),
    Format(
        name="DICOM",
        fits=holds_dicom,
        read_geometry=series_geometry,
        read_image=lambda path, modality: open_series(only_series(path), modality=modality),
        files=lambda path: only_series(path).files if is_folder(path) else (path,),
    ),
)
"""The first is taken for a file that fits none."""


def format_of(path: Path) -> Format:
    """The kind of a file or folder: by its name, else by what it holds, else the first of the table.

    Raises:
        VolumeError: It cannot be read, or is named as DICOM and is none.

    Example:
        >>> format_of(Path("liver_0.nii.gz")).name
        'NIfTI'
    """
    by_name = next((one for one in FORMATS if _ending(path, one) and not is_folder(path)), None)
    return by_name or next((one for one in FORMATS if one.fits(path)), FORMATS[0])


def source_files(path: Path) -> tuple[Path, ...]:
    """The files that a scan or mask is read from: itself, or those of the DICOM series that a folder holds.

    Any other file is its own too.

    Raises:
        VolumeError: A folder holds no series that may be a volume, or several.

    Example:
        >>> [path.name for path in source_files(Path("liver_0.nii.gz"))]
        ['liver_0.nii.gz']
    """
    return format_of(path).files(path)


def scan_suffixes() -> tuple[str, ...]:
    """How the names of files end that hold one volume each.

    Example:
        >>> scan_suffixes()
        ('.nii', '.nii.gz', '.nrrd', '.nhdr', '.mha', '.mhd')
    """
    return tuple(ending for one in FORMATS for ending in one.endings)


def header_suffixes() -> tuple[str, ...]:
    """Those of them that need another file beside them, which holds the voxels.

    Example:
        >>> header_suffixes()
        ('.nhdr', '.mhd')
    """
    return tuple(suffix for one in FORMATS for suffix in one.header_suffixes)


def scan_stem(path: Path) -> str | None:
    """The name without its suffix, in whatever case that is; None for a file that is no scan by its name.

    Example:
        >>> scan_stem(Path("liver/CASE_1.NII.GZ")), scan_stem(Path("notes.txt"))
        ('CASE_1', None)
    """
    ending = next((ending for one in FORMATS if (ending := _ending(path, one))), "")
    return path.name[: -len(ending)] if ending else None


def suffixes_in_words() -> str:
    """The suffixes of scans in words.

    Example:
        >>> suffixes_in_words()
        '.nii, .nii.gz, .nrrd, .nhdr, .mha or .mhd'
    """
    return in_words(scan_suffixes())


def suffix_pattern() -> str:
    """The suffixes of scans as a layout names them, such as `.nii[.gz]`.

    Example:
        >>> suffix_pattern()
        '.nii[.gz]/.nrrd/.nhdr/.mha/.mhd'
    """
    return "/".join(f"{end}{'[.gz]' * one.may_be_gzipped}" for one in FORMATS for end in one.suffixes)


def kinds_in_words(paths: Iterable[Path] = ()) -> str:
    """What files that hold one volume each are called: these, or without any, all that there are.

    Example:
        >>> kinds_in_words()
        'NIfTI, NRRD or MetaImage'
        >>> kinds_in_words([Path("a.nii.gz"), Path("b.nrrd"), Path("c.nii")])
        'NIfTI or NRRD'
    """
    found = [one for one in FORMATS if one.suffixes]
    named = {format_of(path).name for path in paths}
    return in_words([one.name for one in found if not named or one.name in named])


def is_unread(path: Path) -> bool:
    """Whether a file is named as a scan, or an archive of some, that is not read.

    Example:
        >>> is_unread(Path("liver.mgz")), is_unread(Path("liver.nii")), is_unread(Path("notes.txt"))
        (True, False, False)
    """
    return path.name.lower().endswith(_UNREAD) and scan_stem(path) is None


def conversion_advice() -> str:
    """What to do about a file that is not read.

    Example:
        >>> conversion_advice()
        'convert a scan to .nii.gz, and name an archive itself'
    """
    return f"convert a scan to {MASK_SUFFIX}, and name an archive itself"


def inputs_in_words() -> str:
    """All that scans may be.

    Example:
        >>> inputs_in_words()
        'NIfTI, NRRD, MetaImage, DICOM or a zip archive of these'
    """
    return f"{', '.join(one.name for one in FORMATS)} or a zip archive of these"


def mask_format_of(path: Path) -> Format:
    """The kind of a mask, as `format_of`.

    Raises:
        VolumeError: Masks are not read from it.
    """
    found = format_of(path)
    if found.read_mask is None:
        if organs := _volumes_in(path):
            liver = next((name for name in organs if "liver" in name.lower()), organs[0])
            raise VolumeError(
                f"{path}: of a folder, labels must name the files of liver and tumor, as in "
                f"{{liver: [{liver}]}}; it holds {listed(organs, most=_SHOWN)}",
                code="labels-unknown",
            )
        raise VolumeError(
            f"{path}: a mask must be {kinds_in_words()}, got {found.name} (DICOM SEG is not read here); "
            f"convert it to {MASK_SUFFIX}",
            code="not-nifti",
        )
    return found


def written_format_of(path: Path) -> Format:
    """The kind of a file to write.

    Raises:
        VolumeError: Its name ends as none that is written.
    """
    found = next((one for one in FORMATS if one.write and _ending(path, one) in one.written_endings), None)
    if found is None:
        raise VolumeError(f"{path}: must end in {in_words(written_suffixes())}")
    return found


def written_suffixes() -> tuple[str, ...]:
    """How the names of files may end that are written.

    Example:
        >>> written_suffixes()
        ('.nii', '.nii.gz', '.nrrd', '.mha')
    """
    return tuple(ending for one in FORMATS if one.write for ending in one.written_endings)


def _volumes_in(folder: Path) -> list[str]:
    """Names of the files in a folder that hold one volume each by their names; none where it is a file."""
    with suppress(OSError):
        return sorted(path.name for path in folder.iterdir() if scan_stem(path) and path.name[0] != ".")
    return []


def _ending(path: Path, one: Format) -> str:
    name = path.name.lower()
    return next((ending for ending in reversed(one.endings) if name.endswith(ending)), "")
