"""A scan that lies on disk in another order or direction gets the same mask in the world, voxel for voxel."""

from collections.abc import Iterator
from itertools import permutations, product
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from lts.cohort import ArchiveLimits, find_scans
from lts.inference import Checkpoint, Predictor
from lts.intensity import Window
from lts.networks import UNet
from lts.slices import Recipe
from lts.volume import write_mask

ORDERS = [
    "".join(codes)
    for axes in permutations(("RL", "AP", "SI"))
    for codes in product(*axes)
]  # fmt: skip
TURNS_DEG = {"straight": (0, 0, 0), "oblique": (12, -17, 24), "very oblique": (40, 30, -35)}
GRID_FIELDS = (
    *("dim", "pixdim", "xyzt_units", "qform_code", "sform_code", "srow_x", "srow_y", "srow_z"),
    *("quatern_b", "quatern_c", "quatern_d", "qoffset_x", "qoffset_y", "qoffset_z"),
)
NO_ARCHIVE = ArchiveLimits(max_bytes=0, max_files=0)


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Layers as small as these wait for threads longer than they compute."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def predictor() -> Predictor:
    """A network of random weights, which treats no two directions alike, on slices of another size."""
    torch.manual_seed(0)
    network = UNet(in_channels=3, out_channels=2, width=4, depth=3, norm="instance", dropout=0.0).eval()
    torch.nn.init.constant_(network.head.bias, -0.2)
    torch.nn.init.normal_(network.head.weight)
    checkpoint = Checkpoint(
        path=Path("none"),
        network=network,
        intensity=Window(level_hu=40, width_hu=400),
        regions=("liver", "tumor"),
        recipe=Recipe(image_size=32, pixel_mm=None, modality="ct"),
        context=1,
        split={},
        config={},
        versions={},
    )
    return Predictor([checkpoint], device=torch.device("cpu"), batch_size=4)


def scan_on_disk(turn_deg: tuple[float, float, float]) -> nib.Nifti1Image:
    rng = np.random.default_rng(0)
    hu = (rng.random((22, 27, 9)) * 300 - 100).astype(np.int16)
    hu[5:16, 4:12, 2:7] += 150
    affine = np.eye(4)
    affine[:3, :3] = Rotation.from_euler("xyz", turn_deg, degrees=True).as_matrix() * (1.3, 1.1, 4.0)
    affine[:3, 3] = (-31.25, 12.5, 700)
    image = nib.Nifti1Image(hu, affine)
    image.set_sform(affine, code=2)
    image.set_qform(affine, code=1)
    image.header.set_xyzt_units("mm", "sec")
    return image


def predicted(image: nib.Nifti1Image, predictor: Predictor, folder: Path) -> nib.Nifti1Image:
    """The mask as a reader finds it, after the whole way from file to file."""
    nib.save(image, folder / "scan.nii.gz")
    (source,) = find_scans(folder / "scan.nii.gz", unpack_to=folder, limits=NO_ARCHIVE).sources
    scan = source.read(modality="ct")
    write_mask(folder / "mask.nii.gz", predictor.mask(scan), geometry=scan.geometry)
    return nib.load(folder / "mask.nii.gz")


@pytest.mark.parametrize("turn", TURNS_DEG)
def test_all_48_orders_of_the_axes_give_the_same_mask_in_the_world(
    turn: str, predictor: Predictor, tmp_path: Path
) -> None:
    assert len(set(ORDERS)) == 48
    image = scan_on_disk(TURNS_DEG[turn])
    as_it_is = predicted(image, predictor, tmp_path)
    expected = np.asarray(as_it_is.dataobj)
    assert all((expected == label).mean() > 0.02 for label in (0, 1, 2))
    own = nib.io_orientation(image.affine)
    for order in ORDERS:
        there = nib.orientations.ornt_transform(own, nib.orientations.axcodes2ornt(order))
        turned = image.as_reoriented(there)
        assert "".join(nib.aff2axcodes(turned.affine)) == order
        mask = predicted(turned, predictor, tmp_path)
        np.testing.assert_array_equal(mask.affine, nib.load(tmp_path / "scan.nii.gz").affine)
        back = mask.as_reoriented(nib.orientations.ornt_transform(nib.orientations.axcodes2ornt(order), own))
        np.testing.assert_allclose(back.affine, as_it_is.affine, atol=1e-4)
        np.testing.assert_array_equal(np.asarray(back.dataobj), expected, err_msg=order)


def test_a_mask_carries_all_that_its_scan_says_of_the_grid(predictor: Predictor, tmp_path: Path) -> None:
    for forms in ((1, 2), (0, 4), (3, 0)):
        image = scan_on_disk(TURNS_DEG["oblique"])
        image.header["qform_code"], image.header["sform_code"] = forms
        mask = predicted(image, predictor, tmp_path)
        assert mask.get_data_dtype() == np.uint8
        for name in GRID_FIELDS:
            np.testing.assert_array_equal(mask.header[name], image.header[name], err_msg=name)
