"""From settings to a network of any library, and to what a checkpoint builds it of."""

import inspect
import socket
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import settings_kit
import torch

from lts.app.commands.training.network import build_network, describe_run
from lts.app.commands.training.rehearsal import rehearse
from lts.app.config.component import Component
from lts.app.config.settings import TrainSettings
from lts.base import ConfigError
from lts.inference import build
from lts.networks import Padded

BASIC = ("model=monai_basicunet", "model.features=[4,4,4,4,4,4]", "trainer=cpu", "data.image_size=32")
SMP = ("model=smp_unet", "model.encoder_name=resnet18", "trainer=cpu", "data.image_size=32")

OWN = """
from torch import nn

class Net(nn.Module):
    def __init__(self, planes, classes, *, several=False, factor=1, weights=None):
        super().__init__()
        self.encoder = nn.Conv2d(planes, classes, 1)
        self.several, self.factor, self.weights = several, factor, weights

    def forward(self, image):
        assert image.shape[2] % self.factor == 0, "sides must be multiples"
        out = self.encoder(image)
        return [out] if self.several else out

def make(planes, classes):
    return Net(planes, classes)
"""
NAMES = ("+model._in_channels_=planes", "+model._out_channels_=classes")
LESS = (
    *(f"~model.{name}" for name in ("width", "depth", "norm", "dropout", "patch", "deep_supervision")),
    *("trainer=cpu", "data.image_size=18"),
)
MINE = ("model._target_=nets_of_mine.Net", *LESS, *NAMES, "trusted_modules=[nets_of_mine]")


def compose(*overrides: str) -> TrainSettings:
    return settings_kit.compose("train", *overrides)


@pytest.fixture(autouse=True)
def own_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "nets_of_mine.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)
    yield
    sys.modules.pop("nets_of_mine", None)


@pytest.mark.parametrize("overrides", [BASIC, SMP, MINE], ids=["monai", "smp", "own"])
def test_a_network_of_elsewhere_is_rehearsed_and_built_anew_of_its_description(
    overrides: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket.socket, "connect", lambda *_: pytest.fail("asked the network"))
    rehearse(compose(*overrides))
    network, spec = build_network(compose(*overrides), in_channels=5, out_channels=1)
    again = build(spec, trusted_modules=["nets_of_mine"])
    assert repr(again) == repr(network)
    again.load_state_dict(network.state_dict())
    image = torch.rand(2, 5, 40, 50)
    torch.testing.assert_close(again.eval()(image), network.eval()(image), rtol=1e-4, atol=1e-4)


def test_sides_are_padded_where_the_settings_say_so() -> None:
    network, spec = build_network(
        compose(*MINE, "+model.factor=8", "+model._multiple_=8"), in_channels=1, out_channels=1
    )
    assert isinstance(network, Padded)
    assert network(torch.rand(1, 1, 9, 9)).shape == (1, 1, 9, 9)
    assert (spec["_target_"], spec["multiple"]) == ("lts.networks.Padded", 8)
    assert not any(name.startswith("_") for name in spec["network"].keys() - {"_target_"})


def test_start_weights_are_taken_when_asked_for_and_never_again() -> None:
    network, spec = build_network(compose(*MINE, "+model.weights=start.pt"), in_channels=1, out_channels=1)
    assert network.weights == "start.pt"
    assert spec["weights"] is None


def test_a_library_takes_no_weights_unasked() -> None:
    settings = compose(*SMP)
    # The library's default are those of ImageNet.
    less = {name: item for name, item in settings.model.arguments.items() if name != "encoder_weights"}
    settings = replace(settings, model=Component(settings.model.target, less))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", lambda *_: pytest.fail("asked the network"))
        _, spec = build_network(settings, in_channels=1, out_channels=1)
    assert spec["network"]["encoder_weights"] is None


@pytest.mark.parametrize(
    ("overrides", "line"),
    [
        ((*MINE, "trusted_modules=[]"), "model._target_: must be one of .*, got 'nets_of_mine.Net'"),
        (
            (*MINE, "trusted_modules=[nets_of_mine.Net]"),
            "model._target_: must be one of .*, got 'nets_of_mine.Net'",
        ),
        (
            (*MINE, "model._target_=nets_of_mine.make"),
            "model._target_: must be one of .*, got 'nets_of_mine.make'",
        ),
        ((*MINE, "model._target_=os.system"), "model._target_: must be one of .*, got 'os.system'"),
        (
            (*MINE, "model._target_=nets_of_mine.Nett"),
            "model._target_: must be one of .*, got 'nets_of_mine.Nett'",
        ),
        (
            (*SMP, "~model._out_channels_"),
            "model._out_channels_: must name an argument of Unet, one of .*, classes, ",
        ),
        (
            (*MINE, "model._in_channels_=5"),
            "model._in_channels_: must name an argument of Net, one of planes, .* got 5",
        ),
        ((*SMP, "model._multiple_=0"), "model._multiple_: must be a whole number >= 1, got 0"),
        ((*MINE, "+model.depht=3"), "model.depht: is no setting of Net"),
        ((*SMP, "+model.checkpoint_path=x"), "model.checkpoint_path: is no argument of Unet"),
        (
            (*SMP, "model.encoder_name=tu-hf-hub:a/b"),
            "model.arguments of Unet must name nothing elsewhere, got ",
        ),
        ((*SMP, "model.encoder_name=resnet17"), "model: .*resnet17"),
        (
            (*MINE, "+model.several=true"),
            "model: logits of images .* must be a tensor of shape .*, got a list",
        ),
        ((*MINE, "+model.factor=4"), "model: sides must be multiples"),
        ((*BASIC, "model.spatial_dims=3"), "model: "),
        (
            (*BASIC, "task.encoder_lr_scale=0.1"),
            "task.encoder_lr_scale: must be 1 for a network without a part called",
        ),
    ],
)
def test_a_wrong_setting_is_told_in_one_line_before_anything_is_read(
    overrides: tuple[str, ...], line: str
) -> None:
    with pytest.raises(ConfigError, match=f"^{line}") as refused:
        rehearse(compose(*overrides))
    assert "\n" not in str(refused.value)


def test_a_checkpoint_keeps_what_a_default_was(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = compose(*BASIC[2:])
    bare = replace(
        settings, model=Component("lts.networks.UNet"), intensity=Component("lts.intensity.Window")
    )
    network, spec = build_network(bare, in_channels=3, out_channels=2)
    told = describe_run(bare, network=spec, members={}, changes=[], start_cases=[], fingerprint={})
    for made, described in ((network, told["network"]), (build(told["intensity"]), told["intensity"])):
        init = type(made).__init__
        assert described.keys() == {"_target_", *inspect.signature(init).parameters} - {"self"}
        monkeypatch.setattr(init, "__kwdefaults__", dict.fromkeys(init.__kwdefaults__, "of a later version"))
    assert torch.equal(
        build(told["intensity"])(torch.full((1, 1, 1, 1), 40.0)), torch.full((1, 1, 1, 1), 0.5)
    )
    build(told["network"]).load_state_dict(network.state_dict())
