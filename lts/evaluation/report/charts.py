"""Charts of scores as bars and boxes, with names on hover."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from xml.etree import ElementTree as ET

from matplotlib.cbook import boxplot_stats
from matplotlib.ticker import MaxNLocator

from lts.base import counted
from lts.evaluation.quantity import Quantity
from lts.evaluation.report.drawing import POINT, Scale, chart, line, text
from lts.evaluation.report.markup import DASH, element
from lts.evaluation.table import DICE

_WIDTH = 520
_BAR_ROW, _BAR_START, _BAR_END = 30, 165, _WIDTH - 55
_BAND, _BAND_START = 96, 60
_SHARE = 100

# A box of fewer points shows quartiles that are hardly more than the points themselves.
_FEWEST_IN_A_BOX = 5


@dataclass(frozen=True)
class Bar:
    """A bar of a chart.

    Attributes:
        label: Its name.
        value: In [0, 1], None where it is not defined.
        about: Shown on hover.
        marked: Whether it is highlighted.
    """

    label: str
    value: float | None
    about: str
    marked: bool


def bar_chart(bars: Sequence[Bar], *, region: str, label: str) -> ET.Element:
    """Horizontal bars from 0 to 1, with their values."""
    scale = Scale(0, 1, _BAR_START, _BAR_END)
    height = _BAR_ROW * len(bars)
    drawn = []
    for tick in scale.ticks(4):
        drawn.append(line(scale(tick), 0, scale(tick), height, class_="grid"))
        drawn.append(text(f"{tick:g}", scale(tick), height + 12, anchor="middle", class_="tick"))
    for index, bar in enumerate(bars):
        top, middle = index * _BAR_ROW + 6, index * _BAR_ROW + _BAR_ROW / 2
        end = scale(bar.value or 0)
        value = DASH if bar.value is None else DICE.format(bar.value)
        told = "not defined" if bar.value is None else value
        drawn.append(
            element(
                "g",
                element("title", f"{bar.label}: {told}. {bar.about}"),
                element("rect", x=0, y=index * _BAR_ROW, width=_WIDTH, height=_BAR_ROW, class_="hover"),
                text(bar.label, _BAR_START - 8, middle, anchor="end"),
                element(
                    "rect",
                    x=_BAR_START,
                    y=top,
                    width=round(end - _BAR_START, 2),
                    height=_BAR_ROW - 12,
                    class_="bar",
                ),
                text(value, _BAR_END + 14, middle, class_="value"),
                class_="marked" if bar.marked else None,
            )
        )
    return chart(_WIDTH, height + 22, *drawn, label=label, region=region)


def distribution_chart(
    points: Mapping[str, Sequence[tuple[str, float]]],
    *,
    score: Quantity,
    top: float | None,
    bottom: float = 0,
    by: str = "region",
) -> ET.Element:
    """A box and the points of each region or run, one a case, named on hover.

    Args:
        points: Case and value by region or run, which may have none.
        score: What is drawn.
        top: End of the axis; None ends it beyond the largest value.
        bottom: Its begin.
        by: What the points are divided by.
    """
    largest = max((value for found in points.values() for _, value in found), default=0)
    ends = MaxNLocator(6, steps=[1, 2, 2.5, 5, 10]).tick_values(0, largest or 1)
    scale = Scale(bottom, top or float(ends[-1]), _BAND_START, _WIDTH - 14)
    height = _BAND * len(points)
    drawn = []
    for tick in scale.ticks(6):
        drawn.append(line(scale(tick), 0, scale(tick), height, class_="grid"))
        drawn.append(text(f"{tick:g}", scale(tick), height + 14, anchor="middle", class_="tick"))
    for index, (name, found) in enumerate(points.items()):
        group = element("g", text(name, 0, 26, class_="name"), transform=f"translate(0 {index * _BAND})")
        group.set(f"data-{by}", name)
        if len(found) >= _FEWEST_IN_A_BOX:
            group.append(_box([value for _, value in found], scale, score))
        group.extend(_swarm(found, scale, score))
        if not found:
            group.append(text("not defined in any case", _BAND_START + 8, 26, class_="tick"))
        drawn.append(group)
    drawn.append(text(score.title, scale((scale.low + scale.high) / 2), height + 32, anchor="middle"))
    counts = ", ".join(f"{name}: {counted(len(found), 'case')}" for name, found in points.items())
    return chart(_WIDTH, height + 40, *drawn, label=f"{score.title} by {by}, a point a case; {counts}")


def _box(values: Sequence[float], scale: Scale, score: Quantity) -> ET.Element:
    (stats,) = boxplot_stats(values)
    low, first, middle, third, high = (stats[name] for name in ("whislo", "q1", "med", "q3", "whishi"))
    left, right = scale(first), scale(third)
    return element(
        "g",
        element(
            "title",
            f"median {score.format(middle)}, quartiles {score.format(first)} and {score.format(third)}",
        ),
        line(scale(low), 24, left, 24, class_="whisker"),
        line(right, 24, scale(high), 24, class_="whisker"),
        element("rect", x=left, y=14, width=round(max(right - left, 1), 2), height=20, class_="box"),
        line(scale(middle), 12, scale(middle), 36, class_="median"),
    )


def _swarm(points: Sequence[tuple[str, float]], scale: Scale, score: Quantity) -> list[ET.Element]:
    """Points below the box; those that would cover each other are stacked, closer the more they are."""
    columns: dict[int, list[tuple[str, float]]] = {}
    for point in sorted(points, key=lambda point: point[1]):
        columns.setdefault(round(scale(point[1]) / (2 * POINT)), []).append(point)
    tallest = max(map(len, columns.values()), default=1)
    step = min(2 * POINT, 40 / tallest)
    return [
        element(
            "circle",
            element("title", f"{case}: {score.format(value)}"),
            cx=scale(value),
            cy=round(46 + step * position, 2),
            r=POINT,
            class_="point",
            data_case=case,
        )
        for column in columns.values()
        for position, (case, value) in enumerate(column)
    ]


def share_bar(parts: Mapping[str, int], *, most: int) -> ET.Element:
    """Counts side by side as one bar, which is as long as the page allows for `most`."""
    drawn, start = [], 0.0
    for name, count in parts.items():
        width = round(_SHARE * count / max(most, 1), 2)
        drawn.append(
            element(
                "rect",
                element("title", f"{name}: {count}"),
                x=start,
                y=0,
                width=width,
                height=12,
                data_outcome=name,
            )
        )
        start = round(start + width, 2)
    # The numbers stand beside it.
    return element("svg", *drawn, viewBox=f"0 0 {_SHARE} 12", preserveAspectRatio="none", aria_hidden="true")
