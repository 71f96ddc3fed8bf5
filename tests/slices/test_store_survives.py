"""What a store is after kills, beside other builders, on a full disk, and with foreign files in it."""

import errno
import multiprocessing
import pickle
import random
import shutil
import time
from collections import namedtuple
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from command_kit import Started

from lts.base import StorageError
from lts.slices import Recipe, StoredCase, build_store, case_folder
from lts.slices.disk_space import bytes_to_store

RECIPE = Recipe(image_size=32, pixel_mm=None, modality="ct")
Usage = namedtuple("Usage", "total used free")

BUILD = """
import sys
from pathlib import Path
from lts.cohort import Case
from lts.slices import Recipe, build_store
folder, store, depth = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
cases = [Case(f"volume-{n}", f"volume-{n}", folder / f"volume-{n}.nii.gz", folder / f"volume-{n}-mask.nii.gz")
         for n in range(depth)]
print("begins", flush=True)
build_store(cases, Recipe(image_size=32, pixel_mm=None, modality="ct"), store_dir=store, workers=1)
"""


def content(stored: tuple[StoredCase, ...]) -> list[bytes]:
    files = ("image.npy", "labels.npy")
    return [(case.folder / name).read_bytes() for case in stored for name in files]


def build(cases, store: Path) -> tuple[StoredCase, ...]:
    return build_store(cases, RECIPE, store_dir=store, workers=1)


def start_build(folder: Path, store: Path, cases: int) -> Started:
    program = folder / "build.py"
    program.write_text(BUILD)
    return Started(program, str(folder), str(store), str(cases), cwd=folder)


@pytest.mark.slow
def test_a_build_that_is_killed_again_and_again_is_right_in_the_end(make_case, tmp_path: Path) -> None:
    cases = [make_case(f"volume-{n}", seed=n, depth=40, side=96) for n in range(6)]
    expected = content(build(cases, tmp_path / "alone"))
    rng = random.Random(0)
    began = time.perf_counter()
    build(cases, tmp_path / "timed")
    build_s = time.perf_counter() - began
    for _ in range(10):
        process = start_build(tmp_path, tmp_path / "store", len(cases))
        assert process.stdout.readline() == "begins\n"
        time.sleep(rng.uniform(0, build_s / 3))
        process.kill()
        process.communicate()
    assert content(build(cases, tmp_path / "store")) == expected
    store = tmp_path / "store" / RECIPE.folder_name
    assert {path.name for path in store.iterdir() if path.is_dir()} == {
        case_folder(case, store=store).name for case in cases
    }


@pytest.mark.slow
def test_four_processes_that_build_one_store_build_each_case_once(make_case, tmp_path: Path) -> None:
    cases = [make_case(f"volume-{n}", seed=n, depth=20) for n in range(3)]
    expected = content(build(cases, tmp_path / "alone"))
    processes = [start_build(tmp_path, tmp_path / "store", len(cases)) for _ in range(4)]
    for process in processes:
        _, told = process.communicate(timeout=120)
        assert process.returncode == 0, told
    store = tmp_path / "store" / RECIPE.folder_name
    assert len([path for path in store.iterdir() if path.is_dir()]) == len(cases)
    assert content(build(cases, tmp_path / "store")) == expected


