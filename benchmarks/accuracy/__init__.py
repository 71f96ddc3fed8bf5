"""How good models are after equal minutes on equal cores: lts, MONAI, segmentation_models and nnU-Net.

Every system trains on the same cases and stops by the same clock, and its masks are scored on each scan's own
grid with the same code. No case is held out to choose a checkpoint: the last weights are used.
"""
