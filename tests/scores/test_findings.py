import math
from dataclasses import asdict, replace
from itertools import product

import numpy as np
import pytest
from scipy.spatial.distance import cdist
from scipy.spatial.transform import Rotation

from lts.scores import LesionFinding, describe_lesions, match_lesions
from lts.scores.appearance import Appearance, cause_of_false_alarm, cause_of_miss
from lts.volume import Voxel

SHAPE = (16, 44, 30)
SPACING_MM = (3.0, 1.0, 2.0)
LIVER = (slice(2, 14), slice(4, 40), slice(3, 27))

Box = tuple[slice, slice, slice]


def mask(*boxes: Box, shape: tuple[int, int, int] = SHAPE) -> np.ndarray:
    """True in the boxes."""
    filled = np.zeros(shape, bool)
    for box in boxes:
        filled[box] = True
    return filled


def box(z: int, y: int, x: int, size: tuple[int, int, int] = (1, 1, 1)) -> Box:
    return tuple(slice(start, start + length) for start, length in zip((z, y, x), size, strict=True))


def scan_of(*parts: tuple[np.ndarray, int]) -> np.ndarray:
    """Soft tissue of 40 HU, a liver of 100 HU and the parts given, int16."""
    scan = np.full(SHAPE, 40, np.int16)
    scan[LIVER] = 100
    for part, hu in parts:
        scan[part] = hu
    return scan


def findings_of(
    *,
    prediction: np.ndarray | None = None,
    reference: np.ndarray | None = None,
    scan: np.ndarray | None = None,
    liver: np.ndarray | None = None,
    spacing_mm: tuple[float, float, float] = SPACING_MM,
) -> list[LesionFinding]:
    (shape,) = {side.shape for side in (prediction, reference) if side is not None}
    nothing = np.zeros(shape, bool)
    match = match_lesions(
        nothing if prediction is None else prediction,
        nothing if reference is None else reference,
        voxel=Voxel.of_spacing(spacing_mm),
    )
    return describe_lesions("a", match=match, scan=scan, liver=liver, voxel=Voxel.of_spacing(spacing_mm))


def test_a_missed_box_is_described_by_hand_computed_figures() -> None:
    lesion = mask(box(6, 10, 12, (2, 5, 2)))
    (finding,) = findings_of(reference=lesion, scan=scan_of((lesion, 60)), liver=mask(LIVER))
    volume_mm3 = 20 * 3 * 1 * 2
    assert asdict(finding) == {
        "case": "a",
        "outcome": "missed",
        "iou": 0.0,
        "slice": 7,
        "row": 13,
        "column": 13,
        "volume_ml": pytest.approx(volume_mm3 / 1000),
        "diameter_mm": pytest.approx((6 * volume_mm3 / math.pi) ** (1 / 3)),
        "mean_hu": 60.0,
        "contrast_hu": -40.0,
        "edge_mm": 6.0,  # rows 10 to 4 of 1 mm; slices 6 to 2 are 12 mm, columns 12 to 3 are 18 mm
        "outside_share": 0.0,
        "texture_hu": 0.0,
        # Centers spread by (0, 4, 0) and (3 / 2)^2, (2 / 2)^2 squared mm, a cube of 3 mm by 9 / 12.
        "elongation": pytest.approx(math.sqrt((9 / 4 + 3 / 4) / (2 + 3 / 4))),
        "cause": "small",
    }


def test_findings_are_found_and_missed_lesions_then_false_alarms() -> None:
    large, missed = box(6, 10, 12, (3, 6, 4)), box(10, 30, 20)
    half, far = box(6, 10, 12, (3, 3, 4)), box(3, 6, 5, (2, 2, 2))
    findings = findings_of(
        reference=mask(large, missed), prediction=mask(half, far), scan=scan_of(), liver=mask(LIVER)
    )
    assert [(finding.outcome, finding.iou, finding.slice) for finding in findings] == [
        ("found", 0.5, 7),
        ("missed", 0.0, 11),
        ("false alarm", 0.0, 4),
    ]
    assert findings[0].volume_ml == pytest.approx(72 * 6 / 1000)
    assert [finding.cause for finding in findings] == [None, "low contrast", "small"]


