"""Scores that grow batch by batch on the device: overlap put together by case, ROC-AUC in constant memory."""

from lts.metrics.auroc import BinnedAUROC
from lts.metrics.overlap import CaseOverlap

__all__ = ["BinnedAUROC", "CaseOverlap"]
