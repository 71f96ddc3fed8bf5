"""Faults on purpose: each defect that `lts.cohort.doctor` tells, planted into a sound case on disk."""

import gzip
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from nibabel.nifti1 import Nifti1Header, Nifti1Image
from numpy.typing import NDArray

from lts.base import BACKGROUND, LIVER, TUMOR
from lts.cohort import Case
from lts.volume import read_geometry, read_mask

SPLIT_FILE = "planted-split.json"
"""Where faults of a split write it, beside the scans."""

CSV_FILE = "cases.csv"
"""Where a fault that needs a patient with two scans lists the cases, for `data=pairs`."""

_Voxels = NDArray[Any]
_Affine = NDArray[np.float64]
_Plant = Callable[[Case, Case], None]


def plant_fault(code: str, *, case: Case, other: Case) -> None:
    """Change the files of a case so that it has one defect, and no other error.

    Args:
        code: The defect, one of `FAULTS`.
        case: A sound case in the layout of LiTS, a liver of 0.5 to 4 l with tumor in it; changed in place.
        other: Another one in the same folder, for defects of two cases.
    """
    FAULTS[code](case, other)


def _rewrite(path: Path, edit: Callable[[_Voxels, _Affine], tuple[_Voxels, _Affine]]) -> None:
    """Write a file anew, with other voxels `(X, Y, Z)`, values and not stored numbers, or another affine."""
    image = nib.load(path)
    voxels, affine = edit(np.asarray(image.dataobj), image.affine)
    nib.save(Nifti1Image(voxels, affine), path)


def _voxels(edit: Callable[[_Voxels], _Voxels]) -> _Plant:
    """A fault of the image's voxels."""

    def plant(case: Case, _other: Case) -> None:
        _rewrite(case.image, lambda voxels, affine: (edit(voxels), affine))

    return plant


def _labels(edit: Callable[[_Voxels], _Voxels]) -> _Plant:
    """A fault of the mask's labels."""

    def plant(case: Case, _other: Case) -> None:
        _rewrite(_mask(case), lambda labels, affine: (edit(labels), affine))

    return plant


def _both_affines(edit: Callable[[_Affine, tuple[int, ...]], _Affine]) -> _Plant:
    """A fault of the affine, in image and mask alike."""

    def plant(case: Case, _other: Case) -> None:
        for path in (case.image, _mask(case)):
            _rewrite(path, lambda voxels, affine: (voxels, edit(affine, voxels.shape)))

    return plant


def _mask(case: Case) -> Path:
    assert case.mask is not None
    return case.mask


def _write_something_else(case: Case, _other: Case) -> None:
    case.image.write_bytes(b"DICM" * 200)


def _damage(case: Case, _other: Case) -> None:
    """Change a byte of the checksum that ends a gzip file."""
    packed = bytearray(gzip.compress(gzip.decompress(case.image.read_bytes())))
    packed[-8] ^= 0xFF
    case.image.write_bytes(packed)


