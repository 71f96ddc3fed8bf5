"""What a run learns from: slices, sampling, augmentation and loaders."""

from lts.data.augment import Augmentation
from lts.data.copied_tumors import copy_tumor
from lts.data.datamodule import (
    Batch,
    SliceDataModule,
    Subset,
    check_intensity,
    check_loading,
    fit_intensity,
)
from lts.data.dataset import SliceDataset
from lts.data.lesions import Lesion, collect_lesions, cut_lesions
from lts.data.sampler import SliceDraw, SliceSampler
from lts.data.synthetic_tumors import paint_tumor

__all__ = [
    "Augmentation",
    "Batch",
    "Lesion",
    "SliceDataModule",
    "SliceDataset",
    "SliceDraw",
    "SliceSampler",
    "Subset",
    "check_intensity",
    "check_loading",
    "collect_lesions",
    "copy_tumor",
    "cut_lesions",
    "fit_intensity",
    "paint_tumor",
]
