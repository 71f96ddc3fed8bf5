"""NRRD and MetaImage: what ITK writes, what it must not be trusted with, and grids to the last bit."""

import gzip
import re
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813  as its own documentation

from lts.base import VolumeError
from lts.slices import content_hash
from lts.volume import (
    read_ct,
    read_geometry,
    read_mask,
    read_mr,
    source_files,
    write_mask,
    write_probabilities,
)

NAMES = ("a.nrrd", "a.nhdr", "a.mha", "a.mhd", "a b.mhd")
OBLIQUE = (0.48, 0.64, 0.6, -0.8, 0.6, 0.0, -0.36, -0.48, 0.8)


def scan(dtype: Any = np.int16) -> sitk.Image:
    """An oblique scan of `(4, 5, 6)` voxels on disk, whose grid no float32 holds."""
    voxels = np.random.default_rng(0).integers(0, 100, (6, 5, 4)).astype(dtype)
    image = sitk.GetImageFromArray(voxels)
    image.SetSpacing((0.7, 0.9, 2.5))
    image.SetOrigin((-249.51171875123, 10.1, -1234.56789))
    image.SetDirection(OBLIQUE)
    return image


def itk_vectors() -> sitk.Image:
    return sitk.GetImageFromArray(np.zeros((4, 5, 6, 3), np.uint8), isVector=True)


def affine_of(image: sitk.Image) -> np.ndarray:
    """Index to world RAS mm, from three corners as ITK places them."""
    corner = np.array(image.TransformIndexToPhysicalPoint((0, 0, 0)))
    steps = [
        np.array(image.TransformIndexToPhysicalPoint(unit)) - corner for unit in np.eye(3, dtype=int).tolist()
    ]
    affine = np.eye(4)
    affine[:3] = np.column_stack([*steps, corner])
    return np.diag([-1, -1, 1, 1]) @ affine


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("name", NAMES)
def test_what_itk_writes_is_read(name: str, compressed: bool, tmp_path: Path) -> None:
    image = scan()
    sitk.WriteImage(image, str(tmp_path / name), compressed)
    found = read_ct(tmp_path / name)
    np.testing.assert_allclose(found.geometry.affine, affine_of(image), rtol=0, atol=1e-9)
    on_disk = found.geometry.to_disk(found.voxels)
    np.testing.assert_array_equal(on_disk, sitk.GetArrayFromImage(image).T)
    assert found.notes == ()
    assert read_geometry(tmp_path / name) == found.geometry
    assert len(source_files(tmp_path / name)) == (2 if name.endswith(("hdr", "mhd")) else 1)


