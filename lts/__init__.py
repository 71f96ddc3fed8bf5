"""Liver tumor segmentation in CT: train, sweep, score and deploy."""
