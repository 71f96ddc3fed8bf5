"""Voxels that nobody labelled: neither learned from nor scored."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from lts.base import IGNORED, CohortError, ConfigError, MaskLabels
from lts.cohort import Case, find_cases
from lts.data import Augmentation, SliceDataModule, SliceDataset
from lts.evaluation.calibration import CalibrationCounts
from lts.intensity import Window
from lts.losses import BCEDiceLoss, FocalDiceLoss, TverskyLoss
from lts.metrics import BinnedAUROC, CaseOverlap
from lts.networks import UNet
from lts.scores import dice
from lts.slices import Recipe, build_store
from lts.slices.store import case_folder
from lts.task import SegmentationTask
from lts.volume import read_geometry, read_mask, write_mask
from lts.volume._nifti import write as write_nifti

LABELS = MaskLabels(liver=(1,), tumor=(2,), ignore=(255,))
RECIPE = Recipe(image_size=32, pixel_mm=None, modality="ct")


@pytest.fixture
def case(make_case: Any) -> Case:
    """Its right half (the left of a row) of the upper slices is ignored, which cuts liver and tumor."""
    source: Case = make_case("source")
    assert source.mask is not None
    grid = read_geometry(source.image)
    labels = read_mask(source.mask, image=grid).voxels
    numbers = labels.copy()
    numbers[3:, :, :10] = 255
    assert len(np.unique(labels[3:, :, :10])) == len(np.unique(labels[3:, :, 10:])) == 3
    path = source.mask.with_name("partly.nii.gz")
    write_nifti(path, grid.to_disk(numbers), geometry=grid)
    return Case("partly", "a", source.image, path, LABELS)


@pytest.fixture
def ignored(case: Case) -> np.ndarray:
    """`(Z, H, W)`, known by hand."""
    where = np.zeros(read_geometry(case.image).canonical_shape, bool)
    where[3:, :, :10] = True
    return where


def labels_of(case: Case) -> np.ndarray:
    """As they were before some were ignored."""
    mask = case.image.with_name("source-mask.nii.gz")
    found: np.ndarray = read_mask(mask, image=read_geometry(case.image)).voxels
    return found


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"ignore": (3,)}, "must name what is liver or tumor, got neither"),
        ({"liver": (5,), "ignore": (5,)}, r"must name each once, got \[5, 5\]"),
        ({"liver": (5,), "ignore": (0,)}, r"0 is background and must not be named, got \[5, 0\]"),
        ({"liver": (5,), "ignore": ("a.nii",)}, r"must be all numbers or all names of files, got"),
    ],
)
def test_labels_to_ignore_keep_the_rules_of_labels(wrong: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigError, match=f"^labels: {told}"):
        MaskLabels(**wrong)


def test_a_mask_tells_apart_what_it_ignores(case: Case, ignored: np.ndarray) -> None:
    assert case.mask is not None
    grid = read_geometry(case.image)
    mask = read_mask(case.mask, image=grid, labels=LABELS)
    assert mask.ignored is not None
    np.testing.assert_array_equal(mask.ignored, ignored)
    np.testing.assert_array_equal(mask.voxels, np.where(ignored, 0, labels_of(case)))
    plain = read_mask(case.mask, image=grid, labels=MaskLabels(liver=(1,), tumor=(2,)))
    assert plain.ignored is None
    np.testing.assert_array_equal(plain.voxels, mask.voxels)


def test_a_file_of_what_is_ignored_wins_over_organs(case: Case, ignored: np.ndarray) -> None:
    grid, folder = read_geometry(case.image), case.image.parent / "organs"
    folder.mkdir()
    for name, voxels in (("liver", labels_of(case) > 0), ("unsure", ignored)):
        write_nifti(folder / f"{name}.nii.gz", grid.to_disk(voxels.astype(np.uint8)), geometry=grid)
    labels = MaskLabels(liver=("liver.nii.gz",), ignore=("unsure.nii.gz",))
    mask = read_mask(folder, image=grid, labels=labels)
    assert mask.ignored is not None
    np.testing.assert_array_equal(mask.ignored, ignored)
    np.testing.assert_array_equal(mask.voxels > 0, (labels_of(case) > 0) & ~ignored)
    assert [path.name for path in labels.files_in(folder)] == ["liver.nii.gz", "unsure.nii.gz"]


def test_a_store_keeps_them_and_counts_them_to_no_region(case: Case, ignored: np.ndarray) -> None:
    (stored,) = build_store([case], RECIPE, store_dir=case.image.parent / "store")
    labels = stored.open_labels()  # of 32 pixels, as the scan
    assert stored.has_ignored
    np.testing.assert_array_equal(labels == IGNORED, ignored)
    expected = np.where(ignored, 0, labels_of(case))
    np.testing.assert_array_equal(np.where(labels == IGNORED, 0, labels), expected)
    assert stored.region_pixels["liver"] == (expected > 0).sum((1, 2)).tolist()
    assert stored.region_pixels["tumor"] == (expected == 2).sum((1, 2)).tolist()
    (again,) = build_store([case], RECIPE, store_dir=case.image.parent / "store")
    assert again == stored
    plain = Case("partly", "a", case.image, case.mask, MaskLabels(liver=(1,), tumor=(2,)))
    assert case_folder(plain, store=Path()) != case_folder(case, store=Path())
    assert "ignore" not in MaskLabels(liver=(1,)).to_dict()  # stores of before keep their names


def test_samples_carry_them_through_augmentation(case: Case, ignored: np.ndarray) -> None:
    (stored,) = build_store([case], RECIPE, store_dir=case.image.parent / "store")
    sample = SliceDataset([stored])[4]
    np.testing.assert_array_equal(sample["ignored"], ignored[4])
    np.testing.assert_array_equal(sample["labels"], np.where(ignored[4], 0, labels_of(case)[4]))
    mirrored = SliceDataset([stored], augment=Augmentation(flip_left_right=1, affine_probability=0))[4]
    np.testing.assert_array_equal(mirrored["ignored"], ignored[4][:, ::-1])
    whole = Case("whole", "b", case.image, case.image.with_name("source-mask.nii.gz"))
    (plain,) = build_store([whole], RECIPE, store_dir=case.image.parent / "store")
    assert not plain.has_ignored
    assert "ignored" not in SliceDataset([plain])[4]
    both = SliceDataset([plain, stored])
    assert not both[4]["ignored"].any()
    np.testing.assert_array_equal(both[4]["labels"], labels_of(case)[4])


@pytest.mark.parametrize("loss", [BCEDiceLoss(), BCEDiceLoss(pos_weight=3), FocalDiceLoss(), TverskyLoss()])
def test_no_loss_depends_on_them(loss: torch.nn.Module, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    network = UNet(in_channels=1, out_channels=2, width=4, depth=2, norm="none", dropout=0.0)
    task = SegmentationTask(network=network, loss=loss)
    monkeypatch.setattr(task, "log_dict", lambda *_, **__: None)
    target = torch.rand(2, 2, 16, 16) > 0.5
    where = torch.zeros(2, 16, 16, dtype=torch.bool)
    where[:, :, :7] = True
    target[where[:, None].expand_as(target)] = False
    logits = torch.randn(2, 2, 16, 16)
    values, gradients = [], []
    for change in (0.0, 5.0):  # of what was predicted there
        seen = (logits + change * where[:, None]).requires_grad_()
        monkeypatch.setattr(task, "_forward_in_training", lambda _, seen=seen: seen)
        batch = {"image": torch.zeros(2, 1, 16, 16), "mask": target, "ignored": where}
        value = task.training_step(batch, 0)
        value.backward()
        values.append(float(value.detach()))
        assert seen.grad is not None
        gradients.append(seen.grad)
    assert values[0] == values[1]
    for gradient in gradients:
        assert not gradient[where[:, None].expand_as(gradient)].any()
        assert gradient[~where[:, None].expand_as(gradient)].all()
    elsewhere = loss(logits[..., 7:], target[..., 7:])  # without a mean over the ignored part
    if isinstance(loss, TverskyLoss):
        assert values[0] == pytest.approx(float(elsewhere), abs=1e-5)


def test_no_score_counts_them() -> None:
    generator = torch.Generator().manual_seed(0)
    probs = torch.rand(3, 2, 8, 8, generator=generator)
    target = torch.rand(3, 2, 8, 8, generator=generator) > 0.5
    ignored = torch.rand(3, 8, 8, generator=generator) > 0.6
    known = ~ignored[:, None].expand_as(probs)
    overlap = CaseOverlap(regions=["liver", "tumor"], cases=1)
    overlap.update(probs, target, torch.zeros(3, dtype=torch.int64), ignored=ignored)
    auroc = BinnedAUROC(regions=["liver", "tumor"])
    auroc.update(probs, target, ignored=ignored)
    calibration = CalibrationCounts(["liver", "tumor"])
    calibration.update(probs, target, ignored=ignored)
    for channel, region in enumerate(("liver", "tumor")):
        kept = known[:, channel]
        p, t = probs[:, channel][kept], target[:, channel][kept]
        found, area = overlap.compute(), auroc.compute()
        tp, fp, fn = (p > 0.5) & t, (p > 0.5) & ~t, (p <= 0.5) & t
        expected = dice(*(count.sum()[None] for count in (tp, fp, fn)), empty=1.0)
        assert found[f"{region}/dice_global"] == pytest.approx(float(expected))
        assert found[f"{region}/accuracy"] == pytest.approx(float(((p > 0.5) == t).float().mean()))
        assert area[f"{region}/auroc"] == pytest.approx(roc_auc_score(t, p), abs=1e-3)
        voxels, sums = calibration.of(region)
        assert voxels.sum(1).tolist() == [int((~t).sum()), int(t.sum())]
        assert sums.sum() == pytest.approx(float(p.double().sum()))
    for metric in (overlap, auroc):
        arguments = (torch.zeros(3, dtype=torch.int64),) if metric is overlap else ()
        with pytest.raises(ValueError, match=r"^ignored: must be bool \(3, 8, 8\) on cpu, got"):
            metric.update(probs, target, *arguments, ignored=known)


def test_validation_scores_a_case_by_what_is_known_of_it(case: Case, ignored: np.ndarray) -> None:
    data = SliceDataModule(
        cases={"val": [case]},
        store_dir=case.image.parent / "store",
        recipe=RECIPE,
        intensity=Window(level_hu=50, width_hu=200),
        num_workers=0,
        batch_size=6,
    )
    data.setup("validate")
    batch = data.on_after_batch_transfer(next(iter(data.val_dataloader())), 0)
    np.testing.assert_array_equal(batch["ignored"].numpy(), ignored)
    task = SegmentationTask(network=torch.nn.Identity(), loss=BCEDiceLoss(), val_cases=1)
    task.log = lambda *_, **__: None  # type: ignore[method-assign, assignment]
    truth = torch.from_numpy(labels_of(case))
    whole = torch.stack([truth >= 1, truth == 2], 1)
    task.forward = lambda _: torch.where(whole, 9.0, -9.0)  # type: ignore[method-assign]
    task.validation_step(batch, 0)  # right, and beyond what is known
    assert task.overlap.compute()["tumor/dice_global"] == 1
    assert task.auroc.compute()["tumor/auroc"] == 1


@pytest.mark.parametrize(
    ("stated", "labels"),
    [
        (
            {"background": 0, "liver": 1, "tumor": 2, "ignore": 3},
            MaskLabels(liver=(1,), tumor=(2,), ignore=(3,)),
        ),
        (
            {"background": 0, "liver": [1, 2], "tumor": 2, "ignore": 3},
            MaskLabels(liver=(1,), tumor=(2,), ignore=(3,)),
        ),
        ({"background": 0, "liver": 1, "ignore": 2}, MaskLabels(liver=(1,), ignore=(2,))),
        ({"background": 0, "liver": 1, "tumor": 2}, None),
        *(
            ({"background": 0, "liver": 1, "tumor": 2, "ignore": wrong}, CohortError)
            for wrong in (0, 1, 2, [3, 4], "3x", True, None)
        ),
    ],
)
def test_nnunet_states_what_is_ignored(stated: dict[str, Any], labels: Any, tmp_path: Path) -> None:
    for name in ("imagesTr/a_0000.nii.gz", "labelsTr/a.nii.gz"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).touch()
    (tmp_path / "dataset.json").write_text(json.dumps({"labels": stated, "channel_names": {"0": "CT"}}))
    if labels is CohortError:
        with pytest.raises(
            CohortError,
            match=r"labels in dataset\.json must be .* ignore, if it is there, another number, got",
        ):
            find_cases(tmp_path, layout="nnunet")
        return
    (found,) = find_cases(tmp_path, layout="nnunet").cases
    assert found.labels == labels
    (given,) = find_cases(tmp_path, layout="nnunet", labels=MaskLabels(liver=(7,))).cases
    assert given.labels == MaskLabels(liver=(7,))


def test_masks_are_scored_and_compared_by_what_is_known(run: Any, case: Case, tmp_path: Path) -> None:
    assert case.mask is not None
    grid, truth = read_geometry(case.image), labels_of(case)
    (tmp_path / "references").mkdir()
    case.mask.rename(tmp_path / "references" / "a.nii.gz")
    beyond = truth.copy()
    beyond[3:, :, :10] = 1  # wrong, but nobody knows
    worse = np.where(truth == 2, 1, truth).astype(np.uint8)
    for name, labels in (("beyond", beyond), ("worse", worse)):
        (tmp_path / name).mkdir()
        write_mask(tmp_path / name / "a.nii.gz", labels, geometry=grid)
        ours = ("references=references", "reference_labels={liver: [1], tumor: [2], ignore: [255]}")
        done = run(
            "evaluate",
            f"predictions={name}",
            *ours,
            f"paths.output_dir=of-{name}",
            "scoring.workers=1",
            cwd=tmp_path,
        )
        assert done.returncode == 0, done.stderr
    regions = json.loads((tmp_path / "of-beyond" / "metrics.json").read_text())["regions"]
    assert [regions[region]["dice_per_case"] for region in ("liver", "tumor")] == [1, 1]
    assert regions["tumor"]["lesion_recall"] == 1
    done = run("evaluate", "compare=[of-beyond,of-worse]", "paths.output_dir=both", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "has changed since" not in (tmp_path / "both" / "comparison.html").read_text()
    ignoring = "prediction_labels={liver: [1], ignore: [3]}"
    refused = run("evaluate", "predictions=beyond", "references=references", ignoring, cwd=tmp_path)
    assert refused.returncode == 2
    rule = "must be empty, as references alone can leave voxels out"
    assert refused.stderr == f"evaluate: prediction_labels.ignore: {rule}, got [3]\n"


def test_a_training_takes_a_data_set_with_them(
    run: Any, succeed: Any, make_case: Any, tmp_path: Path
) -> None:
    root = tmp_path / "Dataset001_Partly"
    for name in ("imagesTr", "labelsTr"):
        (root / name).mkdir(parents=True)
    for number in range(3):
        source = make_case(f"case-{number}", seed=number)
        grid = read_geometry(source.image)
        numbers = read_mask(source.mask, image=grid).voxels.copy()
        numbers[3:, :, :10] = 3
        source.image.rename(root / "imagesTr" / f"{number}_0000.nii.gz")
        write_nifti(root / "labelsTr" / f"{number}.nii.gz", grid.to_disk(numbers), geometry=grid)
    stated = {"background": 0, "liver": 1, "tumor": 2, "ignore": 3}
    meta = {"labels": stated, "channel_names": {"0": "CT"}, "file_ending": ".nii.gz", "numTraining": 3}
    (root / "dataset.json").write_text(json.dumps(meta))
    small = ("model.width=4", "model.depth=2", "data.image_size=32", "data.num_workers=0", "compile=false")
    line = (
        f"data.root={root}",
        "data=nnunet",
        *small,
        "trainer=cpu",
        "trainer.max_epochs=1",
        "scoring.workers=1",
    )
    printed = succeed("train", *line, "paths.output_dir=run", cwd=tmp_path)
    assert "epoch 1/1" in printed
    checked = run("check", "data=nnunet", f"data.root={root}", "paths.output_dir=checked", cwd=tmp_path)
    assert "3 cases" in checked.stdout, checked.stderr
    assert "labels-unknown" not in checked.stdout
