"""Square charts: curves from 0 to 1, and the scores of two runs against each other."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from xml.etree import ElementTree as ET

from matplotlib.ticker import MaxNLocator

from lts.evaluation.quantity import Quantity
from lts.evaluation.report.drawing import POINT, Scale, chart, line, text
from lts.evaluation.report.markup import element

_SIDE, _MARGIN = 320, 56
_HIGHEST_BOTTOM = 0.999
"""The shortest axis up to 1 whose ticks can be read."""


@dataclass(frozen=True)
class Curve:
    """A curve in the unit square.

    Attributes:
        region: Gives the color.
        x: Values in [0, 1].
        y: As many.
        about: Shown on hover at each point, or empty for a plain line.
    """

    region: str
    x: Sequence[float]
    y: Sequence[float]
    about: Sequence[str] = ()


def unit_chart(curves: Sequence[Curve], *, xlabel: str, ylabel: str, diagonal: str, label: str) -> ET.Element:
    """Curves from 0 to 1 on both axes, with the diagonal they are compared to."""
    across, up = _square(0)
    drawn = _frame(across, up, xlabel=xlabel, ylabel=ylabel, diagonal=diagonal)
    for curve in curves:
        points = " ".join(f"{across(x):.1f},{up(y):.1f}" for x, y in zip(curve.x, curve.y, strict=True))
        group = element("g", element("polyline", points=points, class_="curve"), data_region=curve.region)
        for x, y, about in zip(curve.x, curve.y, curve.about, strict=bool(curve.about)):
            group.append(
                element("circle", element("title", about), cx=across(x), cy=up(y), r=4, class_="point")
            )
        drawn.append(group)
    return chart(_MARGIN + _SIDE + 12, _SIDE + 48, *drawn, label=label)


def paired_chart(
    points: Mapping[str, tuple[float, float]], *, names: tuple[str, str], score: Quantity, bottom: float
) -> ET.Element:
    """A score of two runs, a point a case, named on hover; on the diagonal both score alike.

    Args:
        points: By case, the score of the one run and of the other.
        names: Of the runs.
        score: What is drawn; it ends at 1.
        bottom: Begin of both axes.
    """
    across, up = _square(bottom)
    x, y = (f"{score.title} of {name}" for name in names)
    drawn = _frame(across, up, xlabel=x, ylabel=y, diagonal="both score alike")
    drawn += [
        element(
            "circle",
            element("title", f"{case}: {names[0]} {score.format(one)}, {names[1]} {score.format(other)}"),
            cx=across(one),
            cy=up(other),
            r=POINT + 0.5,
            class_="point",
            data_case=case,
        )
        for case, (one, other) in points.items()
    ]
    above = sum(other > one for one, other in points.values())
    below = sum(other < one for one, other in points.values())
    label = f"{y} against {x}, a point a case: {above} of {len(points)} above the diagonal, {below} below"
    return chart(_MARGIN + _SIDE + 12, _SIDE + 48, *drawn, label=label)


def axis_bottom(values: Sequence[float]) -> float:
    """Where an axis up to 1 begins that shows these values in [0, 1].

    >>> axis_bottom([0.93, 0.97]), axis_bottom([0.2, 0.97]), axis_bottom([0.9999999]), axis_bottom([])
    (0.92, 0.2, 0.999, 0.0)
    """
    lowest = min(values, default=1)
    if lowest >= 1:
        return 0.0
    ticks = MaxNLocator(5, steps=[1, 2, 2.5, 5, 10]).tick_values(min(lowest, _HIGHEST_BOTTOM), 1)
    return max(0.0, round(float(ticks[0]), 6))


def _square(bottom: float) -> tuple[Scale, Scale]:
    """Scales to the right and upwards of a square chart, both from `bottom` to 1."""
    return Scale(bottom, 1, _MARGIN, _MARGIN + _SIDE), Scale(bottom, 1, _SIDE + 8, 8)


def _frame(across: Scale, up: Scale, *, xlabel: str, ylabel: str, diagonal: str) -> list[ET.Element]:
    """Grid, labels and diagonal of a square chart."""
    low, high = across.low, across.high
    drawn = []
    for tick in across.ticks(5):
        drawn += [
            line(across(tick), up(low), across(tick), up(high), class_="grid"),
            line(across(low), up(tick), across(high), up(tick), class_="grid"),
            text(f"{tick:g}", across(tick), up(low) + 14, anchor="middle", class_="tick"),
            text(f"{tick:g}", across(low) - 6, up(tick), anchor="end", class_="tick"),
        ]
    diagonal_line = line(across(low), up(low), across(high), up(high), class_="diagonal")
    diagonal_line.append(element("title", diagonal))
    turned = text(ylabel, 0, 0, anchor="middle")
    turned.set("transform", f"translate(10 {up((low + high) / 2)}) rotate(-90)")
    return [
        *drawn,
        diagonal_line,
        text(xlabel, across((low + high) / 2), up(low) + 33, anchor="middle"),
        turned,
    ]
