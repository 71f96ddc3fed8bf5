"""A running service, and a model small enough to train here."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from lts.inference import CHECKPOINT_FORMAT, Predictor
from lts.intensity import Channels, Window
from lts.networks import UNet
from lts.volume import read_ct

pytest.importorskip("fastapi", reason="the extra `serve` is not installed")
from browser_kit import open_browser, resize
from page_kit import HEIGHT, WIDTH, open_result
from service_kit import SIDE, HeldPredictor, Running, make_hu, run_service, upload, wait_until, write_scan

NETWORK = {"in_channels": 1, "out_channels": 2, "width": 4, "depth": 2, "norm": "batch", "dropout": 0.0}


@pytest.fixture(scope="session")
def scan_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_scan(tmp_path_factory.mktemp("scan") / "volume-7.nii.gz", make_hu()[0])


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network that finds the liver and the tumor of `make_hu`."""
    torch.manual_seed(0)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # for so small a model, more would wait for each other
    hu, labels = (torch.from_numpy(array).permute(2, 1, 0)[:, None] for array in make_hu())
    intensity = Channels([Window(level_hu=50, width_hu=200)])
    network = UNet(**NETWORK)
    masks = torch.cat([labels >= 1, labels == 2], dim=1).float()
    optimizer = torch.optim.Adam(network.parameters(), lr=2e-2)
    # As a volume lies in memory, H runs front to back and W right to left.
    image, masks = intensity(hu.flip(-1, -2).float()), masks.flip(-1, -2)
    for _ in range(150):
        optimizer.zero_grad()
        torch.nn.functional.binary_cross_entropy_with_logits(network(image), masks).backward()
        optimizer.step()
    torch.set_num_threads(threads)
    description = {
        "format": CHECKPOINT_FORMAT,
        "regions": ["liver", "tumor"],
        "network": {"_target_": "lts.networks.UNet", **NETWORK},
        "intensity": {
            "_target_": "lts.intensity.Channels",
            "channels": [{"_target_": "lts.intensity.Window", "level_hu": 50, "width_hu": 200}],
        },
        "intensity_state": intensity.state_dict(),
        "context": 0,
        "recipe": {"image_size": SIDE, "pixel_mm": None, "modality": "ct"},
        "split": {"train": [], "val": [], "test": []},
        "config": {"data": {"batch_size": 2}},
        "versions": {},
    }
    path = tmp_path_factory.mktemp("model") / "tiny.ckpt"
    weights = {f"network.{name}": value for name, value in network.state_dict().items()}
    torch.save({"state_dict": weights, "lts": description}, path)
    return path


@pytest.fixture(scope="session")
def predictor(checkpoint: Path) -> Predictor:
    return Predictor.from_checkpoint(checkpoint, device="cpu")


@pytest.fixture(scope="module")
def running(predictor: Predictor) -> Iterator[Running]:
    with run_service(predictor) as running:
        yield running


@pytest.fixture
def nothing_is_left(running: Running) -> Iterator[None]:
    """No file and no place taken after a test."""
    yield
    wait_until(lambda: running.left_over() == set() and running.service.gate.taken == 0)


@pytest.fixture
def held(predictor: Predictor) -> HeldPredictor:
    return HeldPredictor(predictor)


@pytest.fixture(scope="module")
def downloads(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("downloads")


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory, downloads: Path) -> Iterator[Any]:
    with open_browser(tmp_path_factory.mktemp("profile"), downloads=downloads) as opened:
        resize(opened, WIDTH, HEIGHT)
        yield opened


@pytest.fixture
def viewer(browser: Any, running: Running, scan_file: Path) -> Iterator[Any]:
    """The page with the scan, predicted once for as long as its result is kept; no script may fail."""
    browser.get_log("browser")
    browser.get_log("performance")
    with running.client as client:
        if running.shown is None or client.get(running.shown["self"]).status_code == 404:
            running.shown = upload(client, scan_file).json()["links"]
    open_result(browser, f"{running.url}{running.shown['page']}")
    yield browser
    assert browser.get_log("browser") == []


@pytest.fixture(scope="module")
def labels(predictor: Predictor, scan_file: Path) -> np.ndarray:
    return predictor.mask(read_ct(scan_file))
