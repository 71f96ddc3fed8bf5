"""Headers whose transforms disagree: what is taken, and what is said of it."""

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK

from lts.base import VolumeError
from lts.volume import Geometry, grid_notes, read_ct, read_geometry, read_mask, read_mr, write_mask

RAS = np.array([[0.7, 0, 0, -40], [0, 0.7, 0, -30], [0, 0, 2.5, 700], [0, 0, 0, 1]])
SHAPE = (9, 11, 7)


def header(
    sform: np.ndarray = RAS, qform: np.ndarray = RAS, codes: tuple[int, int] = (1, 1)
) -> nib.Nifti1Header:
    made = nib.Nifti1Header()
    made.set_data_shape(SHAPE)
    made.set_data_dtype(np.int16)
    made.set_qform(qform, 1)
    made.set_sform(sform, 1)
    made["sform_code"], made["qform_code"] = codes
    made.set_xyzt_units("mm")
    made["magic"], made["vox_offset"] = made.single_magic, made.single_vox_offset
    return made


def grid(*forms: np.ndarray, codes: tuple[int, int] = (1, 1)) -> Geometry:
    return Geometry.from_header(header(*forms, codes=codes), shape=SHAPE)


def written(path: Path, made: nib.Nifti1Header) -> Path:
    values = np.arange(np.prod(SHAPE), dtype=np.int16) % 3
    path.write_bytes(made.binaryblock + bytes(4) + values.tobytes())
    return path


def codes_of(geometry: Geometry) -> list[str]:
    return [note.code for note in grid_notes(geometry)]


def moved(voxels: float) -> np.ndarray:
    there = RAS.copy()
    there[0, 3] += 0.7 * voxels
    return there


MIRRORED = np.diag([-1, 1, 1, 1]) @ RAS
SMALLER = np.diag([0.99, 0.99, 1, 1]) @ RAS
EMPTY = np.zeros((4, 4))


@pytest.mark.parametrize("code", [0, 1])
def test_where_a_sform_was_claimed_and_never_written_the_qform_is_taken(code: int, tmp_path: Path) -> None:
    path = written(tmp_path / "a.nii", header(EMPTY, MIRRORED, (1, code)))
    for scan in (read_ct(path), read_mr(path), read_mask(path, image=read_geometry(path))):
        np.testing.assert_allclose(scan.geometry.affine, MIRRORED, rtol=1e-6)
        assert scan.notes == ("The sform is all zeros: the grid is that of the qform.",)
        assert scan.notes[0].code == "sform-empty"
    # whoever reads the mask finds one transform, and a sound one
    write_mask(tmp_path / "m.nii", scan.voxels, geometry=scan.geometry)
    np.testing.assert_allclose(nib.load(tmp_path / "m.nii").affine, MIRRORED, rtol=1e-6)
    theirs = SimpleITK.ReadImage(str(tmp_path / "m.nii"))
    assert (theirs.GetDirection()[0], theirs.GetSpacing()[0]) == (1, pytest.approx(0.7))
    assert read_ct(tmp_path / "m.nii").notes == ()


def test_where_neither_transform_was_written_nothing_is_proven() -> None:
    made = header(EMPTY, np.diag([0.7, 0.7, 2.5, 1]), (1, 0))
    notes = grid_notes(Geometry.from_header(made, shape=SHAPE))
    assert [note.code for note in notes] == ["sform-empty", "orientation-unproven"]
    assert "the grid is that of the spacing alone" in notes[0]


def test_a_sform_that_was_written_and_is_no_grid_is_refused_and_the_qform_named(tmp_path: Path) -> None:
    flat = RAS.copy()
    flat[2, 2] = 0
    for codes, told in (
        ((1, 2), r"by the sform \(code 1\); set sform_code to 0 where the qform \(code 2\)"),
        ((1, 0), r"\]$"),
    ):
        path = written(tmp_path / "a.nii", header(flat, RAS, codes))
        with pytest.raises(VolumeError, match=rf"affine must span three directions, got .*{told}"):
            read_ct(path)


