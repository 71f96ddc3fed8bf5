"""Files that are not one sound scan: one line that names the file, never a traceback of another library."""

import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from lts.base import VolumeError, one_line
from lts.volume import Geometry, read_ct, read_geometry, read_mask, read_mr

AFFINE = np.diag([-0.5, -0.75, 2.5, 1.0])
GRID = Geometry.from_affine(AFFINE, shape=(4, 5, 6))
READERS: list[Callable[[Path], object]] = [
    read_geometry,
    read_ct,
    read_mr,
    lambda path: read_mask(path, image=GRID),
]


def _sound(dtype: str = "i2", *, version: int = 1) -> bytes:
    voxels = (np.arange(120) % 3).astype(dtype).reshape(4, 5, 6, order="F")
    cls = nib.Nifti1Image if version == 1 else nib.Nifti2Image
    image = cls(voxels, AFFINE)
    image.header.set_qform(AFFINE, code=1)
    return image.to_bytes()


def _with_field(name: str, value: object, *, version: int = 1) -> bytes:
    raw = _sound(version=version)
    cls = nib.Nifti1Header if version == 1 else nib.Nifti2Header
    header = cls(raw[: cls.sizeof_hdr], check=False)
    header[name] = value
    return header.binaryblock + raw[cls.sizeof_hdr :]


def _refused(path: Path, message: str) -> None:
    for read in READERS:
        with pytest.raises(VolumeError, match=message) as caught:
            read(path)
        assert str(caught.value).startswith(one_line(f"{path}: "))
        assert "\n" not in str(caught.value)


def test_a_missing_file_or_a_folder_is_refused(tmp_path: Path) -> None:
    _refused(tmp_path / "absent.nii.gz", "no such file")
    _refused(
        tmp_path, "must hold a DICOM series, got none|a mask must be NIfTI, NRRD or MetaImage, got DICOM"
    )
    _refused(tmp_path / ("x" * 300), "cannot be read: File name too long")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "the file is empty"),
        (gzip.compress(b"", mtime=0), "the file is empty"),
        (b"DICM" * 200, "not a NIfTI file"),
        (gzip.compress(b"DICM" * 200, mtime=0), "not a NIfTI file"),
        (_sound()[:2], "not a NIfTI file"),
        (_sound()[:300], "truncated: 300 bytes of header"),
        (_sound()[:351], "truncated: the header promises 592 bytes, the file holds at most 351"),
        (_sound()[:-1], "truncated: the header promises 592 bytes, the file holds at most 591"),
        (_sound(version=2)[:-1], "truncated: the header promises 784 bytes, the file holds at most 783"),
    ],
)
def test_what_is_not_a_whole_nifti_file_is_refused(content: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "a.nii.gz"
    path.write_bytes(content)
    _refused(path, message)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("magic", b"ni1", "must be a single NIfTI file"),
        ("magic", b"", "must be a single NIfTI file"),
        ("magic", b"n+1x", r"must be a single NIfTI file \(magic b'n\+1'\), got b'n\+1x'"),
        ("dim", [2, 4, 5, 1, 1, 1, 1, 1], "must have 3 dimensions, got 2"),
        ("dim", [0, 4, 5, 6, 1, 1, 1, 1], "must have 3 dimensions, got 0"),
        ("dim", [8, 4, 5, 6, 1, 1, 1, 1], "must have 3 dimensions, got 8"),
        ("dim", [4, 4, 5, 3, 2, 1, 1, 1], r"must hold one volume, got 2 \(dimensions \[4, 5, 3, 2\]\)"),
        ("dim", [5, 4, 5, 2, 1, 3, 1, 1], "must hold one volume, got 3"),
        ("dim", [3, 4, 0, 6, 1, 1, 1, 1], r"every dimension must be at least 1, got \[4, 0, 6\]"),
        ("dim", [3, -1, 5, 6, 1, 1, 1, 1], "every dimension must be at least 1"),
        ("dim", [3] + [32767] * 7, "truncated: the header promises 70362301923678 bytes"),
        ("intent_code", 3006, "CIFTI is not a scan, got intent code 3006"),
        ("datatype", 32, r"voxels must be real numbers, got datatype 32 \(complex64\)"),
        ("datatype", 128, "voxels must be real numbers, got datatype 128"),
        ("datatype", 2304, "voxels must be real numbers, got datatype 2304"),
        ("datatype", 0, "voxels must be real numbers, got datatype 0"),
        ("datatype", 77, "unknown datatype 77"),
        ("vox_offset", 0, "vox_offset must be at least 352, got 0"),
        ("vox_offset", -352, "vox_offset must be at least 352, got -352"),
        ("vox_offset", np.nan, "vox_offset must be at least 352, got nan"),
        ("vox_offset", np.inf, "vox_offset must be at least 352, got inf"),
        ("vox_offset", 1e6, "truncated: the header promises 1000240 bytes"),
        ("scl_inter", np.nan, "scl_inter must be finite, got nan"),
        ("sform_code", 6, "sform_code must be 0 to 5, got 6"),
        ("qform_code", -1, "qform_code must be 0 to 5, got -1"),
        ("srow_x", [0, 0, 0, 0], "affine must span three directions"),
        ("srow_x", [0, 1, 0, 0], "affine must span three directions"),
        ("srow_z", [0, 0, np.nan, 0], "affine must be finite"),
    ],
)
def test_headers_that_promise_no_sound_scan_are_refused(
    name: str, value: object, message: str, tmp_path: Path
) -> None:
    path = tmp_path / "a.nii"
    path.write_bytes(_with_field(name, value))
    _refused(path, message)


