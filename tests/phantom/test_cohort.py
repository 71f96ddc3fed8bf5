"""The folder of phantom scans: its files, and the ways in which a build is repeated, cut short or refused."""

import json
import threading
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from filelock import FileLock

from lts.base import CohortError, ConfigError, _processes
from lts.cohort import find_cases
from lts.phantom import PhantomScan, Tumor, make_phantom, make_phantom_cohort
from lts.phantom import cohort as cohort_module


@pytest.fixture
def in_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Build on one processor, so that tests can count and interrupt cases."""
    monkeypatch.setattr(_processes, "usable_processors", lambda: 1)


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch, in_process: None) -> list[np.random.SeedSequence]:
    """Seeds of the scans made so far."""
    seeds: list[np.random.SeedSequence] = []

    def remembered(*, seed: np.random.SeedSequence, matrix: int) -> PhantomScan:
        seeds.append(seed)
        return make_phantom(seed=seed, matrix=matrix)

    monkeypatch.setattr(cohort_module, "make_phantom", remembered)
    return seeds


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six cases, made in several processes where there are several processors."""
    root = tmp_path_factory.mktemp("data") / "phantom"
    return make_phantom_cohort(root, cases=6, matrix=40, seed=5)


def contents(root: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in root.glob("*-*.nii.gz")}


def test_is_found_as_lits(cohort: Path) -> None:
    found = find_cases(cohort, layout="lits")
    assert [case.id for case in found.cases] == [f"volume-{n}" for n in range(6)]


def test_files_hold_the_scans_in_their_axes(cohort: Path) -> None:
    axes, spacings = set(), set()
    for case, facts in enumerate(json.loads((cohort / "phantom.json").read_text())["cases"]):
        scan = make_phantom(seed=np.random.SeedSequence(5, spawn_key=(case,)), matrix=40)
        image = nib.load(cohort / facts["volume"])
        mask = nib.load(cohort / facts["segmentation"])
        np.testing.assert_array_equal(image.affine, mask.affine)
        assert image.get_data_dtype() == np.int16
        assert mask.get_data_dtype() == np.uint8
        assert "".join(nib.aff2axcodes(image.affine)) == facts["disk_axes"] == scan.disk_axes
        for file, voxels in ((image, scan.hu), (mask, scan.labels)):
            ras = np.asanyarray(nib.as_closest_canonical(file).dataobj)
            np.testing.assert_array_equal(ras.transpose(2, 1, 0)[:, ::-1, ::-1], voxels)
        zooms = nib.as_closest_canonical(image).header.get_zooms()
        assert zooms[::-1] == pytest.approx(scan.spacing_mm)
        assert [Tumor(**{**t, "center": tuple(t["center"])}) for t in facts["tumors"]] == list(scan.tumors)
        axes.add(facts["disk_axes"])
        spacings.add(tuple(facts["spacing_mm"]))
    assert len(axes) >= 3
    assert len(spacings) == 6


def test_case_is_the_same_in_a_larger_cohort(cohort: Path, tmp_path: Path, in_process: None) -> None:
    small = contents(make_phantom_cohort(tmp_path, cases=2, matrix=40, seed=5))
    assert len(small) == 4
    assert small.items() <= contents(cohort).items()


def test_worker_that_may_not_start_processes_makes_the_cases_itself(
    tmp_path: Path, made: list[np.random.SeedSequence], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_processes, "usable_processors", lambda: 4)
    monkeypatch.setattr(_processes.multiprocessing.current_process(), "_config", {"daemon": True})
    make_phantom_cohort(tmp_path, cases=2, matrix=32, seed=1)
    assert len(made) == 2


def test_finished_folder_is_left_alone(tmp_path: Path, made: list[np.random.SeedSequence]) -> None:
    told: list[tuple[int, int]] = []
    for _ in range(2):
        root = make_phantom_cohort(
            tmp_path / "new" / "phantom", cases=2, matrix=32, seed=1, progress=lambda *n: told.append(n)
        )
    assert root == tmp_path / "new" / "phantom"
    assert told == [(0, 2), (1, 2), (2, 2)]
    assert [seed.spawn_key for seed in made] == [(0,), (1,)]