@pytest.mark.parametrize("codes", [(1, 1), (2, 1), (4, 3)])
@pytest.mark.parametrize(
    ("qform", "told"),
    [
        (MIRRORED, "put corners of the scan 114 voxels apart (axes RAS and LAS)"),
        (moved(3), "put corners of the scan 3 voxels apart. "),
        (RAS[[1, 0, 2, 3]], "(axes RAS and ARS)"),
    ],
)
def test_a_qform_that_puts_the_scan_elsewhere_is_told(
    qform: np.ndarray, told: str, codes: tuple[int, int]
) -> None:
    (note,) = grid_notes(grid(RAS, qform, codes=codes))
    assert note.code == "transforms-disagree"
    assert told in note
    np.testing.assert_allclose(grid(RAS, qform, codes=codes).affine, RAS, rtol=1e-6)


def test_a_mask_whose_transforms_disagree_is_told_too(tmp_path: Path) -> None:
    image = read_geometry(written(tmp_path / "a.nii", header()))
    mask = read_mask(written(tmp_path / "m.nii", header(RAS, MIRRORED)), image=image)
    assert [note.code for note in mask.notes] == ["transforms-disagree"]


def test_a_spacing_that_the_sform_does_not_have_is_told_and_not_what_follows_from_it() -> None:
    (note,) = grid_notes(grid(RAS, SMALLER))
    assert note.code == "spacing-disagrees"
    assert "0.7 x 0.7 x 2.5 mm by the sform and 0.693 x 0.693 x 2.5 mm by pixdim" in note
    assert codes_of(grid(RAS, SMALLER, codes=(1, 0))) == ["spacing-disagrees"]
    # without a sform pixdim is what counts
    assert codes_of(grid(RAS, SMALLER, codes=(0, 1))) == []


def test_a_shear_is_told_and_not_what_follows_from_it() -> None:
    tilted = RAS.copy()
    tilted[1, 2] = 2.5 * np.tan(np.radians(20))
    (note,) = grid_notes(grid(tilted, MIRRORED))
    assert note.code == "sheared"
    assert "stand at 70.0 degrees to each other" in note


def test_a_quaternion_that_is_no_rotation_is_told() -> None:
    made = header()
    made["quatern_b"], made["quatern_c"] = 0.9, 0.9
    (note,) = grid_notes(Geometry.from_header(made, shape=SHAPE))
    assert (note.code, note.startswith("The quaternion of the qform is no rotation.")) == (
        "transforms-disagree",
        True,
    )
    made["quatern_b"], made["quatern_c"], made["qoffset_x"] = 0, 0, np.nan
    (note,) = grid_notes(Geometry.from_header(made, shape=SHAPE))
    assert (note.code, note.startswith("The qform is not finite.")) == ("transforms-disagree", True)


@pytest.mark.parametrize("unit", ["mm", "micron", "meter", "unknown"])
def test_transforms_that_agree_in_any_unit_are_not_told(unit: str) -> None:
    made = header()
    made.set_xyzt_units(unit)
    assert grid_notes(Geometry.from_header(made, shape=SHAPE)) == ()


@pytest.mark.parametrize(("voxels", "told"), [(0.09, False), (0.11, True)])
def test_transforms_may_be_a_tenth_of_a_voxel_apart(voxels: float, told: bool) -> None:
    assert codes_of(grid(RAS, moved(voxels))) == (["transforms-disagree"] if told else [])


@pytest.mark.parametrize(
    ("factor", "told"), [(1.0009, False), (1.0011, True), (1 / 1.0009, False), (1 / 1.0011, True)]
)
def test_pixdim_may_be_a_thousandth_off(factor: float, told: bool) -> None:
    made = header(codes=(1, 0))
    made["pixdim"][2] *= factor
    assert codes_of(Geometry.from_header(made, shape=SHAPE)) == (["spacing-disagrees"] if told else [])


def test_real_scans_have_transforms_that_agree(real_data: Path) -> None:
    paths = [
        path for name in ("lits_real", "lits_more", "mr") for path in (real_data / name).glob("*.nii.gz")
    ]
    assert len(paths) >= 12
    assert [note for path in paths for note in grid_notes(read_geometry(path))] == []
