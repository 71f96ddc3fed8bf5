"""Training around any network: the LightningModule and its callbacks."""

from lts.task.callbacks import DescribeCheckpoint, EpochHistory, FreezeEncoder, LogOverlays
from lts.task.compiling import CompileNetwork
from lts.task.epochs import is_validated, scores_of_epoch
from lts.task.logs import TellTimeLeft, WholeLogs
from lts.task.module import SegmentationTask, parameter_groups
from lts.task.storage import BestCheckpoint, WholeCheckpointIO

__all__ = [
    "BestCheckpoint",
    "CompileNetwork",
    "DescribeCheckpoint",
    "EpochHistory",
    "FreezeEncoder",
    "LogOverlays",
    "SegmentationTask",
    "TellTimeLeft",
    "WholeCheckpointIO",
    "WholeLogs",
    "is_validated",
    "parameter_groups",
    "scores_of_epoch",
]
