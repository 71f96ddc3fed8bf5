"""What an exported file says of itself: all that is needed to run it on a scan."""

from typing import Any

import torch

from lts import __version__
from lts.base import AIR_HU, MASK_THRESHOLD
from lts.inference.checkpoint import Checkpoint
from lts.inference.model import Model
from lts.slices import Recipe, content_hash

EXPORT_FORMAT = 1
"""Increases when the meaning of the metadata, inputs or outputs changes."""

EXPORT_FORMAT_OF_TWO = 2
"""Of a network that sees what a locator found: who knows format 1 alone would run it on whole slices."""


def describe(
    checkpoint: Checkpoint, *, model: Model | None = None, locator: str | None = None
) -> dict[str, Any]:
    """The metadata of an exported file: all that is needed to run it on a scan, as plain types.

    Args:
        checkpoint: The checkpoint.
        model: The one of its models that the file holds; None for its own network.
        locator: Name of the locator's file, for a network that has one.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> from lts.inference import load_checkpoint, save_checkpoint
        >>> from lts.intensity import Window
        >>> from lts.networks import UNet
        >>> with TemporaryDirectory() as folder:
        ...     save_checkpoint(
        ...         f"{folder}/model.ckpt",
        ...         UNet(in_channels=1, out_channels=1, width=4),
        ...         intensity=Window(level_hu=40, width_hu=400),
        ...         regions=("tumor",),
        ...         recipe=Recipe(image_size=64, pixel_mm=None, modality="ct"),
        ...     )
        ...     metadata = describe(load_checkpoint(f"{folder}/model.ckpt"))
        >>> metadata["regions"], metadata["image_size"], metadata["threshold"]
        (['tumor'], 64, 0.5)
    """
    model = model or checkpoint
    recipe = model.recipe
    ct = recipe.modality == "ct"
    focus = {"focus": recipe.focus, "margin_mm": recipe.margin_mm, "locator": locator}
    return {
        "format": EXPORT_FORMAT_OF_TWO if recipe.focus else EXPORT_FORMAT,
        "regions": list(model.regions),
        "threshold": MASK_THRESHOLD,
        "context": model.context,
        "modality": recipe.modality,
        "lowest": AIR_HU if ct else None,
        "fill": recipe.fill,
        "image_size": recipe.image_size,
        "pixel_mm": recipe.pixel_mm,
        **(focus if recipe.focus else {}),
        "preprocessing": _preprocessing(recipe, model.context),
        "checkpoint_sha256": content_hash(checkpoint.path),
        "versions": {
            "lts": __version__,
            "torch": torch.__version__.split("+", maxsplit=1)[0],
        },
    }


def _preprocessing(recipe: Recipe, context: int) -> dict[str, str]:
    """The preprocessing from a scan to the graph's input, and the way back, in words."""
    size = recipe.image_size
    if recipe.modality == "ct":
        values = f"Hounsfield units; values below {AIR_HU} are lifted to it, fractions are rounded"
        rounding = "then values are rounded to whole HU, halves to even"
    else:
        values = "the scan's own scale"
        rounding = "then values are rounded, halves to even, where those of the whole scan are int16 numbers"
    pixel = (
        f"the longer side of the field of view divided by {size}"
        if recipe.pixel_mm is None
        else f"{recipe.pixel_mm:g} mm"
    )
    if recipe.focus:
        pixel = pixel.replace("the field of view", "the box with its margins")
    return {
        "axes": "slices from foot to head, rows from front to back, columns from the patient's right to left",
        "values": values,
        **(_preprocessing_of_focus(recipe) if recipe.focus else {}),
        "resize": (
            f"in plane to pixels of {pixel}: sides of round(pixels * spacing / pixel), at least 1; bilinear, "
            f"antialiased by a triangle as wide as two pixels of the coarser grid; {rounding}"
        ),
        "pad": (
            f"to {size} x {size} with {recipe.fill}, or cropped, "
            + (
                "so that the part begins at round((its begin - the square's) / pixel)"
                if recipe.focus
                else "alike at both ends, the odd pixel of a padding last and of a cropping first"
            )
        ),
        "neighbors": (
            f"{1 + 2 * context} slices from foot to head with the one in question in the middle; beyond the "
            f"ends of {'these slices the' if recipe.focus else 'the scan its'} outermost slice repeats"
        ),
        "back": (
            "undo the padding, 0 where it was cropped, resize probabilities by the same rule without "
            "rounding; label 2 where tumor exceeds the threshold, else 1 where liver does"
            + ("; 0 outside of the part and of these slices" if recipe.focus else "")
        ),
    }


def _preprocessing_of_focus(recipe: Recipe) -> dict[str, str]:
    return {
        "box": (
            "run the locator by its own metadata on each max(1, floor(5 mm / slice spacing))-th slice of the "
            "scan from the first on, and on the last, but leave its probabilities on its square: liver is "
            "where one exceeds the threshold; of these slices, each counted for as many as it is nearest to, "
            "take the largest 26-connected piece within the scan, all slices between those without it, and "
            "the rows and columns of the scan that it touches"
        ),
        "slices": (
            f"those of the box and ceil({recipe.margin_mm:g} mm / slice spacing) beyond, within the scan; "
            "without a box the mask is empty"
        ),
        "part": (
            f"a square of {recipe.image_size} pixels around the middle of the box; of each slice the rows "
            f"and columns that it touches; margins are {recipe.margin_mm:g} mm on every side"
        ),
    }
