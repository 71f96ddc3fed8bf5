"""Segmentation networks: images `(B, C, H, W)` in [0, 1] to logits `(B, R, H, W)`, a channel per region."""

from lts.networks.attention_unet import AttentionUNet
from lts.networks.blocks import Norm
from lts.networks.padded import Padded
from lts.networks.resnet50 import ResNet50Segmenter
from lts.networks.unet import UNet

__all__ = [
    "AttentionUNet",
    "Norm",
    "Padded",
    "ResNet50Segmenter",
    "UNet",
]
