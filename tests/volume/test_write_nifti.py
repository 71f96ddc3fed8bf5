"""Masks and scans written: on which grid, and whole or not at all."""

import gzip
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK
from scipy.spatial.transform import Rotation

from lts.base import StorageError, VolumeError
from lts.volume import (
    Geometry,
    read_ct,
    read_geometry,
    read_mask,
    write_mask,
    write_probabilities,
    write_volume,
)

GRID_FIELDS = [
    *("dim", "pixdim", "xyzt_units", "qform_code", "sform_code", "srow_x", "srow_y", "srow_z"),
    *("quatern_b", "quatern_c", "quatern_d", "qoffset_x", "qoffset_y", "qoffset_z"),
]
LABELS_ON_DISK = (np.arange(24) % 3).astype(np.uint8).reshape(2, 3, 4)


def _oblique(codes: str) -> np.ndarray:
    turn = np.eye(4)
    turn[:3, :3] = Rotation.from_euler("xyz", (10, -20, 5), degrees=True).as_matrix()
    turn[:3, 3] = (-31.5, 20.25, 700)
    start = nib.orientations.axcodes2ornt(codes)
    return turn @ np.diag([0.7, 0.8, 2.5, 1]) @ nib.orientations.inv_ornt_aff(start, (2, 3, 4))


def _scan(
    path: Path, *, codes: str, version: int = 1, order: str = "<", forms: tuple[int, int] = (1, 2)
) -> None:
    cls, header_cls = (
        (nib.Nifti1Image, nib.Nifti1Header) if version == 1 else (nib.Nifti2Image, nib.Nifti2Header)
    )
    header = header_cls(endianness=order)
    header.set_data_shape((2, 3, 4))
    header.set_data_dtype(np.int16)
    header.set_qform(_oblique(codes), code=forms[0])
    header.set_sform(_oblique(codes) * 1.001, code=forms[1])
    header["srow_x"][3] += 0.5  # the two forms differ, and both must come back
    header.set_xyzt_units("mm", "sec")
    nib.save(cls(np.zeros((2, 3, 4), np.int16), None, header), path)


@pytest.mark.parametrize("codes", ["LPS", "RAS", "AIL"])
@pytest.mark.parametrize("forms", [(1, 2), (0, 2), (1, 0), (0, 0), (4, 3)])
@pytest.mark.parametrize(("version", "order"), [(1, "<"), (1, ">"), (2, "<")])
def test_a_mask_lies_on_exactly_the_grid_of_its_scan(
    codes: str, forms: tuple[int, int], version: int, order: str, tmp_path: Path
) -> None:
    scan, mask = tmp_path / "scan.nii", tmp_path / "mask.nii.gz"
    _scan(scan, codes=codes, version=version, order=order, forms=forms)
    geometry = read_geometry(scan)
    write_mask(mask, geometry.to_canonical(LABELS_ON_DISK), geometry=geometry)

    expected, written = nib.load(scan), nib.load(mask)
    assert type(written) is type(expected)
    assert written.get_data_dtype() == np.uint8
    assert (written.dataobj.slope, written.dataobj.inter) == (1, 0)
    for name in GRID_FIELDS:
        np.testing.assert_array_equal(written.header[name], expected.header[name], err_msg=name)
    np.testing.assert_array_equal(written.affine, expected.affine)
    np.testing.assert_array_equal(np.asanyarray(written.dataobj), LABELS_ON_DISK)
    assert read_geometry(mask) == geometry
    np.testing.assert_array_equal(
        read_mask(mask, image=geometry).voxels, geometry.to_canonical(LABELS_ON_DISK)
    )


def test_simpleitk_sees_the_mask_where_it_sees_the_scan(tmp_path: Path) -> None:
    affine = _oblique("RAI")
    write_volume(tmp_path / "scan.nii.gz", np.zeros((2, 3, 4), np.int16), affine=affine)
    geometry = read_geometry(tmp_path / "scan.nii.gz")
    write_mask(tmp_path / "mask.nii.gz", geometry.to_canonical(LABELS_ON_DISK), geometry=geometry)
    scan, mask = (SimpleITK.ReadImage(str(tmp_path / name)) for name in ("scan.nii.gz", "mask.nii.gz"))
    assert (scan.GetOrigin(), scan.GetSpacing(), scan.GetDirection()) == (
        mask.GetOrigin(),
        mask.GetSpacing(),
        mask.GetDirection(),
    )
    np.testing.assert_array_equal(SimpleITK.GetArrayFromImage(mask), LABELS_ON_DISK.T)
    x, y, z = mask.TransformIndexToPhysicalPoint((1, 2, 3))
    np.testing.assert_allclose(affine @ (1, 2, 3, 1), (-x, -y, z, 1), atol=1e-4)


def test_a_scan_is_written_in_mm_with_both_forms(tmp_path: Path) -> None:
    hu = np.arange(-12, 12, dtype=np.int16).reshape(2, 3, 4)
    write_volume(str(tmp_path / "scan.nii.gz"), hu, affine=_oblique("LPS"))
    written = nib.load(tmp_path / "scan.nii.gz")
    assert written.header.get_xyzt_units()[0] == "mm"
    for form, code in (written.get_sform(coded=True), written.get_qform(coded=True)):
        np.testing.assert_allclose(form, _oblique("LPS"), atol=1e-4)
        assert code == 1
    np.testing.assert_array_equal(np.asanyarray(written.dataobj), hu)
    volume = read_ct(tmp_path / "scan.nii.gz")
    np.testing.assert_array_equal(volume.voxels, hu.T)
    assert volume.notes == ()


