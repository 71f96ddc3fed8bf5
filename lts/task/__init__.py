"""Training around any network: the LightningModule and its callbacks."""

from lts.task.callbacks import DescribeCheckpoint, EpochHistory, FreezeEncoder, LogOverlays
from lts.task.module import SegmentationTask, parameter_groups

__all__ = [
    "DescribeCheckpoint",
    "EpochHistory",
    "FreezeEncoder",
    "LogOverlays",
    "SegmentationTask",
    "parameter_groups",
]
