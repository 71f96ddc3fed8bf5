"""What six programs give for the same masks is what the tables of `docs/conventions.md` say."""

import multiprocessing.dummy
import re
import warnings
from collections.abc import Callable
from functools import partial
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from lts.evaluation import ScoringRules, summarize
from lts.scores import CaseMasks
from lts.volume import Voxel

PAGE = (Path(__file__).parents[2] / "docs" / "conventions.md").read_text("utf-8")
SPACING_MM = (4.0, 1.0, 1.0)
Mask = np.ndarray
Pair = tuple[Mask, Mask]
"""Prediction and reference."""
Result = float | None | str


def body(slices: slice) -> Mask:
    """12 x 12 columns of voxels in some of 12 slices of 28 x 28."""
    mask = np.zeros((12, 28, 28), bool)
    mask[slices, 6:18, 6:18] = True
    return mask


def filling(slices: slice) -> Mask:
    """All that a scan of 12 slices of 9 x 9 voxels shows in some of them."""
    mask = np.zeros((12, 9, 9), bool)
    mask[slices] = True
    return mask


def with_pieces(mask: Mask) -> Mask:
    """The mask, and eight short columns of voxels beside it."""
    mask = mask.copy()
    mask[5, 22:26, 10:25:2] = True
    return mask


NOTHING, TUMOR = body(slice(0)), body(slice(3, 6))
SEEN_IN_PART, MISSED, FALSE_ALARM, NEITHER = (
    (body(slice(3, 5)), TUMOR),
    (NOTHING, TUMOR),
    (TUMOR, NOTHING),
    (NOTHING, NOTHING),
)
COHORT = (SEEN_IN_PART, MISSED, FALSE_ALARM, NEITHER)
LIVER = body(slice(3, 9))
PIECES, SLICE_OFF = (with_pieces(LIVER), LIVER), (np.roll(LIVER, 1, axis=0), LIVER)
CUT_OFF = (filling(slice(1, 6)), filling(slice(0, 6)))


def told(compute: Callable[[], Result]) -> str:
    """What a program gives, as a cell of the tables has it."""
    try:
        result = compute()
    except Exception:  # each has kinds of its own
        return "error"
    if isinstance(result, str):
        return result
    return "left out" if result is None else f"{result:.3f}".rstrip("0").rstrip(".")


def either(usual: Callable[[], Result], setting: str, other: Callable[[], Result]) -> str:
    """What it gives as it comes, and with a setting."""
    return f"{told(usual)}; {told(other)} by `{setting}`"


class Lts:
    def scored(self, *pairs: Pair) -> dict[str, float | None]:
        rules = ScoringRules(regions=("tumor",))
        cases = [
            CaseMasks(
                case=str(number),
                prediction=prediction.astype(np.uint8) * 2,
                reference=reference.astype(np.uint8) * 2,
                voxel=Voxel.of_spacing(SPACING_MM),
            )
            for number, (prediction, reference) in enumerate(pairs)
        ]
        return summarize(list(map(rules.score_case, cases)), rules=rules).metrics["regions"]["tumor"]

    def dice(self, *pairs: Pair) -> Result:
        return self.scored(*pairs)["dice_per_case"]

    def pooled_dice(self, *pairs: Pair) -> Result:
        return self.scored(*pairs)["dice_global"]

    def dice_of_slices(self, *pairs: Pair) -> Result:
        scores = self.scored(*pairs)
        every_slice = "dice_per_slice_with_empty"
        return either(lambda: scores["dice_per_slice"], every_slice, lambda: scores[every_slice])

    def hd95(self, *pairs: Pair) -> Result:
        return self.scored(*pairs)["hd95_mm"]

    def hausdorff(self, pair: Pair) -> Result:
        return self.scored(pair)["msd_mm"]

    def average(self, *pairs: Pair) -> Result:
        return self.scored(*pairs)["assd_mm"]

    def nsd(self, pair: Pair) -> Result:
        return self.scored(pair)["nsd_2mm"]

    mean_dice, mean_hd95, mean_average = dice, hd95, average


class NnUNet:
    """Its evaluation of two folders, on threads in place of processes."""

    def __init__(self) -> None:
        self.evaluation = pytest.importorskip("nnunetv2.evaluation.evaluate_predictions")
        self.evaluation.multiprocessing = SimpleNamespace(get_context=lambda _: multiprocessing.dummy)

    def dice(self, *pairs: Pair) -> Result:
        import SimpleITK
        from nnunetv2.imageio.simpleitk_reader_writer import SimpleITKIO

        with TemporaryDirectory() as folder:
            sides = Path(folder, "predictions"), Path(folder, "references")
            for side in sides:
                side.mkdir()
            for number, pair in enumerate(pairs):
                for side, mask in zip(sides, pair, strict=True):
                    image = SimpleITK.GetImageFromArray(mask.astype(np.uint8))
                    SimpleITK.WriteImage(image, side / f"{number}.nii.gz")
            predictions, references = map(str, sides)
            found = self.evaluation.compute_metrics_on_folder(
                references, predictions, None, SimpleITKIO(), ".nii.gz", [1], num_processes=1
            )
        return found["mean"][1]["Dice"]

    mean_dice = dice


