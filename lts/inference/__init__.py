"""From a checkpoint to predictions."""

from lts.inference.building import build, check_buildable
from lts.inference.checkpoint import (
    CHECKPOINT_FORMAT,
    Checkpoint,
    build_locator,
    cases_learned_from,
    load_checkpoint,
    locator_in,
    read_checkpoint,
)
from lts.inference.device import find_device
from lts.inference.dicom_objects import DICOM_NAMES, DicomChoice, DicomObjects, model_in_words
from lts.inference.export import (
    Exported,
    ServingModel,
    check_output,
    export_model,
    files_of,
)
from lts.inference.findings import Findings, FoundLesion, measure, number_lesions, prediction_warnings
from lts.inference.formats import find_format
from lts.inference.locating import Located
from lts.inference.masks import MaskBuilder, Postprocess
from lts.inference.metadata import describe
from lts.inference.model import Model
from lts.inference.precision import Precision
from lts.inference.predictor import Flip, Prediction, Predictor, SlabProbs
from lts.inference.saving import save_checkpoint

__all__ = [
    "CHECKPOINT_FORMAT",
    "DICOM_NAMES",
    "Checkpoint",
    "DicomChoice",
    "DicomObjects",
    "Exported",
    "Findings",
    "Flip",
    "FoundLesion",
    "Located",
    "MaskBuilder",
    "Model",
    "Postprocess",
    "Precision",
    "Prediction",
    "Predictor",
    "ServingModel",
    "SlabProbs",
    "build",
    "build_locator",
    "cases_learned_from",
    "check_buildable",
    "check_output",
    "describe",
    "export_model",
    "files_of",
    "find_device",
    "find_format",
    "load_checkpoint",
    "locator_in",
    "measure",
    "model_in_words",
    "number_lesions",
    "prediction_warnings",
    "read_checkpoint",
    "save_checkpoint",
]