@pytest.mark.parametrize("other", [{"cases": 3}, {"matrix": 33}, {"seed": 2}], ids=str)
def test_folder_of_other_settings_is_refused(tmp_path: Path, in_process: None, other: dict[str, int]) -> None:
    settings = {"cases": 1, "matrix": 32, "seed": 1}
    make_phantom_cohort(tmp_path, **settings)
    before = contents(tmp_path)
    with pytest.raises(CohortError) as caught:
        make_phantom_cohort(tmp_path, **{**settings, **other})
    message = str(caught.value)
    assert "\n" not in message
    assert str(tmp_path) in message
    assert str({"generator_version": 1, **settings}) in message
    assert str({"generator_version": 1, **settings, **other}) in message
    assert "name another folder" in message
    assert contents(tmp_path) == before


def test_folder_of_another_generator_is_refused(cohort: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cohort_module, "GENERATOR_VERSION", 2)
    with pytest.raises(CohortError, match=r"'generator_version': 1.*'generator_version': 2"):
        make_phantom_cohort(cohort, cases=6, matrix=40, seed=5)


@pytest.mark.parametrize("name", ["volume-0.nii", "segmentation-3.nii.gz"])
def test_folder_of_other_scans_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).touch()
    with pytest.raises(CohortError, match=r"holds scans that are not phantoms of lts; name another folder"):
        make_phantom_cohort(tmp_path, cases=1, matrix=32, seed=0)
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_interrupted_build_goes_on_where_it_stopped(
    tmp_path: Path, made: list[np.random.SeedSequence]
) -> None:
    def interrupt(done: int, _cases: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make_phantom_cohort(tmp_path, cases=3, matrix=32, seed=1, progress=interrupt)
    assert not (tmp_path / "phantom.json").exists()
    (tmp_path / "segmentation-1.nii.gz").unlink()
    first = contents(tmp_path)
    made.clear()
    told: list[tuple[int, int]] = []
    make_phantom_cohort(tmp_path, cases=3, matrix=32, seed=1, progress=lambda *n: told.append(n))
    assert [seed.spawn_key for seed in made] == [(1,), (2,)]
    assert told == [(1, 3), (2, 3), (3, 3)]
    assert first.items() <= contents(tmp_path).items()
    assert len(json.loads((tmp_path / "phantom.json").read_text())["cases"]) == 3


def test_interrupted_build_of_other_settings_is_refused(tmp_path: Path, in_process: None) -> None:
    def interrupt(_done: int, _cases: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make_phantom_cohort(tmp_path, cases=3, matrix=32, seed=1, progress=interrupt)
    with pytest.raises(CohortError, match=r"holds phantom scans made with .*'seed': 1.*'seed': 9"):
        make_phantom_cohort(tmp_path, cases=3, matrix=32, seed=9)


def test_missing_file_of_a_finished_folder_is_made_again(
    tmp_path: Path, made: list[np.random.SeedSequence]
) -> None:
    make_phantom_cohort(tmp_path, cases=2, matrix=32, seed=1)
    before = contents(tmp_path)
    (tmp_path / "volume-1.nii.gz").unlink()
    made.clear()
    make_phantom_cohort(tmp_path, cases=2, matrix=32, seed=1)
    assert [seed.spawn_key for seed in made] == [(1,)]
    assert contents(tmp_path) == before


def test_second_process_waits_and_then_finds_the_work_done(
    tmp_path: Path, made: list[np.random.SeedSequence]
) -> None:
    (tmp_path / ".phantom").mkdir()
    told: list[tuple[int, int]] = []
    settings = {"cases": 1, "matrix": 32, "seed": 1, "progress": lambda *n: told.append(n)}
    builders = [
        threading.Thread(target=make_phantom_cohort, args=(tmp_path,), kwargs=settings) for _ in range(2)
    ]
    with FileLock(tmp_path / ".phantom" / "lock"):
        for builder in builders:
            builder.start()
        builders[0].join(timeout=0.3)
        assert not made
    for builder in builders:
        builder.join(timeout=20)
    assert len(made) == 1
    assert told == [(0, 1), (1, 1)]


def test_root_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "root").touch()
    with pytest.raises(CohortError, match="root: cannot be made a folder"):
        make_phantom_cohort(tmp_path / "root", cases=1, matrix=32, seed=0)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"cases": 0}, r"^cases: must be at least 1, got 0"),
        ({"seed": -1}, r"^seed: must be at least 0, got -1"),
        ({"matrix": 8}, r"^matrix: must be at least 32, got 8"),
    ],
    ids=["cases", "seed", "matrix"],
)
def test_setting_beyond_its_rule_is_refused(tmp_path: Path, setting: dict[str, int], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make_phantom_cohort(tmp_path / "new", **{"cases": 1, "matrix": 32, "seed": 0, **setting})
    assert not (tmp_path / "new").exists()
