"""What all tests share: where the real scans lie, and scans whose truth is known."""

import os
import random
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

# Tests fork, and a pool of OpenMP threads does not survive that: a forked worker may wait for ever.
os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np
import pytest
import torch
from dicom_kit import Phantoms
from hypothesis import HealthCheck, settings

from lts.cohort import Case
from lts.inference import CHECKPOINT_FORMAT
from lts.inference.building import build
from lts.slices import content_hash
from lts.volume import read_geometry, write_mask, write_volume

# The same examples in every run; how long one takes tells of the machine and what else it does.
settings.register_profile(
    "same-everywhere", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("same-everywhere")

MakeCase = Callable[..., Case]
MakeContent = Callable[..., dict[str, Any]]

NETWORK = {
    "_target_": "lts.networks.UNet",
    "in_channels": 2,
    "out_channels": 2,
    "width": 4,
    "depth": 2,
    "norm": "batch",
    "dropout": 0.0,
}
INTENSITY = {
    "_target_": "lts.intensity.Channels",
    "channels": [
        {"_target_": "lts.intensity.Window", "level_hu": 50, "width_hu": 200},
        {"_target_": "lts.intensity.HistogramEqualization", "low_hu": -200, "high_hu": 300},
    ],
}


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup() -> None:
    """Have each test draw the same random numbers, whatever ran before it in its process."""
    random.seed(0)
    np.random.seed(0)  # noqa: NPY002  of libraries
    torch.manual_seed(0)


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


@pytest.fixture(scope="session")
def make_content() -> MakeContent:
    """Makes what a checkpoint of an untrained network holds.

    Called with what the description says instead, and with the specs that weights and state are made from.
    """

    def make(
        described: Mapping[str, Any] | None = None,
        *,
        network: Mapping[str, Any] = NETWORK,
        intensity: Mapping[str, Any] = INTENSITY,
    ) -> dict[str, Any]:
        torch.manual_seed(0)
        fitted = build(intensity)
        fitted.fit(torch.arange(4096), {"liver": torch.ones(4096, dtype=torch.int64)})
        description = {
            "format": CHECKPOINT_FORMAT,
            "regions": ["liver", "tumor"],
            "network": dict(network),
            "intensity": dict(intensity),
            "intensity_state": fitted.state_dict(),
            "context": 0,
            "recipe": {"image_size": 32, "pixel_mm": None, "modality": "ct"},
            "split": {"train": [], "val": [], "test": []},
            "config": {"data": {"batch_size": 4}},
            "versions": {"torch": "2.8"},
        }
        weights = {f"network.{name}": value for name, value in build(network).state_dict().items()}
        return {"state_dict": weights, "lts": {**description, **(described or {})}}

    return make


@pytest.fixture
def make_checkpoint(tmp_path: Path, make_content: MakeContent) -> Callable[..., Path]:
    """Writes a checkpoint whose answer is known: liver above 75 HU, tumor above 150 HU."""

    def make(name: str = "model.ckpt", *, trained_on: Sequence[Path] = (), **described: Any) -> Path:
        width_hu = 400
        members = [
            {"case": path.name, "patient": path.name, "sha256": content_hash(path)} for path in trained_on
        ]
        content = make_content(
            {"split": {"train": members, "val": [], "test": []}, **described},
            network={**NETWORK, "in_channels": 1, "width": 1, "norm": "none"},
            intensity={"_target_": "lts.intensity.Window", "level_hu": width_hu / 2, "width_hu": width_hu},
        )
        weights = content["state_dict"]
        for tensor in weights.values():
            tensor.zero_()
        # The window goes straight through the upper level and its skip to the head.
        for block in ("encoder.levels.0", "decoder.levels.0.block"):
            for conv in (0, 1):
                weights[f"network.{block}.convs.{conv}.weight"][0, 0, 1, 1] = 1
        weights["network.head.weight"].fill_(width_hu)
        weights["network.head.bias"].copy_(torch.tensor([-75.0, -150.0]))
        torch.save(content, tmp_path / name)
        return tmp_path / name

    return make


@pytest.fixture
def phantoms(tmp_path: Path) -> Phantoms:
    """Writes DICOM series of a few voxels into the test's folder."""
    return Phantoms(tmp_path)