class Monai:
    def __init__(self) -> None:
        self.metrics = pytest.importorskip("monai.metrics")

    def dice(self, *pairs: Pair) -> Result:
        return either(
            lambda: aggregated(self.metrics.DiceMetric(), *pairs),
            "ignore_empty=False",
            lambda: aggregated(self.metrics.DiceMetric(ignore_empty=False), *pairs),
        )

    def dice_of_slices(self, *pairs: Pair) -> Result:
        return self.dice(*slices_of(pairs))

    def hd95(self, *pairs: Pair) -> Result:
        metric = self.metrics.HausdorffDistanceMetric(percentile=95)
        return aggregated(metric, *pairs, spacing=SPACING_MM)

    def hausdorff(self, pair: Pair) -> Result:
        return aggregated(self.metrics.HausdorffDistanceMetric(), pair, spacing=SPACING_MM)

    def without_spacing(self, pair: Pair) -> Result:
        return aggregated(self.metrics.HausdorffDistanceMetric(), pair)

    def average(self, *pairs: Pair) -> Result:
        metric = self.metrics.SurfaceDistanceMetric
        return either(
            lambda: aggregated(metric(), *pairs, spacing=SPACING_MM),
            "symmetric=True",
            lambda: aggregated(metric(symmetric=True), *pairs, spacing=SPACING_MM),
        )

    def nsd(self, pair: Pair) -> Result:
        metric = self.metrics.SurfaceDiceMetric
        return either(
            lambda: aggregated(metric([2.0]), pair, spacing=SPACING_MM),
            "use_subvoxels=True",
            lambda: aggregated(metric([2.0], use_subvoxels=True), pair, spacing=SPACING_MM),
        )

    mean_dice, mean_hd95, mean_average = dice, hd95, average


def aggregated(metric: Any, *pairs: Pair, **spacing: Any) -> float:
    """The mean of a metric of MONAI; of a single pair, what is kept of it."""
    kept = [metric(*(torch.from_numpy(mask[None, None]) for mask in pair), **spacing) for pair in pairs]
    # a mean of nothing but nan comes as 0
    return float(metric.aggregate() if len(pairs) > 1 else kept[0])


class Torchmetrics:
    def __init__(self) -> None:
        self.segmentation = pytest.importorskip("torchmetrics.segmentation")

    def dice(self, *pairs: Pair, **options: Any) -> Result:
        score = self.segmentation.DiceScore(num_classes=2, include_background=False, **options)
        return updated(score, *pairs)

    def pooled_dice(self, *pairs: Pair) -> Result:
        return self.dice(*pairs, aggregation_level="global")

    def dice_of_slices(self, *pairs: Pair) -> Result:
        return self.dice(*slices_of(pairs))

    def hausdorff(self, pair: Pair) -> Result:
        spacing = list(SPACING_MM)
        return updated(self.segmentation.HausdorffDistance(num_classes=2, spacing=spacing), pair)

    def without_spacing(self, pair: Pair) -> Result:
        return updated(self.segmentation.HausdorffDistance(num_classes=2), pair)

    mean_dice = dice


def updated(metric: Any, *pairs: Pair) -> float:
    """A metric of torchmetrics, background being the first of two classes."""

    def one_hot(mask: Mask) -> Tensor:
        return torch.from_numpy(np.stack([~mask, mask])[None].astype(np.int64))

    for pair in pairs:
        metric.update(*map(one_hot, pair))
    return float(metric.compute())


class Medpy:
    def __init__(self) -> None:
        self.binary = pytest.importorskip("medpy.metric.binary")

    def dice(self, pair: Pair) -> Result:
        return self.binary.dc(*pair)

    def hd95(self, pair: Pair) -> Result:
        return self.binary.hd95(*pair, SPACING_MM)

    def hausdorff(self, pair: Pair) -> Result:
        return self.binary.hd(*pair, SPACING_MM)

    def without_spacing(self, pair: Pair) -> Result:
        return self.binary.hd(*pair)

    def average(self, pair: Pair) -> Result:
        one_way, both_ways = self.binary.asd, self.binary.assd
        return either(lambda: one_way(*pair, SPACING_MM), "assd", lambda: both_ways(*pair, SPACING_MM))