def _cut(case: Case, _other: Case) -> None:
    content = case.image.read_bytes()
    case.image.write_bytes(content[: len(content) // 2])


def _not_a_number(hu: _Voxels) -> _Voxels:
    changed = hu.astype(np.float32)
    changed[0, 0, 0] = np.nan
    return changed


def _shift_mask(case: Case, _other: Case) -> None:
    """Move the mask by one voxel."""
    shift = np.eye(4)
    shift[0, 3] = 1
    _rewrite(_mask(case), lambda labels, affine: (labels, affine @ shift))


def _forget_grid(path: Path) -> None:
    _rewrite(path, lambda voxels, _affine: (voxels, np.eye(4)))


def _forget_grids(case: Case, _other: Case) -> None:
    """Write image and mask as LiTS 28 to 47 are: 1 mm, identity, the rows from left to right and back."""
    grid = read_geometry(case.image)
    mask = read_mask(_mask(case), image=grid)
    # so that what is assumed is true: the axes point to the right, the front and the head
    labels = mask.voxels[:, ::-1, ::-1].transpose(2, 1, 0)
    voxels = grid.to_canonical(np.asarray(nib.load(case.image).dataobj))[:, ::-1, ::-1].transpose(2, 1, 0)
    nib.save(Nifti1Image(voxels, np.eye(4)), case.image)
    nib.save(Nifti1Image(labels, np.eye(4)), _mask(case))


def _flipped(code: str) -> Callable[[_Affine, tuple[int, ...]], _Affine]:
    """The affine that says the opposite of one direction of the world, about the middle of the scan."""
    world = "RAS".index(code)

    def flip(affine: _Affine, shape: tuple[int, ...]) -> _Affine:
        middle = (affine @ [*((n - 1) / 2 for n in shape), 1])[world]
        mirror = np.eye(4)
        mirror[world, world], mirror[world, 3] = -1, 2 * middle
        flipped: _Affine = mirror @ affine
        return flipped

    return flip


def _scaled(factor: float) -> Callable[[_Affine, tuple[int, ...]], _Affine]:
    return lambda affine, _shape: affine * [[factor], [factor], [factor], [1]]


def _header(edit: Callable[[Nifti1Header], None], *, mask_too: bool = False) -> _Plant:
    """A fault of the image's header, or of both."""

    def plant(case: Case, _other: Case) -> None:
        for path in (case.image, _mask(case)) if mask_too else (case.image,):
            image = nib.load(path)
            header = image.header
            header.set_qform(image.affine, code=1)
            header.set_sform(image.affine, code=1)
            header.set_slope_inter(1, 0)
            edit(header)
            voxels = np.asarray(image.dataobj).astype(header.get_data_dtype())
            header["vox_offset"] = header.single_vox_offset
            block = header.binaryblock + bytes(header.single_vox_offset - header.sizeof_hdr)
            path.write_bytes(gzip.compress(block + voxels.tobytes("F")))

    return plant


def _empty_sform(header: Nifti1Header) -> None:
    for axis in "xyz":
        header[f"srow_{axis}"] = 0


def _mirror_qform(header: Nifti1Header) -> None:
    header.set_qform(np.diag([-1, 1, 1, 1]) @ header.get_qform(), code=1)


def _round_pixdim(header: Nifti1Header) -> None:
    header["qform_code"] = 0
    header["pixdim"][1:4] = header["pixdim"][1:4].round()


def _tilt(affine: _Affine, _shape: tuple[int, ...]) -> _Affine:
    """Move each slice by a fifth of its thickness to the front of the one below it."""
    shear = np.eye(4)
    shear[1, 2] = 0.2
    tilted: _Affine = shear @ affine
    return tilted


def _widen(case: Case, _other: Case) -> None:
    """Add air on the left until the scan is wider than any scanner."""
    for path, value in ((case.image, -1024), (_mask(case), BACKGROUND)):
        image = nib.as_closest_canonical(nib.load(path))
        columns = int(1100 / image.header.get_zooms()[0])
        wide = np.full((columns, *image.shape[1:]), value, image.get_data_dtype())
        wide[-image.shape[0] :] = np.asarray(image.dataobj)
        nib.save(Nifti1Image(wide, image.affine), path)


def _join_phases(case: Case, _other: Case) -> None:
    """Put the scan upon itself, with more contrast, and the mask upon nothing."""
    for path in (case.image, _mask(case)):
        image = nib.as_closest_canonical(nib.load(path))
        voxels = np.asarray(image.dataobj)
        later = voxels + 40 * ((voxels > 20) & (voxels < 300)) if path == case.image else 0 * voxels
        joined = np.concatenate([voxels, later.astype(voxels.dtype)], axis=2)
        nib.save(Nifti1Image(joined, image.affine), path)


def _turned_round(direction: str, *, image: bool) -> _Plant:
    """Image or mask mirrored in its file, under a header that is left as it was."""

    def plant(case: Case, _other: Case) -> None:
        path = case.image if image else _mask(case)
        codes = nib.aff2axcodes(nib.load(path).affine)
        axis = next(axis for axis, code in enumerate(codes) if code in direction)
        _rewrite(path, lambda voxels, affine: (np.flip(voxels, axis), affine))

    return plant


def _stray(labels: _Voxels) -> _Voxels:
    """Label a tumor in the corner of the scan."""
    changed = labels.copy()
    changed[:2, :2, :2] = TUMOR
    return changed


def _shrink_liver(labels: _Voxels) -> _Voxels:
    """Leave the middle of the liver's box, a quarter of its sides."""
    changed = np.zeros_like(labels)
    low, high = (side(np.argwhere(labels), axis=0) for side in (np.min, np.max))
    margin = (high - low) * 3 // 8
    inside = tuple(slice(start, stop) for start, stop in zip(low + margin, high - margin, strict=True))
    changed[inside] = np.minimum(labels[inside], LIVER)
    return changed


def _swap(labels: _Voxels) -> _Voxels:
    return np.array([BACKGROUND, TUMOR, LIVER], np.uint8)[labels]


def _copy_scan(case: Case, other: Case) -> None:
    """Give `other` the scan of `case` under its own name, under a header that lies 10 mm higher."""
    up = np.eye(4)
    up[2, 3] = 10
    for source, target in ((case.image, other.image), (_mask(case), _mask(other))):
        shutil.copyfile(source, target)
        _rewrite(target, lambda voxels, affine: (voxels, up @ affine))


def _write_split(case: Case, train: list[str], test: list[str]) -> None:
    content = {"train": train, "val": [], "test": test}
    (case.image.parent / SPLIT_FILE).write_text(json.dumps(content))


def _split_content(case: Case, other: Case) -> None:
    _copy_scan(case, other)
    _write_split(case, [case.id], [other.id])


def _split_patient(case: Case, other: Case) -> None:
    """List both as scans of one patient, one to train on, one to test."""
    rows = [f"{one.id},anna,{one.image.name},{_mask(one).name}" for one in (case, other)]
    (case.image.parent / CSV_FILE).write_text("\n".join(["case,patient,image,mask", *rows]) + "\n")
    _write_split(case, [case.id], [other.id])


def _name_one(case: Case, _other: Case) -> None:
    """Name one case alone in a dataset.json, for `data=msd`."""
    entry = {"image": case.image.name, "label": _mask(case).name}
    content = {"labels": {"0": "background", "1": "liver", "2": "cancer"}, "training": [entry]}
    (case.image.parent / "dataset.json").write_text(json.dumps(content))


def _several_volumes(hu: _Voxels) -> _Voxels:
    return np.stack([hu, hu], axis=-1)


FAULTS: dict[str, _Plant] = {
    "cohort-incomplete": lambda case, _other: _mask(case).unlink(),
    "files-unused": _name_one,
    "unreadable": _damage,
    "not-nifti": _write_something_else,
    "truncated": _cut,
    "wrong-dimensions": _voxels(_several_volumes),
    "refused": _voxels(lambda hu: hu.astype(np.complex64)),
    "not-finite": _voxels(_not_a_number),
    "grids-differ": _shift_mask,
    "grid-corrected": lambda case, _other: _forget_grid(_mask(case)),
    "orientation-unproven": _forget_grids,
    "sform-empty": _header(_empty_sform),
    "transforms-disagree": _header(_mirror_qform),
    "spacing-disagrees": _header(_round_pixdim),
    "sheared": _both_affines(_tilt),
    "unit-implausible": _header(lambda header: header.set_xyzt_units("micron"), mask_too=True),
    "field-of-view": _widen,
    "content-repeats": _join_phases,
    "spacing-implausible": _both_affines(_scaled(0.001)),
    "labels-unknown": _labels(lambda labels: labels * 5),
    "labels-rounded": _labels(lambda labels: labels.astype(np.float32) + 0.004),
    "empty-mask": _labels(np.zeros_like),
    "no-liver": _labels(lambda labels: np.where(labels == LIVER, BACKGROUND, labels)),
    "no-tumor": _labels(lambda labels: np.minimum(labels, LIVER)),
    "tumor-outside-liver": _labels(_stray),
    "liver-volume": _labels(_shrink_liver),
    "tumor-burden": _labels(_swap),
    "hu-rounded": _voxels(lambda hu: hu.astype(np.float32) + 0.25),
    "hu-unit-range": _voxels(lambda hu: ((np.clip(hu, -1024, 1024) + 1024) / 2048).astype(np.float32)),
    "hu-8-bit": _voxels(lambda hu: (np.clip(hu, -200, 300) + 200) // 2),
    "hu-offset": _voxels(lambda hu: np.maximum(hu, -1024) + np.int16(1024)),
    "hu-no-air": _voxels(lambda hu: np.clip(hu, -200, 300)),
    "mask-misplaced": _turned_round("AP", image=False),
    "image-misplaced": _turned_round("LR", image=True),
    "mirrored": _both_affines(_flipped("R")),
    "upside-down": _both_affines(_flipped("S")),
    "back-to-front": _both_affines(_flipped("A")),
    "duplicate": _copy_scan,
    "split-refused": lambda case, other: _write_split(case, [case.id, other.id, "volume-99"], []),
    "split-shares-patient": _split_patient,
    "split-shares-content": _split_content,
}
"""How each defect is planted, by the code of its finding."""
