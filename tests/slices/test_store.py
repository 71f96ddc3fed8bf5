import hashlib
import json
import multiprocessing
import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from lts.base import HU_BINS, VolumeError
from lts.cohort import Case
from lts.slices import (
    Recipe,
    StoredCase,
    build_store,
    case_folder,
    content_hash,
    content_hash_of_all,
    count_hu,
    hu_counts_of,
    store_case,
)
from lts.volume import read_ct, read_geometry, read_mask, write_mask, write_volume

RECIPE = Recipe(image_size=32, pixel_mm=None, modality="ct")


def build(cases: list[Case], folder: Path, recipe: Recipe = RECIPE, workers: int = 1):
    return build_store(cases, recipe, store_dir=folder, workers=workers)


def test_stored_slices_are_the_scan_in_patient_orientation(make_case, tmp_path: Path) -> None:
    case = make_case()
    (stored,) = build([case], tmp_path / "store")
    scan = read_ct(case.image)
    mask = read_mask(case.mask, image=scan.geometry)
    assert stored.open_image().dtype == np.int16
    np.testing.assert_array_equal(stored.open_image(), scan.voxels)
    np.testing.assert_array_equal(stored.open_labels(), mask.voxels)
    liver_w = np.argwhere(stored.open_labels() >= 1)[:, 2].mean()
    assert liver_w < 16  # the patient's right
    assert stored.spacing_mm == (4.0, 1.5, 1.5)
    assert stored.image.sha256 == content_hash(case.image)


def test_the_entry_counts_pixels_and_hounsfield_values(make_case, tmp_path: Path) -> None:
    case = make_case()
    (stored,) = build([case], tmp_path / "store")
    labels = stored.open_labels()
    assert stored.region_pixels["liver"] == [(plane >= 1).sum() for plane in labels]
    assert stored.region_pixels["tumor"] == [(plane == 2).sum() for plane in labels]
    np.testing.assert_array_equal(stored.holds("tumor"), (labels == 2).any((1, 2)))
    voxels = read_ct(case.image).voxels
    counts = hu_counts_of([stored])
    assert counts.shape == (HU_BINS,)
    assert counts.sum() == voxels.size
    assert counts[1024 + 100] == (voxels == 100).sum() > 0


def test_an_unchanged_case_is_not_read_again(make_case, tmp_path: Path, monkeypatch) -> None:
    case = make_case()
    build([case], tmp_path / "store")
    monkeypatch.setattr("lts.slices.build.read_image", lambda *_a, **_k: pytest.fail("was read again"))
    build([case], tmp_path / "store")


def test_a_touched_file_of_equal_content_is_kept(make_case, tmp_path: Path, monkeypatch) -> None:
    case = make_case()
    build([case], tmp_path / "store")
    os.utime(case.image, (1, 1))
    monkeypatch.setattr("lts.slices.build.read_image", lambda *_a, **_k: pytest.fail("was read again"))
    (stored,) = build([case], tmp_path / "store")
    assert stored.image.modified_ns == 10**9


def test_a_changed_file_rebuilds_its_case_alone(make_case, tmp_path: Path) -> None:
    first, second = make_case("volume-0"), make_case("volume-1", seed=1)
    before = build([first, second], tmp_path / "store")
    stamps = [(stored.folder / "image.npy").stat().st_mtime_ns for stored in before]
    make_case("volume-1", seed=2)
    after = build([first, second], tmp_path / "store")
    assert (after[0].folder / "image.npy").stat().st_mtime_ns == stamps[0]
    assert (after[1].folder / "image.npy").stat().st_mtime_ns > stamps[1]
    np.testing.assert_array_equal(after[1].open_image(), read_ct(second.image).voxels)


def test_a_changed_mask_rebuilds_its_case(make_case, tmp_path: Path) -> None:
    case = make_case()
    build([case], tmp_path / "store")
    make_case(tumor=False)
    (stored,) = build([case], tmp_path / "store")
    assert not stored.holds("tumor").any()


@pytest.fixture
def series(phantoms: Any, tmp_path: Path) -> Case:
    """A case whose scan is a folder."""
    folder = phantoms.series(phantoms.stored((12, 10, 4)))
    geometry = read_geometry(folder)
    labels = np.zeros(geometry.canonical_shape, np.uint8)
    labels[1:3, 2:8, 3:9] = 1
    write_mask(tmp_path / "mask.nii.gz", labels, geometry=geometry)
    return Case("a", "a", folder, tmp_path / "mask.nii.gz")


