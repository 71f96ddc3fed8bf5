"""Liver tumor segmentation in CT: train, sweep, score and deploy."""

__version__ = "0.1.0"
