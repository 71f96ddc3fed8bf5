import os
from pathlib import Path

import pytest
import torch

from lts.base import CheckpointError
from lts.inference import load_checkpoint


def save(folder: Path, saved: object) -> Path:
    path = folder / "model.ckpt"
    torch.save(saved, path)
    return path


def test_a_checkpoint_brings_network_and_fitted_intensity(tmp_path: Path, make_content) -> None:
    saved = make_content()
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


def test_a_checkpoint_that_brings_code_is_refused_and_the_code_not_run(tmp_path: Path, make_content) -> None:
    loot = tmp_path / "loot"
    path = save(tmp_path, {**make_content(), "extra": Payload(f"touch {loot}")})
    with pytest.raises(CheckpointError, match="holds more than weights and plain types, refused"):
        load_checkpoint(path)
    assert not loot.exists()


@pytest.mark.parametrize("section", ["network", "intensity"])
def test_a_checkpoint_cannot_have_other_classes_built(tmp_path: Path, make_content, section: str) -> None:
    path = save(tmp_path, make_content({section: {"_target_": "os.system", "command": "true"}}))
    with pytest.raises(
        CheckpointError, match="_target_: must be one of .*lts.networks.UNet.*, got 'os.system'"
    ):
        load_checkpoint(path)


@pytest.mark.parametrize(
    ("saved", "message"),
    [
        ({"state_dict": {}}, "is not a checkpoint of lts: it does not describe itself"),
        ([1, 2], "is not a checkpoint of lts but a list"),
    ],
)
def test_what_is_no_checkpoint_is_refused_in_one_line(tmp_path: Path, saved: object, message: str) -> None:
    check_refusal(save(tmp_path, saved), message)


@pytest.mark.parametrize(
    ("described", "message"),
    [
        ({"format": 99}, "format must be 1 to be read here, got 99"),
        (
            {"network": {"_target_": "lts.networks.UNet", "in_channels": 2, "out_channels": 2}},
            "does not describe a model that can be built",
        ),
        ({"recipe": {"image_size": 32}}, "does not describe a model that can be built"),
        ({"regions": ["kidney"]}, "data.regions: must name one or more"),
    ],
)
def test_a_wrong_description_is_refused_in_one_line(
    tmp_path: Path, make_content, described: dict, message: str
) -> None:
    check_refusal(save(tmp_path, make_content(described)), message)


def test_weights_of_another_network_are_refused_in_one_line(tmp_path: Path, make_content) -> None:
    saved = make_content()
    saved["lts"]["network"]["width"] = 8
    check_refusal(save(tmp_path, saved), "size mismatch|Error\\(s\\) in loading")


def test_a_description_without_a_network_is_refused_in_one_line(tmp_path: Path, make_content) -> None:
    saved = {**make_content(), "lts": {"format": 1}}
    check_refusal(save(tmp_path, saved), "does not describe a model that can be built: 'network'")


def check_refusal(path: Path, message: str) -> None:
    with pytest.raises(CheckpointError, match=message) as caught:
        load_checkpoint(path)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("keep", [0, 10, 1000])
def test_a_file_cut_short_is_refused(tmp_path: Path, make_content, keep: int) -> None:
    path = save(tmp_path, make_content())
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(CheckpointError, match="is damaged"):
        load_checkpoint(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="nowhere.ckpt: no such file"):
        load_checkpoint(tmp_path / "nowhere.ckpt")