def test_a_folder_of_dicom_is_stored_as_its_scan(series: Case, tmp_path: Path, monkeypatch) -> None:
    recipe = replace(RECIPE, image_size=16, pixel_mm=0.5)
    (stored,) = build([series], tmp_path / "store", recipe)
    scan = read_ct(series.image)
    write_volume(tmp_path / "scan.nii.gz", scan.geometry.to_disk(scan.voxels), affine=scan.geometry.affine)
    as_nifti = replace(series, image=tmp_path / "scan.nii.gz")
    (expected,) = build([as_nifti], tmp_path / "store", recipe)
    np.testing.assert_array_equal(stored.open_image(), expected.open_image())
    np.testing.assert_array_equal(stored.open_labels(), expected.open_labels())
    assert stored.image.size_bytes == sum(path.stat().st_size for path in series.image.iterdir())
    monkeypatch.setattr("lts.slices.build.read_image", lambda *_a, **_k: pytest.fail("was read again"))
    assert build([series], tmp_path / "store", recipe) == (stored,)


def test_a_folder_is_known_by_the_content_of_its_series(series: Case, tmp_path: Path, monkeypatch) -> None:
    (before,) = build([series], tmp_path / "store")
    assert before.image.sha256 == content_hash(series.image)
    paths = sorted(series.image.iterdir(), reverse=True)
    hashes = sorted(hashlib.sha256(path.read_bytes()).hexdigest() for path in paths)
    assert before.image.sha256 == hashlib.sha256("".join(hashes).encode()).hexdigest()
    for number, path in enumerate(paths):
        path.rename(path.with_name(f"slice-{number}"))
    (series.image / "notes.txt").write_text("no slice")
    assert not before.image.looks_unchanged(series.image)
    assert content_hash(series.image) == before.image.sha256
    monkeypatch.setattr("lts.slices.build.read_image", lambda *_a, **_k: pytest.fail("was read again"))
    (after,) = build([series], tmp_path / "store")
    assert after.image.sha256 == before.image.sha256
    assert after.image.looks_unchanged(series.image)


def test_a_changed_slice_rebuilds_its_case(series: Case, phantoms: Any, tmp_path: Path) -> None:
    (before,) = build([series], tmp_path / "store")
    phantoms.series(phantoms.stored((12, 10, 4), seed=1))
    (after,) = build([series], tmp_path / "store")
    assert after.image.sha256 != before.image.sha256
    np.testing.assert_array_equal(after.hu_counts, count_hu(read_ct(series.image).voxels))


def test_a_folder_whose_files_lead_nowhere_is_told(series: Case, tmp_path: Path) -> None:
    (series.image / "im9.dcm").symlink_to(tmp_path / "annexed")
    with pytest.raises(VolumeError, match=r"im9\.dcm: is named as DICOM and is no file"):
        build([series], tmp_path / "store")


def test_one_file_has_the_hash_of_its_content_wherever_it_is_named(phantoms: Any) -> None:
    folder = phantoms.enhanced(phantoms.stored())
    (path,) = folder.iterdir()
    expected = hashlib.sha256(path.read_bytes()).hexdigest()
    assert content_hash(path) == content_hash(folder) == content_hash_of_all([path]) == expected


def test_an_interrupted_build_goes_on_where_it_stopped(make_case, tmp_path: Path) -> None:
    case = make_case()
    folder = case_folder(case, store=tmp_path / "store" / RECIPE.folder_name)
    left_over = folder.with_name(f"{folder.name}.part123")
    left_over.mkdir(parents=True)
    (left_over / "image.npy").write_bytes(b"half")
    (stored,) = build([case], tmp_path / "store")
    assert not left_over.exists()
    np.testing.assert_array_equal(stored.open_image(), read_ct(case.image).voxels)


@pytest.mark.parametrize("entry", ["", "{", "{}", '{"mask": null, "case": "volume-0"}'])
def test_a_damaged_entry_is_built_anew(make_case, tmp_path: Path, entry: str) -> None:
    case = make_case()
    (before,) = build([case], tmp_path / "store")
    (before.folder / "entry.json").write_text(entry)
    (after,) = build([case], tmp_path / "store")
    assert after == before


def test_every_recipe_has_a_folder_of_its_own() -> None:
    others = [replace(RECIPE, image_size=64), replace(RECIPE, pixel_mm=1.0), replace(RECIPE, modality="mr")]
    assert len({recipe.folder_name for recipe in (RECIPE, *others)}) == 4
    assert replace(RECIPE).folder_name == RECIPE.folder_name


def test_cases_of_one_name_from_two_places_do_not_mix(make_case, tmp_path: Path) -> None:
    case = make_case()
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    other = replace(case, image=elsewhere / case.image.name, mask=elsewhere / case.mask.name)
    make_case(seed=5)
    shutil.copy(case.image, other.image)
    shutil.copy(case.mask, other.mask)
    first, second = build([case], tmp_path / "store"), build([other], tmp_path / "store")
    assert first[0].folder != second[0].folder