class SurfaceDistance:
    def __init__(self) -> None:
        self.package = pytest.importorskip("surface_distance")

    def distances(self, pair: Pair) -> Any:
        prediction, reference = pair
        return self.package.compute_surface_distances(reference, prediction, SPACING_MM)

    def dice(self, pair: Pair) -> Result:
        prediction, reference = pair
        return self.package.compute_dice_coefficient(reference, prediction)

    def hd95(self, pair: Pair) -> Result:
        return self.package.compute_robust_hausdorff(self.distances(pair), 95)

    def hausdorff(self, pair: Pair) -> Result:
        return self.package.compute_robust_hausdorff(self.distances(pair), 100)

    def average(self, pair: Pair) -> Result:
        from_reference, from_prediction = self.package.compute_average_surface_distance(self.distances(pair))
        return f"{told(lambda: from_reference)} and {told(lambda: from_prediction)}"

    def nsd(self, pair: Pair) -> Result:
        return self.package.compute_surface_dice_at_tolerance(self.distances(pair), 2.0)


def slices_of(pairs: tuple[Pair, ...]) -> list[Pair]:
    """Each slice as a scan of one slice."""
    return [
        (p[None], r[None])
        for prediction, reference in pairs
        for p, r in zip(prediction, reference, strict=True)
    ]


SYSTEMS = {
    "lts": (Lts, "lts-liver"),
    "nnU-Net": (NnUNet, "nnunetv2"),
    "MONAI": (Monai, "monai"),
    "torchmetrics": (Torchmetrics, "torchmetrics"),
    "medpy": (Medpy, "medpy"),
    "surface-distance": (SurfaceDistance, "surface-distance"),
}
"""By their names on the page, and those of their packages."""

ROWS: dict[str, tuple[str, tuple[Pair, ...]]] = {
    "a tumor, missed": ("dice", (MISSED,)),
    "no tumor, but one predicted": ("dice", (FALSE_ALARM,)),
    "no tumor, and none predicted": ("dice", (NEITHER,)),
    "mean of these three and a Dice of 0.8": ("mean_dice", COHORT),
    "the voxels of all four pooled": ("pooled_dice", COHORT),
    "mean over the slices of all four": ("dice_of_slices", COHORT),
    "HD95, pieces beside the liver": ("hd95", (PIECES,)),
    "HD, pieces beside the liver": ("hausdorff", (PIECES,)),
    "average distance, pieces beside the liver": ("average", (PIECES,)),
    "average distance, a slice off": ("average", (SLICE_OFF,)),
    "NSD at 2 mm, a slice off": ("nsd", (SLICE_OFF,)),
    "HD, a slice off, without a spacing": ("without_spacing", (SLICE_OFF,)),
    "HD, cut off by the border": ("hausdorff", (CUT_OFF,)),
    "HD95, a tumor missed": ("hd95", (MISSED,)),
    "average distance, a tumor missed": ("average", (MISSED,)),
    "NSD at 2 mm, a tumor missed": ("nsd", (MISSED,)),
    "mean HD95 of this case and one of 4 mm": ("mean_hd95", (MISSED, SLICE_OFF)),
    "mean average distance of these": ("mean_average", (MISSED, SLICE_OFF)),
    "HD95, nothing on both sides": ("hd95", (NEITHER,)),
    "NSD at 2 mm, nothing on both sides": ("nsd", (NEITHER,)),
}


def tables() -> dict[tuple[str, str], str]:
    """The cells of the page's tables of measurements, by row and system."""
    cells = {}
    for table in re.findall(r"^\| of the same masks .+(?:\n\|.+)+", PAGE, flags=re.M):
        head, _, *rows = [
            [cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()
        ]
        cells |= {
            (row[0], system): cell for row in rows for system, cell in zip(head[1:], row[1:], strict=True)
        }
    return cells


def test_the_page_has_the_rows_and_systems_that_are_measured() -> None:
    assert list(tables()) == [(row, system) for row in ROWS for system in SYSTEMS]


@pytest.mark.parametrize("system", SYSTEMS)
def test_the_page_says_what_a_system_gives(system: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("Inf", "NaN"):  # some libraries give numpy 2 these names back, for all others too
        monkeypatch.delattr(np, name, raising=False)
    kind, package = SYSTEMS[system]
    asked = kind()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        given = {
            row: told(partial(getattr(asked, score), *pairs)) if hasattr(asked, score) else "-"
            for row, (score, pairs) in ROWS.items()
        }
    page = {row: cell for (row, of), cell in tables().items() if of == system}
    assert given == page, f"{package} {version(package)}"
