"""The slices of a case that tell most, and its failures, drawn with the contours of both masks."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lts.base import REGION_MIN_LABEL
from lts.figures.canvas import Rgb, save_jpeg, save_png
from lts.figures.contact_sheet import most_telling_slice
from lts.figures.slices import SliceView, closeups, gray_range, overlay_sheet
from lts.scores import CaseCounts, CaseMasks, LesionFinding, dice, region_masks
from lts.scores.findings import FALSE_ALARM, MISSED

_LEAST_SIDE_MM = 60.0
_SIDE_OF_DIAMETER = 2.5
_LETTERS = {1: ("R", "L", "S", "I"), 2: ("A", "P", "S", "I")}
"""Of coronal and sagittal planes."""


@dataclass(frozen=True, kw_only=True)
class CaseOverlays:
    """Draws the slices of a case with most of each region in the reference and most errors, and its failures.

    Of missed lesions and of false alarms the largest are drawn, each in its slice and, at close range, in its
    axial, coronal and sagittal plane.

    Attributes:
        folder: Where `<case>.png` is written; made if it is not there.
        lesion_folder: Where failures are, as `lesion_picture` names them; None for no such pictures.
        lesions_of_a_kind: Missed lesions, and false alarms, that are drawn of a case at most.
        sheet_folder: Where `<case>.png` of one slice is written, for a sheet of all cases; None for no such
            picture.
        regions: Regions in channel order.
        window_hu: Level and width of the gray window, None for percentiles of the drawn slices; of a scan
            that is no CT, it is always the latter.

    Example:
        >>> from lts.scores import CaseMasks, score_case
        >>> from lts.volume import Voxel
        >>> labels = np.zeros((3, 16, 16), np.uint8)
        >>> labels[1, 4:12, 4:12] = 1
        >>> voxel = Voxel.of_spacing((5, 1, 1))
        >>> case = CaseMasks(case="a", prediction=labels, reference=labels, voxel=voxel)
        >>> score_case(case, draw=CaseOverlays(folder=Path("pictures")).draw).findings
        ()
        >>> [path.name for path in Path("pictures").iterdir()]
        ['a.png']
    """

    folder: Path
    regions: Sequence[str] = tuple(REGION_MIN_LABEL)
    window_hu: tuple[float, float] | None = None
    lesion_folder: Path | None = None
    lesions_of_a_kind: int = 8
    sheet_folder: Path | None = None

    def draw(self, masks: CaseMasks, counts: CaseCounts, findings: Sequence[LesionFinding] = ()) -> None:
        """Draw a case, on plain gray where its scan is not at hand; patient's right is at the left.

        Args:
            masks: The case.
            counts: Its voxel counts, by which slices are chosen; the middle one where nothing is counted.
            findings: Its lesions.

        Raises:
            StorageError: A picture cannot be written.
        """
        depth = len(masks.reference)
        views = [
            self._view(masks, z, title=f"{masks.case}, slice {z + 1}/{depth}: {why}")
            for z, why in (informative_slices(counts, self.regions) or {depth // 2: "the middle"}).items()
        ]
        level_hu, width_hu = self._window(masks, views)
        picture = overlay_sheet(views, regions=self.regions, level_hu=level_hu, width_hu=width_hu)
        save_png(self.folder / f"{masks.case}.png", picture)
        if self.sheet_folder:
            save_png(self.sheet_folder / f"{masks.case}.png", self._one_slice(masks, counts))
        if self.lesion_folder:
            for number in _largest_failures(findings, self.lesions_of_a_kind):
                views = self._views_of(findings[number], masks)
                level_hu, width_hu = self._window(masks, views[:1])
                picture = closeups(
                    views, regions=self.regions, level_hu=level_hu, width_hu=width_hu, columns=2
                )
                save_jpeg(lesion_picture(self.lesion_folder, masks.case, number), picture)

    def _one_slice(self, masks: CaseMasks, counts: CaseCounts) -> Rgb:
        """The slice in which either mask has most of the innermost region, with the Dice of the case."""
        z = most_telling_slice(np.maximum(masks.prediction, masks.reference), self.regions)
        view = self._view(masks, z, title=f"{masks.case}, Dice: {self._told(counts)}")
        level_hu, width_hu = self._window(masks, [view])
        return overlay_sheet([view], regions=self.regions, level_hu=level_hu, width_hu=width_hu)

    def _told(self, counts: CaseCounts) -> str:
        """The Dice of each region; none where neither mask has it."""
        scores = dice(*counts.stacked.sum(axis=1), empty=np.nan)
        return ", ".join(
            f"{region} {'none' if np.isnan(score) else f'{score:.3f}'}"
            for region, score in zip(self.regions, scores, strict=True)
        )

    def _view(self, masks: CaseMasks, z: int, **more: Any) -> SliceView:
        return SliceView(
            image=np.zeros_like(masks.reference[z]) if masks.image is None else masks.image[z],
            reference=region_masks(masks.reference[z], self.regions),
            prediction=region_masks(masks.prediction[z], self.regions),
            spacing_mm=masks.voxel.spacing_mm[1:],
            **more,
        )

    def _views_of(self, lesion: LesionFinding, masks: CaseMasks) -> list[SliceView]:
        """The slice with most of a lesion, and the lesion at close range in three planes."""
        middle = (lesion.row - 1, lesion.column - 1)
        side_mm = max(_LEAST_SIDE_MM, _SIDE_OF_DIAMETER * lesion.diameter_mm)
        rows, columns = (
            _around(at, max(1, round(side_mm / mm)), length)
            for at, mm, length in zip(
                middle, masks.voxel.spacing_mm[1:], masks.reference.shape[1:], strict=True
            )
        )
        z, cut = lesion.slice - 1, (rows, columns)
        return [
            self._view(masks, z, frame=cut),
            self._view(masks, z, cut=cut),
            self._upright(lesion, masks, axis=1, across=columns, side_mm=side_mm),
            self._upright(lesion, masks, axis=2, across=rows, side_mm=side_mm),
        ]

    def _upright(
        self, lesion: LesionFinding, masks: CaseMasks, *, axis: int, across: slice, side_mm: float
    ) -> SliceView:
        """The coronal (axis 1) or sagittal (axis 2) plane of a lesion at close range, the head above.

        Beyond the ends of a scan that is lower than the cut there is air and no region, so that pictures of
        one lesion have one scale.
        """
        index = (lesion.row if axis == 1 else lesion.column) - 1
        spacing_mm = (masks.voxel.spacing_mm[0], masks.voxel.spacing_mm[3 - axis])
        depth, height = len(masks.reference), max(1, round(side_mm / spacing_mm[0]))
        added = max(0, height - depth)

        def upright(volume: NDArray[Any]) -> NDArray[Any]:
            plane = volume.take(index, axis=axis)[::-1]
            return np.pad(plane, ((added, added), (0, 0)), constant_values=min(0, plane.min()))

        prediction, reference = (upright(labels) for labels in (masks.prediction, masks.reference))
        return SliceView(
            image=np.zeros_like(reference) if masks.image is None else upright(masks.image),
            reference=region_masks(reference, self.regions),
            prediction=region_masks(prediction, self.regions),
            spacing_mm=spacing_mm,
            cut=(_around(added + depth - lesion.slice, height, depth + 2 * added), across),
            letters=_LETTERS[axis],
        )

    def _window(self, masks: CaseMasks, views: Sequence[SliceView]) -> tuple[float, float]:
        window_hu = self.window_hu if masks.is_ct else None
        return window_hu or gray_range([view.image for view in views])


def lesion_picture(folder: Path, case: str, number: int) -> Path:
    """The picture of a lesion, by its number from 0 among all lesions of its case.

    >>> lesion_picture(Path("lesions"), "volume-7", 0).name
    'volume-7-1.jpg'
    """
    return folder / f"{case}-{number + 1}.jpg"


def forget_lesion_pictures(folder: Path, cases: Collection[str]) -> None:
    """Remove the pictures of the lesions of cases, and nothing else.

    >>> for name in ("a-1.jpg", "a-x.jpg", "b-1.jpg"):
    ...     _ = Path(name).write_bytes(b"")
    >>> forget_lesion_pictures(Path(), ["a"])
    >>> sorted(path.name for path in Path().glob("*.jpg"))
    ['a-x.jpg', 'b-1.jpg']
    """
    for path in folder.glob("*-*.jpg"):
        case, _, number = path.stem.rpartition("-")
        if case in cases and number.isdecimal():
            path.unlink()


def _largest_failures(findings: Sequence[LesionFinding], most: int) -> list[int]:
    """The largest missed lesions and false alarms, by their numbers."""
    chosen: list[int] = []
    for outcome in (MISSED, FALSE_ALARM):
        of_kind = [number for number, lesion in enumerate(findings) if lesion.outcome == outcome]
        chosen += sorted(of_kind, key=lambda number: -findings[number].volume_ml)[:most]
    return chosen


def _around(middle: int, side: int, length: int) -> slice:
    """About `side` pixels around one, within `length`."""
    side = min(side, length)
    start = min(max(0, middle - side // 2), length - side)
    return slice(start, start + side)


def informative_slices(counts: CaseCounts, regions: Sequence[str]) -> dict[int, str]:
    """The slices with most of each region and most errors, the lowest of several, and what is most there."""
    errors = (counts.fp + counts.fn).sum(axis=1)
    reasons: dict[int, list[str]] = {}
    for reason, pixels in zip((*regions, "errors"), (*counts.reference.T, errors), strict=True):
        if pixels.any():
            reasons.setdefault(int(pixels.argmax()), []).append(reason)
    return {z: f"most {' and '.join(why)}" for z, why in reasons.items()}