def test_a_second_piece_of_a_found_lesion_is_a_false_alarm() -> None:
    findings = findings_of(
        reference=mask(box(6, 10, 12, (1, 9, 1))),
        prediction=mask(box(6, 10, 12, (1, 5, 1)), box(6, 17, 12, (1, 2, 1))),
    )
    assert [(finding.outcome, finding.iou) for finding in findings] == [
        ("found", pytest.approx(5 / 9)),
        ("false alarm", 0.0),
    ]


def test_no_lesion_gives_no_finding() -> None:
    assert findings_of(reference=mask(), scan=scan_of(), liver=mask(LIVER)) == []


def test_findings_are_plain_types() -> None:
    lesion = mask(box(6, 10, 12, (2, 5, 2)))
    found = findings_of(reference=lesion, prediction=lesion, scan=scan_of(), liver=mask(LIVER))
    alarms = findings_of(prediction=lesion, scan=scan_of(), liver=mask(LIVER))
    for finding in found + alarms:
        assert {type(value) for value in asdict(finding).values()} <= {str, int, float, type(None)}


def test_the_slice_is_the_one_with_most_of_the_lesion_and_the_lowest_of_several() -> None:
    growing = mask(box(4, 10, 10, (1, 2, 2)), box(5, 10, 10, (2, 4, 4)), box(7, 10, 10, (1, 3, 3)))
    (finding,) = findings_of(reference=growing)
    assert finding.slice == 6


def test_texture_is_the_standard_deviation_in_the_lesion() -> None:
    lesion, half = mask(box(6, 10, 12, (2, 4, 2))), mask(box(6, 10, 12, (2, 2, 2)))
    (finding,) = findings_of(reference=lesion, scan=scan_of((lesion, 50), (half, 70)), liver=mask(LIVER))
    assert (finding.mean_hu, finding.texture_hu, finding.contrast_hu) == (60, 10, -40)


def test_a_lesion_within_the_box_of_another_is_measured_by_itself() -> None:
    inner = mask(box(8, 20, 15))
    frame = mask(box(8, 18, 13, (1, 5, 5))) & ~mask(box(8, 19, 14, (1, 3, 3)))
    findings = findings_of(reference=frame | inner, scan=scan_of((frame, 20), (inner, 70)), liver=mask(LIVER))
    assert [finding.mean_hu for finding in findings] == [20, 70]
    assert [finding.contrast_hu for finding in findings] == [-80, -30]


@pytest.mark.parametrize(("noise_hu", "cause"), [(9, "bright texture"), (11, "other")])
def test_texture_is_held_against_that_of_the_liver_around(noise_hu: int, cause: str) -> None:
    lesion = mask(box(4, 15, 8, (8, 10, 10)))
    checkered = np.indices(SHAPE).sum(0) % 2 == 0
    scan = scan_of((lesion, 20))
    scan[mask(LIVER) & ~lesion] += noise_hu
    scan[mask(LIVER) & ~lesion & checkered] -= 2 * noise_hu
    scan[lesion & checkered] += 40
    (finding,) = findings_of(prediction=lesion, scan=scan, liver=mask(LIVER))
    assert (finding.mean_hu, finding.texture_hu, finding.cause) == (40, 20, cause)


def test_without_a_scan_nothing_is_said_of_hounsfield_units() -> None:
    (finding,) = findings_of(prediction=mask(box(6, 10, 12)), liver=mask(LIVER))
    assert (finding.mean_hu, finding.texture_hu, finding.contrast_hu) == (None, None, None)
    assert (finding.edge_mm, finding.outside_share, finding.cause) == (6, 0, "small")


