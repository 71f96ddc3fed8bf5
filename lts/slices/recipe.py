"""What shapes the content of a store of slices."""

import hashlib
import json
from dataclasses import asdict, dataclass

from lts.base import AIR_HU, CANONICAL_AXES, LABELS, Modality

STORE_FORMAT = 1


@dataclass(frozen=True)
class Recipe:
    """How volumes become slices.

    Attributes:
        image_size: Side of a slice in pixels.
        pixel_mm: Side of a pixel; None fits the field of view to the slice.
        modality: `ct` (Hounsfield units) or `mr` (its own scale).

    Example:
        >>> recipe = Recipe(image_size=256, pixel_mm=None, modality="ct")
        >>> recipe.fill, recipe.folder_name
        (-1024, 'ct-256-d1dfba354614')
    """

    image_size: int
    pixel_mm: float | None
    modality: Modality

    @property
    def fill(self) -> int:
        """What lies outside the field of view."""
        return AIR_HU if self.modality == "ct" else 0

    def to_dict(self) -> dict[str, object]:
        """All that shapes the content, as plain types."""
        rules = {"format": STORE_FORMAT, "axes": "".join(CANONICAL_AXES), "labels": list(LABELS)}
        return {**rules, **asdict(self)}

    @property
    def folder_name(self) -> str:
        """A name that changes with the content."""
        digest = hashlib.sha256(json.dumps(self.to_dict(), sort_keys=True).encode()).hexdigest()
        return f"{self.modality}-{self.image_size}-{digest[:12]}"
