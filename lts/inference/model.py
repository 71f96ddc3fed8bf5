"""A network with all that makes its predictions of scans: intensity, slices, regions, a first network."""

from dataclasses import dataclass

from torch import nn

from lts.base import ConfigError
from lts.intensity import Intensity
from lts.slices import Recipe

DEFAULT_BATCH_SIZE = 16


@dataclass(frozen=True, eq=False, kw_only=True)
class Model:
    """A network with everything between a scan and its probabilities.

    Attributes:
        network: Channels to logits, in evaluation mode.
        intensity: HU to channels, fitted.
        regions: Regions in channel order.
        recipe: How volumes become slices.
        context: Neighboring slices on each side.
        locator: The model of whole slices that finds the liver, for a recipe with a focus; else None.

    Raises:
        ConfigError: There is a locator without a focus or a focus without a locator, or the locator is not of
            the liver, of another modality, or needs one itself.

    Example:
        >>> from lts.intensity import Window
        >>> from lts.networks import UNet
        >>> model = Model(
        ...     network=UNet(in_channels=3, out_channels=1, width=4),
        ...     intensity=Window(level_hu=40, width_hu=400),
        ...     regions=("tumor",),
        ...     recipe=Recipe(image_size=256, pixel_mm=None, modality="ct"),
        ...     context=1,
        ... )
        >>> model.channels, model.batch_size
        (3, 16)
    """

    network: nn.Module
    intensity: Intensity
    regions: tuple[str, ...]
    recipe: Recipe
    context: int = 0
    locator: "Model | None" = None

    def __post_init__(self) -> None:
        locator, recipe = self.locator, self.recipe
        if (locator is None) != (recipe.focus is None):
            got = "none" if locator is None else f"a {locator.name} and a recipe without focus"
            raise ConfigError(
                f"locator: must be given where the recipe has a focus, and only there, got {got}"
            )
        if locator is None:
            return
        if recipe.focus not in locator.regions:
            raise ConfigError(
                f"locator: must find the {recipe.focus}, got one of {', '.join(locator.regions)}"
            )
        if locator.recipe.focus is not None:
            raise ConfigError("locator: must look at whole slices, got one with a focus")
        if locator.recipe.modality != recipe.modality:
            raise ConfigError(f"locator: must be for {recipe.modality}, got {locator.recipe.modality}")

    @property
    def name(self) -> str:
        """Its name in messages."""
        return type(self.network).__name__

    @property
    def channels(self) -> int:
        """Input channels of the network."""
        return self.intensity.channels * (2 * self.context + 1)

    @property
    def batch_size(self) -> int:
        """Slices that run at once unless told otherwise."""
        return DEFAULT_BATCH_SIZE