@pytest.mark.parametrize("name", ["m.nrrd", "m.mha"])
def test_a_mask_lies_on_the_grid_of_its_scan_to_the_last_bit(
    name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    image = scan()
    sitk.WriteImage(image, str(tmp_path / "a.nrrd"))
    ct = read_ct(tmp_path / "a.nrrd")
    labels = (ct.voxels % 3).astype(np.uint8)
    write_mask(tmp_path / name, labels, geometry=ct.geometry)
    back = sitk.ReadImage(str(tmp_path / name))
    assert back.GetOrigin() == image.GetOrigin()
    np.testing.assert_allclose(back.GetSpacing(), image.GetSpacing(), rtol=1e-15)
    np.testing.assert_allclose(back.GetDirection(), image.GetDirection(), rtol=0, atol=1e-15)
    sitk.Mask(image, back)  # refuses another physical space
    np.testing.assert_array_equal(sitk.GetArrayFromImage(back), sitk.GetArrayFromImage(image) % 3)
    np.testing.assert_array_equal(read_mask(tmp_path / name, image=ct.geometry).voxels, labels)
    first = (tmp_path / name).read_bytes()
    monkeypatch.setattr("time.time", lambda: 2e9)
    write_mask(tmp_path / name, labels, geometry=ct.geometry)
    assert (tmp_path / name).read_bytes() == first


@pytest.mark.parametrize("name", ["m.nrrd", "m.mha", "m.nii.gz"])
def test_a_mask_of_one_format_fits_the_scan_of_another(name: str, make_case: Any, tmp_path: Path) -> None:
    case = make_case("source")
    ct = read_ct(case.image)
    labels = read_mask(case.mask, image=ct.geometry).voxels
    write_mask(tmp_path / name, labels, geometry=ct.geometry)
    np.testing.assert_array_equal(read_mask(tmp_path / name, image=ct.geometry).voxels, labels)
    itk = sitk.ReadImage(str(tmp_path / name))
    affine = affine_of(itk)
    np.testing.assert_allclose(affine, nib.load(case.image).affine, atol=1e-5)


def test_probabilities_are_numbers_from_0_to_1(tmp_path: Path) -> None:
    sitk.WriteImage(scan(), str(tmp_path / "a.mha"))
    grid = read_geometry(tmp_path / "a.mha")
    write_probabilities(tmp_path / "p.nrrd", np.full(grid.canonical_shape, 13107, np.uint16), geometry=grid)
    assert np.unique(sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / "p.nrrd")))) == pytest.approx(0.2)


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.uint16, np.uint32, np.int64, np.float32, np.float64])
def test_all_real_numbers_are_read(dtype: Any, tmp_path: Path) -> None:
    image = scan(dtype)
    sitk.WriteImage(image, str(tmp_path / "a.mha"))
    found = read_mr(tmp_path / "a.mha")
    np.testing.assert_array_equal(found.geometry.to_disk(found.voxels), sitk.GetArrayFromImage(image).T)


@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("name", ["a.nrrd", "a.mha"])
def test_both_byte_orders_are_read(name: str, big: bool, tmp_path: Path) -> None:
    voxels = np.arange(120, dtype=">i2" if big else "<i2")
    if name == "a.nrrd":
        write_nrrd(tmp_path / name, data=voxels.tobytes(), endian="big" if big else "little")
    else:
        text = f"NDims = 3\nDimSize = 4 5 6\nElementType = MET_SHORT\nBinaryDataByteOrderMSB = {big}\n"
        (tmp_path / name).write_bytes(f"{text}ElementDataFile = LOCAL\n".encode() + voxels.tobytes())
    found = read_ct(tmp_path / name)
    np.testing.assert_array_equal(found.geometry.to_disk(found.voxels).ravel("F"), np.arange(120))
    image = sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / name)))
    np.testing.assert_array_equal(image.ravel(), np.arange(120))


def test_a_file_in_two_gzip_members_is_read(tmp_path: Path) -> None:
    voxels = np.arange(120, dtype="<i2").tobytes()
    packed = gzip.compress(voxels[:99]) + gzip.compress(voxels[99:])
    found = read_ct(write_nrrd(tmp_path / "a.nrrd", data=packed, encoding="gzip"))
    np.testing.assert_array_equal(found.geometry.to_disk(found.voxels).ravel("F"), np.arange(120))


def test_what_unpacks_to_much_more_than_the_voxels_is_refused(tmp_path: Path) -> None:
    path = write_nrrd(tmp_path / "a.nrrd", data=gzip.compress(bytes(5_000_000)), encoding="gzip")
    with pytest.raises(VolumeError, match="must end where its header says, got over 1048576 bytes more"):
        read_ct(path)


def test_real_scans_are_read_as_their_nifti_files(real_data: Path, tmp_path: Path) -> None:
    source = real_data / "lits_real" / "volume-1.nii.gz"
    expected = read_ct(source)
    sitk.WriteImage(sitk.ReadImage(str(source)), str(tmp_path / "a.nrrd"), True)
    found = read_ct(tmp_path / "a.nrrd")
    np.testing.assert_array_equal(found.voxels, expected.voxels)
    np.testing.assert_allclose(found.geometry.affine, expected.geometry.affine, atol=1e-4)
    assert found.geometry.axes == expected.geometry.axes == "LPS"


