"""Names of the columns and scores of a report, and the display of values."""

from typing import Any

from lts.evaluation.quantity import Quantity, is_defined
from lts.evaluation.report.markup import Cell, Child, Column, undefined
from lts.evaluation.table import find_score
from lts.scores.appearance import LOW_CONTRAST_HU, SMALL_MM

_NO_CT = "no CT was at hand"
_NO_LIVER = "the liver is not known"

COLUMNS = (
    Quantity("case", "Case", numeric=False),
    Quantity("region", "Region", "Liver includes its tumors.", numeric=False),
    Quantity(
        "slice", "Slice", "Axial slice with most of the lesion, counted from 1 at the feet.", decimals=0
    ),
    Quantity("row", "Row", "Of the middle of the lesion in it, counted from 1 at the front.", decimals=0),
    Quantity("column", "Column", "Of its middle there, counted from 1 at the patient's right.", decimals=0),
    Quantity("diameter_mm", "Diameter", "Diameter of the sphere of equal volume.", unit="mm", decimals=1),
    Quantity("volume_ml", "Volume", "Volume of the lesion.", unit="ml", decimals=2),
    Quantity("mean_hu", "Mean", "Mean in the lesion.", _NO_CT, "HU", decimals=0),
    Quantity(
        "contrast_hu",
        "Contrast",
        "Mean of the lesion minus the median of the liver around it.",
        "no CT was at hand, or too little liver lies around the lesion",
        "HU",
        decimals=0,
        signed=True,
    ),
    Quantity("texture_hu", "Texture", "Standard deviation in the lesion.", _NO_CT, "HU", decimals=0),
    Quantity(
        "edge_mm", "To edge", "Distance to the edge of the liver; negative outside of it.", _NO_LIVER, "mm", 1
    ),
    Quantity(
        "outside_share",
        "Outside liver",
        "Share of the lesion that lies outside the reference liver.",
        _NO_LIVER,
        decimals=2,
    ),
    Quantity(
        "elongation", "Elongation", "Ratio of the two longest axes: a tube has much more than 1.", decimals=1
    ),
    Quantity(
        "cause",
        "Likely cause",
        f"The first that applies. Of a miss: low contrast (below {LOW_CONTRAST_HU:g} HU), small (below "
        f"{SMALL_MM:g} mm), outside the liver. Of a false alarm: outside the liver, vessel-like (bright and "
        "long), bright or uneven texture, small, low contrast.",
        "only a failure has a cause",
        numeric=False,
    ),
)
"""Columns other than scores: case, region, and appearance of lesions."""

_COLUMNS = {column.name: column for column in COLUMNS}


def about(name: str) -> Quantity:
    """The definition of a score or column; an unknown one has just its name."""
    return _COLUMNS.get(name) or find_score(name)


def shown(quantity: Quantity, value: Any) -> Child:
    """A value, or a dash with the reason on hover."""
    if not is_defined(value):
        return undefined(quantity.why_undefined)
    return quantity.format(value) if quantity.numeric and isinstance(value, int | float) else str(value)


def cell(quantity: Quantity, value: Any) -> Cell:
    """A value as a cell of a table."""
    return Cell(shown(quantity, value), value if is_defined(value) else None)


def column(quantity: Quantity) -> Column:
    """The column of a table."""
    return Column(label=quantity.title, about=quantity.meaning, numeric=quantity.numeric)