@pytest.mark.parametrize("name", ["image.npy", "labels.npy"])
@pytest.mark.parametrize("damage", ["short", "gone", "pickle", "other shape", "other type"])
def test_a_damaged_array_is_built_anew(make_case, tmp_path: Path, name: str, damage: str) -> None:
    cases = [make_case()]
    (stored,) = build(cases, tmp_path / "store")
    expected = content((stored,))
    path = stored.folder / name
    if damage == "short":
        path.write_bytes(path.read_bytes()[:-1])
    elif damage == "gone":
        path.unlink()
    elif damage == "pickle":
        np.save(path, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    elif damage == "other shape":
        np.save(path, np.load(path)[:-1])
    else:
        np.save(path, np.load(path).astype(np.int32))
    assert content(build(cases, tmp_path / "store")) == expected


class _RunsCode:
    def __reduce__(self):
        return pytest.fail, ("an array ran code",)


def test_an_array_that_would_run_code_does_not(make_case, tmp_path: Path) -> None:
    cases = [make_case()]
    (stored,) = build(cases, tmp_path / "store")
    array = np.empty(1, dtype=object)
    array[0] = _RunsCode()
    np.save(stored.folder / "image.npy", array, allow_pickle=True)
    with pytest.raises(ValueError, match="Python objects in dtype"):
        stored.open_image()
    (stored.folder / "labels.npy").write_bytes(pickle.dumps(_RunsCode()))
    with pytest.raises(ValueError, match="allow_pickle="):
        stored.open_labels()


def test_the_size_of_a_store_is_told_from_headers(make_case, tmp_path: Path) -> None:
    import nibabel as nib

    cases = [make_case("volume-0", depth=6), make_case("volume-1", depth=9)]
    for path in (cases[1].image, cases[1].mask):  # on the disk the axis to the head comes first
        scan = nib.load(path)
        nib.save(scan.as_reoriented([[1, 1], [2, 1], [0, 1]]), path)
    stored = build(cases, tmp_path / "store")
    header_bytes = 128
    assert bytes_to_store(cases, RECIPE) == sum(len(array) - header_bytes for array in content(stored))
    assert bytes_to_store([replace(cases[0], mask=None)], RECIPE) == 6 * 32 * 32 * 2
    cases[0].image.write_bytes(b"no scan")
    assert bytes_to_store(cases, RECIPE) == 9 * 32 * 32 * 3


def test_a_store_that_will_not_fit_is_refused_before_it_is_begun(
    make_case, tmp_path: Path, monkeypatch
) -> None:
    case = make_case(depth=6)
    needed = 6 * 32 * 32 * 3
    monkeypatch.setattr("shutil.disk_usage", lambda _: Usage(10**6, 0, needed - 1))
    with pytest.raises(StorageError, match=rf"1 cases need {needed} bytes of disk, {needed - 1} are free"):
        build([case], tmp_path / "store")
    assert not list((tmp_path / "store" / RECIPE.folder_name).iterdir())
    monkeypatch.setattr("shutil.disk_usage", lambda _: Usage(10**6, 0, needed))
    build([case], tmp_path / "store")
    monkeypatch.setattr("shutil.disk_usage", lambda _: Usage(10**6, 0, 0))
    build([case], tmp_path / "store")  # it is there already


def full_disk(*_args, **_kwargs):
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("step", ["write_array", "StoredCase.save"])
def test_a_full_disk_leaves_the_store_as_it_was(make_case, tmp_path: Path, monkeypatch, step: str) -> None:
    good, bad = make_case("volume-0"), make_case("volume-1", seed=1)
    before = content(build([good], tmp_path / "store"))
    monkeypatch.setattr(f"lts.slices.build.{step}", full_disk)
    with pytest.raises(StorageError, match=r"volume-1-\w+: cannot be written: No space left on device"):
        build([good, bad], tmp_path / "store")
    monkeypatch.undo()
    store = tmp_path / "store" / RECIPE.folder_name
    assert [path.name for path in store.iterdir() if path.is_dir()] == [case_folder(good, store=store).name]
    assert content(build([good], tmp_path / "store")) == before


def test_a_folder_that_takes_no_files_is_told(make_case, tmp_path: Path, monkeypatch) -> None:
    def read_only(*_args, **_kwargs):
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(Path, "mkdir", read_only)
    with pytest.raises(StorageError, match="cannot be written: Read-only file system"):
        build([make_case()], tmp_path / "store")


def test_a_case_that_is_replaced_is_never_half_there(make_case, tmp_path: Path, monkeypatch) -> None:
    # A kill while the old folder is taken away: its entry is the last file that is left of it.
    case = make_case()
    build([case], tmp_path / "store")
    make_case(seed=1)
    folder = case_folder(case, store=tmp_path / "store" / RECIPE.folder_name)
    taken = []
    monkeypatch.setattr("shutil.rmtree", lambda path, **_: taken.append((str(path), folder.is_dir())))
    (stored,) = build([case], tmp_path / "store")
    monkeypatch.undo()
    assert stored.folder == folder
    assert taken == [(f"{folder}.part{multiprocessing.current_process().pid}-old", True)]
    shutil.rmtree(taken[0][0])


@pytest.mark.parametrize(
    "spoil",
    [
        lambda entry: entry[: len(entry) // 2],
        lambda entry: b"[" * 10**5,
        lambda entry: b"[1]",
        lambda entry: entry.replace(b'"shape": [', b'"shape": ["a", '),
        lambda entry: entry.replace(b'"liver": [', b'"liver": ["a", '),
        lambda entry: entry.replace(b'"hu_counts": [', b'"hu_counts": [' + b"9" * 5000 + b", "),
        lambda entry: entry.replace(b'"hu_counts": [', b'"hu_counts": [0, '),
        lambda entry: entry.replace(b'"region_pixels": {', b'"region_pixels": {"spleen": [], "liver": 7, '),
        lambda entry: entry.replace(b'"region_pixels": {', b'"region_pixels": 7, "x": {'),
        lambda entry: entry.replace(b'"case":', b'"case": "twice", "case":'),
    ],
)
def test_a_damaged_entry_is_built_anew(make_case, tmp_path: Path, spoil) -> None:
    cases = [make_case()]
    stored = build(cases, tmp_path / "store")
    entry = stored[0].folder / "entry.json"
    sound = entry.read_bytes()
    assert spoil(sound) != sound
    entry.write_bytes(spoil(sound))
    assert build(cases, tmp_path / "store") == stored
    assert entry.read_bytes() == sound
