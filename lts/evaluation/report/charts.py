"""Charts as SVG in the page, with the page's fonts and names on hover."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from xml.etree import ElementTree as ET

from matplotlib.cbook import boxplot_stats
from matplotlib.ticker import MaxNLocator

from lts.base import counted
from lts.evaluation.quantity import Quantity, format_number
from lts.evaluation.report.markup import DASH, element
from lts.evaluation.table import DICE

_WIDTH = 520
_BAR_ROW, _BAR_START, _BAR_END = 30, 165, _WIDTH - 55
_BAND, _BAND_START = 96, 60
_POINT = 3.5
_SQUARE, _MARGIN = 320, 46
_SHARE = 100

# A box of fewer points shows quartiles that are hardly more than the points themselves.
_FEWEST_IN_A_BOX = 5


@dataclass(frozen=True)
class _Scale:
    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        share = (value - self.low) / (self.high - self.low)
        return round(self.start + share * (self.end - self.start), 2)

    def ticks(self, most: int) -> list[float]:
        found = MaxNLocator(most, steps=[1, 2, 2.5, 5, 10]).tick_values(self.low, self.high)
        slack = 1e-9 * (self.high - self.low)
        return [float(tick) for tick in found if self.low - slack <= tick <= self.high + slack]


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
    scale = _Scale(0, 1, _BAR_START, _BAR_END)
    height = _BAR_ROW * len(bars)
    drawn = []
    for tick in scale.ticks(4):
        drawn.append(_line(scale(tick), 0, scale(tick), height, class_="grid"))
        drawn.append(_text(f"{tick:g}", scale(tick), height + 12, anchor="middle", class_="tick"))
    for index, bar in enumerate(bars):
        top, middle = index * _BAR_ROW + 6, index * _BAR_ROW + _BAR_ROW / 2
        end = scale(bar.value or 0)
        value = DASH if bar.value is None else DICE.format(bar.value)
        text = "not defined" if bar.value is None else value
        drawn.append(
            element(
                "g",
                element("title", f"{bar.label}: {text}. {bar.about}"),
                element("rect", x=0, y=index * _BAR_ROW, width=_WIDTH, height=_BAR_ROW, class_="hover"),
                _text(bar.label, _BAR_START - 8, middle, anchor="end"),
                element(
                    "rect",
                    x=_BAR_START,
                    y=top,
                    width=round(end - _BAR_START, 2),
                    height=_BAR_ROW - 12,
                    class_="bar",
                ),
                _text(value, _BAR_END + 14, middle, class_="value"),
                class_="marked" if bar.marked else None,
            )
        )
    return _chart(_WIDTH, height + 22, *drawn, label=label, region=region)


def distribution_chart(
    points: Mapping[str, Sequence[tuple[str, float]]], *, score: Quantity, top: float | None
) -> ET.Element:
    """A box and the points of each region, one a case, named on hover.

    Args:
        points: Case and value by region; a region may have none.
        score: What is drawn.
        top: End of the axis; None ends it beyond the largest value.
    """
    largest = max((value for found in points.values() for _, value in found), default=0)
    ends = MaxNLocator(6, steps=[1, 2, 2.5, 5, 10]).tick_values(0, largest or 1)
    scale = _Scale(0, top or float(ends[-1]), _BAND_START, _WIDTH - 14)
    height = _BAND * len(points)
    drawn = []
    for tick in scale.ticks(6):
        drawn.append(_line(scale(tick), 0, scale(tick), height, class_="grid"))
        drawn.append(_text(f"{tick:g}", scale(tick), height + 14, anchor="middle", class_="tick"))
    for index, (region, found) in enumerate(points.items()):
        group = element("g", _text(region, 0, 26, class_="name"), transform=f"translate(0 {index * _BAND})")
        group.set("data-region", region)
        if len(found) >= _FEWEST_IN_A_BOX:
            group.append(_box([value for _, value in found], scale, score))
        group.extend(_swarm(found, scale, score))
        if not found:
            group.append(_text("not defined in any case", _BAND_START + 8, 26, class_="tick"))
        drawn.append(group)
    drawn.append(_text(score.title, scale((scale.low + scale.high) / 2), height + 32, anchor="middle"))
    counts = ", ".join(f"{region}: {counted(len(found), 'case')}" for region, found in points.items())
    return _chart(_WIDTH, height + 40, *drawn, label=f"{score.title} by region, a point a case; {counts}")


def _box(values: Sequence[float], scale: _Scale, score: Quantity) -> ET.Element:
    (stats,) = boxplot_stats(values)
    low, first, middle, third, high = (stats[name] for name in ("whislo", "q1", "med", "q3", "whishi"))
    left, right = scale(first), scale(third)
    return element(
        "g",
        element(
            "title",
            f"median {score.format(middle)}, quartiles {score.format(first)} and {score.format(third)}",
        ),
        _line(scale(low), 24, left, 24, class_="whisker"),
        _line(right, 24, scale(high), 24, class_="whisker"),
        element("rect", x=left, y=14, width=round(max(right - left, 1), 2), height=20, class_="box"),
        _line(scale(middle), 12, scale(middle), 36, class_="median"),
    )


def _swarm(points: Sequence[tuple[str, float]], scale: _Scale, score: Quantity) -> list[ET.Element]:
    """Points below the box; those that would cover each other are stacked, closer the more they are."""
    columns: dict[int, list[tuple[str, float]]] = {}
    for point in sorted(points, key=lambda point: point[1]):
        columns.setdefault(round(scale(point[1]) / (2 * _POINT)), []).append(point)
    tallest = max(map(len, columns.values()), default=1)
    step = min(2 * _POINT, 40 / tallest)
    return [
        element(
            "circle",
            element("title", f"{case}: {score.format(value)}"),
            cx=scale(value),
            cy=round(46 + step * position, 2),
            r=_POINT,
            class_="point",
        )
        for column in columns.values()
        for position, (case, value) in enumerate(column)
    ]


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
    across = _Scale(0, 1, _MARGIN, _MARGIN + _SQUARE)
    up = _Scale(0, 1, _SQUARE + 8, 8)
    drawn = []
    for tick in across.ticks(5):
        drawn += [
            _line(across(tick), up(0), across(tick), up(1), class_="grid"),
            _line(across(0), up(tick), across(1), up(tick), class_="grid"),
            _text(f"{tick:g}", across(tick), up(0) + 14, anchor="middle", class_="tick"),
            _text(f"{tick:g}", across(0) - 6, up(tick), anchor="end", class_="tick"),
        ]
    diagonal_line = _line(across(0), up(0), across(1), up(1), class_="diagonal")
    diagonal_line.append(element("title", diagonal))
    drawn.append(diagonal_line)
    for curve in curves:
        points = " ".join(f"{across(x):.1f},{up(y):.1f}" for x, y in zip(curve.x, curve.y, strict=True))
        group = element("g", element("polyline", points=points, class_="curve"), data_region=curve.region)
        for x, y, about in zip(curve.x, curve.y, curve.about, strict=bool(curve.about)):
            group.append(
                element("circle", element("title", about), cx=across(x), cy=up(y), r=4, class_="point")
            )
        drawn.append(group)
    drawn.append(_text(xlabel, across(0.5), up(0) + 33, anchor="middle"))
    turned = _text(ylabel, 0, 0, anchor="middle")
    turned.set("transform", f"translate(10 {up(0.5)}) rotate(-90)")
    drawn.append(turned)
    return _chart(_MARGIN + _SQUARE + 12, _SQUARE + 48, *drawn, label=label)


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


def _chart(
    width: float, height: float, *drawn: ET.Element, label: str, region: str | None = None
) -> ET.Element:
    return element(
        "svg",
        *drawn,
        viewBox=f"0 0 {format_number(width, decimals=0)} {format_number(height, decimals=0)}",
        class_="chart",
        role="img",
        aria_label=label,
        data_region=region,
    )


def _line(x1: float, y1: float, x2: float, y2: float, *, class_: str) -> ET.Element:
    return element("line", x1=x1, y1=y1, x2=x2, y2=y2, class_=class_)


def _text(
    text: str, x: float, y: float, *, anchor: str | None = None, class_: str | None = None
) -> ET.Element:
    # Moved down by a third of its size, which centers it in every browser and printer.
    return element("text", text, x=x, y=y, dy="0.35em", text_anchor=anchor, class_=class_)
