"""A scored case without any symmetry: a lesion was found, one of a voxel was missed, one is a false alarm."""

from typing import Any

import numpy as np

from lts.scores import CaseMasks, score_case
from lts.viewer import ViewedCase
from lts.volume import Geometry

SHAPE = (24, 60, 70)
"""`(Z, H, W)`."""
SPACING_MM = (8.0, 2.4, 1.9)
FIRST = (3, 3, 0)
"""Voxel of the box that is shown: 4 slices and 11 rows before the first of either mask, and all columns."""
BOX_SHAPE = (20, 44, 40)


def geometry() -> Geometry:
    """A grid whose axes on disk run toward the left, the back and the feet, turned and shifted a little."""
    turn = np.radians(4)
    turned = np.array([[np.cos(turn), -np.sin(turn), 0], [np.sin(turn), np.cos(turn), 0], [0, 0, 1]])
    affine = np.eye(4)
    affine[:3, :3] = turned @ np.diag([-SPACING_MM[2], -SPACING_MM[1], -SPACING_MM[0]])
    affine[:3, 3] = 71.5, 33.25, 12.0
    return Geometry.from_affine(affine, shape=(SHAPE[2], SHAPE[1], SHAPE[0]))


def case(name: str = "volume-7", **changes: Any) -> ViewedCase:
    """Liver and lesions lie at the patient's right, where columns begin, in front, in the middle slices."""
    hu = np.full(SHAPE, -1000, np.int16)
    hu[6:, 10:55, 4:66] = 40
    reference, prediction = np.zeros((2, *SHAPE), np.uint8)
    reference[7:19, 14:36, 6:24] = 1
    prediction[8:18, 15:34, 8:26] = 1
    reference[10:13, 20:24, 10:15] = prediction[10:13, 20:24, 11:17] = 2
    reference[16, 30, 20] = 2
    prediction[8:10, 16:18, 21:24] = 2
    hu[reference == 1], hu[reference == 2] = 110, 60
    hu += np.random.default_rng(0).integers(-3, 4, SHAPE).astype(np.int16)
    grid = geometry()
    masks = CaseMasks(case=name, prediction=prediction, reference=reference, voxel=grid.voxel, image=hu)
    scored = score_case(masks)
    totals = scored.counts.stacked.sum(axis=1)
    scores = [
        {
            "region": region,
            "dice": float(2 * tp / (2 * tp + fp + fn)),
            "predicted_ml": float((tp + fp) * grid.voxel_volume_ml),
            "reference_ml": float((tp + fn) * grid.voxel_volume_ml),
        }
        for region, (tp, fp, fn) in zip(("liver", "tumor"), totals.T.tolist(), strict=True)
    ]
    facts: dict[str, Any] = {
        "case": name,
        "geometry": grid,
        "image": hu,
        "modality": "ct",
        "prediction": prediction,
        "reference": reference,
        "regions": ("liver", "tumor"),
        "lesions": scored.findings,
        "scores": scores,
    }
    return ViewedCase(**(facts | changes))
