"""What the figures were measured on."""

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

from lts import __version__
from lts.base import usable_processors

PACKAGES = (
    "torch",
    "numpy",
    "pytorch-lightning",
    "torchmetrics",
    "albumentations",
    "opencv-python-headless",
    "monai",
    "segmentation-models-pytorch",
    "nnunetv2",
)


def machine_facts() -> dict[str, str]:
    """Processor, memory, device, system and versions, by name."""
    facts = {
        "processor": f"{_processor()}, {usable_processors()} cores",
        "memory": f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GiB",
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else "no CUDA device",
        "system": f"{platform.system()} {platform.machine()}, Python {platform.python_version()}",
    }
    return facts | {"lts": __version__} | {name: found for name in PACKAGES if (found := _version(name))}


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    features = next((line for line in lines if line.startswith("flags")), "").split()
    widest = next((name for name in ("amx_bf16", "avx512_bf16", "avx512f", "avx2") if name in features), "")
    return f"{names[0] if names else platform.processor()}{f' ({widest})' if widest else ''}"


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
