"""Names of columns and scores, and the format of their values."""

import math
from dataclasses import dataclass

_MINUS = "\N{MINUS SIGN}"


@dataclass(frozen=True)
class Quantity:
    """A column of tables.

    Attributes:
        name: In files.
        label: The label, without its unit.
        meaning: A sentence; empty if unknown, or if its table explains it.
        why_undefined: Why it may have no value.
        unit: Of its values, empty for none.
        decimals: Digits after the point.
        signed: Whether a plus is written.
        numeric: Whether its values are numbers.
    """

    name: str
    label: str
    meaning: str = ""
    why_undefined: str = "there is nothing to compute it from"
    unit: str = ""
    decimals: int = 3
    signed: bool = False
    numeric: bool = True

    @property
    def title(self) -> str:
        """The label with its unit."""
        return f"{self.label} ({self.unit})" if self.unit else self.label

    def format(self, value: float) -> str:
        """Format a value without its unit."""
        return format_number(value, decimals=self.decimals, signed=self.signed)


def is_defined(value: object) -> bool:
    """Whether a value can be shown; None, NaN and infinite numbers cannot."""
    return value is not None and not (isinstance(value, float) and not math.isfinite(value))


def format_number(value: float, *, decimals: int, signed: bool = False) -> str:
    """A number with a true minus, a plus where `signed`, and never a negative zero."""
    text = f"{value:+.{decimals}f}" if signed else f"{value:.{decimals}f}"
    if float(text) == 0:
        text = text.lstrip("+-")
    return text.replace("-", _MINUS)
