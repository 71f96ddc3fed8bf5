"""From a checkpoint to predictions."""

from lts.inference.checkpoint import (
    CHECKPOINT_FORMAT,
    Checkpoint,
    check_buildable,
    load_checkpoint,
    read_checkpoint,
)
from lts.inference.findings import Findings, FoundLesion, measure
from lts.inference.masks import MaskBuilder, Postprocess
from lts.inference.predictor import Flip, Prediction, Predictor, SlabProbs, find_device

__all__ = [
    "CHECKPOINT_FORMAT",
    "Checkpoint",
    "Findings",
    "Flip",
    "FoundLesion",
    "MaskBuilder",
    "Postprocess",
    "Prediction",
    "Predictor",
    "SlabProbs",
    "check_buildable",
    "find_device",
    "load_checkpoint",
    "measure",
    "read_checkpoint",
]
