"""CT and MR from files into memory: numbers, scaling, formats, notes, memory."""

import gzip
import re
import tracemalloc
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch

from lts.base import VolumeError
from lts.volume import read_ct, read_geometry, read_mr

AFFINE = np.diag([-0.5, -0.75, 2.5, 1.0])  # LPS: memory is the plain transpose of the disk


def _save(
    path: Path,
    stored: np.ndarray,
    *,
    slope: float = 1,
    inter: float = 0,
    order: str = "<",
    affine: np.ndarray = AFFINE,
) -> Path:
    """Write numbers as they are, with a scale that the reader must apply."""
    header = nib.Nifti1Header(endianness=order)
    header.set_data_dtype(stored.dtype)
    image = nib.Nifti1Image(stored, affine, header)
    nib.save(image, path)
    raw = bytearray(path.read_bytes())
    raw[112:120] = np.array([slope, inter], dtype=f"{order}f4").tobytes()
    path.write_bytes(raw)
    return path


def _line(*values: float, dtype: str = "i2") -> np.ndarray:
    """Values along the patient's left, which is W, in a volume of two slices and one row."""
    return np.stack([np.array([values], dtype=dtype).T] * 2, axis=-1)


def _seen(voxels: np.ndarray) -> list[float]:
    np.testing.assert_array_equal(voxels[0], voxels[1])
    return voxels[0, 0].tolist()


def test_padding_below_air_is_lifted_to_it(tmp_path: Path) -> None:
    volume = read_ct(_save(tmp_path / "a.nii", _line(-3024, -2000, -1025, -1024, -1023, 0, 3071)))
    assert volume.voxels.dtype == np.int16
    assert _seen(volume.voxels) == [-1024, -1024, -1024, -1024, -1023, 0, 3071]
    assert volume.notes == ()


