"""The slices of a training made before it, at once or in shards: the same bytes, whoever is killed."""

import shutil
from pathlib import Path
from typing import Any

import pytest
from command_kit import Started
from run_kit import ON_CPU, TINY

from lts.cohort import Case, find_cases, split_by_patient
from lts.phantom import make_phantom_cohort

ON_SCANS = ("data=lits", "data.root=scans", *(each for each in ON_CPU if "phantom" not in each))
FITTED = ("data.pixel_mm=auto", "data.image_size=auto", "intensity=ct_fitted")
LOCATOR = ("locator=coarse", "locator.image_size=32", "locator.model.width=4", "locator.model.depth=2")
EPOCH = ("trainer.max_epochs=1", "scoring.workers=1", "paths.output_dir=run")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the commands are run; five scans are in `scans`, of which a training stores four."""
    home = tmp_path_factory.mktemp("home")
    make_phantom_cohort(home / "scans", cases=5, matrix=48)
    return home


@pytest.fixture(scope="module")
def whole(succeed: Any, home: Path) -> dict[str, bytes]:
    """The store of the scans that one process made."""
    told = succeed("store", *ON_SCANS, "paths.store_dir=whole", cwd=home)
    (folder,) = (home / "whole").iterdir()
    assert told.splitlines()[-1] == f"slice store: complete, 4 cases in {folder}"
    return content(home / "whole")


def cases_of(home: Path) -> list[Case]:
    """Those that a training stores, in the order in which they are dealt to shards."""
    cohort = find_cases(home / "scans", layout="lits")
    split = split_by_patient(cohort.cases, val_share=0.2, test_share=0.2)
    return [cohort.case(case) for case in (*split.train, *split.val)]


def files_of(store: Path) -> list[Path]:
    return sorted(path for path in store.rglob("*") if path.is_file() and path.suffix != ".lock")


def content(store: Path) -> dict[str, bytes]:
    """Every file of all stores in a folder; locks are empty."""
    return {str(path.relative_to(store)): path.read_bytes() for path in files_of(store)}


def test_one_store_has_the_training_and_validation_cases(whole: dict[str, bytes], home: Path) -> None:
    stored = {Path(name).parent.name.rpartition("-")[0] for name in whole}
    assert stored == {case.id for case in cases_of(home)}
    assert len(whole) == 3 * len(stored)
    assert not (home / "runs").exists()


def test_shards_make_what_one_process_makes(succeed: Any, home: Path, whole: dict[str, bytes]) -> None:
    told = succeed("store", "-m", *ON_SCANS, "paths.store_dir=parts", "shards=3", cwd=home)
    assert "slice store, shard 0-of-3: 2/2" in told
    assert told.splitlines()[-1] == "slice store: 4 cases in parts"
    assert content(home / "parts") == whole


def test_a_training_finds_a_store_fitted_to_the_data_complete(succeed: Any, home: Path) -> None:
    line = (*ON_SCANS[:2], *(each for each in ON_SCANS[2:] if "image_size" not in each), *FITTED)
    at_once = succeed("store", *line, "paths.store_dir=fitted-whole", cwd=home)
    told = succeed("store", "-m", *line, "paths.store_dir=fitted", "shards=2", cwd=home)
    assert content(home / "fitted") == content(home / "fitted-whole")
    before = {path: path.stat().st_mtime_ns for path in files_of(home / "fitted")}
    trained = succeed("train", *line, *EPOCH, "paths.store_dir=fitted", cwd=home)
    assert "\nslice store: complete, 4 cases\n" in trained
    assert {path: path.stat().st_mtime_ns for path in files_of(home / "fitted")} == before
    chosen = [each for each in trained.splitlines() if each.startswith(("data.", "intensity: "))]
    assert len(chosen) == 3
    for printed in (at_once, told):
        assert [each for each in printed.splitlines() if each in chosen] == chosen


@pytest.mark.slow
def test_the_slices_of_a_locator_are_stored_too(succeed: Any, home: Path) -> None:
    line = (*ON_SCANS, *LOCATOR)
    told = succeed("store", *line, "paths.store_dir=closely", cwd=home)
    assert told.count("slice store: complete, 4 cases in") == 2
    before = {path: path.stat().st_mtime_ns for path in files_of(home / "closely")}
    trained = succeed("train", *line, *EPOCH, "paths.output_dir=closer", "paths.store_dir=closely", cwd=home)
    assert "slice store: complete, 4 cases\n" in trained
    assert "slice store: 4/4" not in trained
    assert {path: path.stat().st_mtime_ns for path in files_of(home / "closely")} == before


def test_two_processes_that_make_one_store_at_once_make_it_whole(home: Path, whole: dict[str, bytes]) -> None:
    both = [Started("store", *ON_SCANS, "paths.store_dir=shared", cwd=home) for _ in range(2)]
    try:
        for process in both:
            _, told = process.communicate(timeout=300)
            assert process.returncode == 0, told
    finally:
        for process in both:
            process.close()
    assert content(home / "shared") == whole


DYING = """
import os
from lts.app.command import run_command
from lts.slices import build

