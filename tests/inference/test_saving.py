"""Checkpoints of networks that were trained elsewhere, and predictors that need none."""

import resource
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from lts.base import CheckpointError, ConfigError, StorageError
from lts.inference import Predictor, export_model, load_checkpoint, save_checkpoint
from lts.intensity import Channels, HistogramEqualization, Window
from lts.networks import Padded, UNet
from lts.phantom import make_phantom
from lts.slices import Recipe
from lts.volume import Volume, read_ct

RECIPE = Recipe(image_size=32, pixel_mm=None, modality="ct")
WINDOW = Window(level_hu=40, width_hu=400)
SETTINGS: dict[str, Any] = {"intensity": WINDOW, "regions": ("liver", "tumor"), "recipe": RECIPE}

OWN = """
from torch import nn

class Net(nn.Module):
    def __init__(self, inputs, outputs):
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, 3, padding=1)

    def forward(self, image):
        return self.conv(image)
"""


def unet(**changes: Any) -> UNet:
    torch.manual_seed(0)
    return UNet(**{"in_channels": 1, "out_channels": 2, "width": 4, "depth": 2, **changes})


@pytest.fixture
def scan(make_case) -> Volume:
    return read_ct(make_case().image)


def predictions(predictor: Predictor, scan: Volume) -> torch.Tensor:
    return predictor(scan).probs


def test_a_network_predicts_without_a_file_as_from_its_checkpoint(tmp_path: Path, scan: Volume) -> None:
    network = unet(in_channels=3).train()
    save_checkpoint(tmp_path / "a.ckpt", network, **SETTINGS, context=1)
    assert network.training
    predictor = Predictor.from_network(network, **SETTINGS, context=1, device="cpu")
    assert not network.training
    assert (predictor.batch_size, predictor.checkpoints) == (16, ())
    from_file = Predictor.from_checkpoint(tmp_path / "a.ckpt", device="cpu")
    assert torch.equal(predictions(predictor, scan), predictions(from_file, scan))


def test_a_fitted_intensity_is_saved_with_its_curve(tmp_path: Path) -> None:
    intensity = Channels([WINDOW, HistogramEqualization(low_hu=-100, high_hu=200)])
    intensity.fit(torch.arange(4096))
    save_checkpoint(tmp_path / "a.ckpt", unet(in_channels=2), **{**SETTINGS, "intensity": intensity})
    hu = torch.linspace(-200, 300, 64).reshape(1, 1, 8, 8)
    assert torch.equal(load_checkpoint(tmp_path / "a.ckpt").intensity(hu), intensity(hu))


def test_the_file_holds_plain_types_alone_and_says_what_was_trained_on(tmp_path: Path, make_case) -> None:
    seen, unseen = make_case("seen"), make_case("unseen", seed=1)
    save_checkpoint(str(tmp_path / "a.ckpt"), unet(), **SETTINGS, batch_size=3, trained_on=[seen.image])
    saved = torch.load(tmp_path / "a.ckpt", weights_only=True)
    assert saved["lts"]["network"] == {
        "_target_": "lts.networks.UNet",
        **{"in_channels": 1, "out_channels": 2, "width": 4, "depth": 2, "norm": "batch", "dropout": 0.0},
        "patch": 1,
        "deep_supervision": 0,
    }
    checkpoint = load_checkpoint(tmp_path / "a.ckpt")
    assert checkpoint.batch_size == 3
    assert [member["case"] for member in checkpoint.split["train"]] == [seen.image.name]
    assert unseen.image.name not in str(saved["lts"])


