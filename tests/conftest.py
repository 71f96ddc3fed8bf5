"""What all tests share: where the real scans lie, and scans whose truth is known."""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from lts.cohort import Case
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
