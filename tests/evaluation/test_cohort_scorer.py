from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.metrics import roc_auc_score

from lts.evaluation import CaseViews, CohortScorer
from lts.volume import read_ct, read_mask

REGIONS = ("liver", "tumor")


@pytest.fixture
def scan_and_mask(make_case):
    case = make_case()
    scan = read_ct(case.image)
    return scan, read_mask(case.mask, image=scan.geometry)


def slabs(probs: torch.Tensor, size: int):
    for start in range(0, len(probs), size):
        part = slice(start, min(start + size, len(probs)))
        yield SimpleNamespace(slices=part, probs=probs[part])


def scorer(folder: Path | None = None) -> CohortScorer:
    return CohortScorer(regions=REGIONS, overlay_dir=folder, window_hu=(40, 400))


def reference_probs(mask) -> torch.Tensor:
    labels = torch.from_numpy(mask.voxels)
    return torch.stack([labels >= 1, labels == 2], 1).float()


def test_the_reference_itself_is_perfect(scan_and_mask) -> None:
    scan, mask = scan_and_mask
    one = scorer()
    one.add("a", scan=scan, mask=mask, slabs=slabs(reference_probs(mask), 4))
    result = one.result()
    for region in REGIONS:
        for name in ("dice_per_case", "dice_global", "iou_global", "precision", "recall", "auroc"):
            assert result.cohort[region][name] == 1, (region, name)
    volume_ml = (mask.voxels == 2).sum() * 1.5 * 1.5 * 4.0 / 1000
    assert result.cases[1]["reference_ml"] == pytest.approx(volume_ml)


def test_the_size_of_slabs_changes_nothing(scan_and_mask) -> None:
    scan, mask = scan_and_mask
    probs = torch.rand(
        len(scan.voxels), 2, *scan.voxels.shape[1:], generator=torch.Generator().manual_seed(1)
    )
    results = []
    for size in (1, 4, 100):
        one = scorer()
        one.add("a", scan=scan, mask=mask, slabs=slabs(probs, size))
        results.append(one.result().cohort)
    assert results[0] == results[1] == results[2]
    exact = roc_auc_score((mask.voxels >= 1).ravel(), probs[:, 0].numpy().ravel())
    assert results[0]["liver"]["auroc"] == pytest.approx(exact, abs=1e-3)


def test_a_probability_of_one_half_is_background(scan_and_mask) -> None:
    scan, mask = scan_and_mask
    one = scorer()
    one.add("a", scan=scan, mask=mask, slabs=slabs(torch.full_like(reference_probs(mask), 0.5), 4))
    assert one.result().cohort["liver"]["recall"] == 0


def test_every_case_gets_a_picture(scan_and_mask, tmp_path: Path) -> None:
    scan, mask = scan_and_mask
    one = scorer(tmp_path / "overlays")
    one.add("a", scan=scan, mask=mask, slabs=slabs(reference_probs(mask), 4))
    with Image.open(tmp_path / "overlays" / "a.png") as picture:
        assert min(picture.size) > 300


def test_the_views_are_the_slices_that_tell_most() -> None:
    views = CaseViews(REGIONS)
    reference = torch.zeros(4, 2, 8, 8, dtype=torch.bool)
    prediction = reference.clone()
    reference[1, 0, :6] = True
    reference[2, 1, :2] = True
    prediction[3, :, :] = True
    for first in (0, 2):
        part = slice(first, first + 2)
        views.offer(first, prediction=prediction[part], reference=reference[part])
    assert {reason: kept.z for reason, kept in views._kept.items()} == {
        "liver": 1,
        "tumor": 2,
        "errors": 3,
    }


def test_a_case_without_any_region_shows_its_middle(scan_and_mask, tmp_path: Path) -> None:
    scan, _ = scan_and_mask
    CaseViews(REGIONS).draw(tmp_path / "a.png", case="a", scan=scan, window_hu=None)
    with Image.open(tmp_path / "a.png") as picture:
        assert np.asarray(picture).std() > 0
