"""What charts are drawn with: scales, lines and texts of SVG, with the page's fonts."""

from dataclasses import dataclass
from xml.etree import ElementTree as ET

from matplotlib.ticker import MaxNLocator

from lts.evaluation.quantity import format_number
from lts.evaluation.report.markup import element

POINT = 3.5
"""Radius of the point of a case."""


@dataclass(frozen=True)
class Scale:
    """From values to places along an axis, and its ticks."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        """The place of a value."""
        share = (value - self.low) / (self.high - self.low)
        return round(self.start + share * (self.end - self.start), 2)

    def ticks(self, most: int) -> list[float]:
        """At most about as many round values."""
        found = MaxNLocator(most, steps=[1, 2, 2.5, 5, 10]).tick_values(self.low, self.high)
        slack = 1e-9 * (self.high - self.low)
        return [float(tick) for tick in found if self.low - slack <= tick <= self.high + slack]


def chart(
    width: float, height: float, *drawn: ET.Element, label: str, region: str | None = None
) -> ET.Element:
    """A drawing that is as wide as the page allows; `label` tells what it shows."""
    return element(
        "svg",
        *drawn,
        viewBox=f"0 0 {format_number(width, decimals=0)} {format_number(height, decimals=0)}",
        class_="chart",
        role="img",
        aria_label=label,
        data_region=region,
    )


def line(x1: float, y1: float, x2: float, y2: float, *, class_: str) -> ET.Element:
    """A line."""
    return element("line", x1=x1, y1=y1, x2=x2, y2=y2, class_=class_)


def text(
    text: str, x: float, y: float, *, anchor: str | None = None, class_: str | None = None
) -> ET.Element:
    """A text, whose middle is at `y`."""
    # Moved down by a third of its size, which centers it in every browser and printer.
    return element("text", text, x=x, y=y, dy="0.35em", text_anchor=anchor, class_=class_)
