"""What all tests share: where the real scans lie, and scans whose truth is known."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from lts.cohort import Case
from lts.inference import CHECKPOINT_FORMAT
from lts.networks import UNet
from lts.slices import content_hash
from lts.volume import read_geometry, write_mask, write_volume

MakeCase = Callable[..., Case]


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real scans; a test that needs it skips where it is absent."""
    default = Path(__file__).parents[2] / "shared" / "data"
    folder = Path(os.environ.get("LTS_REAL_DATA", default))
    if not folder.is_dir():
        pytest.skip(f"real scans are not at {folder}; set LTS_REAL_DATA")
    return folder


@pytest.fixture
def make_case(tmp_path: Path) -> MakeCase:
    """Writes a scan with a liver of 100 HU and a tumor of 20 HU in soft tissue, asymmetric on all axes."""

    def make(
        name: str = "volume-0", *, depth: int = 6, side: int = 32, tumor: bool = True, seed: int = 0
    ) -> Case:
        rng = np.random.default_rng(seed)
        hu = np.full((side, side, depth), -1000, np.int16)  # toward the right, the front, the head
        labels = np.zeros_like(hu, np.uint8)
        hu[4:-4, 6:-2] = 50
        liver = (slice(side // 2, side - 6), slice(side // 3, side - 6), slice(1, depth - 1))
        hu[liver], labels[liver] = 100, 1
        if tumor:
            spot = (slice(side // 2 + 3, side // 2 + 8), slice(side // 2, side // 2 + 6), slice(2, depth - 2))
            hu[spot], labels[spot] = 20, 2
        hu += rng.integers(-5, 6, hu.shape, np.int16)
        affine = np.diag([1.5, 1.5, 4.0, 1.0])
        case = Case(name, name, tmp_path / f"{name}.nii.gz", tmp_path / f"{name}-mask.nii.gz")
        write_volume(case.image, hu, affine=affine)
        assert case.mask is not None
        geometry = read_geometry(case.image)
        write_mask(case.mask, geometry.to_canonical(labels), geometry=geometry)
        return case

    return make


@pytest.fixture
def make_checkpoint(tmp_path: Path) -> Callable[..., Path]:
    """Writes a checkpoint whose answer is known: liver above 75 HU, tumor above 150 HU."""

    def make(name: str = "model.ckpt", *, trained_on: Sequence[Path] = (), **changes: Any) -> Path:
        channels, width_hu = {"in_channels": 1, "out_channels": 2}, 400
        settings = {**channels, "width": 1, "depth": 2, "norm": "none", "dropout": 0.0}
        network = UNet(**settings)
        for parameter in network.parameters():
            torch.nn.init.zeros_(parameter)
        # The window goes straight through the upper level and its skip to the head.
        upper = (*network.encoder.levels[0].convs, *network.decoder.levels[0].block.convs)
        for conv in upper:
            conv.weight.data[0, 0, 1, 1] = 1
        network.head.weight.data[:] = width_hu
        network.head.bias.data[:] = torch.tensor([-75.0, -150.0])
        members = [
            {"case": path.name, "patient": path.name, "sha256": content_hash(path)} for path in trained_on
        ]
        description = {
            "format": CHECKPOINT_FORMAT,
            "regions": ["liver", "tumor"],
            "network": {"_target_": "lts.networks.UNet", **settings},
            "intensity": {"_target_": "lts.intensity.Window", "level_hu": width_hu / 2, "width_hu": width_hu},
            "intensity_state": {},
            "context": 0,
            "recipe": {"image_size": 32, "pixel_mm": None, "modality": "ct"},
            "split": {"train": members, "val": [], "test": []},
            "config": {"data": {"batch_size": 4}},
            "versions": {},
        }
        weights = {f"network.{key}": value for key, value in network.state_dict().items()}
        torch.save({"state_dict": weights, "lts": {**description, **changes}}, tmp_path / name)
        return tmp_path / name

    return make
