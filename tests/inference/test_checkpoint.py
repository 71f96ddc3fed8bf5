import os
from pathlib import Path
from typing import Any

import pytest
import torch

from lts.base import CheckpointError
from lts.inference import CHECKPOINT_FORMAT, load_checkpoint
from lts.intensity import Channels, HistogramEqualization, Window
from lts.networks import UNet

NETWORK = {"in_channels": 2, "out_channels": 2, "width": 4, "depth": 2, "norm": "batch", "dropout": 0.0}
INTENSITY = {
    "_target_": "lts.intensity.Channels",
    "channels": [
        {"_target_": "lts.intensity.Window", "level_hu": 50, "width_hu": 200},
        {"_target_": "lts.intensity.HistogramEqualization", "low_hu": -200, "high_hu": 300},
    ],
}


def content(**changes: Any) -> dict[str, Any]:
    torch.manual_seed(0)
    intensity = Channels([Window(level_hu=50, width_hu=200), HistogramEqualization(low_hu=-200, high_hu=300)])
    intensity.fit(torch.arange(4096))
    network = UNet(**NETWORK)
    description = {
        "format": CHECKPOINT_FORMAT,
        "regions": ["liver", "tumor"],
        "network": {"_target_": "lts.networks.UNet", **NETWORK},
        "intensity": INTENSITY,
        "intensity_state": intensity.state_dict(),
        "context": 0,
        "recipe": {"image_size": 32, "pixel_mm": None, "modality": "ct"},
        "split": {"train": [], "val": [], "test": []},
        "config": {"data": {"batch_size": 4}},
        "versions": {"torch": "2.8"},
    }
    weights = {f"network.{name}": value for name, value in network.state_dict().items()}
    return {"state_dict": weights, "lts": {**description, **changes}}


def save(folder: Path, saved: object) -> Path:
    path = folder / "model.ckpt"
    torch.save(saved, path)
    return path


def test_a_checkpoint_brings_network_and_fitted_intensity(tmp_path: Path) -> None:
    saved = content()
    checkpoint = load_checkpoint(save(tmp_path, saved))
    assert checkpoint.regions == ("liver", "tumor")
    assert checkpoint.recipe.image_size == 32
    assert not checkpoint.network.training
    for name, value in checkpoint.network.state_dict().items():
        assert torch.equal(value, saved["state_dict"][f"network.{name}"])
    assert checkpoint.intensity(torch.zeros(1, 1, 4, 4)).shape == (1, 2, 4, 4)


class Payload:
    """Runs a command when it is unpickled."""

    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self):
        return os.system, (self.command,)


def test_a_checkpoint_that_brings_code_is_refused_and_the_code_not_run(tmp_path: Path) -> None:
    loot = tmp_path / "loot"
    path = save(tmp_path, {**content(), "extra": Payload(f"touch {loot}")})
    with pytest.raises(CheckpointError, match="holds more than weights and plain types, refused"):
        load_checkpoint(path)
    assert not loot.exists()


@pytest.mark.parametrize("section", ["network", "intensity"])
def test_a_checkpoint_cannot_have_other_classes_built(tmp_path: Path, section: str) -> None:
    path = save(tmp_path, content(**{section: {"_target_": "os.system", "command": "true"}}))
    with pytest.raises(
        CheckpointError, match="_target_: must be one of .*lts.networks.UNet.*, got 'os.system'"
    ):
        load_checkpoint(path)


@pytest.mark.parametrize(
    ("saved", "message"),
    [
        ({"state_dict": {}}, "is not a checkpoint of lts: it does not describe itself"),
        ([1, 2], "is not a checkpoint of lts but a list"),
        (content(format=99), "format must be 1 to be read here, got 99"),
        (
            content(network={"_target_": "lts.networks.UNet", **NETWORK, "width": 8}),
            "size mismatch|Error\\(s\\) in loading",
        ),
        (content(recipe={"image_size": 32}), "does not describe a model that can be built"),
        (content(regions=["kidney"]), "data.regions: must name one or more"),
        ({**content(), "lts": {"format": 1}}, "does not describe a model that can be built: 'network'"),
    ],
)
def test_what_is_no_checkpoint_is_refused_in_one_line(tmp_path: Path, saved: object, message: str) -> None:
    path = save(tmp_path, saved)
    with pytest.raises(CheckpointError, match=message) as caught:
        load_checkpoint(path)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("keep", [0, 10, 1000])
def test_a_file_cut_short_is_refused(tmp_path: Path, keep: int) -> None:
    path = save(tmp_path, content())
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(CheckpointError, match="is damaged"):
        load_checkpoint(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="nowhere.ckpt: no such file"):
        load_checkpoint(tmp_path / "nowhere.ckpt")
