import os
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lts.base import CheckpointError
from lts.inference import load_checkpoint


def save(folder: Path, saved: object) -> Path:
    path = folder / "model.ckpt"
    torch.save(saved, path)
    return path


def test_a_checkpoint_brings_network_and_fitted_intensity(tmp_path: Path, make_content) -> None:
    saved = make_content()
    saved["state_dict"]["loss.weight"] = torch.ones(2)  # what belongs to training alone is left
    checkpoint = load_checkpoint(save(tmp_path, saved))
    assert checkpoint.regions == ("liver", "tumor")
    assert checkpoint.recipe.image_size == 32
    assert not checkpoint.network.training
    assert not checkpoint.intensity.training
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
    check_refusal(path, "holds more than weights and plain types, refused")
    assert not loot.exists()


@pytest.mark.parametrize("name", ["os.system", "lts.intensity.ConfigError", "lts.intensity.window"])
@pytest.mark.parametrize("section", ["network", "intensity"])
def test_a_checkpoint_cannot_have_anything_else_built(
    tmp_path: Path, make_content, section: str, name: str
) -> None:
    path = save(tmp_path, make_content({section: {"_target_": name, "command": "true"}}))
    check_refusal(path, f"_target_: must be one of .*lts.networks.UNet.*, got '{name}'")


def test_a_network_is_no_intensity(tmp_path: Path, make_content) -> None:
    saved = make_content()
    saved["lts"]["intensity"] = saved["lts"]["network"]
    check_refusal(save(tmp_path, saved), "built: intensity must be one of lts.intensity, got a UNet")


@pytest.mark.parametrize(
    ("saved", "message"),
    [
        ({"state_dict": {}}, "is not a checkpoint of lts: it does not describe itself"),
        ({"lts": {"format": 1}}, "is not a checkpoint of lts: it does not describe itself"),
        ([1, 2], "is not a checkpoint of lts but a list"),
        ({"state_dict": {}, "lts": [1]}, "is not a checkpoint of lts: it does not describe itself"),
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
        (
            {"recipe": {"image_size": 32}},
            "can be built: recipe must have image_size, modality, pixel_mm, got image_size",
        ),
        ({"regions": ["kidney"]}, "regions: must name one or more"),
        ({"network": 5}, "'int' object has no attribute"),
        ({"intensity": None}, "intensity must be one of lts.intensity, got a NoneType"),
        ({"context": "one"}, "invalid literal for int"),
        ({"split": "train"}, "does not describe a model that can be built"),
        ({"split": {"train": [], "val": []}}, "can be built: 'test'"),
        ({"split": {"train": [{"case": "a", "patient": "a"}], "val": [], "test": []}}, "built: 'sha256'"),
        ({"config": {}}, "can be built: 'data'"),
        ({"config": {"data": {"batch_size": None}}}, "does not describe a model that can be built"),
        ({"context": 1}, "network.in_channels must be 6, got 2"),
        ({"regions": ["tumor"]}, "network.out_channels must be 1, got 2"),
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


def test_a_network_of_any_size_is_refused_before_memory_is_taken(tmp_path: Path, make_content) -> None:
    """A million channels: a kernel alone would take 36 TB."""
    saved = make_content()
    saved["lts"]["network"]["width"] = 10**6
    check_refusal(save(tmp_path, saved), "can be built: Error\\(s\\) in loading state_dict")


@pytest.mark.parametrize("weights", ["imagenet", "/etc/passwd"])
def test_a_checkpoint_cannot_have_weights_fetched(tmp_path: Path, make_content, weights: str) -> None:
    network = {"_target_": "lts.networks.ResNet50Segmenter", "weights": weights, "decoder_width": 4}
    path = save(tmp_path, make_content({"network": {**network, "in_channels": 2, "out_channels": 2}}))
    check_refusal(path, f"weights: must be null, a checkpoint brings its own, got '{weights}'")


@pytest.mark.parametrize("weights", [5, None, [1], {1: 2}, {"network.head.weight": "heavy"}])
def test_weights_that_are_none_are_refused_in_one_line(tmp_path: Path, make_content, weights: object) -> None:
    path = save(tmp_path, {**make_content(), "state_dict": weights})
    check_refusal(path, "does not describe a model that can be built")


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_of_a_training_that_diverged_are_refused_in_one_line(
    tmp_path: Path, make_content, value: float
) -> None:
    content = make_content()
    name, weight = next((name, weight) for name, weight in content["state_dict"].items() if weight.ndim > 1)
    content["state_dict"][name] = torch.full_like(weight, value)
    named = name.removeprefix("network.")
    check_refusal(save(tmp_path, content), f"weights must be finite real numbers, not so: {named}")


def test_a_description_without_a_network_is_refused_in_one_line(tmp_path: Path, make_content) -> None:
    saved = {**make_content(), "lts": {"format": 1}}
    check_refusal(save(tmp_path, saved), "does not describe a model that can be built: 'network'")


def check_refusal(path: Path, message: str) -> None:
    with pytest.raises(CheckpointError, match=message) as caught:
        load_checkpoint(path)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("keep", [0, 10, 1000])
def test_a_file_cut_short_is_refused_in_one_line(tmp_path: Path, make_content, keep: int) -> None:
    path = save(tmp_path, make_content())
    path.write_bytes(path.read_bytes()[:keep])
    check_refusal(path, "is damaged")


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(changes=st.lists(st.tuples(st.integers(0, 3999), st.integers(0, 255)), min_size=1, max_size=4))
def test_bytes_changed_in_a_checkpoint_are_read_or_refused_in_one_line(
    tmp_path: Path, make_content, changes: list[tuple[int, int]]
) -> None:
    path = save(tmp_path, make_content())
    content = bytearray(path.read_bytes())
    start = content.index(b"data.pkl")  # its pickle, which says what is to be built
    for at, byte in changes:
        content[start + at] = byte
    path.write_bytes(content)
    try:
        load_checkpoint(path)
    except CheckpointError as error:
        message = str(error)
    else:
        message = f"{path}: "
    assert message.startswith(f"{path}: ")
    assert "\n" not in message


def test_a_run_given_in_place_of_its_checkpoint_is_told(tmp_path: Path) -> None:
    best = tmp_path / "checkpoints" / "best.ckpt"
    best.parent.mkdir()
    with pytest.raises(CheckpointError, match="must be a checkpoint file, got a folder$"):
        load_checkpoint(tmp_path)
    best.touch()
    with pytest.raises(CheckpointError, match=f"got a folder; that of this run is {best}$"):
        load_checkpoint(tmp_path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="nowhere.ckpt: no such file"):
        load_checkpoint(tmp_path / "nowhere.ckpt")
