"""Whole runs, each in a process and a folder of its own, on phantom scans of a few kilobytes."""

import csv
import json
import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from PIL import Image

from lts.inference import Predictor

TINY = (
    "data.phantom.cases=5",
    "data.phantom.matrix=48",
    "data.image_size=48",
    "data.num_workers=0",
    "data.slices_per_epoch=32",
    "data.batch_size=8",
    "model.width=4",
    "model.depth=3",
    "optimizer.lr=1e-2",
    "trainer=cpu",
    "trainer.max_epochs=3",
    # The rate falls after the second epoch, whatever the loss.
    "scheduler.patience=0",
    "+scheduler.threshold=0.9",
)


def read(path: Path) -> dict:
    return json.loads(path.read_text())


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the commands are run; the phantom scans and the store are made there once."""
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def trained(succeed, home: Path) -> tuple[Path, str]:
    """A run of three epochs, and what it printed."""
    printed = succeed("train", *TINY, "paths.output_dir=run", cwd=home)
    return home / "run", printed


def test_a_run_leaves_all_that_is_promised(trained: tuple[Path, str]) -> None:
    folder, printed = trained
    made = {path.name for path in folder.iterdir()} - {"lesions"}  # only where a lesion was missed or false
    assert made == {
        "checkpoints",
        "tensorboard",
        "curves.png",
        "metrics.json",
        "cases.csv",
        "lesions.csv",
        "masks",
        "overlays",
        "report.html",
        "roc.png",
        "split.json",
        "config.yaml",
        "run.json",
        "sources.json",
    }
    assert {path.name for path in (folder / "checkpoints").iterdir()} == {"best.ckpt", "last.ckpt"}
    assert "epoch 3/3" in printed
    assert "dice_per_case" in printed


def test_its_files_agree_with_each_other(trained: tuple[Path, str]) -> None:
    folder, _ = trained
    metrics, split, facts = (read(folder / name) for name in ("metrics.json", "split.json", "run.json"))
    assert metrics["subset"] == "test"
    assert metrics["n_cases"] == len(split["test"]) == 1
    assert set(metrics["regions"]) == {"liver", "tumor"}
    with (folder / "cases.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["case"], row["region"]) for row in rows] == [
        (split["test"][0], name) for name in ("liver", "tumor")
    ]
    assert float(rows[0]["dice"]) == metrics["regions"]["liver"]["dice_per_case"]
    assert {path.stem for path in (folder / "overlays").iterdir()} == set(split["test"])
    cases = read(folder / "sources.json")["cases"]
    assert {case: found["prediction"] for case, found in cases.items()} == {
        case: f"masks/{case}_mask.nii.gz" for case in split["test"]
    }
    for found in cases.values():
        liver, reference = (
            np.asarray(nib.load(folder / found[name]).dataobj) > 0 for name in ("prediction", "reference")
        )
        assert 2 * (liver & reference).sum() / (liver.sum() + reference.sum()) == pytest.approx(
            float(rows[0]["dice"])
        )
    assert facts["state"] == "done"
    best = Predictor.from_checkpoint(folder / "checkpoints" / "best.ckpt", device="cpu")
    assert facts["test_precision"] == best.precision
    assert facts["monitor"] == "val/tumor/dice_where_present"
    assert facts["duration_s"] > facts["fit_s"] > 0
    assert facts["peak_memory_mib"] > 100
    for name in ("curves.png", "roc.png"):
        with Image.open(folder / name) as picture:
            assert min(picture.size) > 200


def test_its_checkpoints_hold_plain_types_alone(trained: tuple[Path, str]) -> None:
    folder, _ = trained
    for name in ("best.ckpt", "last.ckpt"):
        saved = torch.load(folder / "checkpoints" / name, weights_only=True)
        described = saved["lts"]
        assert described["config"]["optimizer"]["lr"] == 1e-2
        assert [member["case"] for member in described["split"]["test"]] == read(folder / "split.json")[
            "test"
        ]
        assert all(len(member["sha256"]) == 64 for member in described["split"]["train"])
        assert described["versions"]["torch"] == torch.__version__.split("+")[0]


def test_evaluating_elsewhere_gives_the_same_figures_to_the_last_digit(
    succeed, trained: tuple[Path, str], tmp_path: Path
) -> None:
    folder, _ = trained
    succeed("evaluate", f"ckpt={folder}/checkpoints/best.ckpt", "paths.output_dir=scores", cwd=tmp_path)
    assert (tmp_path / "scores" / "metrics.json").read_text() == (folder / "metrics.json").read_text()
    assert (tmp_path / "scores" / "cases.csv").read_text() == (folder / "cases.csv").read_text()
    assert [path.name for path in tmp_path.iterdir()] == ["scores"]


def test_training_cases_are_scored_only_when_allowed(
    run, succeed, trained: tuple[Path, str], tmp_path: Path
) -> None:
    folder, _ = trained
    ckpt = f"ckpt={folder}/checkpoints/best.ckpt"
    refused = run("evaluate", ckpt, "subset=train", cwd=tmp_path)
    assert refused.returncode == 2
    assert "was trained on volume-" in refused.stderr
    assert not list(tmp_path.iterdir())
    succeed("evaluate", ckpt, "subset=train", "allow_training_cases=true", "paths.output_dir=s", cwd=tmp_path)
    assert read(tmp_path / "s" / "metrics.json")["n_cases"] == 3


def test_a_model_is_scored_on_another_data_set(
    run, succeed, trained: tuple[Path, str], home: Path, tmp_path: Path
) -> None:
    folder, _ = trained
    (scans,) = (home / "data").glob("phantom-*")
    case = read(folder / "split.json")["val"][0].removeprefix("volume-")
    for kind in ("volume", "segmentation"):
        shutil.copy(scans / f"{kind}-{case}.nii.gz", tmp_path / f"{kind}-7.nii.gz")
    ckpt = f"ckpt={folder}/checkpoints/best.ckpt"
    succeed("evaluate", ckpt, "data=lits", "data.root=.", "paths.output_dir=s", cwd=tmp_path)
    metrics = read(tmp_path / "s" / "metrics.json")
    assert (metrics["subset"], metrics["n_cases"]) == ("all", 1)

    mask = nib.load(tmp_path / "segmentation-7.nii.gz")
    nib.save(nib.Nifti1Image(np.asarray(mask.dataobj) * 10, mask.affine), tmp_path / "segmentation-7.nii.gz")
    named = "data.labels={liver: [10], tumor: [20]}"
    succeed("evaluate", ckpt, "data=lits", "data.root=.", named, "paths.output_dir=t", cwd=tmp_path)
    assert read(tmp_path / "t" / "metrics.json")["regions"] == metrics["regions"]
    (tmp_path / "u" / "masks").mkdir(parents=True)
    somebodys = tmp_path / "u" / "masks" / "volume-7_mask.nii.gz"
    somebodys.write_bytes(b"drawn by hand")
    refused = run("evaluate", ckpt, "data=lits", "data.root=.", "paths.output_dir=u", cwd=tmp_path)
    assert refused.returncode == 2
    assert f"paths.output_dir: {somebodys} is there and of no evaluation" in refused.stderr
    assert somebodys.read_bytes() == b"drawn by hand"
    wrong = run("evaluate", ckpt, "data=mri", "data.root=.", cwd=tmp_path)
    assert wrong.returncode == 2
    assert "data.modality: the checkpoint is for ct, got mr" in wrong.stderr


def test_masks_of_any_system_are_scored_and_compared(succeed, home: Path, trained: tuple[Path, str]) -> None:
    (scans,) = (home / "data").glob("phantom-*")
    # The first system knows the truth; the second takes all tumors for liver.
    for name, highest_label in (("sharp", 2), ("blunt", 1)):
        (home / name).mkdir()
        for path in scans.glob("segmentation-*"):
            reference = nib.load(path)
            labels = np.asarray(reference.dataobj)
            labels = np.minimum(labels, highest_label)
            case = path.name.replace("segmentation", "volume").replace(".nii.gz", "_mask.nii")
            turned = nib.Nifti1Image(labels.astype(np.uint8), reference.affine).as_reoriented(
                [[2, 1], [0, -1], [1, 1]]
            )
            nib.save(turned, home / name / case)
    for name in ("sharp", "blunt"):
        arguments = ("predictions=" + name, f"references={scans}", f"paths.output_dir={name}-scores")
        printed = succeed("evaluate", *arguments, cwd=home)
        assert "dice_per_case" in printed
    perfect, missed = (read(home / f"{name}-scores" / "metrics.json") for name in ("sharp", "blunt"))
    assert perfect["n_cases"] == 5
    for scores in perfect["regions"].values():
        assert (scores["dice_global"], scores["assd_mm"], scores["auroc"]) == (1, 0, None)
    assert missed["regions"]["liver"]["dice_global"] == 1
    assert missed["regions"]["tumor"]["recall"] == 0
    assert (home / "blunt-scores" / "report.html").stat().st_size > 10_000

    # With the data set itself in place of its masks there are scans, so lesions have a contrast.
    arguments = ("predictions=blunt", "data=lits", f"data.root={scans}", "paths.output_dir=with-scans")
    succeed("evaluate", *arguments, cwd=home)
    with (home / "with-scans" / "lesions.csv").open() as file:
        lesions = list(csv.DictReader(file))
    assert {lesion["outcome"] for lesion in lesions} == {"missed"}
    assert all(lesion["mean_hu"] for lesion in lesions)

    arguments = ("compare=[blunt-scores,sharp-scores]", "paths.output_dir=comparison")
    printed = succeed("evaluate", *arguments, cwd=home)
    assert "p (Wilcoxon)" in printed
    (tumor_dice,) = (
        one
        for one in read(home / "comparison" / "comparison.json")["comparisons"]
        if (one["region"], one["score"]) == ("tumor", "dice")
    )
    assert (tumor_dice["mean_b"], tumor_dice["losses"], tumor_dice["pairs"]) == (1, 0, 5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "ckpt, folds, predictions, compare: give one of them to say what is scored, got none"),
        (("ckpt=a", "predictions=b"), "give one of them to say what is scored, got ckpt and predictions"),
        (("ckpt=a", "data.root=b"), "data: must be chosen beside data.root, as data=lits or data=msd or "),
        (("predictions=a", "subset=test"), "subset: has no meaning for predictions=..., got 'test'"),
        (("predictions=a",), "references: must be a folder, or the data set be named"),
        (("predictions=a", "references=b"), "a: no such folder"),
        (("compare=[a]",), "compare: must be 2 to 26 folders, got 1"),
        (("compare=[a,b]",), "a holds no cases.csv: it is no finished evaluation"),
        (("compare=[a,b]", "scoring.level=2"), "scoring.level: must lie between 0 and 1, got 2"),
        (("compare=[a,b]", "scoring.workers=0"), "scoring.workers: must be >= 1, got 0"),
    ],
)
def test_what_cannot_be_evaluated_is_told_in_one_line(
    run, arguments: tuple[str, ...], message: str, tmp_path: Path
) -> None:
    refused = run("evaluate", *arguments, cwd=tmp_path)
    assert refused.returncode == 2, refused.stderr
    assert message in refused.stderr
    assert refused.stderr.count("\n") == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("setting", "rule"),
    [
        ("scoring.nsd_mm=[-1]", "scoring.nsd_mm: tolerances must be >= 0, got [-1"),
        ("scoring.level=2", "scoring.level: must lie between 0 and 1, got 2"),
    ],
)
def test_a_wrong_rule_of_scoring_is_told_before_anything_is_trained_or_written(
    run, setting: str, rule: str, trained: tuple[Path, str], home: Path, tmp_path: Path
) -> None:
    folder, _ = trained
    wrong = run("train", *TINY, setting, "paths.output_dir=wrong", cwd=home)
    assert (wrong.returncode, (home / "wrong").exists()) == (2, False), wrong.stderr
    assert f"train: {rule}" in wrong.stderr
    wrong = run("evaluate", f"ckpt={folder}/checkpoints/best.ckpt", setting, cwd=tmp_path)
    assert (wrong.returncode, list(tmp_path.iterdir())) == (2, []), wrong.stderr
    assert f"evaluate: {rule}" in wrong.stderr


def test_a_temperature_changes_probabilities_and_no_mask(
    run, succeed, trained: tuple[Path, str], tmp_path: Path
) -> None:
    folder, _ = trained
    ckpt = f"ckpt={folder}/checkpoints/best.ckpt"
    succeed("evaluate", ckpt, "temperature=[2,3]", "paths.output_dir=s", cwd=tmp_path)
    before, after = read(folder / "metrics.json"), read(tmp_path / "s" / "metrics.json")
    assert before["regions"]["tumor"]["dice_per_case"] == after["regions"]["tumor"]["dice_per_case"]
    assert before["calibration"]["tumor"]["ece"] != after["calibration"]["tumor"]["ece"]
    refused = run("evaluate", ckpt, "temperature=[2]", "paths.output_dir=t", cwd=tmp_path)
    assert refused.returncode == 2
    assert "temperature: must be a number > 0 for each of ['liver', 'tumor'], got [2" in refused.stderr


def test_ways_to_predict_are_ranked_on_validation_cases(
    run, succeed, trained: tuple[Path, str], tmp_path: Path
) -> None:
    folder, _ = trained
    best = folder / "checkpoints" / "best.ckpt"
    # last.ckpt may be the same file to the byte, and no model counts twice
    torch.save({**torch.load(best, weights_only=True), "epoch": -1}, tmp_path / "other.ckpt")
    ckpt = f"ckpt=[{best},{tmp_path}/other.ckpt]"
    ways = ("postprocess.min_lesion_ml=0,1e6", "flips=[],[left_right]")
    printed = succeed("evaluate", "-m", ckpt, "subset=val", *ways, "hydra.sweep.dir=ways", cwd=tmp_path)
    assert "leaderboard of 4 runs" in printed
    with (tmp_path / "ways" / "leaderboard.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert {row["monitor"] for row in rows} == {"val/tumor/dice_per_case"}
    assert {(row["postprocess.min_lesion_ml"], row["flips"]) for row in rows} == {
        (volume, flips) for volume in ("0", "1000000.0") for flips in ("[]", "[left_right]")
    }
    without_tumor = [row for row in rows if row["postprocess.min_lesion_ml"] != "0"]
    assert {float(row["tumor_dice_global"]) for row in without_tumor} == {0}
    assert len(read(tmp_path / "ways" / "0" / "run.json")["checkpoints"]) == 2
    without_model = run("evaluate", "predictions=a", "references=b", "flips=[left_right]", cwd=tmp_path)
    assert "flips: has no meaning for predictions=..., got ['left_right']" in without_model.stderr
    without_model = run("evaluate", "predictions=a", "postprocess.min_lesion_ml=1", cwd=tmp_path)
    assert "postprocess: has no meaning for predictions=..." in without_model.stderr


def test_a_folder_that_holds_a_run_is_not_overwritten(run, trained: tuple[Path, str], home: Path) -> None:
    folder, _ = trained
    before = (folder / "metrics.json").stat().st_mtime_ns
    again = run("train", *TINY, "paths.output_dir=run", cwd=home)
    assert again.returncode == 2
    assert "holds a run already; go on with it by ckpt=last, or choose another folder" in again.stderr
    scored = run("evaluate", f"ckpt={folder}/checkpoints/best.ckpt", "paths.output_dir=run", cwd=home)
    assert scored.returncode == 2
    assert "holds a run already; choose another folder" in scored.stderr
    assert (folder / "metrics.json").stat().st_mtime_ns == before


def test_going_on_without_a_checkpoint_is_refused(run, trained: tuple[Path, str], home: Path) -> None:
    lost = run("train", *TINY, "paths.output_dir=nothing", "ckpt=last", cwd=home)
    assert lost.returncode == 2
    assert "ckpt: no such file: " in lost.stderr
    assert not (home / "nothing").exists()


@pytest.mark.parametrize(
    ("content", "rule"), [(b"PK", "is damaged or holds more"), (None, "is not a checkpoint of lts")]
)
def test_going_on_from_a_file_that_is_no_checkpoint_is_refused(
    run, content: bytes | None, rule: str, home: Path, tmp_path: Path
) -> None:
    path = tmp_path / "other.ckpt"
    torch.save({"state_dict": {}}, path) if content is None else path.write_bytes(content)
    refused = run("train", *TINY, "paths.output_dir=other", f"ckpt={path}", cwd=home)
    assert refused.returncode == 2
    assert refused.stderr.startswith(f"train: {path}: {rule}")
    assert not (home / "other").exists()


def weights(path: Path) -> dict[str, torch.Tensor]:
    return torch.load(path, weights_only=True)["state_dict"]


def test_a_run_that_is_resumed_ends_with_the_same_weights_bit_for_bit(
    succeed, trained: tuple[Path, str], home: Path
) -> None:
    folder, _ = trained
    succeed("train", *TINY, "trainer.max_epochs=1", "paths.output_dir=parts", cwd=home)
    first = weights(home / "parts" / "checkpoints" / "last.ckpt")
    succeed("train", *TINY, "paths.output_dir=parts", "ckpt=last", "data.num_workers=2", cwd=home)
    whole, parts = (weights(home / name / "checkpoints" / "last.ckpt") for name in ("run", "parts"))
    assert any(not torch.equal(first[name], whole[name]) for name in whole)
    assert all(torch.equal(parts[name], whole[name]) for name in whole)
    assert read(home / "parts" / "metrics.json") == read(folder / "metrics.json")


def test_a_final_model_is_trained_on_all_cases(
    run, succeed, trained: tuple[Path, str], home: Path, tmp_path: Path
) -> None:
    settings = (*TINY, "split.val_share=0", "split.test_share=0", "paths.output_dir=all")
    printed = succeed("train", *settings, "trainer.max_epochs=1", cwd=home)
    assert "5 cases (5 train, 0 val, 0 test)" in printed
    assert "best.ckpt is that of the last epoch: there is no validation case; the plateau" in printed
    assert "there is no test case, so there are no test scores" in printed
    printed = succeed("train", *settings, "trainer.max_epochs=2", "ckpt=last", cwd=home)
    assert "epoch 2/2  train/loss" in printed
    folder = home / "all"
    best, last = (weights(folder / "checkpoints" / f"{name}.ckpt") for name in ("best", "last"))
    assert all(torch.equal(best[name], last[name]) for name in last)
    facts = read(folder / "run.json")
    assert (facts["state"], facts["monitor"], facts["best_score"]) == ("done", None, None)
    assert not (folder / "metrics.json").exists()
    refused = run("evaluate", f"ckpt={folder}/checkpoints/best.ckpt", cwd=tmp_path)
    rule = "must have cases of the test subset, its run had none"
    assert (refused.returncode, refused.stderr) == (
        2,
        f"evaluate: {folder}/checkpoints/best.ckpt: {rule}\n",
    )
    assert not list(tmp_path.iterdir())


def test_a_sweep_ends_with_one_leaderboard_and_one_store(
    succeed, trained: tuple[Path, str], home: Path
) -> None:
    printed = succeed(
        "train",
        "-m",
        *(setting for setting in TINY if not setting.startswith(("optimizer.lr", "data.batch_size"))),
        "trainer.max_epochs=1",
        "optimizer.lr=1e-3,1e-4",
        "data.batch_size=8,16",
        "hydra.sweep.dir=sweep",
        cwd=home,
    )
    assert {path.name for path in (home / "sweep").iterdir() if path.name[0] != "."} == {
        "0",
        "1",
        "2",
        "3",
        "leaderboard.csv",
        "leaderboard.png",
        "multirun.yaml",
    }
    with (home / "sweep" / "leaderboard.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert {(row["optimizer.lr"], row["data.batch_size"]) for row in rows} == {
        (lr, size) for lr in ("0.001", "0.0001") for size in ("8", "16")
    }
    assert {row["state"] for row in rows} == {"done"}
    assert "leaderboard of 4 runs" in printed
    stores = [path for path in (home / "data" / "store").iterdir() if path.is_dir()]
    assert len(stores) == 1
    assert len({(home / "sweep" / str(job) / "split.json").read_text() for job in range(4)}) == 1


@pytest.mark.parametrize(
    "settings",
    [
        ("model=attention_unet", "data.context=1", "loss=tversky", "scheduler=none", "logger=csv"),
        (
            "data.regions=[tumor]",
            "loss=focal_dice",
            "optimizer=adamw",
            "scheduler=cosine",
            "intensity=ct_plain",
        ),
    ],
)
def test_other_choices_train_too(
    succeed, trained: tuple[Path, str], home: Path, tmp_path: Path, settings: tuple[str, ...]
) -> None:
    tiny = [setting for setting in TINY if "scheduler" not in setting]
    succeed("train", *tiny, "trainer.max_epochs=1", *settings, f"paths.output_dir={tmp_path}/run", cwd=home)
    assert "tumor" in read(tmp_path / "run" / "metrics.json")["regions"]


def test_mr_trains_on_its_own_scale_and_is_scored_elsewhere(succeed, make_case, tmp_path: Path) -> None:
    lines = ["case,patient,image,mask"]
    for number in range(3):
        case = make_case(f"mr-{number}", seed=number, depth=8)
        scan = nib.load(case.image)
        signal = (np.asanyarray(scan.dataobj).astype(np.float32) + 1024) * (0.37 + number)
        nib.save(nib.Nifti1Image(signal, scan.affine), case.image)
        lines.append(f"{case.id},{case.patient},{case.image.name},{case.mask.name}")
    (tmp_path / "cases.csv").write_text("\n".join(lines))
    tiny = [setting for setting in TINY if not setting.startswith("data.phantom")]
    mr = ["data=mri", f"data.root={tmp_path}/cases.csv"]
    succeed("train", *tiny, *mr, "paths.output_dir=run", cwd=tmp_path)
    assert read(tmp_path / "run" / "metrics.json")["n_cases"] == 1
    scored = ["ckpt=run/checkpoints/best.ckpt", "allow_training_cases=true", *mr, "paths.output_dir=scores"]
    succeed("evaluate", *scored, cwd=tmp_path)
    assert read(tmp_path / "scores" / "metrics.json")["n_cases"] == 3


@pytest.mark.slow
def test_real_scans_train_and_one_patient_is_too_few(run, succeed, real_data: Path, tmp_path: Path) -> None:
    tiny = [setting for setting in TINY if not setting.startswith("data.phantom")]
    root = f"data.root={real_data / 'lits_real'}"
    common = [*tiny, "trainer.max_epochs=1", "data=lits"]
    resnet = [setting for setting in common if not setting.startswith("model.")]
    succeed("train", *common, root, "paths.output_dir=unet", cwd=tmp_path)
    succeed(
        "train", *resnet, "model=resnet50", "model.weights=null", root, "paths.output_dir=r", cwd=tmp_path
    )
    for name in ("unet", "r"):
        assert read(tmp_path / name / "metrics.json")["n_cases"] == 1
    alone = run("train", *common, f"data.root={real_data / 'full_size'}", cwd=tmp_path)
    assert alone.returncode == 2
    assert "needs 3 patients or more, got 1" in alone.stderr
