"""What a checkpoint may have built: known and trusted networks. Nothing else is imported or called."""

import builtins
import importlib
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from lts.base import CheckpointError, ConfigError
from lts.inference.building import build, check_buildable, describe_module, find_class
from lts.intensity import Channels, HistogramEqualization, MRPercentiles, Window
from lts.networks import AttentionUNet, Padded, ResNet50Segmenter, UNet

BASIC = {"_target_": "monai.networks.nets.BasicUNet", "spatial_dims": 2, "features": [4, 4, 4, 4, 4, 4]}
SMP = {"_target_": "segmentation_models_pytorch.Unet", "encoder_name": "resnet18", "encoder_weights": None}

OWN = """
from subprocess import Popen

from torch import nn
from torch.nn import Conv2d

open("imported", "w").close()


class Net(nn.Conv2d):
    def __init__(self, in_channels, out_channels, *, weights=None, is_quick=True):
        super().__init__(in_channels, out_channels, 1)


class NoModule:
    def __init__(self, **_):
        open("called", "w").close()


def function(**_):
    open("called", "w").close()
"""


@pytest.fixture
def own_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of a module of the user's, which tells by files that it was imported and called."""
    (tmp_path / "nets_of_mine.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    yield "nets_of_mine"
    sys.modules.pop("nets_of_mine", None)


@pytest.fixture
def nothing_happens(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[], None]:
    """Called in the end, checks that nothing was imported, started or asked for meanwhile."""
    for module in ("monai.networks.nets", "segmentation_models_pytorch"):
        find_class(f"{module}.{'UNet' if 'monai' in module else 'Unet'}")
    before = set(sys.modules)
    for owner, name in (
        (os, "system"),
        (subprocess, "Popen"),
        (socket.socket, "connect"),
        (builtins, "exec"),
    ):
        monkeypatch.setattr(owner, name, lambda *_, **__: pytest.fail("was called"))

    def check() -> None:
        assert set(sys.modules) <= before
        assert not (tmp_path / "imported").exists()
        assert not (tmp_path / "called").exists()

    return check


FORBIDDEN = [
    *("os.system", "subprocess.Popen", "builtins.eval", "posix.system", "importlib.import_module"),
    *("torch.nn.Conv2d", "torch.hub.load", "torch.load", "torch.nn.modules.conv.Conv2d"),
    *("lts.networks.os", "lts.networks.blocks.ConvBlock", "lts.networks.check_answer", "lts.base.LtsError"),
    *("lts.networks.blocks.nn.Conv2d", "lts.inference.load_checkpoint", "lts.networks.nn.Module"),
    *(
        "monai.bundle.ConfigParser",
        "monai.bundle.scripts.run",
        "monai.apps.download_url",
        "monai.losses.DiceLoss",
    ),
    *("monai.networks.nets.basic_unet.BasicUNet", "monai.networks.nets.basic_unet.__init__"),
    *("monai.networks.nets.BasicUNet.__init__", "monai.networks.nets.x.y.__init__", "monai.networks.nets"),
    *("monai.networks.nets.resnet18", "monai.networks.nets.__loader__", "monai.networks.nets.nowhere"),
    *("monai.networks.nets.basic_unet", "monai.networks.blocks.Convolution"),
    *("segmentation_models_pytorch.create_model", "segmentation_models_pytorch.from_pretrained"),
    *("segmentation_models_pytorch.losses.DiceLoss", "segmentation_models_pytorch.encoders"),
    *("segmentation_models_pytorch.Unet.from_pretrained", "segmentation_models_pytorch"),
    *("nets_of_mine.Net", "nets_of_mine", "Net", ".Net", "nets_of_mine.", "", "..", "lts.networks."),
    *(None, 5, True, b"lts.networks.UNet", ["lts.networks.UNet"], {"_target_": "lts.networks.UNet"}),
]


@pytest.mark.parametrize("target", FORBIDDEN, ids=str)
@pytest.mark.parametrize("nested", [False, True])
def test_nothing_else_is_imported_or_called(
    target: object, nested: bool, own_module: str, nothing_happens: Callable[[], None]
) -> None:
    spec: dict[str, Any] = {"_target_": target, "args": "touch called", "in_channels": 1}
    if nested:
        spec = {"_target_": "lts.networks.Padded", "multiple": 4, "network": [{"deep": spec}]}
    with pytest.raises(CheckpointError, match="_target_: must be one of .*lts.networks.UNet.*, got "):
        build(spec)
    nothing_happens()


@pytest.mark.parametrize(
    "name", ["Popen", "Conv2d", "nn", "NoModule", "function", "nn.Conv2d", "__builtins__", "nowhere", ""]
)
def test_of_a_trusted_module_only_its_own_networks_are_built(
    own_module: str, tmp_path: Path, name: str
) -> None:
    with pytest.raises(CheckpointError, match=f"_target_: must be one of .* got 'nets_of_mine.{name}'"):
        build({"_target_": f"nets_of_mine.{name}", "args": "true"}, trusted_modules=[own_module])
    assert not (tmp_path / "called").exists()


def test_a_network_of_a_trusted_module_is_built_and_of_no_other(own_module: str) -> None:
    spec = {"_target_": "nets_of_mine.Net", "in_channels": 2, "out_channels": 1}
    for others in ((), ("nets", "nets_of_mine.Net", "nets_of_mine.nn", "")):
        with pytest.raises(CheckpointError, match="_target_: must be one of .* got 'nets_of_mine.Net'"):
            build(spec, trusted_modules=others)
    assert not Path("imported").exists()
    built = build(
        {"_target_": "lts.networks.Padded", "network": spec, "multiple": 2}, trusted_modules=[own_module]
    )
    assert built(torch.zeros(1, 2, 3, 3)).shape == (1, 1, 3, 3)


@pytest.mark.parametrize("content", ["raise OSError('no disk')", "import nothing_of_this_name", "def"])
def test_a_trusted_module_that_cannot_be_imported_is_told_in_one_line(
    own_module: str, tmp_path: Path, content: str
) -> None:
    (tmp_path / "nets_of_mine.py").write_text(content)
    with pytest.raises(CheckpointError, match="^_target_: nets_of_mine cannot be imported: ") as caught:
        find_class("nets_of_mine.Net", trusted_modules=[own_module])
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("package", ["monai", "segmentation_models_pytorch"])
def test_a_library_that_is_missing_is_named_with_its_remedy(
    package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = {"monai": "monai.networks.nets"}.get(package, package)
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(
        CheckpointError, match=rf'^_target_: {module} cannot be imported: .*; pip install "\.\[zoo\]"$'
    ):
        find_class(f"{module}.Unet")


@pytest.mark.parametrize(
    ("spec", "told"),
    [
        ({**BASIC, "in_channels": 1, "out_channels": 2}, None),
        ({**SMP, "in_channels": 1, "classes": 2}, None),
        ({**SMP, "classes": 2, "out_channels": 2}, "out_channels: is no argument of Unet"),
        ({**SMP, "checkpoint_path": "/etc/passwd"}, "checkpoint_path: is no argument of Unet"),
        ({**SMP, "kwargs": {"checkpoint_path": "x"}}, "kwargs: is no argument of Unet"),
        ({**SMP, "encoder_weights": "imagenet"}, "encoder_weights: must be null, .*, got 'imagenet'"),
        ({**SMP, "encoder_weights": True}, "encoder_weights: must be null, .*, got True"),
        ({**SMP, "encoder_weights": False}, "encoder_weights: must be null, .*, got False"),
        ({"_target_": SMP["_target_"]}, "encoder_weights: must be null, .*, got 'imagenet'"),
        (
            {**SMP, "encoder_name": "tu-hf-hub:who/ever"},
            "must name nothing elsewhere, got 'tu-hf-hub:who/ever'",
        ),
        (
            {**SMP, "decoder_use_norm": {"type": "local-dir:x"}},
            "must name nothing elsewhere, got 'local-dir:x'",
        ),
        (
            {"_target_": "monai.networks.nets.FlexibleUNet", "backbone": "resnet18", "pretrained": True},
            "pretrained: must be null, .*, got True",
        ),
        (
            {"_target_": "monai.networks.nets.EfficientNetBN", "model_name": "efficientnet-b0"},
            "pretrained: must be null, .*, got True",
        ),
        (
            {"_target_": "monai.networks.nets.Transchex"},
            "path_or_repo_id: must be null, .*, got 'bert-base-uncased'",
        ),
        (
            {"_target_": "lts.networks.ResNet50Segmenter", "in_channels": 1, "out_channels": 1},
            "weights: must be null, a checkpoint brings its own, got 'imagenet'",
        ),
        ({**BASIC, "features": torch.ones(6)}, "arguments must be plain types, got a Tensor"),
        ({**BASIC, "act": {"name": [nn.ReLU]}}, "arguments must be plain types, got a type"),
    ],
)
def test_known_networks_are_built_of_plain_types_and_without_start_weights(
    spec: dict[str, Any], told: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket.socket, "connect", lambda *_: pytest.fail("asked the network"))
    if told is None:
        assert build(spec)(torch.zeros(2, 1, 32, 32)).shape == (2, 2, 32, 32)
        return
    for do in (check_buildable, build):
        with pytest.raises(CheckpointError, match=told):
            do(spec)


@pytest.mark.parametrize(
    "module",
    [
        UNet(in_channels=1, out_channels=2, width=3, depth=2, norm="group", dropout=0.2),
        AttentionUNet(in_channels=1, out_channels=2, width=2, depth=3, norm="none"),
        ResNet50Segmenter(in_channels=1, out_channels=1, weights=None, decoder_width=2),
        Padded(UNet(in_channels=1, out_channels=1, width=2, depth=2), multiple=8),
        Window(level_hu=30, width_hu=150),
        HistogramEqualization(low_hu=-100, high_hu=200),
        MRPercentiles(lower_percent=2, upper_percent=98),
        Channels([Window(level_hu=30, width_hu=150), HistogramEqualization(low_hu=-100, high_hu=200)]),
    ],
    ids=lambda module: type(module).__name__,
)
def test_modules_of_lts_tell_what_builds_them_anew(module: nn.Module) -> None:
    spec = describe_module(module)
    check_buildable(spec)
    again = build(spec)
    assert repr(again) == repr(module)
    assert describe_module(again) == spec
    assert {name: tensor.shape for name, tensor in again.state_dict().items()} == {
        name: tensor.shape for name, tensor in module.state_dict().items()
    }


def test_a_module_of_elsewhere_is_told_by_its_arguments(own_module: str) -> None:
    net = importlib.import_module(own_module).Net(1, 2)
    rule = "^arguments: must be given for a Net, which does not tell its is_quick$"
    with pytest.raises(ConfigError, match=rule):
        describe_module(net)
    spec = describe_module(net, {"in_channels": 1, "out_channels": 2, "weights": "start.pt"})
    assert spec == {"_target_": "nets_of_mine.Net", "in_channels": 1, "out_channels": 2, "weights": None}


def test_a_class_that_has_no_name_of_its_own_is_refused() -> None:
    class Local(nn.Identity):
        pass

    with pytest.raises(
        ConfigError, match="^network: must be of a class in a module that can be imported, got .*Local"
    ):
        describe_module(Local(), {})
