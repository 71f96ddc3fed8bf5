"""Training whose validation and checkpoints are of averaged weights."""

from collections.abc import Sequence

from pytorch_lightning.callbacks import WeightAveraging
from torch import Tensor
from torch.optim.swa_utils import get_ema_multi_avg_fn

from lts.base import ConfigError


class AverageWeights(WeightAveraging):
    """Validates and saves an exponential moving average of the weights, in place of those of the last step.

    Statistics of batch norms are averaged likewise. Checkpoints hold the average as `state_dict`, and the
    weights that a resumed training goes on with as `current_model_state`. The average forgets faster while
    it is young, so that weights of the first steps do not stay in that of a short training: after `n` steps
    it keeps no more than `(1 + n) / (10 + n)` of itself.

    Args:
        decay: Share of the average that each step leaves, in [0, 1).

    Raises:
        ConfigError: `decay` is outside its range.

    Example:
        >>> from pytorch_lightning import Trainer
        >>> average = AverageWeights(decay=0.999)  # of some thousand steps, or the last tenth of fewer
        >>> trainer = Trainer(accelerator="cpu", logger=False, callbacks=[average])
    """

    def __init__(self, *, decay: float = 0.999) -> None:
        if not 0 <= decay < 1:
            raise ConfigError(f"decay: must be at least 0 and below 1, got {decay}")
        super().__init__(multi_avg_fn=self._average)
        self._decay = decay

    def _average(self, averages: Sequence[Tensor], current: Sequence[Tensor], steps: Tensor | int) -> None:
        decay = min(self._decay, (1 + int(steps)) / (10 + int(steps)))
        get_ema_multi_avg_fn(decay)(averages, current, steps)  # type: ignore[no-untyped-call]