@pytest.mark.parametrize("dtype", ["i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "f4", "f8"])
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("read", [read_ct, read_mr])
def test_integers_of_any_type_and_byte_order_come_as_int16(
    read, dtype: str, order: str, tmp_path: Path
) -> None:
    volume = read(_save(tmp_path / "a.nii", _line(0, 1, 100, dtype=dtype), order=order))
    assert volume.voxels.dtype == np.dtype(np.int16)
    assert volume.voxels.flags.c_contiguous
    assert _seen(volume.voxels) == [0, 1, 100]
    assert volume.notes == ()


@pytest.mark.parametrize("order", ["<", ">"])
def test_scaled_integers_are_slope_times_stored_plus_intercept(order: str, tmp_path: Path) -> None:
    path = _save(tmp_path / "a.nii", _line(0, 24, 1024, 4095, dtype="u2"), slope=1, inter=-1024, order=order)
    assert _seen(read_ct(path).voxels) == [-1024, -1000, 0, 3071]
    path = _save(tmp_path / "a.nii", _line(0, 24, 1024), slope=-2, inter=100, order=order)
    assert _seen(read_ct(path).voxels) == [100, 52, -1024]
    mr = read_mr(path).voxels
    assert (mr.dtype, _seen(mr)) == (np.int16, [100, 52, -1948])
    assert _seen(mr) == np.asanyarray(nib.load(path).dataobj)[:, 0, 0].tolist()


@pytest.mark.parametrize("slope", [0, np.nan, np.inf])
def test_a_slope_that_is_no_slope_leaves_the_numbers_alone(slope: float, tmp_path: Path) -> None:
    path = _save(tmp_path / "a.nii", _line(-5, 7), slope=slope, inter=3)
    assert _seen(read_ct(path).voxels) == [-5, 7]


def test_fractions_of_hu_are_rounded_with_a_note(tmp_path: Path) -> None:
    path = _save(tmp_path / "a.nii", _line(-7, 5, 4), slope=0.3, inter=0)
    volume = read_ct(path)
    assert (volume.voxels.dtype, _seen(volume.voxels)) == (np.int16, [-2, 2, 1])
    assert volume.notes == ("Fractions of HU were rounded.",)


@pytest.mark.parametrize("value", [32768.0, 1e30])
def test_hu_beyond_int16_are_refused(value: float, tmp_path: Path) -> None:
    assert _seen(read_ct(_save(tmp_path / "a.nii", _line(32767.4, -1e30, dtype="f4"))).voxels) == [
        32767,
        -1024,
    ]
    path = _save(tmp_path / "b.nii", _line(0, value, dtype="f4"))
    with pytest.raises(
        VolumeError, match=r"b\.nii: HU must be at most 32767, got " + re.escape(f"{value:g}")
    ):
        read_ct(path)


@pytest.mark.parametrize(
    ("stored", "slope"),
    [(np.nan, 1), (np.inf, 1), (-np.inf, 1), (1e300, 1e30)],
    ids=["nan", "inf", "-inf", "x"],
)
@pytest.mark.parametrize("read", [read_ct, read_mr])
def test_voxels_that_are_not_finite_are_refused(read, stored: float, slope: float, tmp_path: Path) -> None:
    voxels = _line(0, 0, dtype="f8")
    voxels[1, 0, 1] = stored
    with pytest.raises(VolumeError, match="voxels must be finite, got NaN or infinity in slice 1"):
        read(_save(tmp_path / "a.nii", voxels, slope=slope))


@pytest.mark.parametrize(
    ("values", "dtype"), [((0, 0.5), "f4"), ((0, 32768), "u2"), ((-32769, 0), "i4"), ((0, 3e38), "f8")]
)
def test_mr_that_does_not_fit_int16_stays_float32(
    values: tuple[float, ...], dtype: str, tmp_path: Path
) -> None:
    voxels = read_mr(_save(tmp_path / "a.nii", _line(*values, dtype=dtype))).voxels
    assert voxels.dtype == np.float32
    assert _seen(voxels) == [np.float32(value) for value in values]


def test_one_fraction_in_any_slice_counts(tmp_path: Path) -> None:
    voxels = np.zeros((2, 2, 3), np.float32)
    voxels[0, 0, 0] = 0.25
    path = _save(tmp_path / "a.nii", voxels)
    assert read_mr(path).voxels.dtype == np.float32
    assert read_ct(path).notes == ("Fractions of HU were rounded.",)


def test_mr_beyond_float32_is_refused(tmp_path: Path) -> None:
    with pytest.raises(VolumeError, match=r"voxels must fit into float32, got 1e\+39"):
        read_mr(_save(tmp_path / "a.nii", _line(0, -1e39, dtype="f8")))


def test_mr_keeps_values_below_the_air_of_ct(tmp_path: Path) -> None:
    assert _seen(read_mr(_save(tmp_path / "a.nii", _line(-3024, 0))).voxels) == [-3024, 0]


def test_what_is_gzip_is_told_by_its_bytes_not_its_name(tmp_path: Path) -> None:
    plain = _save(tmp_path / "a.nii", _line(1, 2, 3))
    (tmp_path / "b.nii.gz").write_bytes(plain.read_bytes())
    (tmp_path / "c.nii").write_bytes(gzip.compress(plain.read_bytes()))
    two_members = gzip.compress(plain.read_bytes()[:356]) + gzip.compress(plain.read_bytes()[356:])
    (tmp_path / "d.nii.gz").write_bytes(two_members)
    for path in tmp_path.iterdir():
        assert _seen(read_ct(path).voxels) == [1, 2, 3]
        assert read_geometry(path) == read_geometry(plain)


def test_nifti2_and_trailing_axes_of_length_one_are_read(tmp_path: Path) -> None:
    body = np.arange(24, dtype=np.int16).reshape(2, 3, 4)
    nib.save(nib.Nifti2Image(body[..., None, None], AFFINE), tmp_path / "a.nii.gz")
    volume = read_ct(str(tmp_path / "a.nii.gz"))
    np.testing.assert_array_equal(volume.voxels, body.T)
    assert volume.geometry.shape == (2, 3, 4)
    np.testing.assert_array_equal(volume.geometry.affine, AFFINE)


def test_voxels_after_a_header_extension_are_found(tmp_path: Path) -> None:
    image = nib.Nifti1Image(_line(1, 2, 3), AFFINE)
    image.header.extensions.append(nib.nifti1.Nifti1Extension("comment", b"x" * 1000))
    nib.save(image, tmp_path / "a.nii.gz")
    assert _seen(read_ct(tmp_path / "a.nii.gz").voxels) == [1, 2, 3]


def test_one_slice_is_a_volume(tmp_path: Path) -> None:
    nib.save(nib.Nifti1Image(np.zeros((2, 3, 1), np.int16), AFFINE), tmp_path / "a.nii")
    assert read_ct(tmp_path / "a.nii").voxels.shape == (1, 3, 2)


@pytest.mark.parametrize("axis", range(3))
@pytest.mark.parametrize("read", [read_ct, read_mr])
def test_one_slice_that_runs_the_other_way_can_be_given_to_torch(read, axis: int, tmp_path: Path) -> None:
    turned, shape = AFFINE.copy(), [2, 3, 4]
    turned[axis, axis] *= -1
    shape[axis] = 1
    stored = np.arange(np.prod(shape), dtype=np.int16).reshape(shape)
    voxels = read(_save(tmp_path / "a.nii", stored, affine=turned)).voxels
    np.testing.assert_array_equal(torch.from_numpy(voxels).numpy(), stored.T)


@pytest.mark.parametrize("read", [read_ct, read_mr])
def test_an_identity_affine_is_read_as_it_is_with_a_note(read, tmp_path: Path) -> None:
    nib.save(nib.Nifti1Image(_line(1, 2), np.eye(4)), tmp_path / "a.nii")
    volume = read(tmp_path / "a.nii")
    assert volume.notes == ("Spacing and orientation are unproven: the affine is the identity.",)
    assert _seen(volume.voxels) == [2, 1]  # the file runs to the right


@pytest.mark.parametrize("read", [read_ct, read_mr])
def test_a_header_without_orientation_is_read_as_nibabel_does_with_a_note(read, tmp_path: Path) -> None:
    image = nib.Nifti1Image(_line(1, 2), None)
    image.header.set_zooms((0.5, 0.75, 2.5))
    nib.save(image, tmp_path / "a.nii")
    volume = read(tmp_path / "a.nii")
    assert volume.notes == ("Spacing and orientation are unproven: the header states no orientation.",)
    np.testing.assert_array_equal(volume.geometry.affine, nib.load(tmp_path / "a.nii").affine)
    assert volume.geometry.spacing_mm == (2.5, 0.75, 0.5)


def test_a_qform_alone_states_an_orientation(tmp_path: Path) -> None:
    image = nib.Nifti1Image(_line(1, 2), None)
    image.header.set_qform(AFFINE, code=1)
    nib.save(image, tmp_path / "a.nii")
    assert read_ct(tmp_path / "a.nii").notes == ()


def test_an_unset_sign_of_the_third_axis_means_plus(tmp_path: Path) -> None:
    image = nib.Nifti1Image(_line(1, 2), None)
    image.header.set_qform(AFFINE, code=1)
    nib.save(image, tmp_path / "a.nii")
    raw = bytearray((tmp_path / "a.nii").read_bytes())
    raw[76:80] = bytes(4)
    (tmp_path / "a.nii").write_bytes(raw)
    np.testing.assert_array_equal(read_geometry(tmp_path / "a.nii").affine, AFFINE)


@pytest.mark.parametrize(
    ("read", "dtype", "slope", "int16_copies"),
    [(read_ct, "i2", 1, 2), (read_ct, "u2", 0.5, 3), (read_ct, "f4", 1, 4), (read_mr, "f4", 1.5, 4)],
)
def test_memory_holds_the_file_and_the_result_never_float64(
    read, dtype: str, slope: float, int16_copies: int, tmp_path: Path
) -> None:
    stored = np.random.default_rng(0).integers(0, 2000, (100, 100, 100)).astype(dtype)
    path = _save(tmp_path / "a.nii", stored, slope=slope, affine=np.diag([1.0, 1, 2, 1]))  # RAS: W and H flip
    read(path)
    tracemalloc.start()
    read(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < (int16_copies + 0.4) * 2 * stored.size
