"""Scans that show a part of the body twice: a body of blobs, 25 slices of which are 62.5 mm."""

from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

from lts.cohort.doctor.repeats import judge_repeats, repeat_mm
from lts.volume import Voxel, read_ct

VOXEL = Voxel.of_spacing((2.5, 12.0, 12.0))


def blobs(slices: int, seed: int = 0) -> np.ndarray:
    """Fat, gas and tissue that change within some 15 mm from slice to slice."""
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=(slices, 30, 30)), (6, 1, 1))
    return np.where(noise > 0, 40, np.where(noise > -np.abs(noise).mean(), -100, -800)).astype(np.int16)


def later(hu: np.ndarray) -> np.ndarray:
    """The phase after it: tissue is brighter."""
    return np.where(hu > 0, hu + 60, hu).astype(np.int16)


def test_two_phases_in_one_file_are_told_and_how_far_apart_they_lie() -> None:
    one = blobs(80)
    assert repeat_mm(one, voxel=VOXEL) is None
    assert repeat_mm(np.concatenate([one, blobs(80, seed=1)]), voxel=VOXEL) is None
    two = np.concatenate([one, later(one)])
    assert repeat_mm(two, voxel=VOXEL) == 200
    assert repeat_mm(np.concatenate([two, one]), voxel=VOXEL) == 200
    assert repeat_mm(two.repeat(2, 0).repeat(3, 1), voxel=Voxel.of_spacing((1.25, 4.0, 12.0))) == 200
    (finding,) = judge_repeats("a", two, voxel=VOXEL)
    assert finding.code == "content-repeats"
    assert finding.message.startswith("slices 200 mm apart are more alike than slices 20 mm apart")


def test_a_breath_between_two_phases_hides_nothing() -> None:
    one = blobs(80)
    assert repeat_mm(np.concatenate([one, later(one)[4:]]), voxel=VOXEL) == 190


@pytest.mark.parametrize(("slices", "told"), [(31, None), (32, 80)])
def test_80_mm_must_be_there_twice(slices: int, told: float | None) -> None:
    one = blobs(slices)
    assert repeat_mm(np.concatenate([one, later(one)]), voxel=VOXEL) == told


def test_slices_of_air_are_alike_and_tell_nothing() -> None:
    air = np.full((60, 30, 30), -1000, np.int16)
    assert repeat_mm(np.concatenate([air, blobs(80), air]), voxel=VOXEL) is None
    assert repeat_mm(np.concatenate([air, air]), voxel=VOXEL) is None


def test_a_phantom_of_one_shape_does_not_repeat() -> None:
    tube = np.full((120, 30, 30), -1000, np.int16)
    tube[:, 5:25, 5:25] = -60
    assert repeat_mm(tube, voxel=VOXEL) is None
    noise = np.random.default_rng(0).normal(0, 30, tube.shape)
    assert repeat_mm((tube + noise).astype(np.int16), voxel=VOXEL) is None


@pytest.mark.parametrize("name", ["lits_real/volume-1", "lits_real/volume-2", "lits_more/volume-117"])
def test_real_scans_repeat_where_they_are_joined_alone(real_data: Path, name: str) -> None:
    scan = read_ct(real_data / f"{name}.nii.gz")
    voxel, hu = scan.geometry.voxel, scan.voxels
    assert repeat_mm(hu, voxel=voxel) is None
    breath = round(10 / voxel.gaps_mm[0])
    assert repeat_mm(np.concatenate([hu, later(hu)[breath:]]), voxel=voxel) is not None