def test_without_a_liver_nothing_is_said_of_contrast_and_place() -> None:
    (finding,) = findings_of(prediction=mask(box(6, 10, 12)), scan=scan_of())
    assert (finding.contrast_hu, finding.edge_mm, finding.outside_share) == (None, None, None)
    assert (finding.mean_hu, finding.texture_hu, finding.cause) == (100, 0, "small")


def test_with_an_empty_liver_all_lies_outside_and_there_is_no_edge() -> None:
    (finding,) = findings_of(prediction=mask(box(6, 10, 12)), scan=scan_of(), liver=mask())
    assert (finding.contrast_hu, finding.edge_mm, finding.outside_share) == (None, None, 1)
    assert finding.cause == "outside liver"


@pytest.mark.parametrize(
    ("lesion", "edge_mm", "outside_share"),
    [
        (box(4, 20, 15), 6, 0),  # two slices of 3 mm to the lowest
        (box(11, 20, 15, (2, 1, 1)), 3, 0),  # one to the highest
        (box(8, 34, 15, (1, 3, 1)), 3, 0),  # three rows to the last
        (box(8, 20, 25), 2, 0),  # one column of 2 mm
        (box(2, 20, 15), 0, 0),  # within the surface
        (box(8, 20, 25, (1, 1, 4)), 0, 0.5),  # across it
        (box(8, 20, 28), -4, 1),  # two columns away
        (box(0, 0, 15), -math.sqrt(6**2 + 4**2), 1),
    ],
)
def test_the_distance_to_the_livers_edge_is_in_mm_and_negative_outside(
    lesion: Box, edge_mm: float, outside_share: float
) -> None:
    (finding,) = findings_of(prediction=mask(lesion), liver=mask(LIVER))
    assert finding.edge_mm == pytest.approx(edge_mm)
    assert finding.outside_share == outside_share


def test_a_lesion_that_crosses_the_edge_by_a_corner_reaches_it() -> None:
    # The inner voxel has no face on the edge: it leaves through the notch in the liver's corner.
    liver = mask(LIVER) & ~mask(box(13, 39, 3))
    lesion = mask(box(12, 38, 4), box(13, 39, 3))
    (finding,) = findings_of(prediction=lesion, liver=liver, spacing_mm=(1, 1, 1))
    assert (finding.edge_mm, finding.outside_share) == (0, 0.5)
    (inner,) = findings_of(prediction=mask(box(12, 38, 4)), liver=liver, spacing_mm=(1, 1, 1))
    assert inner.edge_mm == 1


def test_a_large_lesion_is_as_near_to_the_edge_as_its_nearest_voxel() -> None:
    body = box(5, 10, 8, (6, 20, 8))
    for tip in range(4):
        lesion = mask(body, box(6 + tip, 20 + tip, 16, (1, 1, 9)))
        (finding,) = findings_of(prediction=lesion, liver=mask(LIVER))
        assert finding.edge_mm == 4


def test_the_border_of_the_scan_is_an_edge() -> None:
    (finding,) = findings_of(prediction=mask(box(0, 20, 15)), liver=np.ones(SHAPE, bool))
    assert finding.edge_mm == 0


def surface_by_loops(filled: np.ndarray) -> np.ndarray:
    """Indices of voxels with a face neighbor that is not filled or not there, `(N, 3)`."""
    found = []
    for index in np.argwhere(filled):
        for axis, step in product(range(3), (-1, 1)):
            near = index.copy()
            near[axis] += step
            if not 0 <= near[axis] < filled.shape[axis] or not filled[tuple(near)]:
                found.append(index)
                break
    return np.array(found)


