"""What shapes the content of a store of slices."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, Self, get_args

from lts.base import AIR_HU, CANONICAL_AXES, LABELS, CheckpointError, Modality, shown
from lts.slices.box import check_margin

STORE_FORMAT = 1
Focus = Literal["liver"]

_WITHOUT_FOCUS = ("image_size", "modality", "pixel_mm")
_OF_FOCUS = ("focus", "margin_mm")


@dataclass(frozen=True)
class Recipe:
    """How volumes become slices.

    Attributes:
        image_size: Side of a slice in pixels.
        pixel_mm: Side of a pixel; None fits the field of view to the slice.
        modality: `ct` (Hounsfield units) or `mr` (its own scale).
        focus: `liver` for the slices and the square that hold it, None for whole slices.
        margin_mm: What is seen beyond the box of the focus, on every side of it; 0 without one.

    Example:
        >>> recipe = Recipe(image_size=256, pixel_mm=None, modality="ct")
        >>> recipe.fill, recipe.folder_name
        (-1024, 'ct-256-d1dfba354614')
        >>> Recipe(image_size=160, focus="liver", margin_mm=20).folder_name
        'ct-liver-160-769abc246cd8'
    """

    image_size: int = 256
    pixel_mm: float | None = None
    modality: Modality = "ct"
    focus: Focus | None = None
    margin_mm: float = 0.0

    @property
    def fill(self) -> int:
        """What lies outside the field of view."""
        return AIR_HU if self.modality == "ct" else 0

    def to_dict(self) -> dict[str, object]:
        """All that shapes the content, as plain types."""
        rules = {"format": STORE_FORMAT, "axes": "".join(CANONICAL_AXES), "labels": list(LABELS)}
        return {**rules, **self.describe()}

    def describe(self) -> dict[str, object]:
        """Its attributes as plain types; those of a focus only where there is one."""
        attributes = asdict(self)
        if self.focus is None:
            return {name: attributes[name] for name in attributes if name not in _OF_FOCUS}
        return attributes

    @classmethod
    def from_description(cls, described: Mapping[str, Any]) -> Self:
        """The recipe that `describe` told of; no default completes it.

        Raises:
            CheckpointError: An attribute is missing or unknown, or those of the focus break their rule.
        """
        given = {**described} if "focus" in described else {**described, "focus": None, "margin_mm": 0.0}
        if set(given) != {*_WITHOUT_FOCUS, *_OF_FOCUS}:
            names = (*_WITHOUT_FOCUS, *(_OF_FOCUS if "focus" in described else ()))
            raise CheckpointError(
                f"recipe must have {', '.join(names)}, got {', '.join(map(str, described))}"
            )
        recipe = cls(**given)
        if recipe.focus not in (None, *get_args(Focus)):
            raise CheckpointError(f"recipe.focus must be liver or none, got {shown(recipe.focus)}")
        if not isinstance(recipe.margin_mm, int | float):
            raise CheckpointError(f"recipe.margin_mm must be a number, got {shown(recipe.margin_mm)}")
        check_margin(recipe.margin_mm)
        return recipe

    @property
    def folder_name(self) -> str:
        """A name that changes with the content."""
        digest = hashlib.sha256(json.dumps(self.to_dict(), sort_keys=True).encode()).hexdigest()
        focus = f"{self.focus}-" if self.focus else ""
        return f"{self.modality}-{focus}{self.image_size}-{digest[:12]}"
