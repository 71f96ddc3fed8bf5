"""What of a scan a network sees: some of its slices, laid on squares."""

from dataclasses import dataclass

from lts.slices.box import Box
from lts.slices.plane import PlaneFit, fit_plane
from lts.slices.recipe import Recipe


@dataclass(frozen=True)
class View:
    """The slices of a scan that are seen, and how they are laid out.

    Attributes:
        first: The first slice, from the feet up.
        stop: The one after the last.
        plane: From slices to squares, and back.

    Example:
        >>> view_of((40, 100, 100), (4.0, 1, 1), Recipe(image_size=64)).depth
        40
    """

    first: int
    stop: int
    plane: PlaneFit

    @property
    def depth(self) -> int:
        """How many slices are seen."""
        return self.stop - self.first


def view_of(
    shape: tuple[int, ...], spacing_mm: tuple[float, float, float], recipe: Recipe, *, box: Box | None = None
) -> View:
    """What a recipe shows of a scan, in training as in serving.

    Args:
        shape: Voxels of the scan, `(Z, H, W)`.
        spacing_mm: Between them, along the same axes.
        recipe: How volumes become slices.
        box: The box of its focus; None shows the whole scan.

    Example:
        >>> recipe = Recipe(image_size=64, focus="liver", margin_mm=10)
        >>> view = view_of((40, 100, 100), (4.0, 1, 1), recipe, box=Box((10, 20), (30, 60), (40, 84)))
        >>> view.first, view.stop, view.plane.pixel_mm
        (7, 23, 1.0)
    """
    depth, height, width = shape
    first, stop = 0, depth
    if box is not None:
        first, stop = box.slices_with_margin(depth=depth, slice_mm=spacing_mm[0], margin_mm=recipe.margin_mm)
    plane = fit_plane(
        (height, width),
        spacing_mm[1:],
        image_size=recipe.image_size,
        pixel_mm=recipe.pixel_mm,
        box=box,
        margin_mm=recipe.margin_mm,
    )
    return View(first=first, stop=stop, plane=plane)
