"""From scans on disk to a store of slices: once per recipe, in parallel, safely beside other runs."""

import os
import shutil
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import as_completed, wait
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path

import numpy as np
import torch
from filelock import FileLock

from lts.base import (
    IGNORED,
    LIVER,
    LtsError,
    Progress,
    StorageError,
    VolumeError,
    WorkerPool,
    storage_error,
    sync_folder,
)
from lts.cohort import Case
from lts.slices.arrays import IMAGE_TYPE, LABELS_TYPE, in_chunks, open_array, write_array
from lts.slices.box import Box
from lts.slices.disk_space import check_disk_space
from lts.slices.histogram import count_hu
from lts.slices.plane import PlaneFit, lay_on_plane
from lts.slices.recipe import Recipe
from lts.slices.store import (
    IMAGE_FILE,
    LABELS_FILE,
    SourceFile,
    StoredCase,
    case_folder,
    content_hash,
    look_unchanged,
    mask_hash,
    pixels_per_slice,
)
from lts.slices.view import view_of
from lts.volume import Volume, read_image, read_mask

_CHUNK_SLICES = 8  # what they become stays in the cache
_INT16_PEAK = 2**14


def build_store(
    cases: Sequence[Case],
    recipe: Recipe,
    *,
    store_dir: str | Path,
    workers: int = 1,
    progress: Progress = lambda _done, _total: None,
) -> tuple[StoredCase, ...]:
    """Bring cases into the store of a recipe and open them; what is there and unchanged is kept.

    Args:
        cases: Cases to store; one without a mask is stored without labels.
        recipe: How volumes become slices.
        store_dir: Folder of all stores.
        workers: Processes that build, this one among them.
        progress: Told how many are there already before the first is built, then after each case.

    Returns:
        The stored cases, in the order of `cases`.

    Raises:
        VolumeError: Files cannot be read; the good cases are stored all the same.
        StorageError: The store will not fit on the disk, or cannot be written to.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> from lts.cohort import find_cases
        >>> from lts.phantom import make_phantom_cohort
        >>> recipe = Recipe(image_size=64, pixel_mm=None, modality="ct")
        >>> with TemporaryDirectory() as folder:
        ...     cases = find_cases(make_phantom_cohort(folder, cases=1, matrix=32), layout="lits").cases
        ...     (stored,) = build_store(cases, recipe, store_dir=Path(folder, "store"), workers=1)
        ...     stored.open_image().shape, bool(stored.holds("liver").any())
        ((84, 64, 64), True)
    """
    store = Path(store_dir) / recipe.folder_name
    try:
        store.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise storage_error(store, error) from error
    stored = _find_all_unchanged(cases, store)
    if cases:
        progress(len(stored), len(cases))
    missing = [case for case in cases if case.id not in stored]
    check_disk_space(missing, recipe, store=store)
    problems: list[str] = []
    with closing(_results(missing, recipe, store, workers)) as results:
        for case, result in results:
            if isinstance(result, StoredCase):
                stored[case.id] = result
            elif isinstance(result, StorageError):  # the next case would meet the same disk
                raise result
            else:
                problems.append(str(result))
            progress(len(stored) + len(problems), len(cases))
    if problems:
        raise VolumeError("; ".join(sorted(problems)))
    return tuple(stored[case.id] for case in cases)


def missing_cases(cases: Sequence[Case], recipe: Recipe, *, store_dir: str | Path) -> list[Case]:
    """The cases that a store lacks, or has of files that have changed since; builds nothing.

    Args:
        cases: Cases that it should have.
        recipe: How volumes become slices.
        store_dir: Folder of all stores.

    Example:
        >>> missing_cases([], Recipe(), store_dir="none")
        []
    """
    stored = _find_all_unchanged(cases, Path(store_dir) / recipe.folder_name)
    return [case for case in cases if case.id not in stored]


def _find_all_unchanged(cases: Sequence[Case], store: Path) -> dict[str, StoredCase]:
    """By case id."""
    found = {case.id: _find_unchanged(case, case_folder(case, store=store)) for case in cases}
    return {case_id: stored for case_id, stored in found.items() if stored}


def _results(
    missing: Sequence[Case], recipe: Recipe, store: Path, workers: int
) -> Generator[tuple[Case, StoredCase | LtsError]]:
    if workers <= 1 or len(missing) <= 1:
        yield from ((case, _store_or_error(case, recipe, store)) for case in missing)
        return
    # Workers are seconds behind, so this process builds beside them.
    others = min(workers, len(missing)) - 1
    # A build that is stopped ends with the cases in hand, and leaves nothing of them half done.
    with WorkerPool(others, start=partial(torch.set_num_threads, 1), wait=True) as pool, _one_thread():
        jobs = {pool.submit(_store_or_error, case, recipe, store): case for case in missing}
        waiting = set(jobs)
        for job, case in reversed(jobs.items()):  # the pool takes them from the front
            if job.cancel():
                waiting.remove(job)
                yield case, _store_or_error(case, recipe, store)
            done, waiting = wait(waiting, timeout=0)
            yield from ((jobs[job], job.result()) for job in done)
        yield from ((jobs[job], job.result()) for job in as_completed(waiting))


@contextmanager
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _store_or_error(case: Case, recipe: Recipe, store: Path) -> StoredCase | LtsError:
    try:
        return store_case(case, recipe, store=store)
    except LtsError as error:
        return error


