"""Cases of the user's own, as files that every system reads."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lts.base import ConfigError, counted, path_exists, read_json_object, write_csv, write_json
from lts.cohort import Case
from lts.volume import MASK_SUFFIX, read_ct, read_geometry, read_mask, source_files, write_mask, write_volume

_SOURCES = "sources.json"


def as_nifti(cases: Sequence[Case], folder: Path) -> list[Case]:
    """Write scans and masks as NIfTI with labels 0, 1, 2, whatever they were; what is there is kept.

    Args:
        cases: Cases with masks.
        folder: Folder for their files; it remembers what they were made of.

    Returns:
        The cases with the files written, in the same order.

    Raises:
        ConfigError: The folder holds other cases, or their files have changed.
        VolumeError: A file cannot be read.
    """
    folder.mkdir(parents=True, exist_ok=True)
    sources = {case.id: _sources_of(case) for case in cases}
    kept = folder / _SOURCES
    if not path_exists(kept):
        write_json(kept, sources)
    elif read_json_object(kept) != sources:
        raise ConfigError(
            f"--folder: {folder} holds other cases, or files of these have changed; name a new folder"
        )
    made = []
    for number, case in enumerate(cases, start=1):
        image, mask = (folder / f"{case.id}{name}{MASK_SUFFIX}" for name in ("", "_mask"))
        if not path_exists(mask):  # written last
            _write(case, image, mask)
            print(f"case {case.id} written as NIfTI, {number} of {counted(len(cases), 'case')}", flush=True)
        made.append(Case(case.id, case.patient, image=image, mask=mask))
    return made


def write_cases(path: Path, cases: Sequence[Case]) -> None:
    """Write the CSV file of `data=pairs`."""
    write_csv(
        path,
        [
            {"case": case.id, "patient": case.patient, "image": case.image, "mask": case.mask}
            for case in cases
        ],
    )


def _sources_of(case: Case) -> list[list[Any]]:
    """The files of a case, with what tells that one has changed."""
    files = (*source_files(case.image), *case.mask_files)
    return [[str(file.resolve()), (facts := file.stat()).st_size, facts.st_mtime_ns] for file in files]


def _write(case: Case, image: Path, mask: Path) -> None:
    assert case.mask is not None
    scan = read_ct(case.image)
    labels = read_mask(case.mask, image=scan.geometry, labels=case.labels).voxels
    write_volume(image, scan.geometry.to_disk(scan.voxels), affine=scan.geometry.affine)
    write_mask(mask, labels, geometry=read_geometry(image))
