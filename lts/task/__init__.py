"""Training around any network: the LightningModule and its callbacks."""

from lts.task.averaging import AverageWeights
from lts.task.compiling import CompileNetwork
from lts.task.description import DescribeCheckpoint
from lts.task.divergence import WatchLoss
from lts.task.early_stopping import StopEarly
from lts.task.epochs import is_validated, scores_of_epoch
from lts.task.freezing import FreezeEncoder
from lts.task.history import EpochHistory, PrintEpochs
from lts.task.logs import PrintTimeLeft, WholeLogs
from lts.task.model_selection import Mode, mode_of, needs_region, score_names, standstill
from lts.task.module import SegmentationTask, parameter_groups
from lts.task.overlays import LogOverlays
from lts.task.resuming import ApplyNewSettings, SeedEpochs
from lts.task.storage import BestCheckpoint, WholeCheckpointIO
from lts.task.summary import LogSummary

__all__ = [
    "ApplyNewSettings",
    "AverageWeights",
    "BestCheckpoint",
    "CompileNetwork",
    "DescribeCheckpoint",
    "EpochHistory",
    "FreezeEncoder",
    "LogOverlays",
    "LogSummary",
    "Mode",
    "PrintEpochs",
    "PrintTimeLeft",
    "SeedEpochs",
    "SegmentationTask",
    "StopEarly",
    "WatchLoss",
    "WholeCheckpointIO",
    "WholeLogs",
    "is_validated",
    "mode_of",
    "needs_region",
    "parameter_groups",
    "score_names",
    "scores_of_epoch",
    "standstill",
]