@pytest.mark.parametrize(("seed", "shear"), [(0, 0), (1, 0), (2, 0), (3, 0), (4, 0.5), (5, -1.2)])
def test_random_lesions_are_measured_as_by_brute_force(seed: int, shear: float) -> None:
    rng = np.random.default_rng(seed)
    shape, spacing_mm = (12, 26, 22), tuple(rng.uniform(0.6, 3, 3))
    edges_mm = np.diag(spacing_mm)
    edges_mm[0, 1], edges_mm[2, 1] = shear * spacing_mm[0], shear * spacing_mm[2] / 3
    edges_mm = edges_mm @ Rotation.random(random_state=seed).as_matrix()
    centered = [(np.arange(length) - length / 2) / length for length in shape]
    liver = sum(axis**2 for axis in np.meshgrid(*centered, indexing="ij")) < 0.13
    prediction, reference = rng.random((2, *shape)) < 0.012
    scan = rng.integers(-50, 200, shape, np.int16)
    voxel = Voxel.of_matrix(edges_mm.T)
    match = match_lesions(prediction, reference, voxel=voxel)
    findings = describe_lesions("a", match=match, scan=scan, liver=liver, voxel=voxel)
    alarms = [lesion for lesion in match.predicted if lesion.label not in match.any.values()]
    described = [(lesion, match.reference_labels) for lesion in match.reference]
    described += [(lesion, match.predicted_labels) for lesion in alarms]
    surface_mm = surface_by_loops(liver) @ edges_mm
    healthy = np.argwhere(liver & ~prediction & ~reference)
    assert len(described) > 50
    for finding, (lesion, labels) in zip(findings, described, strict=True):
        voxels = np.argwhere(labels == lesion.label)
        values = scan[tuple(voxels.T)].astype(float)
        inside = liver[tuple(voxels.T)]
        edge_mm = cdist(voxels @ edges_mm, surface_mm).min()
        if inside.any() and not inside.all():
            edge_mm = 0
        distance_mm = cdist(healthy @ edges_mm, voxels @ edges_mm).min(1)
        ring = scan[tuple(healthy[(distance_mm >= 2) & (distance_mm <= 10)].T)]
        centered_mm = (voxels - voxels.mean(0)) @ edges_mm
        spread = np.linalg.svd(centered_mm, compute_uv=False) ** 2 / len(voxels)
        spread = np.append(spread, [0, 0])[:3] + max(voxel.spacing_mm) ** 2 / 12
        # the shear changes no volume
        assert finding.volume_ml == pytest.approx(len(voxels) * math.prod(spacing_mm) / 1000)
        assert finding.mean_hu == pytest.approx(values.mean())
        assert finding.texture_hu == pytest.approx(values.std())
        assert finding.edge_mm == pytest.approx(edge_mm if inside.any() else -edge_mm)
        assert finding.outside_share == pytest.approx(1 - inside.mean())
        assert finding.elongation == pytest.approx(math.sqrt(spread[0] / spread[1]))
        if len(ring) < 50:
            assert finding.contrast_hu is None
        else:
            assert finding.contrast_hu == pytest.approx(values.mean() - np.median(ring))
    assert {finding.contrast_hu is None for finding in findings} == {False, True}
    assert {np.sign(finding.edge_mm) for finding in findings} == {-1, 0, 1}


def test_in_a_grid_that_is_sheared_much_the_inside_of_a_lesion_may_be_what_is_nearest_to_the_edge() -> None:
    # one slice up and one row forward is 1 mm away, a row or a slice alone 10 mm: a star's middle is nearer
    # to the hole beside it than its tips are
    voxel = Voxel.of_matrix([[0, 0, 5], [10, 10, 0], [1, 0, 0]])
    star, liver = np.zeros((2, 9, 9, 9), bool)
    liver[1:-1, 1:-1, 1:-1] = True
    star[4, 4, 3:6] = star[4, 3:6, 4] = star[3:6, 4, 4] = True
    liver[5, 3, 5] = False
    match = match_lesions(star, star, voxel=voxel)
    (finding,) = describe_lesions("a", match=match, scan=None, liver=liver, voxel=voxel)
    assert finding.edge_mm == pytest.approx(1)