def test_a_nifti_2_file_that_was_sent_as_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.nii"
    path.write_bytes(_with_field("eol_check", [10, 26, 10, 0], version=2))
    _refused(path, r"line ends were converted: must be \[13, 10, 26, 10\], got \[10, 26, 10, 0\]")
    path.write_bytes(_with_field("eol_check", [0, 0, 0, 0], version=2))
    assert read_geometry(path).shape == (4, 5, 6)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        (
            "pixdim",
            [1, 0.5, 0, 2.5, 1, 1, 1, 1],
            r"spacing must be > 0 mm and finite, got \[0\.5, 0\.0, 2\.5\]",
        ),
        ("pixdim", [1, 0.5, 1, -2.5, 1, 1, 1, 1], "spacing must be > 0 mm and finite"),
        ("pixdim", [1, 0.5, 1, np.nan, 1, 1, 1, 1], "spacing must be > 0 mm and finite"),
        ("pixdim", [1, 0.5, 1, np.inf, 1, 1, 1, 1], "spacing must be > 0 mm and finite"),
        ("quatern_b", 5, "w2 should be positive"),
        ("quatern_b", np.nan, "affine must be finite"),
        ("qoffset_x", np.inf, "affine must be finite"),
    ],
)
def test_degenerate_qforms_are_refused(name: str, value: object, message: str, tmp_path: Path) -> None:
    path = tmp_path / "a.nii"
    raw = bytearray(_with_field(name, value))
    raw[254:256] = bytes(2)  # no sform
    path.write_bytes(raw)
    _refused(path, message)


@pytest.mark.parametrize(("name", "value"), [("quatern_b", 5), ("pixdim", [1, 0, -1, np.nan, 0, 0, 0, 0])])
def test_what_the_qform_says_does_not_matter_beside_an_sform(
    name: str, value: object, tmp_path: Path
) -> None:
    path = tmp_path / "a.nii"
    path.write_bytes(_with_field(name, value))
    assert read_geometry(path).spacing_mm == (2.5, 0.75, 0.5)


def test_a_small_gzip_file_that_promises_much_is_refused_before_it_is_believed(tmp_path: Path) -> None:
    path = tmp_path / "a.nii.gz"
    path.write_bytes(gzip.compress(_with_field("dim", [3] + [32767] * 7)))
    _refused(path, "truncated: the header promises 70362301923678 bytes, the file holds at most")


def test_a_gzip_file_that_holds_less_than_promised_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.nii.gz"
    path.write_bytes(gzip.compress(_sound()[:-1]))
    with pytest.raises(VolumeError, match=r"a\.nii\.gz: truncated: 239 of 240 bytes of voxels"):
        read_ct(path)


def test_a_gzip_file_may_be_padded_and_must_not_grow_without_end(tmp_path: Path) -> None:
    path = tmp_path / "a.nii.gz"
    path.write_bytes(gzip.compress(_sound() + bytes(2**20)))
    np.testing.assert_array_equal(np.sort(read_ct(path).voxels, axis=None), np.sort(np.arange(120) % 3))
    path.write_bytes(gzip.compress(_sound() + bytes(2**20 + 1)))
    with pytest.raises(VolumeError, match="must end where its header says, got over 1048576 bytes more"):
        read_ct(path)


def test_a_scan_beyond_memory_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.nii"
    path.write_bytes(_sound())

    enough = np.empty

    def no_memory_for_it(shape: Any, *args: Any, **kwargs: Any) -> Any:
        if shape == 240:  # bytes of 4 x 5 x 6 voxels of int16
            raise MemoryError
        return enough(shape, *args, **kwargs)

    monkeypatch.setattr(np, "empty", no_memory_for_it)  # a library that is imported meanwhile may need some
    with pytest.raises(VolumeError, match=r"a\.nii: \(4, 5, 6\) voxels do not fit into memory"):
        read_ct(path)


@pytest.mark.parametrize("kept", [3, 12, 60, -9, -5, -1])
def test_a_truncated_gzip_file_is_refused(kept: int, tmp_path: Path) -> None:
    path = tmp_path / "a.nii.gz"
    path.write_bytes(gzip.compress(_sound())[:kept])
    with pytest.raises(VolumeError, match=r"a\.nii\.gz: truncated: the gzip stream has no end"):
        read_ct(path)


def test_a_gzip_file_with_a_wrong_checksum_is_refused(tmp_path: Path) -> None:
    packed = bytearray(gzip.compress(_sound()))
    packed[-6] ^= 1
    (tmp_path / "a.nii.gz").write_bytes(packed)
    with pytest.raises(VolumeError, match=r"a\.nii\.gz: bad gzip data: CRC check failed"):
        read_ct(tmp_path / "a.nii.gz")


def test_a_gzip_file_with_broken_codes_is_refused(tmp_path: Path) -> None:
    packed = bytearray(gzip.compress(_sound()))
    packed[10] = 0xFF
    (tmp_path / "a.nii.gz").write_bytes(packed)
    _refused(tmp_path / "a.nii.gz", "bad gzip data: Error -1 Invalid deflate block")


def test_a_file_that_cannot_be_opened_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.nii"
    path.write_bytes(_sound())

    def denied(*args: object, **kwargs: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", denied)
    _refused(path, "cannot be read: Permission denied")
