"""What scoring costs to import, seen in processes of their own."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from lts.base import WorkerPool
from lts.evaluation import ScoringRules
from lts.scores import CaseMasks
from lts.volume import Voxel

HEAVY = {
    "torch",
    "torchmetrics",
    "torchvision",
    "scipy.signal",
    "scipy.stats",
    "matplotlib",
    "pytorch_lightning",
}
MODULES = "__import__('sys').modules"


def heavy_in_a_process_that_runs(code: str) -> set[str]:
    told = subprocess.run(
        [sys.executable, "-c", f"{code}\nprint(*{MODULES})"], capture_output=True, text=True, check=True
    )
    return HEAVY & set(told.stdout.split())


def test_scores_bring_nothing_that_trains_or_draws() -> None:
    assert heavy_in_a_process_that_runs("import lts.scores") == set()


def test_losses_bring_torch_alone() -> None:
    assert heavy_in_a_process_that_runs("import lts.losses") == {"torch"}


@pytest.mark.parametrize("with_pictures", [False, True])
def test_a_process_that_scores_imports_no_torch_and_draws_only_where_pictures_are_asked_for(
    with_pictures: bool, tmp_path: Path
) -> None:
    labels = np.zeros((3, 16, 16), np.uint8)
    labels[1, 4:12, 4:12], labels[1, 6:9, 6:9] = 1, 2
    masks = CaseMasks(
        case="a", prediction=labels, reference=labels, voxel=Voxel.of_spacing((5.0, 1.0, 1.0)), image=labels
    )
    rules = ScoringRules(lits=True, overlay_dir=tmp_path if with_pictures else None)
    with WorkerPool(1) as pool:
        scored = pool.submit(rules.score_case, masks).result()
        loaded = pool.submit(eval, f"set({MODULES})").result()
    assert (scored.lesions.tp, len(scored.findings), scored.lits.n_lesions) == (1, 1, 1)
    assert scored.surfaces[0] == {"assd_mm": 0, "hd95_mm": 0, "msd_mm": 0, "nsd_2mm": 1}
    assert HEAVY & loaded == ({"matplotlib"} if with_pictures else set())
    assert "lts.evaluation" not in loaded