def store_case(case: Case, recipe: Recipe, *, store: Path) -> StoredCase:
    """Bring one case into a store, alone beside any other process that wants the same.

    Raises:
        VolumeError: A file of the case cannot be read.
        StorageError: The store cannot be written to; nothing of the case is left there.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> from lts.cohort import find_cases
        >>> from lts.phantom import make_phantom_cohort
        >>> recipe = Recipe(image_size=32, pixel_mm=None, modality="ct")
        >>> with TemporaryDirectory() as folder:
        ...     (case,) = find_cases(make_phantom_cohort(folder, cases=1, matrix=32), layout="lits").cases
        ...     store_case(case, recipe, store=Path(folder)).shape
        (84, 32, 32)
    """
    folder = case_folder(case, store=store)
    with FileLock(f"{folder}.lock"):
        found = _find_unchanged(case, folder) or _find_same_content(case, folder)
        if found:
            return found
        for left_over in store.glob(f"{folder.name}.part*"):
            shutil.rmtree(left_over)
        aside = folder.with_name(f"{folder.name}.part{os.getpid()}")
        try:
            aside.mkdir()
            _write_arrays(case, recipe, aside).save()
            if folder.exists():
                # Named as left over before a file of it goes: what is left would pass for whole.
                folder.rename(f"{aside}-old")
            aside.rename(folder)
            sync_folder(store)
        except BaseException as error:
            shutil.rmtree(aside, ignore_errors=True)
            if isinstance(error, OSError) and not isinstance(error, LtsError):
                raise storage_error(folder, error) from error
            raise
        shutil.rmtree(f"{aside}-old", ignore_errors=True)
    stored = StoredCase.load(folder)
    assert stored is not None
    return stored


def _find_unchanged(case: Case, folder: Path) -> StoredCase | None:
    stored = StoredCase.load(folder)
    return stored if stored and look_unchanged(case, image=stored.image, mask=stored.mask) else None


def _find_same_content(case: Case, folder: Path) -> StoredCase | None:
    """An entry whose files were only touched or copied: it is kept, with their new times."""
    stored = StoredCase.load(folder)
    if stored is None or stored.image.sha256 != content_hash(case.image):
        return None
    if stored.mask and case.mask and stored.mask.sha256 != mask_hash(case):
        return None
    refreshed = {"image": SourceFile.of(case.image), "mask": SourceFile.of_mask(case)}
    stored = StoredCase(**{**vars(stored), **refreshed})
    stored.save()
    return stored


def _write_arrays(case: Case, recipe: Recipe, folder: Path) -> StoredCase:
    if recipe.focus and not case.mask:
        raise VolumeError(f"{case.image}: must have a mask to be stored around its {recipe.focus}, got none")
    scan = read_image(case.image, modality=recipe.modality)
    geometry, voxels = scan.geometry, _as_int16(scan.voxels)
    mask = read_mask(case.mask, image=geometry, labels=case.labels) if case.mask else None
    box = Box.around(mask.voxels >= LIVER) if mask and recipe.focus else None
    view = view_of(voxels.shape, geometry.spacing_mm, recipe, box=box)
    shape = (view.depth, recipe.image_size, recipe.image_size)
    chunks = [
        slice(view.first + chunk.start, min(view.first + chunk.stop, view.stop))
        for chunk in in_chunks(view.depth, slices=_CHUNK_SLICES)
    ]
    slices = (lay_on_plane(voxels[chunk], view.plane, fill=recipe.fill).numpy() for chunk in chunks)
    write_array(folder / IMAGE_FILE, slices, shape=shape, dtype=IMAGE_TYPE)
    notes, region_pixels = scan.notes, pixels_per_slice(np.zeros((view.depth, 1, 1), np.uint8))
    if mask:
        labels = (_labels_on(view.plane, mask, chunk) for chunk in chunks)
        write_array(folder / LABELS_FILE, labels, shape=shape, dtype=LABELS_TYPE)
        notes, region_pixels = notes + mask.notes, pixels_per_slice(open_array(folder / LABELS_FILE))
    depth, height, width = voxels.shape
    return StoredCase(
        folder=folder,
        case=case.id,
        patient=case.patient,
        image=SourceFile.of(case.image),
        mask=SourceFile.of_mask(case),
        source_shape=(depth, height, width),
        spacing_mm=geometry.spacing_mm,
        affine=geometry.affine.tolist(),
        shape=shape,
        pixel_mm=view.plane.pixel_mm,
        region_pixels=region_pixels,
        hu_counts=count_hu(voxels).tolist(),
        notes=notes,
        first_slice=view.first,
        box=box,
        has_ignored=mask is not None and mask.ignored is not None,
    )


def _labels_on(plane: PlaneFit, mask: Volume, chunk: slice) -> np.ndarray:
    """The labels of some slices; where half of a pixel or more is ignored, `IGNORED`."""
    labels = plane.apply_labels(torch.from_numpy(mask.voxels[chunk])).numpy()
    if mask.ignored is not None:
        labels[plane.apply(torch.from_numpy(mask.ignored[chunk]), fill=0).numpy() >= 0.5] = IGNORED
    return labels


def _as_int16(voxels: np.ndarray) -> np.ndarray:
    """MR with fractions is scaled by one factor to fill int16; its percentiles scale along."""
    if voxels.dtype == np.int16:
        return voxels
    peak = float(np.abs(voxels).max()) or 1.0
    return np.rint(voxels * (_INT16_PEAK / peak)).astype(np.int16)
