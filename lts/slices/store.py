"""Cases as memory-mapped slices: what one folder holds and how it is opened."""

import hashlib
import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from itertools import chain
from pathlib import Path
from stat import S_ISDIR
from typing import Any

import numpy as np

from lts.base import HU_BINS, IGNORED, REGION_MIN_LABEL, LtsError, read_json_object, write_json
from lts.cohort import Case
from lts.slices.arrays import IMAGE_TYPE, LABELS_TYPE, is_sound, open_array
from lts.slices.box import Box
from lts.volume import source_files

IMAGE_FILE, LABELS_FILE, ENTRY_FILE = "image.npy", "labels.npy", "entry.json"


@dataclass(frozen=True)
class SourceFile:
    """What a stored scan or mask was made from: a file, or a folder with the files of a DICOM series.

    Attributes:
        path: Where it lay.
        size_bytes: Its size; of a folder, that of all files below it.
        modified_ns: Its time of change, of a folder the last of all below it; with the size the quick sign
            that it is still the same.
        sha256: Its content; the last word.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     _ = (path := Path(folder, "a.nii")).write_bytes(b"scan")
        ...     source = SourceFile.of(path)
        ...     source.size_bytes, source.looks_unchanged(path)
        (4, True)
    """

    path: str
    size_bytes: int
    modified_ns: int
    sha256: str

    @classmethod
    def of(cls, path: Path) -> "SourceFile":
        """Read and hash it.

        Raises:
            VolumeError: A folder holds no series, or several.
        """
        return cls(str(path.resolve()), *_signs_of(path), content_hash(path))

    @classmethod
    def of_mask(cls, case: Case) -> "SourceFile | None":
        """Read and hash what the labels of a case are read from; None where it has none."""
        if case.mask is None:
            return None
        sha256 = mask_hash(case)
        assert sha256 is not None
        return cls(str(case.mask.resolve()), *_signs_of(case.mask), sha256)

    def looks_unchanged(self, path: Path) -> bool:
        """Whether size and time of change are those of what lies at `path`."""
        return _signs_of(path) == (self.size_bytes, self.modified_ns)


def look_unchanged(case: Case, *, image: SourceFile, mask: SourceFile | None) -> bool:
    """Whether the files of a case look as they did when they were read.

    Args:
        case: The case as it is now.
        image: What its scan was read from.
        mask: What its mask was read from, None where it had none.
    """
    sources = [(case.image, image)]
    if case.mask and mask:
        sources.append((case.mask, mask))
    return all(source.looks_unchanged(path) for path, source in sources)


def _signs_of(path: Path) -> tuple[int, int]:
    """Size and time of change, of a file of voxels beside it too.

    Those of a folder change as a file in it is added, removed or renamed.
    """
    below = [Path(place, name) for place, *names in os.walk(path) for name in chain(*names)]
    beside = source_files(path) if path.is_file() else ()
    stats = [one.stat() if one.exists() else one.lstat() for one in {path, *beside, *below}]
    size_bytes = sum(one.st_size for one in stats if not S_ISDIR(one.st_mode))
    return size_bytes, max(one.st_mtime_ns for one in stats)


