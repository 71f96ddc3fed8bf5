"""The script of the documentation, which knows nothing of lts, against what lts predicts."""

import importlib.util
import json
import subprocess
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from scipy import ndimage
from torch.nn import functional as F

from lts.base import AIR_HU
from lts.inference import Checkpoint, Predictor, export_model, load_checkpoint, save_checkpoint
from lts.phantom import make_phantom
from lts.slices import Box, Recipe, fit_plane, lay_on_plane
from lts.volume import Geometry, Volume, read_ct

SCRIPT = Path(__file__).parents[2] / "docs" / "run_onnx.py"
SIDE = 48
NETWORK = {
    "_target_": "lts.networks.UNet",
    "in_channels": 3,
    "out_channels": 2,
    "width": 4,
    "depth": 3,
    "norm": "batch",
    "dropout": 0.0,
}
CT = {"_target_": "lts.intensity.Window", "level_hu": 40, "width_hu": 400}
MR = {"_target_": "lts.intensity.MRPercentiles", "lower_percent": 1, "upper_percent": 99}


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("run_onnx", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def make_model(make_content, tmp_path_factory):
    """Makes a checkpoint that finds regions of about a third of a phantom, and its ONNX file, once each."""

    @cache
    def make(
        modality: str = "ct", *, pixel_mm: float | None = None, regions: tuple[str, ...] = ("liver", "tumor")
    ) -> tuple[Checkpoint, Path]:
        described = {
            "context": 1,
            "regions": list(regions),
            "recipe": {"image_size": SIDE, "pixel_mm": pixel_mm, "modality": modality},
        }
        network = {**NETWORK, "out_channels": len(regions)}
        content = make_content(described, network=network, intensity=CT if modality == "ct" else MR)
        weights = content["state_dict"]
        weights["network.head.weight"] *= 3
        folder = tmp_path_factory.mktemp("model")
        torch.save(content, folder / "model.ckpt")
        checkpoint = load_checkpoint(folder / "model.ckpt")
        slices = torch.from_numpy(make_phantom(seed=2, matrix=SIDE).hu[30:42])
        with torch.no_grad():
            channels = checkpoint.intensity(slices[:, None]).repeat(1, 3, 1, 1)
            logits = checkpoint.network(channels)
            weights["network.head.bias"] -= logits.transpose(0, 1).flatten(1).quantile(0.67, dim=1)
        torch.save(content, folder / "model.ckpt")
        checkpoint = load_checkpoint(folder / "model.ckpt")
        export_model(checkpoint, folder / "model.onnx", format_name="onnx", slices=slices, overwrite=False)
        return checkpoint, folder / "model.onnx"

    return make


@dataclass(frozen=True)
class Predicted:
    """Labels of lts, and how far the nearest of a voxel's probabilities lies from the threshold."""

    labels: np.ndarray
    margin: np.ndarray


def predicted(checkpoint: Checkpoint, scan: Volume) -> Predicted:
    predictor = Predictor([checkpoint], device=torch.device("cpu"), batch_size=8)
    probs = np.concatenate([slab.probs.numpy() for slab in predictor.slabs(scan)])
    labels = np.zeros(scan.voxels.shape, np.uint8)
    for channel, region in enumerate(checkpoint.regions):
        labels[probs[:, channel] > 0.5] = {"liver": 1, "tumor": 2}[region]
    return Predicted(labels, np.abs(probs - 0.5).min(axis=1))


def volume(voxels: np.ndarray, spacing_mm: tuple[float, float, float]) -> Volume:
    """A scan whose file has the axes of memory the other way round: toward the left, the back, the head."""
    depth, height, width = voxels.shape
    depth_mm, row_mm, column_mm = spacing_mm
    affine = np.diag([-column_mm, -row_mm, depth_mm, 1.0])
    return Volume(voxels, Geometry.from_affine(affine, shape=(width, height, depth)))


def run(script: ModuleType, path: Path, scan: np.ndarray, spacing_mm: tuple[float, float]) -> np.ndarray:
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    metadata = json.loads(session.get_modelmeta().custom_metadata_map["lts"])
    return script.segment(session, metadata, scan, spacing_mm=spacing_mm, batch_size=5)


def check_same(labels: np.ndarray, expected: Predicted) -> None:
    """But for a few voxels near the threshold: a value between two whole HU may be rounded to either."""
    assert labels.dtype == np.uint8
    assert labels.shape == expected.labels.shape
    assert 0.1 < (expected.labels > 0).mean() < 0.9
    differ = labels != expected.labels
    assert differ.mean() < 5e-4
    assert not differ.any() or expected.margin[differ].max() < 0.01


@pytest.mark.slow
@pytest.mark.parametrize(
    ("rows", "spacing_mm", "pixel_mm"),
    [
        (70, (6.0, 6.0), None),  # shrinks
        (64, (7.0, 6.0), 10.0),  # shrinks and is padded in one direction more than in the other
        (64, (7.0, 6.0), 5.5),  # is cropped
        (40, (6.0, 9.0), None),  # grows in one direction, shrinks in the other
        (SIDE, (6.0, 6.0), None),  # stays as it is
    ],
)
def test_its_masks_are_those_of_lts(
    script: ModuleType, make_model, rows: int, spacing_mm: tuple[float, float], pixel_mm: float | None
) -> None:
    columns = SIDE if rows == SIDE else 64
    hu = make_phantom(seed=2, matrix=72).hu[26:47, :rows, :columns]
    checkpoint, path = make_model(pixel_mm=pixel_mm)
    expected = predicted(checkpoint, volume(np.maximum(hu, AIR_HU), (3.0, *spacing_mm)))
    check_same(run(script, path, hu, spacing_mm), expected)


@pytest.mark.slow
@pytest.mark.parametrize("fractions", [False, True])
def test_masks_of_mr_are_those_of_lts(script: ModuleType, make_model, fractions: bool) -> None:
    signal = make_phantom(seed=2, matrix=70).hu[26:47].astype(np.int16) + 1024
    scan = (signal * 0.37).astype(np.float32) if fractions else signal
    checkpoint, path = make_model("mr")
    expected = predicted(checkpoint, volume(scan, (3.0, 6.0, 6.0)))
    check_same(run(script, path, scan.astype(np.float64), (6.0, 6.0)), expected)


@pytest.mark.slow
def test_a_model_of_tumors_alone_labels_them_2(script: ModuleType, make_model) -> None:
    hu = np.maximum(make_phantom(seed=2, matrix=SIDE).hu[30:42], AIR_HU)
    checkpoint, path = make_model(regions=("tumor",))
    labels = run(script, path, hu, (6.0, 6.0))
    assert set(np.unique(labels)) == {0, 2}
    check_same(labels, predicted(checkpoint, volume(hu, (3.0, 6.0, 6.0))))


@pytest.mark.slow
def test_a_real_scan_is_segmented_as_by_lts(script: ModuleType, make_model, real_data: Path) -> None:
    scan = read_ct(real_data / "full_size" / "volume-1.nii.gz")
    some = Volume(np.ascontiguousarray(scan.voxels[60:84]), scan.geometry)
    checkpoint, path = make_model()
    _, row_mm, column_mm = scan.geometry.spacing_mm
    check_same(run(script, path, some.voxels, (row_mm, column_mm)), predicted(checkpoint, some))


@pytest.mark.slow
def test_it_runs_by_itself_where_neither_lts_nor_torch_is(
    script: ModuleType, make_model, tmp_path: Path
) -> None:
    _, path = make_model()
    hu = make_phantom(seed=2, matrix=70).hu[30:38]
    np.save(tmp_path / "scan.npy", hu)
    alone = (
        "import runpy, sys; sys.modules.update(lts=None, torch=None, onnx=None, scipy=None); "
        f"runpy.run_path({str(SCRIPT)!r}, run_name='__main__')"
    )
    line = [sys.executable, "-c", alone, str(path), "scan.npy", "mask.npy", "--spacing-mm", "6", "5"]
    done = subprocess.run(line, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    np.testing.assert_array_equal(np.load(tmp_path / "mask.npy"), run(script, path, hu, (6.0, 5.0)))

    np.save(tmp_path / "scan.npy", hu[0])
    done = subprocess.run(line, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "the scan must be (Z, H, W) of finite numbers" in done.stderr


@pytest.mark.parametrize(("old", "new"), [(512, 128), (70, 48), (48, 70), (33, 7), (5, 5), (9, 1), (1, 4)])
def test_its_filter_is_the_antialiased_bilinear_one_of_torch(script: ModuleType, old: int, new: int) -> None:
    image = torch.rand(1, 1, old, 4, generator=torch.Generator().manual_seed(0))
    expected = F.interpolate(image, size=(new, 4), mode="bilinear", antialias=True)[0, 0]
    weights = script.triangle_filter(old, new)
    assert weights.dtype == np.float32
    np.testing.assert_allclose(weights @ image[0, 0].numpy(), expected, atol=1e-6)


@pytest.mark.parametrize(
    ("shape", "spacing_mm", "pixel_mm"),
    [((51, 40), (1.0, 1.0), None), ((51, 40), (0.7, 1.2), 0.9), ((31, 30), (1.0, 1.0), 1.0)],
)
def test_it_lays_slices_as_training_does(
    script: ModuleType, shape: tuple[int, int], spacing_mm: tuple[float, float], pixel_mm: float | None
) -> None:
    hu = np.random.default_rng(0).integers(-1000, 1000, (3, *shape), np.int16)
    plane = fit_plane(shape, spacing_mm, image_size=SIDE - 3, pixel_mm=pixel_mm)
    metadata = {"image_size": SIDE - 3, "pixel_mm": pixel_mm, "fill": AIR_HU}
    lay = script.Plane(shape, spacing_mm, metadata).lay
    raw = lay(hu.astype(np.float32), whole=False)
    np.testing.assert_allclose(raw, plane.apply(torch.from_numpy(hu), fill=AIR_HU), atol=1e-3)
    laid = lay(hu.astype(np.float32), whole=True)
    off = np.abs(laid - lay_on_plane(hu, plane, fill=AIR_HU).numpy())
    assert laid.dtype == np.float32
    assert off.max() <= 1  # halves may be rounded either way
    assert (off > 0).mean() < 5e-4


@pytest.mark.parametrize("pixel_mm", [None, 1.5, 4.0])
@pytest.mark.parametrize("rows", [(3, 12), (0, 5), (20, 51)])
def test_it_lays_a_part_of_a_slice_as_training_does(
    script: ModuleType, pixel_mm: float | None, rows: tuple[int, int]
) -> None:
    hu = np.random.default_rng(0).integers(-1000, 1000, (3, 51, 40), np.int16)
    box = Box(slices=(0, 3), rows=rows, columns=(22, 40))
    settings = {"image_size": SIDE - 3, "pixel_mm": pixel_mm, "margin_mm": 7}
    plane = fit_plane((51, 40), (2.0, 1.2), box=box, **settings)
    own = script.Plane((51, 40), (2.0, 1.2), {**settings, "fill": AIR_HU}, box=(box.rows, box.columns))
    raw = own.lay(hu.astype(np.float32), whole=False)
    np.testing.assert_allclose(raw, plane.apply(torch.from_numpy(hu), fill=AIR_HU), atol=2e-3)
    probs = np.random.default_rng(1).random((2, 2, SIDE - 3, SIDE - 3), np.float32)
    np.testing.assert_allclose(own.bring_back(probs), plane.invert(torch.from_numpy(probs)), atol=1e-5)
    coarse = fit_plane((51, 40), (2.0, 1.2), image_size=SIDE, pixel_mm=pixel_mm)
    same = script.Plane((51, 40), (2.0, 1.2), {"image_size": SIDE, "pixel_mm": pixel_mm, "fill": AIR_HU})
    assert same.on_square == list(coarse.on_square)
    first_row, first_column = (side.start for side in same.on_square)
    assert same.to_scan((2, 5), (1, 9)) == coarse.to_source(
        (first_row + 2, first_row + 5), (first_column + 1, first_column + 9)
    )


@pytest.mark.parametrize("seed", range(8))
def test_its_largest_piece_is_that_of_scipy(script: ModuleType, seed: int) -> None:
    rng = np.random.default_rng(seed)
    mask = ndimage.binary_opening(rng.random((9, 21, 26)) < 0.62) if seed else np.zeros((2, 3, 4), bool)
    if seed == 1:  # as long as it is thin: numbers travel far
        mask[:] = False
        mask[0, :, 0] = mask[1, 20, 1:] = mask[2, 3, 5:9] = True
    labels, count = ndimage.label(mask, structure=np.ones((3, 3, 3)))
    found = script.box_of_largest(mask)
    if not count:
        assert found is None
        return
    largest = ndimage.find_objects(labels)[int(np.argmax(np.bincount(labels.ravel())[1:]))]
    assert found == tuple((side.start, side.stop) for side in largest)


def test_slices_that_count_more_make_a_piece_the_largest(script: ModuleType) -> None:
    mask = np.zeros((5, 4, 4), bool)
    mask[0, :2, :3] = mask[3, 1:3, 1:3] = True  # 6 voxels and 4
    assert script.box_of_largest(mask) == ((0, 1), (0, 2), (0, 3))
    counted = np.array([1.5, 3, 3, 3, 1.5])  # 9 and 12
    assert script.box_of_largest(mask, counted=counted) == ((3, 4), (1, 3), (1, 3))


@pytest.mark.slow
def test_two_networks_are_run_as_by_lts(script: ModuleType, make_checkpoint: Any, tmp_path: Path) -> None:
    whole = load_checkpoint(make_checkpoint(recipe={"image_size": SIDE, "pixel_mm": None, "modality": "ct"}))
    save_checkpoint(
        tmp_path / "both.ckpt",
        whole.network,
        intensity=whole.intensity,
        regions=whole.regions,
        recipe=Recipe(image_size=40, focus="liver", margin_mm=9),
        locator=whole,
    )
    checkpoint = load_checkpoint(tmp_path / "both.ckpt")
    hu = np.full((14, 60, 90), 20, np.int16)
    hu[3:9, 8:32, 51:86] = 100  # 75 HU is liver, 150 HU is tumor
    hu[5:8, 12:20, 60:70] = 220
    hu[11:13, 40:50, 5:20] = 90  # a smaller piece elsewhere
    hu += np.random.default_rng(0).integers(-4, 5, hu.shape, np.int16)
    exported = export_model(
        checkpoint,
        tmp_path / "liver.onnx",
        format_name="onnx",
        slices=torch.zeros(2, 40, 40),
        locator_slices=torch.zeros(2, SIDE, SIDE),
        overwrite=False,
    )
    assert exported.locator is not None
    models = [script.open_model(path) for path in (exported.path, exported.locator.path)]
    scans = [(scan, 5.0) for scan in (hu, hu[:, ::-1, ::-1], hu[5:6], hu[9:10])]
    for scan, slice_mm in (*scans, (np.repeat(hu, 3, axis=0)[:-1], 1.7)):
        labels = script.segment_closely(
            *models[0], *models[1], scan, slice_mm=slice_mm, spacing_mm=(2.0, 1.5), batch_size=4
        )
        expected = predicted(checkpoint, volume(np.ascontiguousarray(scan), (slice_mm, 2.0, 1.5)))
        assert (expected.labels.max() > 0) == (len(scan) > 1 or scan.max() > 200)
        differ = labels != expected.labels
        assert differ.mean() < 1e-3
    np.save(tmp_path / "scan.npy", hu)
    line = [sys.executable, str(SCRIPT), "liver.onnx", "scan.npy", "mask.npy", "--spacing-mm", "2", "1.5"]
    done = subprocess.run(line, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "--slice-mm must be > 0" in done.stderr
    done = subprocess.run(
        [*line, "--slice-mm", "5"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    differ = np.load(tmp_path / "mask.npy") != predicted(checkpoint, volume(hu, (5.0, 2.0, 1.5))).labels
    assert differ.mean() < 1e-3


def test_values_are_read_as_lts_reads_them(script: ModuleType) -> None:
    ct, mr = {"modality": "ct", "lowest": AIR_HU}, {"modality": "mr", "lowest": None}
    values = np.array([-3024.0, -1024.4, 10.6, 2000])
    read, whole = script.as_trained(values, ct)
    assert (read.tolist(), whole, read.dtype) == ([-1024, -1024, 11, 2000], True, np.float32)
    read, whole = script.as_trained(values, mr)
    np.testing.assert_allclose(read, values, rtol=1e-6)
    assert not whole
    assert script.as_trained(np.array([-3.0, 5]), mr)[1]
    assert not script.as_trained(np.array([0.0, 40_000]), mr)[1]