def write_nrrd(path: Path, *, data: bytes = bytes(240), **changes: str | None) -> Path:
    """A file of `(4, 5, 6)` int16 made by hand; an entry of None is left out."""
    entries = {
        "type": "short",
        "dimension": "3",
        "space": "left-posterior-superior",
        "sizes": "4 5 6",
        "space directions": "(0.7,0,0) (0,0.9,0) (0,0,2.5)",
        "kinds": "domain domain domain",
        "endian": "little",
        "encoding": "raw",
        "space origin": "(1,2,3)",
        **{key.replace("_", " "): value for key, value in changes.items()},
    }
    head = "".join(f"{key}: {value}\n" for key, value in entries.items() if value is not None)
    path.write_bytes(f"NRRD0004\n{head}\n".encode() + data)
    return path


def test_the_three_spaces_of_nrrd_are_told_apart(tmp_path: Path) -> None:
    affines = [
        read_geometry(write_nrrd(tmp_path / "a.nrrd", space=space)).affine
        for space in ("left-posterior-superior", "RAS", "left-anterior-superior")
    ]
    for affine, (x, y) in zip(affines, [(-1, -1), (1, 1), (-1, 1)], strict=True):
        np.testing.assert_allclose(np.diag(affine), [0.7 * x, 0.9 * y, 2.5, 1])
        np.testing.assert_allclose(affine[:3, 3], [x, 2 * y, 3])


@pytest.mark.parametrize("space", ["left-posterior-superior", "RAS", "left-anterior-superior"])
def test_itk_sees_the_same_grid(space: str, tmp_path: Path) -> None:
    directions = "(0.6,0.8,0) (-1.6,1.2,0) (0,0,2.5)"
    path = write_nrrd(tmp_path / "a.nrrd", space=space, space_directions=directions)
    np.testing.assert_allclose(read_geometry(path).affine, affine_of(sitk.ReadImage(str(path))), atol=1e-12)


def test_a_shear_is_kept_and_told(tmp_path: Path) -> None:
    directions = "(0.7,0,0) (0,0.9,0) (0,0.5,2.5)"
    found = read_ct(write_nrrd(tmp_path / "a.nrrd", space_directions=directions))
    np.testing.assert_allclose(found.geometry.affine[:3, 2], [0, -0.5, 2.5])
    assert found.geometry.voxel_volume_ml == pytest.approx(0.7 * 0.9 * 2.5 / 1000)
    assert [note.code for note in found.notes] == ["sheared"]


@pytest.mark.parametrize(("unit", "mm"), [("um", 0.001), ("mm", 1), ("cm", 10), ("m", 1000)])
def test_the_unit_of_nrrd_counts(unit: str, mm: float, tmp_path: Path) -> None:
    found = read_ct(write_nrrd(tmp_path / "a.nrrd", space_units=" ".join([f'"{unit}"'] * 3)))
    np.testing.assert_allclose(found.geometry.spacing_mm, np.array([2.5, 0.9, 0.7]) * mm)
    np.testing.assert_allclose(found.geometry.affine[:3, 3], np.array([-1, -2, 3]) * mm)
    assert [note.code for note in found.notes] == ([] if unit == "mm" else ["other-unit"])