def write_array(path, chunks, **layout):
    written.append(path)
    if len(written) == 4:  # the labels of the second case
        path.write_bytes(b"half of an array")
        os._exit(9)
    real(path, chunks, **layout)

written, real, build.write_array = [], build.write_array, write_array
run_command("store")
"""


@pytest.mark.slow
def test_a_killed_shard_is_taken_up_again_by_the_same_command(
    succeed: Any, run: Any, home: Path, whole: dict[str, bytes]
) -> None:
    line = (*ON_SCANS, "paths.store_dir=killed", "shards=2")
    (home / "dying.py").write_text(DYING)
    assert run(home / "dying.py", *line, "shard=0", cwd=home).returncode == 9
    left = {path: path.stat().st_mtime_ns for path in files_of(home / "killed") if ".part" not in str(path)}
    assert len(left) == 3
    assert len(files_of(home / "killed")) > len(left)
    succeed("store", "-m", *line, cwd=home)
    assert content(home / "killed") == whole
    assert {path: path.stat().st_mtime_ns for path in left} == left


def test_a_shard_alone_says_what_is_left(succeed: Any, home: Path, whole: dict[str, bytes]) -> None:
    line = ("store", *ON_SCANS, "paths.store_dir=alone", "shards=2")
    missing = ", ".join(sorted(case.id for case in cases_of(home)[::2]))
    told = succeed(*line, "shard=1", cwd=home)
    assert told.splitlines()[-1].startswith(f"without slices yet: {missing}, 2 of 4 cases; ")
    told = succeed(*line, "shard=0", cwd=home)
    assert "slice store: complete, 4 cases in" in told.splitlines()[-1]
    assert content(home / "alone") == whole


def test_a_bad_scan_is_named_and_stops_no_other(
    succeed: Any, run: Any, home: Path, whole: dict[str, bytes], tmp_path: Path
) -> None:
    shutil.copytree(home / "scans", tmp_path / "scans")
    bad = cases_of(tmp_path)[1]
    bad.image.write_bytes(b"no scan")
    done = run("store", "-m", *ON_SCANS, "paths.store_dir=store", "shards=2", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith(f"store: shard 1 of 2: {bad.image}: ")
    assert len(files_of(tmp_path / "store")) == len(whole) - 3
    shutil.copy2(home / "scans" / bad.image.name, bad.image)
    told = succeed("store", *ON_SCANS, "paths.store_dir=store", cwd=tmp_path)
    assert "slice store: complete, 4 cases in" in told
    assert len(files_of(tmp_path / "store")) == len(whole)


def test_a_bad_scan_leaves_the_good_ones_in_the_store_of_the_locator_too(
    run: Any, home: Path, whole: dict[str, bytes], tmp_path: Path
) -> None:
    shutil.copytree(home / "scans", tmp_path / "scans")
    bad = cases_of(tmp_path)[1]
    bad.image.write_bytes(b"no scan")
    done = run("store", *ON_SCANS, *LOCATOR, "paths.store_dir=store", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith(f"store: {bad.image}: ")
    counts = [len(files_of(store)) for store in (tmp_path / "store").iterdir()]
    assert counts == [len(whole) - 3] * 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("shards=2",), "shards: 2 are done by the command with -m, or one of them with shard=NUMBER"),
        (("-m", "shards=2", "shard=1/2"), "shard: must be a whole number or null, got '1/2'"),
        (("-m", "shards=2", "seed=1,2"), "seed: must have one value with shards=2, got several"),
        (("data.image_size=8",), "data.image_size: must be from 16 to 4096 pixels, got 8"),
        ((*LOCATOR, "locator.image_size=8"), "locator.image_size: must be from 16 to 4096 pixels, got 8"),
    ],
)
def test_wrong_settings_are_refused_before_anything_is_made(
    run: Any, arguments: tuple[str, ...], message: str, tmp_path: Path
) -> None:
    done = run("store", *TINY, *arguments, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (2, f"store: {message}\n")
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_joblib_makes_shards_at_once(succeed: Any, home: Path, whole: dict[str, bytes]) -> None:
    at_once = ("hydra/launcher=joblib", "hydra.launcher.n_jobs=2")
    succeed("store", "-m", *ON_SCANS, "paths.store_dir=joblib", "shards=2", *at_once, cwd=home)
    assert content(home / "joblib") == whole