def test_unreadable_cases_are_told_together_and_the_others_stored(make_case, tmp_path: Path) -> None:
    good, bad, worse = make_case("volume-0"), make_case("volume-1"), make_case("volume-2")
    bad.image.write_bytes(b"no scan")
    worse.mask.unlink()
    with pytest.raises(VolumeError, match=r"volume-1.*; .*volume-2"):
        build([good, bad, worse], tmp_path / "store")
    assert case_folder(good, store=tmp_path / "store" / RECIPE.folder_name).is_dir()


def test_a_case_without_a_mask_is_stored_without_labels(make_case, tmp_path: Path) -> None:
    (stored,) = build([replace(make_case(), mask=None)], tmp_path / "store")
    assert stored.mask is None
    assert not (stored.folder / "labels.npy").exists()
    assert not stored.holds("liver").any()


def _build_in_process(case: Case, store: Path) -> None:
    store_case(case, RECIPE, store=store)


def test_processes_that_want_one_case_build_it_once(make_case, tmp_path: Path) -> None:
    case = make_case()
    store = tmp_path / "store" / RECIPE.folder_name
    store.mkdir(parents=True)
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=_build_in_process, args=(case, store)) for _ in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0]
    folders = [path for path in store.iterdir() if path.is_dir()]
    assert folders == [case_folder(case, store=store)]


def test_several_workers_store_what_one_does(make_case, tmp_path: Path) -> None:
    cases = [make_case(f"volume-{n}", seed=n) for n in range(5)]
    told = []
    alone = build(cases, tmp_path / "alone")
    together = build_store(
        cases, RECIPE, store_dir=tmp_path / "together", workers=2, progress=lambda *now: told.append(now)
    )
    for one, other in zip(alone, together, strict=True):
        np.testing.assert_array_equal(one.open_image(), other.open_image())
        np.testing.assert_array_equal(one.open_labels(), other.open_labels())
    assert told == [(done, 5) for done in range(6)]


def test_the_first_of_several_workers_builds_too_with_one_thread(
    make_case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cases = [make_case(f"volume-{n}", seed=n) for n in range(5)]
    built_here = {}

    def store_here(case: Case, recipe: Recipe, *, store: Path) -> StoredCase:
        built_here[case.id] = torch.get_num_threads()
        return store_case(case, recipe, store=store)

    monkeypatch.setattr("lts.slices.build.store_case", store_here)
    threads = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        build_store(cases, RECIPE, store_dir=tmp_path, workers=2)
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(threads)
    assert built_here["volume-4"] == 1


def test_of_several_workers_a_bad_case_stops_none(make_case, tmp_path: Path) -> None:
    good, bad = [make_case(f"good-{n}", seed=n) for n in range(3)], [make_case(f"bad-{n}") for n in range(2)]
    for case in bad:
        case.image.write_bytes(b"no scan")
    cases = [bad[0], *good, bad[1]]
    with pytest.raises(VolumeError, match=r"bad-0.*; .*bad-1"):
        build_store(cases, RECIPE, store_dir=tmp_path, workers=2)
    assert all(StoredCase.load(case_folder(case, store=tmp_path / RECIPE.folder_name)) for case in good)


def test_mr_with_fractions_keeps_its_contrast_in_int16(tmp_path: Path) -> None:
    import nibabel as nib

    signal = np.random.default_rng(0).uniform(0, 0.003, (24, 24, 3)).astype(np.float32)
    path = tmp_path / "mr.nii.gz"
    nib.save(nib.Nifti1Image(signal, np.diag([1.0, 1.0, 3.0, 1.0])), path)
    (stored,) = build(
        [Case("mr", "mr", path, None)], tmp_path / "store", replace(RECIPE, image_size=24, modality="mr")
    )
    image = stored.open_image().astype(float)
    assert image.max() == 2**14
    scan = nib.as_closest_canonical(nib.load(path)).get_fdata()
    np.testing.assert_allclose(np.sort(image.ravel()) / 2**14, np.sort(scan.ravel()) / scan.max(), atol=1e-4)


def test_the_manifest_is_plain_json(make_case, tmp_path: Path) -> None:
    (stored,) = build([make_case()], tmp_path / "store")
    entry = json.loads((stored.folder / "entry.json").read_text())
    assert entry["case"] == "volume-0"
    assert len(entry["image"]["sha256"]) == 64
    assert np.array(entry["affine"]).shape == (4, 4)