@pytest.mark.parametrize("space", [None, "scanner-xyz", "3D-right-handed"])
def test_an_orientation_that_is_not_stated_is_unproven(space: str | None, tmp_path: Path) -> None:
    given: dict[str, Any] = {"space": space}
    if space is None:
        given = dict.fromkeys(("space", "space_directions", "space_origin")) | {"spacings": "0.7 0.9 2.5"}
    found = read_ct(write_nrrd(tmp_path / "a.nrrd", **given))
    assert [note.code for note in found.notes] == ["orientation-unproven"]
    assert found.geometry.spacing_mm == (2.5, 0.9, 0.7)
    assert found.geometry.axes == "LPS"
    text = "NDims = 3\nDimSize = 4 5 6\nElementType = MET_SHORT\nElementDataFile = LOCAL\n"
    (tmp_path / "a.mha").write_bytes(text.encode() + bytes(240))
    assert [note.code for note in read_ct(tmp_path / "a.mha").notes] == ["orientation-unproven"]


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"space_units": '"furlong" "furlong" "furlong"'}, "space units must be one of mm, .*, got furlong"),
        ({"space_units": '"mm" "mm" "cm"'}, "space units must be one of mm, .*, got cm, mm"),
        ({"data": bytes(239)}, "truncated: the header promises 240 bytes of voxels, the file holds 239"),
        ({"sizes": "40000 5 6", "data": bytes(2_400_000)}, "shape must be 1 to 32767 along each axis"),
        ({"sizes": "9000 9000 9000"}, "truncated: the header promises 1458000000000 bytes"),
        ({"sizes": "9000 9000 9000", "encoding": "gzip"}, "truncated: .* the file holds 240 compressed"),
        (
            {"data_file": "/etc/passwd"},
            "its voxels must be in itself or in one file beside it, got '/etc/passwd'",
        ),
        ({"data_file": "../a.raw"}, "in one file beside it, got '../a.raw'"),
        ({"data_file": "a%03d.raw 1 6 1"}, "in one file beside it, got"),
        ({"data_file": "LIST"}, "in one file beside it, got 'LIST'"),
        ({"data_file": "b.raw"}, "its voxels must be beside it in b.raw, which is not there"),
        ({"space_directions": "(0,0,0) (0,0.9,0) (0,0,2.5)"}, "affine must span three directions"),
        ({"type": "block"}, "type must be one of real numbers, got 'block'"),
        ({"endian": None}, "endian must be one of little, big, got ''"),
        ({"encoding": "bzip2"}, "encoding must be one of raw, gzip, gz, got 'bzip2'"),
        ({"byte_skip": "-1"}, "byte skip must be 0, got '-1'"),
        ({"sizes": "4 5 0"}, "sizes must be whole numbers from 1, got '4 5 0'"),
        ({"sizes": "4 -5 6"}, "sizes must be whole numbers from 1"),
        ({"sizes": "4 5"}, "must hold one volume of 3 axes, got sizes 4 5"),
        ({"dimension": "4"}, "dimension must be 3, got '4'"),
        ({"kinds": "vector domain domain"}, "kinds must be domain of each axis"),
        ({"space_origin": "(1,2,nan)"}, "space origin must be 3 numbers, got"),
        ({"space_directions": "none (0,0.9,0) (0,0,2.5)"}, "space directions must be 9 numbers, got"),
    ],
)
def test_a_header_that_must_not_be_believed_is_refused(
    changes: dict[str, Any], told: str, tmp_path: Path
) -> None:
    path = write_nrrd(tmp_path / "a.nrrd", **changes)
    with pytest.raises(VolumeError, match=rf"a\.nrrd: .*{told}") as error:
        read_ct(path)
    assert "\n" not in str(error.value)