def test_a_network_of_another_library_is_opened_exported_and_predicts(tmp_path: Path, scan: Volume) -> None:
    from monai.networks.nets import BasicUNet

    arguments = {"spatial_dims": 2, "in_channels": 1, "out_channels": 2, "features": [4, 4, 4, 4, 4, 4]}
    network = Padded(BasicUNet(**arguments), multiple=16)
    save_checkpoint(tmp_path / "a.ckpt", network, arguments=arguments, **SETTINGS)
    checkpoint = load_checkpoint(tmp_path / "a.ckpt")
    assert isinstance(checkpoint.network, Padded)
    found = predictions(Predictor([checkpoint], device=torch.device("cpu")), scan)
    assert torch.equal(found, predictions(Predictor.from_network(network, **SETTINGS, device="cpu"), scan))
    exported = export_model(
        checkpoint,
        tmp_path / "a.pt",
        format_name="torchscript",
        slices=torch.from_numpy(make_phantom(seed=1, matrix=32).hu[::16]),
        overwrite=False,
    )
    assert exported.agreement.largest_difference < 1e-4


def test_a_network_of_ones_own_is_opened_by_whoever_trusts_its_module(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "nets_of_mine.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)
    from nets_of_mine import Net

    path = tmp_path / "a.ckpt"
    save_checkpoint(path, Net(1, 2), arguments={"inputs": 1, "outputs": 2}, **SETTINGS)
    del sys.modules["nets_of_mine"]
    with pytest.raises(CheckpointError, match="_target_: must be one of .*, got 'nets_of_mine.Net'$"):
        load_checkpoint(path)
    assert "nets_of_mine" not in sys.modules
    assert type(load_checkpoint(path, trusted_modules=["nets_of_mine"]).network).__name__ == "Net"
    predictor = Predictor.from_checkpoint(path, device="cpu", trusted_modules=["nets_of_mine"])
    assert predictor.regions == ("liver", "tumor")
    del sys.modules["nets_of_mine"]


@pytest.mark.parametrize(
    ("network", "changes", "told"),
    [
        (unet(), {"context": 1}, "network.in_channels must be 3, got 1"),
        (unet(), {"regions": ("tumor",)}, "network.out_channels must be 1, got 2"),
        (unet(), {"regions": ("kidney",)}, "regions: must name"),
        (unet(), {"arguments": {"in_channels": 1, "out_channels": 2}}, "size mismatch|Error.s. in loading"),
        (
            unet(),
            {"arguments": {"in_channels": 1, "out_channels": 2, "widht": 4}},
            "widht: is no argument of UNet",
        ),
        (Padded(nn.Conv2d(1, 2, 1), multiple=2), {"arguments": {"in_channels": 1}}, "missing 2 required"),
    ],
)
def test_what_could_not_be_opened_is_not_written(
    network: nn.Module, changes: dict[str, Any], told: str, tmp_path: Path
) -> None:
    with pytest.raises(CheckpointError, match=told):
        save_checkpoint(tmp_path / "a.ckpt", network, **{**SETTINGS, **changes})
    assert not list(tmp_path.iterdir())


def test_a_folder_that_is_missing_is_told(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="no/a.ckpt: cannot be written"):
        save_checkpoint(tmp_path / "no" / "a.ckpt", unet(), **SETTINGS)


def test_a_disk_that_takes_no_more_leaves_the_old_file(tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "a.ckpt", unet(), **SETTINGS)
    before = (tmp_path / "a.ckpt").read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2**20, hard))  # of a file that is written
    try:
        with pytest.raises(StorageError, match=r"a\.ckpt: cannot be written: File too large"):
            save_checkpoint(tmp_path / "a.ckpt", unet(width=128), **SETTINGS)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert (tmp_path / "a.ckpt").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["a.ckpt"]


def test_settings_of_a_bare_network_are_checked() -> None:
    with pytest.raises(ConfigError, match="regions: must name"):
        Predictor.from_network(unet(), **{**SETTINGS, "regions": ("kidney",)})


@pytest.mark.parametrize("outputs", [1, 3])
def test_logits_of_other_regions_are_told(outputs: int, scan: Volume) -> None:
    predictor = Predictor.from_network(unet(out_channels=outputs), **SETTINGS, device="cpu")
    rule = r"^logits of images \(6, 1, 32, 32\) must be a tensor of shape \(6, 2, 32, 32\), got "
    with pytest.raises(ConfigError, match=rf"{rule}\(6, {outputs}, 32, 32\)$"):
        predictor.mask(scan)