def test_contrast_leaves_out_what_shares_voxels_with_the_lesion_and_what_lies_far_away() -> None:
    lesion = mask(box(8, 20, 15))
    offsets = [(np.arange(n) - at) * mm for n, at, mm in zip(SHAPE, (8, 20, 15), SPACING_MM, strict=True)]
    distance_mm = np.sqrt(sum(axis**2 for axis in np.meshgrid(*offsets, indexing="ij")))
    scan = scan_of((distance_mm > 10, 500), (distance_mm < 2, 500), (lesion, 70))
    assert {500, 100} <= set(scan[LIVER].ravel())
    (finding,) = findings_of(reference=lesion, scan=scan, liver=mask(LIVER))
    assert finding.contrast_hu == -30


def test_contrast_is_to_liver_that_nobody_calls_tumor() -> None:
    lesion = mask(box(8, 20, 15))
    around = mask(box(5, 10, 8, (7, 21, 15))) & ~mask(box(7, 17, 13, (3, 7, 5)))
    falsely_seen = around & mask(box(0, 0, 0, (16, 20, 30)))
    other_tumor = around & ~falsely_seen
    scan = scan_of((around, 0), (lesion, 70))
    liver = mask(LIVER)
    assert findings_of(reference=lesion, scan=scan, liver=liver)[0].contrast_hu == 70
    findings = findings_of(reference=lesion | other_tumor, prediction=falsely_seen, scan=scan, liver=liver)
    (finding,) = [finding for finding in findings if finding.volume_ml == pytest.approx(0.006)]
    assert finding.contrast_hu == -30


@pytest.mark.parametrize(
    ("place", "contrast_hu"),
    [
        ((8, 20, 16), -30),  # at 2 mm
        ((8, 10, 15), -30),  # at 10 mm to either side
        ((8, 30, 15), -30),
        ((8, 21, 15), None),  # at 1 mm
        ((8, 9, 15), None),  # at 11 mm
    ],
)
def test_contrast_takes_fifty_voxels_of_liver_from_2_to_10_mm(
    place: tuple[int, int, int], contrast_hu: float | None
) -> None:
    lesion = mask(box(8, 20, 15))
    liver = lesion | mask(box(9, 17, 12, (1, 7, 7)))
    assert liver.sum() == 1 + 49
    scan = scan_of((lesion, 70))
    assert findings_of(reference=lesion, scan=scan, liver=liver)[0].contrast_hu is None
    liver[place] = True
    assert findings_of(reference=lesion, scan=scan, liver=liver)[0].contrast_hu == contrast_hu


def test_a_lesion_that_bends_around_a_far_liver_has_no_contrast() -> None:
    lesion = mask(box(8, 0, 0, (1, 44, 1)), box(8, 0, 0, (1, 1, 30)))
    (finding,) = findings_of(prediction=lesion, scan=scan_of(), liver=mask(box(6, 18, 12, (4, 8, 6))))
    assert (finding.contrast_hu, finding.edge_mm) == (None, -18)
    flipped = np.flip(lesion, (1, 2))
    (finding,) = findings_of(prediction=flipped, scan=scan_of(), liver=mask(box(4, 0, 0, (8, 8, 6))))
    assert (finding.contrast_hu, finding.edge_mm) == (None, -36)


@pytest.mark.parametrize(
    ("size", "spacing_mm", "elongation"),
    [
        ((1, 20, 1), (1, 1, 1), 20),  # a rod
        ((6, 3, 12), (1, 1, 1), 2),  # a block: the two longest sides
        ((1, 20, 20), (1, 1, 1), 1),  # a plate is no tube
        ((1, 1, 1), (5, 0.7, 0.7), 1),  # a speck is not long for its thick slice
        ((1, 20, 1), (4, 1, 1), math.sqrt((399 + 16) / 16)),
        ((5, 1, 1), (4, 1, 1), 5),
    ],
)
def test_elongation_is_the_ratio_of_the_two_longest_axes(
    size: tuple[int, int, int], spacing_mm: tuple[float, float, float], elongation: float
) -> None:
    (finding,) = findings_of(reference=mask(box(2, 3, 4, size)), spacing_mm=spacing_mm)
    assert finding.elongation == pytest.approx(elongation)