@dataclass(frozen=True)
class StoredCase:
    """One case in the store: the facts of its manifest entry, and the way to its arrays.

    Attributes:
        folder: Where the arrays lie.
        case: Case id.
        patient: Patient id.
        image: Source of the slices.
        mask: Source of the labels, None for a case without a mask.
        source_shape: `(Z, H, W)` of the scan.
        spacing_mm: `(Z, H, W)` of the scan.
        affine: Voxel index on disk to mm, 4x4.
        shape: `(Z, image_size, image_size)` of the stored arrays; fewer slices than the scan's under a focus.
        pixel_mm: Side of a stored pixel.
        region_pixels: Per region, the stored pixels of each slice.
        hu_counts: Voxels of the scan at each Hounsfield value, see `lts.base.HU_BINS`.
        notes: What was told or corrected when the files were read.
        first_slice: The slice of the scan that was stored first, from the feet up.
        box: The liver's, around which the squares lie; None where they show whole slices.
        has_ignored: Whether its mask leaves voxels out; these are `lts.base.IGNORED` in the labels.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> from lts.cohort import find_cases
        >>> from lts.phantom import make_phantom_cohort
        >>> from lts.slices import Recipe, build_store
        >>> recipe = Recipe(image_size=32, pixel_mm=None, modality="ct")
        >>> with TemporaryDirectory() as folder:
        ...     cases = find_cases(make_phantom_cohort(folder, cases=1, matrix=32), layout="lits").cases
        ...     (stored,) = build_store(cases, recipe, store_dir=Path(folder, "store"), workers=1)
        ...     stored.open_labels().shape, StoredCase.load(stored.folder) == stored
        ((84, 32, 32), True)
    """

    folder: Path
    case: str
    patient: str
    image: SourceFile
    mask: SourceFile | None
    source_shape: tuple[int, int, int]
    spacing_mm: tuple[float, float, float]
    affine: list[list[float]]
    shape: tuple[int, int, int]
    pixel_mm: float
    region_pixels: dict[str, list[int]]
    hu_counts: list[int]
    notes: tuple[str, ...]
    first_slice: int = 0
    box: Box | None = None
    has_ignored: bool = False

    def open_image(self) -> np.ndarray:
        """The slices, `(Z, image_size, image_size)` int16, mapped from the disk."""
        return open_array(self.folder / IMAGE_FILE)

    def open_labels(self) -> np.ndarray:
        """The labels, `(Z, image_size, image_size)` uint8, mapped from the disk."""
        return open_array(self.folder / LABELS_FILE)

    def holds(self, region: str) -> np.ndarray:
        """Which slices hold a region, `(Z,)` bool."""
        return np.asarray(self.region_pixels[region]) > 0

    def save(self) -> None:
        """Write the manifest entry into the folder.

        Raises:
            StorageError: It cannot be written; the entry that was there stays.
        """
        facts = asdict(self)
        del facts["folder"]
        write_json(self.folder / ENTRY_FILE, facts, indent=None)

    @classmethod
    def load(cls, folder: Path) -> "StoredCase | None":
        """The entry in a folder; None where there is none, or it or an array is damaged, to be built anew."""
        try:
            facts = read_json_object(folder / ENTRY_FILE)
            mask, box = facts.pop("mask"), facts.pop("box", None)
            stored = cls(
                folder=folder,
                image=SourceFile(**facts.pop("image")),
                mask=SourceFile(**mask) if mask else None,
                source_shape=tuple(facts.pop("source_shape")),
                spacing_mm=tuple(facts.pop("spacing_mm")),
                shape=tuple(facts.pop("shape")),
                notes=tuple(facts.pop("notes")),
                box=Box(**{name: (int(side[0]), int(side[1])) for name, side in box.items()})
                if box
                else None,
                **facts,
            )
            whole = stored._is_whole() and stored._has_its_arrays()
        except (LtsError, AttributeError, IndexError, KeyError, TypeError):
            return None  # what is valid JSON may still be of other types
        return stored if whole else None

    def _is_whole(self) -> bool:
        """Whether the counts are numbers, one for each slice or Hounsfield value."""
        lists = [(HU_BINS, self.hu_counts)]
        lists += [(self.shape[0], self.region_pixels.get(region, [])) for region in REGION_MIN_LABEL]
        return isinstance(self.first_slice, int) and all(
            len(counts) == length and all(isinstance(count, int) for count in counts)
            for length, counts in lists
        )

    def _has_its_arrays(self) -> bool:
        files = [(IMAGE_FILE, IMAGE_TYPE)] + ([(LABELS_FILE, LABELS_TYPE)] if self.mask else [])
        return all(is_sound(self.folder / name, shape=self.shape, dtype=dtype) for name, dtype in files)


def case_folder(case: Case, *, store: Path) -> Path:
    """Where a case lies in a store: cases of the same name from elsewhere, or of other labels, lie elsewhere.

    Example:
        >>> case = Case("liver-7", "Ann", image=Path("7.nii.gz"), mask=None)
        >>> case_folder(case, store=Path("store")).name[:8]
        'liver-7-'
    """
    sources: list[Any] = [str(path.resolve()) if path else None for path in (case.image, case.mask)]
    if case.labels:
        sources.append(case.labels.to_dict())
    return store / f"{case.id}-{hashlib.sha256(json.dumps(sources).encode()).hexdigest()[:8]}"


def content_hash(path: Path) -> str:
    """SHA-256 of the content of a file, or of all files of the DICOM series that a folder holds.

    Raises:
        VolumeError: A folder holds no series, or several.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     _ = Path(folder, "a.nii").write_bytes(b"scan")
        ...     content_hash(Path(folder, "a.nii"))[:8]
        '59ad1b2f'
    """
    return content_hash_of_all(source_files(path))


def mask_hash(case: Case) -> str | None:
    """SHA-256 of what the labels of a case are read from, as `content_hash`; None where it has none."""
    files = [file for path in case.mask_files for file in source_files(path)]
    return content_hash_of_all(files) if files else None


def content_hash_of_all(paths: Iterable[Path]) -> str:
    """SHA-256 of the content of several files, whatever their names and their order; of one, its own.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     paths = [Path(folder, name) for name in "ab"]
        ...     _ = [path.write_text(path.name) for path in paths]
        ...     content_hash_of_all(paths) == content_hash_of_all(reversed(paths))
        True
    """
    hashes = sorted(_file_hash(path) for path in paths)
    return hashes[0] if len(hashes) == 1 else hashlib.sha256("".join(hashes).encode()).hexdigest()


def _file_hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def pixels_per_slice(labels: np.ndarray) -> dict[str, list[int]]:
    """Per region, the pixels of each slice of `(Z, H, W)` labels."""
    known = labels != IGNORED
    return {
        name: ((labels >= label) & known).sum((1, 2)).tolist() for name, label in REGION_MIN_LABEL.items()
    }


def hu_counts_of(cases: Sequence[StoredCase]) -> np.ndarray:
    """Voxels of several cases at each Hounsfield value, `(HU_BINS,)` int64.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> from lts.cohort import find_cases
        >>> from lts.phantom import make_phantom_cohort
        >>> from lts.slices import Recipe, build_store
        >>> recipe = Recipe(image_size=32, pixel_mm=None, modality="ct")
        >>> with TemporaryDirectory() as folder:
        ...     cases = find_cases(make_phantom_cohort(folder, cases=1, matrix=32), layout="lits").cases
        ...     stored = build_store(cases, recipe, store_dir=Path(folder, "store"), workers=1)
        >>> int(hu_counts_of(stored).sum()) == 84 * 32 * 32
        True
    """
    counts: np.ndarray = np.array([case.hu_counts for case in cases], dtype=np.int64).sum(axis=0)
    return counts