def test_a_file_that_voxels_lie_in_elsewhere_is_never_opened(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(bytes(240))
    (tmp_path / "in").mkdir()
    for name in (str(tmp_path / "secret"), "../secret"):
        text = f"NDims = 3\nDimSize = 4 5 6\nElementType = MET_SHORT\nElementDataFile = {name}\n"
        (tmp_path / "in" / "a.mha").write_text(text)
        for read in (read_ct, read_geometry, source_files):
            with pytest.raises(VolumeError, match="in one file beside it, got"):
                read(tmp_path / "in" / "a.mha")


@pytest.mark.parametrize("name", NAMES)
def test_a_file_cut_short_is_refused(name: str, tmp_path: Path) -> None:
    for compressed in (False, True):
        sitk.WriteImage(scan(), str(tmp_path / name), compressed)
        *_, data = source_files(tmp_path / name)
        whole = data.read_bytes()
        data.write_bytes(whole[: len(whole) - 9])
        with pytest.raises(VolumeError, match="truncated"):
            read_ct(tmp_path / name)


@pytest.mark.parametrize("name", NAMES)
def test_a_damaged_byte_of_compressed_voxels_is_seen(name: str, tmp_path: Path) -> None:
    sitk.WriteImage(scan(), str(tmp_path / name), True)
    *_, data = source_files(tmp_path / name)
    whole = bytearray(data.read_bytes())
    whole[-20] ^= 0xFF
    data.write_bytes(whole)
    with pytest.raises(VolumeError, match=r"bad compressed data"):
        read_ct(tmp_path / name)


@pytest.mark.parametrize(
    ("image", "name", "told"),
    [
        (itk_vectors(), "a.nrrd", "must hold one volume of 3 axes, got sizes 3 6 5 4"),
        (itk_vectors(), "a.mha", "ElementNumberOfChannels must be 1, got '3'"),
        (
            sitk.Image((4, 5, 6), sitk.sitkComplexFloat32),
            "a.mha",
            "ElementNumberOfChannels must be 1, got '2'",
        ),
        (
            sitk.Image((4, 5, 6, 2), sitk.sitkInt16),
            "a.mha",
            "must hold one volume of 3 axes, got DimSize 4 5 6 2",
        ),
        (sitk.Image((4, 5), sitk.sitkInt16), "a.mha", "must hold one volume of 3 axes, got DimSize 4 5"),
        (sitk.Image((4, 5), sitk.sitkInt16), "a.nrrd", "must hold one volume of 3 axes, got sizes 4 5"),
    ],
)
def test_what_is_no_volume_of_real_numbers_is_refused(
    image: Any, name: str, told: str, tmp_path: Path
) -> None:
    sitk.WriteImage(image, str(tmp_path / name))
    with pytest.raises(VolumeError, match=rf"{re.escape(name)}: {told}"):
        read_ct(tmp_path / name)


@pytest.mark.parametrize(
    ("entry", "told"),
    [
        ("BinaryData = False", "BinaryData must be one of true, t, 1, got 'False'"),
        ("HeaderSize = -1", "HeaderSize must be 0, got '-1'"),
        ("ElementType = MET_STRING", "ElementType must be one of met_char, .*, got 'MET_STRING'"),
        ("ElementSpacing = 1 0 1", r"ElementSpacing must be > 0, got \[1.0, 0.0, 1.0\]"),
        ("Offset = 1 2", "Offset must be 3 numbers, got '1 2'"),
        ("DimSize = 4 5 x", "DimSize must be whole numbers from 1, got '4 5 x'"),
        ("CompressedData = maybe", "CompressedData must be one of true, t, 1, false, f, 0, got 'maybe'"),
    ],
)
def test_an_entry_of_metaimage_that_breaks_its_rule_is_named(entry: str, told: str, tmp_path: Path) -> None:
    text = f"NDims = 3\nDimSize = 4 5 6\nElementType = MET_SHORT\n{entry}\nElementDataFile = LOCAL\n"
    (tmp_path / "a.mha").write_bytes(text.encode() + bytes(240))
    with pytest.raises(VolumeError, match=rf"a\.mha: {told}"):
        read_ct(tmp_path / "a.mha")


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "the file is empty"),
        (b"\x1f\x8b" + bytes(90), "not a MetaImage file"),
        (b"NRRD0004\n", "not a MetaImage file"),
        (None, "no such file"),
    ],
)
def test_what_is_no_such_file_is_told(content: bytes | None, told: str, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "a.mha").write_bytes(content)
    with pytest.raises(VolumeError, match=rf"a\.mha: {told}"):
        read_ct(tmp_path / "a.mha")


def test_both_files_of_a_volume_are_its_content(tmp_path: Path) -> None:
    sitk.WriteImage(scan(), str(tmp_path / "a.mhd"))
    first = content_hash(tmp_path / "a.mhd")
    voxels = bytearray((tmp_path / "a.raw").read_bytes())
    voxels[7] += 1
    (tmp_path / "a.raw").write_bytes(voxels)
    assert content_hash(tmp_path / "a.mhd") != first


ODD_VALUES = (
    "",
    "-1",
    "0",
    "nan",
    "inf",
    "1e999",
    "9" * 30,
    "(1,2",
    "LIST",
    "é\x00",
    "1 2 3 4 5 6 7 8 9",
    "a: b = c",
)


