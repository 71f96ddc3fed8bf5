"""Formulas of masks on plain numbers, arrays and tensors.

Importing it brings NumPy and nothing that trains or draws.
"""

from lts.scores.overlap import accuracy, dice, iou, precision, recall, rvd, voe

__all__ = ["accuracy", "dice", "iou", "precision", "recall", "rvd", "voe"]