def test_a_bright_tube_in_the_liver_is_vessel_like_and_a_dark_one_is_not() -> None:
    tube = mask(box(8, 8, 15, (1, 28, 1)))
    causes = [
        findings_of(prediction=tube, scan=scan_of((tube, hu)), liver=mask(LIVER))[0].cause for hu in (150, 50)
    ]
    assert causes == ["vessel-like", "small"]


@pytest.mark.parametrize(
    ("name", "change"),
    [("scan", {"scan": np.zeros((1, 2, 3), np.int16)}), ("liver", {"liver": np.zeros((1, 2, 3), bool)})],
)
def test_a_volume_of_another_shape_is_refused(name: str, change: dict[str, np.ndarray]) -> None:
    with pytest.raises(ValueError, match=rf"{name}: must be \(16, 44, 30\) like the masks, got \(1, 2, 3\)"):
        findings_of(reference=mask(), **change)


def test_a_liver_of_numbers_is_refused() -> None:
    with pytest.raises(ValueError, match="liver: must be bool, got uint8"):
        findings_of(reference=mask(), liver=mask(LIVER).astype(np.uint8))


PLAIN = Appearance(
    diameter_mm=15.0,
    slice=1,
    row=1,
    column=1,
    mean_hu=60.0,
    texture_hu=10.0,
    contrast_hu=-40.0,
    liver_texture_hu=10.0,
    edge_mm=5.0,
    outside_share=0.0,
    elongation=1.2,
)


@pytest.mark.parametrize(
    ("changes", "cause"),
    [
        ({}, "other"),
        ({"contrast_hu": -19.9, "diameter_mm": 5.0, "outside_share": 1.0}, "low contrast"),
        ({"contrast_hu": 19.9}, "low contrast"),
        ({"contrast_hu": 20.0}, "other"),
        ({"contrast_hu": -20.0, "diameter_mm": 9.9, "outside_share": 1.0}, "small"),
        ({"diameter_mm": 10.0}, "other"),
        ({"outside_share": 0.51}, "outside liver"),
        ({"outside_share": 0.5}, "other"),
        ({"contrast_hu": None, "outside_share": None}, "other"),
        ({"contrast_hu": None, "diameter_mm": 5.0}, "small"),
    ],
)
def test_the_cause_of_a_miss_is_the_first_that_applies(changes: dict[str, float | None], cause: str) -> None:
    assert cause_of_miss(replace(PLAIN, **changes)) == cause


VESSEL = {"elongation": 2.6, "contrast_hu": 10.1}


@pytest.mark.parametrize(
    ("changes", "cause"),
    [
        ({}, "other"),
        ({**VESSEL, "outside_share": 0.51}, "outside liver"),
        ({**VESSEL, "outside_share": 0.5}, "vessel-like"),
        ({**VESSEL, "contrast_hu": 80.0, "texture_hu": 90.0, "diameter_mm": 5.0}, "vessel-like"),
        ({**VESSEL, "elongation": 2.5}, "low contrast"),
        ({**VESSEL, "contrast_hu": 10.0}, "low contrast"),
        ({**VESSEL, "contrast_hu": -80.0}, "other"),
        ({**VESSEL, "contrast_hu": None}, "other"),
        ({"contrast_hu": 15.1, "diameter_mm": 5.0}, "bright texture"),
        ({"contrast_hu": 15.0}, "low contrast"),
        ({"texture_hu": 20.1, "diameter_mm": 5.0}, "bright texture"),
        ({"texture_hu": 20.0}, "other"),
        ({"texture_hu": 90.0, "contrast_hu": None, "liver_texture_hu": None}, "other"),
        ({"diameter_mm": 9.9, "contrast_hu": -5.0}, "small"),
        ({"diameter_mm": 10.0, "contrast_hu": -19.9}, "low contrast"),
        ({"diameter_mm": 10.0, "contrast_hu": -20.0}, "other"),
    ],
)
def test_the_cause_of_a_false_alarm_is_the_first_that_applies(
    changes: dict[str, float | None], cause: str
) -> None:
    assert cause_of_false_alarm(replace(PLAIN, **changes)) == cause