@pytest.mark.parametrize("name", ["a.nrrd", "a.mha"])
def test_wild_files_are_read_or_refused_in_a_line(name: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    sitk.WriteImage(scan(), str(tmp_path / name))
    whole = (tmp_path / name).read_bytes()
    end = whole.index(b"\n\n") if name == "a.nrrd" else whole.index(b"LOCAL")
    refused: list[str] = []
    for number in range(1000):
        text, voxels = whole[:end], whole[end:]
        match number % 4:
            case 0:  # a line whose value is another
                lines = text.splitlines()
                line = rng.integers(1, len(lines))
                sign = b":" if name == "a.nrrd" else b"="
                key, _, _ = lines[line].partition(sign)
                lines[line] = key + sign + b" " + str(rng.choice(ODD_VALUES)).encode()
                text = b"\n".join(lines)
            case 1:  # a line that is not there, or two in another order
                lines = text.splitlines()
                taken = lines.pop(rng.integers(1, len(lines)))
                if rng.random() < 0.5:
                    lines.insert(rng.integers(1, len(lines)), taken)
                text = b"\n".join(lines)
            case 2:  # other bytes anywhere
                changed = bytearray(text)
                for place in rng.integers(0, len(changed), 3):
                    changed[place] = rng.integers(0, 256)
                text = bytes(changed)
            case 3:  # cut anywhere
                voxels = b""
                text = text[: rng.integers(0, len(text))]
        (tmp_path / name).write_bytes(text + voxels)
        try:
            found = read_mr(tmp_path / name)
        except VolumeError as error:
            refused.append(str(error))
        else:
            assert np.isfinite(found.geometry.affine).all()
            assert found.voxels.shape == found.geometry.canonical_shape
    assert 300 < len(refused) < 1000
    assert all("\n" not in line for line in refused)


@pytest.mark.parametrize("line", ["Space Origin:=scanner", "space:=Talairach", "Type:=CT", "sizes:=1 1 1"])
def test_a_free_pair_is_no_field_of_its_name(line: str, tmp_path: Path) -> None:
    sitk.WriteImage(scan(), str(tmp_path / "a.nrrd"))
    plain = read_ct(tmp_path / "a.nrrd")
    head, _, data = (tmp_path / "a.nrrd").read_bytes().partition(b"\n\n")
    (tmp_path / "b.nrrd").write_bytes(head + b"\n" + line.encode() + b"\n\n" + data)
    found = read_ct(tmp_path / "b.nrrd")
    assert found.geometry == plain.geometry
    np.testing.assert_array_equal(found.voxels, plain.voxels)
    np.testing.assert_allclose(
        found.geometry.affine, affine_of(sitk.ReadImage(str(tmp_path / "b.nrrd"))), rtol=0, atol=1e-9
    )


@pytest.mark.parametrize(
    ("mins", "centers"), [("1 2 3", None), ("1 2 3", "node node cell"), ("NaN NaN NaN", None)]
)
def test_axis_mins_are_the_corner_where_they_are_known(
    mins: str, centers: str | None, tmp_path: Path
) -> None:
    nowhere = {"space": None, "space_directions": None, "space_origin": None}
    path = write_nrrd(tmp_path / "a.nrrd", spacings="0.7 0.8 2.5", axis_mins=mins, centers=centers, **nowhere)
    np.testing.assert_allclose(read_geometry(path).affine, affine_of(sitk.ReadImage(str(path))), atol=1e-9)


@pytest.mark.parametrize("name", ["a.nhdr", "a.mhd"])
def test_the_voxels_may_be_named_to_be_in_this_folder(name: str, tmp_path: Path) -> None:
    sitk.WriteImage(scan(), str(tmp_path / name))
    voxels = read_ct(tmp_path / name).voxels
    text = (tmp_path / name).read_text()
    beside = source_files(tmp_path / name)[1].name
    assert text.count(beside) == 1
    (tmp_path / name).write_text(text.replace(beside, f"./{beside}"))
    np.testing.assert_array_equal(read_ct(tmp_path / name).voxels, voxels)
