"""From a checkpoint to predictions."""

from lts.inference.checkpoint import (
    CHECKPOINT_FORMAT,
    Checkpoint,
    check_buildable,
    load_checkpoint,
    read_checkpoint,
)
from lts.inference.predictor import Predictor, SlabProbs

__all__ = [
    "CHECKPOINT_FORMAT",
    "Checkpoint",
    "Predictor",
    "SlabProbs",
    "check_buildable",
    "load_checkpoint",
    "read_checkpoint",
]
