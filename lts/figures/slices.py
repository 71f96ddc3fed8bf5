"""Slices as a radiologist reads them, with the contours of reference and prediction."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from matplotlib.patheffects import AbstractPathEffect, withStroke
from numpy.typing import NDArray

from lts.base import ConfigError, VolumeError, printable
from lts.figures.canvas import Rgb, fit_text, new_figure, render

Mask = NDArray[np.bool_]
Cut = tuple[slice, slice]
Bounds = tuple[tuple[float, float], tuple[float, float]]

# Reference and prediction: Okabe and Ito's palette for color-blind readers, brightened for a dark ground.
_COLORS = {"liver": ("#56B4E9", "#F0E442"), "tumor": ("#00C896", "#FF6A13")}
_STYLES: tuple[Literal["solid"] | tuple[float, tuple[float, float]], ...] = ("solid", (0, (3, 2)))
_SIDES = ("reference", "prediction")
_SCALES_MM = (100, 50, 20, 10, 5, 2, 1)

_HEIGHT_PX = 640
_SHEET_HEIGHT_PX = 360
_MAX_ASPECT = 2.0
_MIN_CELL_PX = (120, 330)
_STRIP_PX = 30
_GAP_PX = 6
_ENTRY_PX = 155


@dataclass(frozen=True, kw_only=True, eq=False)
class SliceView:
    """One slice to draw, or another plane.

    Attributes:
        image: `(H, W)` Hounsfield units, of a slice H front to back, W patient's right to left.
        reference: `(R, H, W)` bool, a mask per region, or None.
        prediction: As `reference`.
        spacing_mm: Pixel size along H and W.
        title: A line above the slice, such as case, slice and score.
        cut: The rows and columns that are shown; None for all.
        frame: The rows and columns that a white line frames; None for none.
        letters: Of the sides of the body at the left, right, upper and lower edge.

    Example:
        >>> view = SliceView(image=np.zeros((100, 200)), spacing_mm=(2.0, 1.0))
        >>> view.size_px(300)  # as high as wide in mm
        (300, 300)
    """

    image: NDArray[np.generic]
    reference: Mask | None = None
    prediction: Mask | None = None
    spacing_mm: tuple[float, float]
    title: str = ""
    cut: Cut | None = None
    frame: Cut | None = None
    letters: tuple[str, str, str, str] = ("R", "L", "A", "P")

    @property
    def shown_mm(self) -> Bounds:
        """Where what is shown begins and ends along H and W, from the upper left corner of the slice."""
        rows, columns = self.image.shape
        return self.bounds_mm(self.cut or (slice(0, rows), slice(0, columns)))

    def bounds_mm(self, cut: Cut) -> Bounds:
        """Where rows and columns begin and end, likewise."""
        (rows, columns), (row_mm, column_mm) = cut, self.spacing_mm
        return (rows.start * row_mm, rows.stop * row_mm), (
            columns.start * column_mm,
            columns.stop * column_mm,
        )

    def size_px(self, height_px: int) -> tuple[int, int]:
        """Height and width in physical proportion, `height_px` high unless that makes it very wide."""
        height_mm, width_mm = (end - start for start, end in self.shown_mm)
        px_per_mm = height_px / max(height_mm, width_mm / _MAX_ASPECT)
        return max(1, round(height_mm * px_per_mm)), max(1, round(width_mm * px_per_mm))


def overlay(
    image: NDArray[np.generic],
    *,
    reference: Mask | None = None,
    prediction: Mask | None = None,
    regions: Sequence[str] = ("liver", "tumor"),
    spacing_mm: tuple[float, float],
    level_hu: float = 40,
    width_hu: float = 400,
    title: str = "",
) -> Rgb:
    """Draw one slice in gray with the contours of its regions, a legend, sides of the body and a scale.

    Args:
        image: `(H, W)` Hounsfield units, H front to back, W patient's right to left; drawn as it lies.
        reference: `(R, H, W)` bool, drawn solid, or None. A region without a pixel has no contour.
        prediction: `(R, H, W)` bool, drawn dashed, or None.
        regions: The R regions.
        spacing_mm: Pixel size along H and W.
        level_hu: Center of the gray window.
        width_hu: Width of the gray window.
        title: A line above the slice.

    Returns:
        `(height, width, 3)` uint8; the slice is 640 pixels high, less where it is very wide.

    Raises:
        ConfigError: `width_hu` is not positive.
        VolumeError: `spacing_mm` is not positive.
        ValueError: An array has another shape or dtype.

    Example:
        >>> image, liver = np.zeros((64, 64)), np.zeros((1, 64, 64), bool)
        >>> liver[0, 20:40, 10:30] = True
        >>> overlay(image, reference=liver, regions=["liver"], spacing_mm=(5.0, 5.0)).shape
        (670, 640, 3)
    """
    view = SliceView(
        image=image, reference=reference, prediction=prediction, spacing_mm=spacing_mm, title=title
    )
    return _draw_sheet([view], regions, (level_hu, width_hu), columns=1, height_px=_HEIGHT_PX)


def closeups(
    views: Sequence[SliceView],
    *,
    regions: Sequence[str] = ("liver", "tumor"),
    level_hu: float = 40,
    width_hu: float = 400,
    height_px: int = 260,
    columns: int | None = None,
) -> Rgb:
    """Draw slices or cuts of them side by side as `overlay` does, small and without a legend.

    Args:
        views: The slices, at least one.
        regions: The R regions of its masks.
        level_hu: Center of the gray window.
        width_hu: Width of the gray window.
        height_px: Height of the slice; less where it is very wide.
        columns: Slices in a row; None for all.

    Returns:
        `(height, width, 3)` uint8.

    Raises:
        ConfigError: `width_hu` is not positive.
        VolumeError: `spacing_mm` is not positive.
        ValueError: An array has another shape or dtype.

    Example:
        >>> cut = slice(20, 40), slice(10, 50)
        >>> view = SliceView(image=np.zeros((64, 64)), spacing_mm=(5.0, 5.0), cut=cut)
        >>> closeups([view], height_px=100).shape
        (100, 200, 3)
    """
    window = level_hu, width_hu
    columns = columns or len(views)
    return _draw_sheet(views, regions, window, columns=columns, height_px=height_px, legend=False)


def gray_range(images: Sequence[NDArray[np.generic]]) -> tuple[float, float]:
    """Level and width from the 1st to the 99th percentile, for images that have no scale of their own.

    Example:
        >>> gray_range([np.linspace(0, 100, 101)])
        (50.0, 98.0)
    """
    low, high = np.percentile(np.stack(images).astype(np.float32), (1, 99))
    return float(low + high) / 2, max(float(high - low), 1.0)


def overlay_sheet(
    views: Sequence[SliceView],
    *,
    regions: Sequence[str] = ("liver", "tumor"),
    level_hu: float = 40,
    width_hu: float = 400,
    columns: int = 3,
) -> Rgb:
    """Draw several slices as `overlay` does, side by side under one legend.

    Args:
        views: The slices, row by row.
        regions: The R regions of every mask.
        level_hu: Center of the gray window.
        width_hu: Width of the gray window.
        columns: Slices in a row.

    Returns:
        `(height, width, 3)` uint8.

    Raises:
        ConfigError: `width_hu` or `columns` is not positive.
        VolumeError: A `spacing_mm` is not positive.
        ValueError: There is no slice, or an array has another shape or dtype.

    Example:
        >>> view = SliceView(image=np.zeros((64, 64)), spacing_mm=(5.0, 5.0), title="slice 9")
        >>> overlay_sheet([view] * 4, columns=2).shape
        (786, 726, 3)
    """
    if not views:
        raise ValueError("views: a sheet needs at least one slice, got none")
    if columns < 1:
        raise ConfigError(f"columns: must be at least 1, got {columns}")
    return _draw_sheet(views, regions, (level_hu, width_hu), columns=columns, height_px=_SHEET_HEIGHT_PX)


def _draw_sheet(
    views: Sequence[SliceView],
    regions: Sequence[str],
    window: tuple[float, float],
    *,
    columns: int,
    height_px: int,
    legend: bool = True,
) -> Rgb:
    if window[1] <= 0:
        raise ConfigError(f"width_hu: must be > 0, got {window[1]}")
    for view in views:
        _check(view, regions)
    columns = min(columns, len(views))
    rows = -(-len(views) // columns)
    head = _STRIP_PX if any(view.title for view in views) else 0
    entries = _legend_entries(views, regions) if legend else []
    least = [_MIN_CELL_PX] if legend else []
    sizes = np.array([*least, *(view.size_px(height_px) for view in views)])
    cell_height, cell_width = (int(size) for size in sizes.max(axis=0))
    width = columns * (cell_width + _GAP_PX) - _GAP_PX
    per_row = max(1, min(len(entries), 2 * (width // (2 * _ENTRY_PX))))
    foot = _STRIP_PX * -(-len(entries) // per_row)
    height = rows * (head + cell_height + _GAP_PX) - _GAP_PX + foot

    figure = new_figure(width, height, color="black")
    for index, view in enumerate(views):
        row, column = divmod(index, columns)
        left = column * (cell_width + _GAP_PX)
        top = height - row * (head + cell_height + _GAP_PX)
        if view.title:
            _write_title(figure, view.title, center=(left + cell_width / 2, top - head / 2), room=cell_width)
        cell = (left, top - head - cell_height, cell_width, cell_height)
        _draw_cell(figure, view, cell, view.size_px(height_px), regions=regions, window=window)
    if entries:
        figure.legend(
            handles=entries,
            loc="center",
            bbox_to_anchor=(0.5, foot / 2 / height),
            ncols=per_row,
            frameon=False,
            labelcolor="white",
            fontsize=9,
            handlelength=2.3,
            columnspacing=1.3,
        )
    return render(figure)


def _check(view: SliceView, regions: Sequence[str]) -> None:
    if view.image.ndim != 2 or view.image.size == 0:
        raise ValueError(f"image: must be (H, W), got {view.image.shape}")
    if not min(view.spacing_mm) > 0:
        raise VolumeError(f"spacing_mm: must be > 0, got {view.spacing_mm}")
    shape = (len(regions), *view.image.shape)
    for side, masks in zip(_SIDES, (view.reference, view.prediction), strict=True):
        if masks is not None and (masks.shape != shape or masks.dtype != np.bool_):
            raise ValueError(
                f"{side}: must be {shape} bool for {list(regions)}, got {masks.shape} {masks.dtype}"
            )


def _legend_entries(views: Sequence[SliceView], regions: Sequence[str]) -> list[Line2D]:
    drawn = (
        any(view.reference is not None for view in views),
        any(view.prediction is not None for view in views),
    )
    return [
        Line2D([], [], color=_COLORS[region][index], linestyle=style, linewidth=2, label=f"{region}, {side}")
        for region in regions
        for index, (side, style) in enumerate(zip(_SIDES, _STYLES, strict=True))
        if drawn[index]
    ]


def _write_title(figure: Figure, title: str, *, center: tuple[float, float], room: float) -> None:
    width, height = figure.get_size_inches() * figure.dpi
    text = figure.text(
        center[0] / width, center[1] / height, printable(title), parse_math=False, color="white"
    )
    text.set(fontsize=10, ha="center", va="center")
    fit_text(text, room - 2 * _GAP_PX)


def _draw_cell(
    figure: Figure,
    view: SliceView,
    cell: tuple[float, float, float, float],
    size_px: tuple[int, int],
    *,
    regions: Sequence[str],
    window: tuple[float, float],
) -> None:
    """Draw a slice in the middle of its cell, whose corners and edges take the writing."""
    left, bottom, cell_width, cell_height = cell
    height, width = size_px
    x, y = left + (cell_width - width) / 2, bottom + (cell_height - height) / 2
    figure_width, figure_height = figure.get_size_inches() * figure.dpi
    axes = figure.add_axes(
        (x / figure_width, y / figure_height, width / figure_width, height / figure_height)
    )
    axes.set_axis_off()
    _draw_slice(axes, view, regions, window)
    left_mm, right_mm = view.shown_mm[1]
    _annotate(figure, cell, window, letters=view.letters, px_per_mm=width / (right_mm - left_mm))


def _draw_slice(axes: Axes, view: SliceView, regions: Sequence[str], window: tuple[float, float]) -> None:
    """Draw in millimeters: the middle of the first pixel lies half a spacing from the upper left corner."""
    level_hu, width_hu = window
    (rows, columns), (row_mm, column_mm) = view.image.shape, view.spacing_mm
    height_mm, width_mm = rows * row_mm, columns * column_mm
    axes.imshow(
        view.image.astype(np.float32),
        cmap="gray",
        vmin=level_hu - width_hu / 2,
        vmax=level_hu + width_hu / 2,
        extent=(0, width_mm, height_mm, 0),
        origin="upper",
        aspect="auto",
        interpolation="bilinear",
    )
    # A ring of background closes the contour of a mask that touches the border.
    x = (np.arange(-1, columns + 1) + 0.5) * column_mm
    y = (np.arange(-1, rows + 1) + 0.5) * row_mm
    for index, masks in enumerate((view.reference, view.prediction)):
        for region, mask in zip(regions, () if masks is None else masks, strict=masks is not None):
            if mask.any():
                ringed = np.pad(mask, 1).astype(np.float32)
                contour = axes.contour(x, y, ringed, levels=[0.5], colors=_COLORS[region][index])
                contour.set(linestyles=[_STYLES[index]], linewidths=1.6, path_effects=_halo(2.8, alpha=0.5))
    if view.frame:
        (top_mm, bottom_mm), (left_mm, right_mm) = view.bounds_mm(view.frame)
        frame = Rectangle((left_mm, top_mm), right_mm - left_mm, bottom_mm - top_mm)
        frame.set(fill=False, edgecolor="white", linewidth=1.2, path_effects=_halo(2.4))
        axes.add_patch(frame)
    (top_mm, bottom_mm), (left_mm, right_mm) = view.shown_mm
    axes.set(xlim=(left_mm, right_mm), ylim=(bottom_mm, top_mm))


def _annotate(
    figure: Figure,
    cell: tuple[float, float, float, float],
    window: tuple[float, float],
    *,
    letters: tuple[str, str, str, str],
    px_per_mm: float,
) -> None:
    """Write the sides of the body, the window and a scale along the edges of a cell.

    On the figure itself, as axes for them would take a third of the time of all drawing.
    """
    level_hu, width_hu = window
    left, bottom, width, height = cell
    figure_width, figure_height = figure.get_size_inches() * figure.dpi
    edge = 8

    def write(x: float, y: float, text: str, **looks: Any) -> None:
        place = ((left + x) / figure_width, (bottom + y) / figure_height)
        halo = _halo(looks.pop("halo", 2.5))
        figure.text(*place, text, color="white", **looks).set_path_effects(halo)

    places = (
        (edge, height / 2, "left", "center"),
        (width - edge, height / 2, "right", "center"),
        (width / 2, height - edge, "center", "top"),
        (width / 2, edge, "center", "bottom"),
    )
    for letter, (x, y, ha, va) in zip(letters, places, strict=True):
        write(x, y, letter, fontsize=12, fontweight="bold", ha=ha, va=va, halo=3)
    write(edge, edge, f"W {width_hu:g}  L {level_hu:g}", fontsize=8)
    fitting = [mm for mm in _SCALES_MM if mm * px_per_mm <= width / 4]
    if fitting:
        end = width - edge
        start = end - fitting[0] * px_per_mm
        ends = [(left + x) / figure_width for x in (start, end)]
        line = Line2D(ends, [(bottom + edge) / figure_height] * 2, color="white", linewidth=2)
        line.set_path_effects(_halo(4))
        figure.add_artist(line)
        write((start + end) / 2, edge + 5, f"{fitting[0]} mm", fontsize=8, ha="center")


def _halo(width: float, *, alpha: float = 1.0) -> list[AbstractPathEffect]:
    return [withStroke(linewidth=width, foreground="black", alpha=alpha)]
