"""Runs whose size of slices and window are fitted to their training cases."""

import shutil
from pathlib import Path

import pytest
import yaml
from run_kit import ON_CPU, ON_TWO, read, same_weights, saved

OPEN = ("data.pixel_mm=auto", "data.image_size=auto", "intensity=ct_fitted")
SHORT = ("trainer.max_epochs=1", "scoring.workers=1")


def fitted(arguments: tuple[str, ...]) -> list[str]:
    """The arguments with what is fitted to the data in place of sizes."""
    return [each for each in arguments if not each.startswith("data.image_size=")] + [*OPEN, *SHORT]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the commands are run; scans and store are made there once."""
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def trained(succeed, home: Path) -> tuple[Path, str]:
    """A run of one epoch, and what it printed."""
    printed = succeed("train", *fitted(ON_CPU), "paths.output_dir=run", cwd=home)
    return home / "run", printed


def window_of(folder: Path) -> list[float]:
    return saved(folder)["lts"]["intensity_state"]["ends_hu"].tolist()


def test_what_was_found_and_chosen_is_said_and_kept_as_ordinary_settings(trained: tuple[Path, str]) -> None:
    folder, printed = trained
    facts = read(folder / "run.json")["fingerprint"]
    chosen = facts["chosen"]
    assert list(chosen) == ["data.pixel_mm", "data.image_size"]
    assert "fingerprint of 3 training cases" in printed
    for key, value in chosen.items():
        assert f"\n{key}={value}: " in printed
    ((low_hu, high_hu),) = facts["windows_hu"]
    assert f"\nintensity: a window from {low_hu} to {high_hu} HU\n" in printed
    config = yaml.safe_load((folder / "config.yaml").read_text())
    described = saved(folder, "best")["lts"]
    assert described["fingerprint"] == facts
    for data in (config["data"], described["config"]["data"], described["recipe"]):
        assert {f"data.{key}": data[key] for key in ("pixel_mm", "image_size")} == chosen
    assert window_of(folder) == [low_hu, high_hu]
    assert low_hu < 0
    assert high_hu > 200
    assert chosen["data.image_size"] % 32 == 0


def test_a_run_that_goes_on_keeps_what_was_chosen_and_reads_no_case_for_it(
    succeed, run, trained: tuple[Path, str], home: Path
) -> None:
    folder, _ = trained
    facts, window = read(folder / "run.json")["fingerprint"], window_of(folder)
    copy = home / "copy"
    shutil.copytree(folder, copy)
    (kept,) = (home / "data" / "store").glob("fingerprints-*")
    aside = kept.rename(home / "aside")
    again = [*fitted(ON_CPU), "paths.output_dir=copy", "ckpt=last", "trainer.max_epochs=2"]
    try:
        printed = succeed("train", *again, cwd=home)
        assert not kept.exists()
    finally:
        aside.rename(kept)
    assert "goes on after epoch 1 of" in printed
    assert "fingerprint" not in printed
    assert read(copy / "run.json")["fingerprint"] == saved(copy)["lts"]["fingerprint"] == facts
    assert window_of(copy) == window
    other = run("train", *again, "data.pixel_mm=3", cwd=home)
    assert other.returncode == 2
    pixel_mm = facts["chosen"]["data.pixel_mm"]
    assert f"data.pixel_mm: must be {pixel_mm} as in {copy}/checkpoints/last.ckpt, got 3" in other.stderr


def test_a_model_needs_nothing_of_the_training_data(
    succeed, trained: tuple[Path, str], tmp_path: Path
) -> None:
    folder, _ = trained
    succeed("evaluate", f"ckpt={folder}/checkpoints/best.ckpt", "paths.output_dir=scores", cwd=tmp_path)
    assert (tmp_path / "scores" / "metrics.json").read_text() == (folder / "metrics.json").read_text()
    assert [path.name for path in tmp_path.iterdir()] == ["scores"]


@pytest.mark.slow
def test_a_run_with_what_was_chosen_is_the_same_and_may_not_go_on_as_open(
    succeed, run, trained: tuple[Path, str], home: Path
) -> None:
    folder, _ = trained
    given = [f"{key}={value}" for key, value in read(folder / "run.json")["fingerprint"]["chosen"].items()]
    succeed("train", *fitted(ON_CPU), *given, "paths.output_dir=given", cwd=home)
    assert same_weights(saved(folder), saved(home / "given"))
    assert read(home / "given" / "run.json")["fingerprint"]["chosen"] == {}
    again = ("paths.output_dir=given", "ckpt=last", "trainer.max_epochs=2")
    refused = run("train", *fitted(ON_CPU), *again, cwd=home)
    assert refused.returncode == 2
    assert f"{given[0].replace('=', ': must be ')} as in " in refused.stderr
    assert refused.stderr.endswith("/last.ckpt, got auto\n")


@pytest.mark.slow
def test_a_run_that_begins_with_other_weights_is_fitted_to_its_own_cases(
    succeed, trained: tuple[Path, str], home: Path
) -> None:
    folder, _ = trained
    start = (f"init={folder}/checkpoints/best.ckpt", f"split.file={folder}/split.json")
    printed = succeed("train", *fitted(ON_CPU), *start, "intensity.margin_hu=50", cwd=home)
    assert "fingerprint of 3 training cases" in printed
    assert "tensors taken" in printed
    (begun,) = (home / "runs").iterdir()
    low_hu, high_hu = window_of(folder)
    assert window_of(begun) == [low_hu + 50, high_hu - 50]


@pytest.mark.slow
def test_each_fold_is_fitted_to_its_own_cases_and_all_are_scored_as_one(succeed, home: Path) -> None:
    grid = ("split.folds=2", "split.fold=0,1", "split.val_share=0", "hydra.sweep.dir=cv")
    succeed("train", "-m", *fitted(ON_CPU), *grid, cwd=home)
    folds = [saved(home / "cv" / name)["lts"] for name in ("0", "1")]
    assert folds[0]["recipe"] != folds[1]["recipe"]
    assert folds[0]["fingerprint"]["spacing_mm"] != folds[1]["fingerprint"]["spacing_mm"]
    succeed("evaluate", "folds=cv", "paths.output_dir=cv-scores", cwd=home)
    assert read(home / "cv-scores" / "metrics.json")["n_cases"] == 5


@pytest.mark.slow
def test_two_processes_take_what_the_first_chose(succeed, trained: tuple[Path, str], home: Path) -> None:
    folder, _ = trained
    printed = succeed("train", *fitted(ON_TWO), "paths.output_dir=two", cwd=home)
    assert printed.count("fingerprint of 3 training cases") == 1
    assert read(home / "two" / "run.json")["fingerprint"] == read(folder / "run.json")["fingerprint"]
    again = ("paths.output_dir=two", "ckpt=last", "trainer.max_epochs=2")
    assert "fingerprint" not in succeed("train", *fitted(ON_TWO), *again, cwd=home)
    assert window_of(home / "two") == window_of(folder)


@pytest.mark.slow
def test_a_budget_is_spent_on_the_size_that_was_chosen(
    succeed, trained: tuple[Path, str], home: Path
) -> None:
    folder, _ = trained
    open_length = [each for each in fitted(ON_CPU) if not each.startswith("data.slices_per_epoch")]
    timed = (*open_length, "budget_minutes=0.15", "paths.output_dir=timed")
    printed = succeed("train", *timed, cwd=home)
    assert printed.index("fingerprint of") < printed.index("\nbudget 0.15 min: ")
    facts = read(home / "timed" / "run.json")
    assert facts["fingerprint"] == read(folder / "run.json")["fingerprint"]
    printed = succeed("train", *timed, "ckpt=last", cwd=home)
    assert "fingerprint" not in printed
    kept = read(home / "timed" / "run.json")
    assert (kept["fingerprint"], kept["budget"]) == (facts["fingerprint"], facts["budget"])


@pytest.mark.parametrize(
    ("setting", "told"),
    [
        ("data.pixel_mm=atuo", "data.pixel_mm: must be a number or auto or null, got 'atuo'"),
        ("data.image_size=atuo", "data.image_size: must be a whole number or auto, got 'atuo'"),
        (
            "data.pixel_mm=0.05",
            "data.image_size: must be from 16 to 4096 pixels, auto makes it ",
        ),
    ],
)
def test_what_cannot_be_is_told_in_a_line_by_its_key(run, home: Path, setting: str, told: str) -> None:
    refused = run("train", *fitted(ON_CPU), setting, "paths.output_dir=wrong", "ckpt=auto", cwd=home)
    assert refused.returncode == 2
    assert refused.stderr.startswith(f"train: {told}")
    assert refused.stderr.count("\n") == 1


def test_a_window_without_liver_is_refused_before_slices_are_made(run, make_case, tmp_path: Path) -> None:
    import nibabel as nib
    import numpy as np

    for number in range(3):
        case = make_case(f"volume-{number}", seed=number)
        mask = nib.load(case.mask)
        empty = nib.Nifti1Image(np.zeros(mask.shape, np.uint8), mask.affine)
        nib.save(empty, tmp_path / f"segmentation-{number}.nii.gz")
        case.mask.unlink()
    own = [each for each in fitted(ON_CPU) if not each.startswith("data.phantom")]
    refused = run("train", *own, "data=lits", "data.root=.", "paths.output_dir=run", cwd=tmp_path)
    assert refused.returncode == 2
    assert refused.stderr == (
        "train: intensity: FittedWindow needs voxels of liver or tumor in the training cases, "
        "their masks hold 0\n"
    )
    assert [path.name for path in (tmp_path / "data" / "store").iterdir()] == ["fingerprints-ct-1"]


def test_mr_has_sizes_that_fit_and_no_window_of_ct(run, succeed, make_case, tmp_path: Path) -> None:
    lines = ["case,patient,image,mask"]
    for number in range(3):
        case = make_case(f"mr-{number}", seed=number, depth=8)
        lines.append(f"{case.id},{case.patient},{case.image.name},{case.mask.name}")
    (tmp_path / "cases.csv").write_text("\n".join(lines))
    own = [each for each in fitted(ON_CPU) if not each.startswith("data.phantom")]
    mr = ["data=mri", "data.root=cases.csv", "split.test_share=0", "split.val_share=0"]
    refused = run("train", *own, *mr, cwd=tmp_path)
    assert refused.returncode == 2
    assert refused.stderr.startswith(
        "train: intensity: must not be fitted to Hounsfield units of the liver in MR, got FittedWindow"
    )
    sizes = [each for each in own if not each.startswith("intensity=")]
    printed = succeed("train", *sizes, *mr, "paths.output_dir=mr", cwd=tmp_path)
    assert " HU " not in printed
    recipe = saved(tmp_path / "mr")["lts"]["recipe"]
    assert recipe == {"image_size": 32, "pixel_mm": 1.5, "modality": "mr"}
