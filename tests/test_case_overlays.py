"""Which slices of a case are drawn, and that they are."""

from pathlib import Path

import numpy as np
from PIL import Image

from lts.figures import CaseOverlays
from lts.figures.cases import informative_slices
from lts.scores import CaseCounts, CaseMasks, count_overlap
from lts.volume import Voxel, read_ct

REGIONS = ("liver", "tumor")


def counted(prediction: np.ndarray, reference: np.ndarray) -> CaseCounts:
    return CaseCounts.join("a", 0.5, [count_overlap(prediction, reference)])


def test_the_slices_are_those_that_tell_most() -> None:
    reference = np.zeros((4, 2, 8, 8), bool)
    prediction = reference.copy()
    reference[1, 0, :6] = True
    reference[2, 1, :2] = True
    prediction[3, :, :] = True
    assert informative_slices(counted(prediction, reference), REGIONS) == {
        1: "most liver",
        2: "most tumor",
        3: "most errors",
    }


def test_a_slice_that_tells_most_of_several_is_drawn_once_and_of_equal_ones_the_lowest() -> None:
    reference = np.zeros((4, 2, 8, 8), bool)
    reference[1:3] = True
    assert informative_slices(counted(~reference, reference), REGIONS) == {
        1: "most liver and tumor",
        0: "most errors",
    }
    assert informative_slices(counted(reference, reference), REGIONS) == {1: "most liver and tumor"}
    missed = informative_slices(counted(np.zeros_like(reference), reference), REGIONS)
    assert missed == {1: "most liver and tumor and errors"}


def test_a_case_without_any_region_shows_its_middle(make_case, tmp_path: Path) -> None:
    scan = read_ct(make_case().image)
    nothing = np.zeros(scan.voxels.shape, np.uint8)
    masks = CaseMasks(
        case="a", prediction=nothing, reference=nothing, image=scan.voxels, voxel=scan.geometry.voxel
    )
    empty = np.zeros((len(nothing), 2), np.int64)
    CaseOverlays(folder=tmp_path / "o").draw(masks, CaseCounts("a", 0.009, empty, empty, empty))
    with Image.open(tmp_path / "o" / "a.png") as picture:
        assert np.asarray(picture).std() > 0


def test_a_case_without_a_scan_is_drawn_on_gray(tmp_path: Path) -> None:
    labels = np.zeros((2, 40, 40), np.uint8)
    labels[:, 10:30, 10:30] = 1
    masks = CaseMasks(
        case="a", prediction=labels, reference=labels, voxel=Voxel.of_spacing((5.0, 1.0, 1.0)), is_ct=False
    )
    counts = np.full((2, 1), 400, np.int64)
    overlays = CaseOverlays(folder=tmp_path, regions=("liver",), window_hu=(40, 400))
    overlays.draw(masks, CaseCounts("a", 0.005, counts, 0 * counts, 0 * counts))
    with Image.open(tmp_path / "a.png") as picture:
        pixels = np.asarray(picture.convert("RGB"))
    grays, counts = np.unique(pixels[(pixels.max(axis=-1) == pixels.min(axis=-1))][:, 0], return_counts=True)
    assert grays[counts.argmax()] == 128  # the window of the CT is not that of this scan
    assert (pixels.max(axis=-1) != pixels.min(axis=-1)).any()  # contours have colors