def test_the_same_mask_gives_the_same_bytes(tmp_path: Path) -> None:
    geometry = Geometry.from_affine(_oblique("LPS"), shape=(2, 3, 4))
    for name in ("a.nii.gz", "b.nii.gz"):
        write_mask(tmp_path / name, LABELS_ON_DISK.T.astype(np.int64), geometry=geometry)
    assert (tmp_path / "a.nii.gz").read_bytes() == (tmp_path / "b.nii.gz").read_bytes()
    assert (tmp_path / "a.nii.gz").read_bytes()[4:8] == bytes(4)  # no time of writing


def test_a_packed_mask_is_inflated_by_zlib_to_the_plain_one(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    labels = np.repeat(rng.integers(0, 3, (20, 90, 11)), 9, axis=2)
    geometry = Geometry.from_affine(_oblique("LPS"), shape=labels.shape[::-1])
    for name in ("a.nii", "a.nii.gz"):
        write_mask(tmp_path / name, labels, geometry=geometry)
    packed = (tmp_path / "a.nii.gz").read_bytes()
    assert len(packed) < labels.size / 9
    assert gzip.decompress(packed) == (tmp_path / "a.nii").read_bytes()
    np.testing.assert_array_equal(
        np.asanyarray(nib.load(tmp_path / "a.nii.gz").dataobj), geometry.to_disk(labels)
    )


def test_an_existing_file_is_replaced_and_nothing_else_is_left(tmp_path: Path) -> None:
    path = tmp_path / "a.nii"
    path.write_text("old")
    geometry = Geometry.from_affine(_oblique("LPS"), shape=(2, 3, 4))
    write_mask(path, LABELS_ON_DISK.T, geometry=geometry)
    np.testing.assert_array_equal(read_mask(path, image=geometry).voxels, LABELS_ON_DISK.T)
    assert list(tmp_path.iterdir()) == [path]


def test_a_write_that_fails_half_way_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.nii"
    path.write_text("old")

    def full(self: Path, target: Path) -> None:
        assert self.parent == path.parent
        assert self.stat().st_size == 352 + 24
        assert path.read_text() == "old"
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    geometry = Geometry.from_affine(_oblique("LPS"), shape=(2, 3, 4))
    with pytest.raises(StorageError, match=r"a\.nii: cannot be written: No space left on device"):
        write_mask(path, LABELS_ON_DISK.T, geometry=geometry)
    assert list(tmp_path.iterdir()) == [path]
    assert path.read_text() == "old"


def test_what_cannot_be_written_is_refused(tmp_path: Path) -> None:
    geometry = Geometry.from_affine(_oblique("LPS"), shape=(2, 3, 4))
    labels = LABELS_ON_DISK.T
    cases = [
        (tmp_path / "a.nii", LABELS_ON_DISK, r"a\.nii: labels must be \(4, 3, 2\), got \(2, 3, 4\)"),
        (tmp_path / "a.nii", labels.astype(np.float32), r"a\.nii: labels must be integers, got float32"),
        (tmp_path / "a.nii", labels + 1, r"a\.nii: labels must be among \[0, 1, 2\], got 1 to 3"),
        (tmp_path / "a.nii", labels.astype(np.int8) - 1, r"labels must be among \[0, 1, 2\], got -1 to 1"),
        (tmp_path / "a.mhd", labels, r"a\.mhd: must end in \.nii, \.nii\.gz, \.nrrd or \.mha"),
        (tmp_path / f"{'x' * 300}.nii", labels, "cannot be written: File name too long"),
        (Path(__file__) / "a.nii", labels, r"a\.nii: cannot be written: Not a directory"),
        (tmp_path / "absent" / "a.nii", labels, r"a\.nii: cannot be written: No such file or directory"),
    ]
    for path, array, message in cases:
        error = StorageError if "cannot be written" in message else VolumeError
        with pytest.raises(error, match=message):
            write_mask(path, array, geometry=geometry)
    assert not list(tmp_path.iterdir())


def test_what_is_no_scan_is_not_written(tmp_path: Path) -> None:
    hu = np.zeros((2, 3, 4), np.int16)
    cases = [
        (hu[0], np.eye(4), r"must be \(X, Y, Z\) int16, got \(3, 4\) int16"),
        (hu[:0], np.eye(4), r"must be \(X, Y, Z\) int16, got \(0, 3, 4\) int16"),
        (hu.astype(np.float32), np.eye(4), r"must be \(X, Y, Z\) int16, got \(2, 3, 4\) float32"),
        (hu, np.zeros((4, 4)), r"a\.nii: affine must span three directions"),
    ]
    for voxels, affine, message in cases:
        with pytest.raises(VolumeError, match=message):
            write_volume(tmp_path / "a.nii", voxels, affine=affine)
    assert not list(tmp_path.iterdir())


def test_probabilities_lie_on_the_grid_of_their_scan_in_steps_of_65535(tmp_path: Path) -> None:
    scan, path = tmp_path / "scan.nii", tmp_path / "prob.nii.gz"
    _scan(scan, codes="AIL")
    geometry = read_geometry(scan)
    probs = np.linspace(0, 1, 24).reshape(geometry.canonical_shape)
    write_probabilities(path, (probs * 65535).round().astype(np.uint16), geometry=geometry)
    written, expected = nib.load(path), nib.load(scan)
    np.testing.assert_array_equal(written.affine, expected.affine)
    assert written.get_data_dtype() == np.uint16
    found = written.get_fdata()
    assert (found.min(), found.max()) == (0, pytest.approx(1, abs=1e-7))
    np.testing.assert_allclose(found, geometry.to_disk(probs), atol=0.5 / 65535 + 1e-7)
