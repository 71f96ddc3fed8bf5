"""Slices around a liver: what is stored of each case, and which slices of the scan these are."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

from lts.base import AIR_HU, VolumeError
from lts.cohort import Case
from lts.data import SliceDataset
from lts.slices import Box, Recipe, StoredCase, build_store, case_folder
from lts.volume import read_ct, read_geometry, read_mask, write_mask, write_volume

RECIPE = Recipe(image_size=16, pixel_mm=2.0, focus="liver", margin_mm=4)


def build(case: Case, folder: Path, recipe: Recipe = RECIPE) -> StoredCase:
    (stored,) = build_store([case], recipe, store_dir=folder)
    return stored


@pytest.fixture
def case(tmp_path: Path) -> Case:
    """A scan whose values are the place of each voxel: `(12, 30, 44)` of 4 x 2 x 2 mm, the liver aside."""
    z, y, x = np.indices((12, 30, 44), np.int16)
    hu = 1000 * (z % 3) + 40 * y + x - 1000
    labels = np.zeros(hu.shape, np.uint8)
    labels[3:8, 5:13, 20:25] = 1
    labels[4:6, 6:9, 21:24] = 2
    return write(tmp_path / "volume-0.nii.gz", hu, labels, spacing_mm=(4.0, 2.0, 2.0))


def write(path: Path, hu: np.ndarray, labels: np.ndarray, *, spacing_mm: tuple[float, float, float]) -> Case:
    """A case of `(Z, H, W)` arrays on a grid of other axes than theirs."""
    depth_mm, row_mm, column_mm = spacing_mm
    disk = hu.astype(np.int16).transpose(1, 2, 0)[::-1, :, ::-1]  # to the front, the left, the feet
    affine = np.array([[0, -column_mm, 0, 0], [row_mm, 0, 0, 0], [0, 0, -depth_mm, 0], [0, 0, 0, 1.0]])
    write_volume(path, np.ascontiguousarray(disk), affine=affine)
    geometry = read_geometry(path)
    assert geometry.canonical_shape == hu.shape
    mask = path.with_name(f"mask-{path.name}")
    write_mask(mask, labels, geometry=geometry)
    np.testing.assert_array_equal(read_ct(path).voxels, np.maximum(hu, AIR_HU))
    return Case(path.name.removesuffix(".nii.gz"), path.name, path, mask)


def test_a_case_is_cut_to_the_slices_and_the_square_around_its_liver(case: Case, tmp_path: Path) -> None:
    stored = build(case, tmp_path / "store")
    scan = read_ct(case.image)
    labels = read_mask(case.mask, image=scan.geometry).voxels
    (found,) = ndimage.find_objects((labels > 0).astype(int))
    _, y, x = found
    assert stored.box == Box(*((side.start, side.stop) for side in found))
    assert (stored.first_slice, stored.shape) == (2, (7, 16, 16))  # 4 mm are one slice
    # Pixels of the scan's own size: 16 around row 9, columns 14.5 to 30.5, of which half ones go up.
    rows, columns = slice(1, 17), slice(14, 30)
    assert (y.start + y.stop, x.start + x.stop) == (18, 45)
    np.testing.assert_array_equal(stored.open_image(), scan.voxels[2:9, rows, columns])
    np.testing.assert_array_equal(stored.open_labels(), labels[2:9, rows, columns])
    assert stored.region_pixels["tumor"] == [0, 0, 9, 9, 0, 0, 0]
    header = 128  # and no slice more than it says
    assert (stored.folder / "image.npy").stat().st_size == header + 2 * 7 * 16 * 16
    assert (stored.folder / "labels.npy").stat().st_size == header + 7 * 16 * 16
    assert stored.source_shape == (12, 30, 44)
    assert sum(stored.hu_counts) == 12 * 30 * 44
    assert build(case, tmp_path / "store") == stored


def test_samples_tell_slices_of_the_scan(case: Case, tmp_path: Path) -> None:
    stored = build(case, tmp_path / "store")
    dataset = SliceDataset([stored, stored], context=1)
    scan = read_ct(case.image).voxels[:, 1:17, 14:30]
    assert len(dataset) == 14
    assert [int(dataset[n]["slice"]) for n in range(14)] == 2 * [2, 3, 4, 5, 6, 7, 8]
    for n, around in ((0, [2, 2, 3]), (3, [4, 5, 6]), (6, [7, 8, 8]), (7, [2, 2, 3])):
        np.testing.assert_array_equal(dataset[n]["image"], scan[around])


def test_a_liver_at_the_border_is_filled_up(tmp_path: Path) -> None:
    hu = np.arange(5 * 20 * 24).reshape(5, 20, 24) % 700
    labels = np.zeros(hu.shape, np.uint8)
    labels[0:2, 14:20, 0:4] = 1
    stored = build(write(tmp_path / "a.nii.gz", hu, labels, spacing_mm=(9.0, 2, 2)), tmp_path / "store")
    assert (stored.first_slice, stored.shape[0]) == (0, 3)
    # 16 around row 17 and column 2: rows 9 to 24, columns -6 to 9.
    expected = np.full((3, 16, 16), AIR_HU)
    expected[:, :11, 6:] = hu[:3, 9:, :10]
    np.testing.assert_array_equal(stored.open_image(), expected)


def test_a_scan_of_one_slice_is_stored_around_its_liver(tmp_path: Path) -> None:
    hu = np.arange(20 * 24).reshape(1, 20, 24)
    labels = np.zeros(hu.shape, np.uint8)
    labels[0, 8:12, 9:15] = 1
    stored = build(write(tmp_path / "a.nii.gz", hu, labels, spacing_mm=(9.0, 2, 2)), tmp_path / "store")
    np.testing.assert_array_equal(stored.open_image(), hu[:, 2:18, 4:20])


def test_a_case_without_liver_is_stored_whole(case: Case, tmp_path: Path) -> None:
    geometry = read_geometry(case.image)
    write_mask(case.mask, np.zeros(geometry.canonical_shape, np.uint8), geometry=geometry)
    stored = build(case, tmp_path / "store", replace(RECIPE, pixel_mm=None))
    whole = build(case, tmp_path / "store", Recipe(image_size=16))
    assert (stored.first_slice, stored.box, stored.shape) == (0, None, (12, 16, 16))
    np.testing.assert_array_equal(stored.open_image(), whole.open_image())
    np.testing.assert_array_equal(stored.open_labels(), np.zeros((12, 16, 16)))


def test_a_case_without_a_mask_has_no_place_to_look_at(case: Case, tmp_path: Path) -> None:
    with pytest.raises(VolumeError, match=r"volume-0.nii.gz: must have a mask to be stored around its liver"):
        build(replace(case, mask=None), tmp_path / "store")


def test_an_entry_of_before_there_was_a_focus_is_kept(case: Case, tmp_path: Path, monkeypatch) -> None:
    recipe = Recipe(image_size=16)
    stored = build(case, tmp_path / "store", recipe)
    path = stored.folder / "entry.json"
    facts = json.loads(path.read_text())
    assert (facts.pop("first_slice"), facts.pop("box")) == (0, None)
    path.write_text(json.dumps(facts))
    monkeypatch.setattr("lts.slices.build.read_image", lambda *_a, **_k: pytest.fail("was read again"))
    assert build(case, tmp_path / "store", recipe) == stored


@pytest.mark.parametrize(
    "spoilt", [{"first_slice": "2"}, {"box": [1, 2]}, {"box": {"rows": [1, 2]}}, {"box": {"rows": 3}}]
)
def test_an_entry_with_a_damaged_box_is_built_anew(case: Case, tmp_path: Path, spoilt: dict) -> None:
    stored = build(case, tmp_path / "store")
    path = stored.folder / "entry.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **spoilt}))
    assert StoredCase.load(stored.folder) is None
    assert build(case, tmp_path / "store") == stored


def test_cases_of_one_name_lie_apart_by_recipe(case: Case) -> None:
    folders = {
        case_folder(case, store=Path(recipe.folder_name))
        for recipe in (RECIPE, replace(RECIPE, margin_mm=5), Recipe(image_size=16, pixel_mm=2.0))
    }
    assert len(folders) == 3
