"""Networks of MONAI, of segmentation_models_pytorch and of the user's own, through every command."""

import json
from pathlib import Path

import pytest
import torch

pytestmark = pytest.mark.slow

DATA = (
    "data.phantom.cases=5",
    "data.phantom.matrix=48",
    "data.image_size=40",
    "data.num_workers=0",
    "data.slices_per_epoch=16",
    "data.batch_size=8",
    "trainer=cpu",
    "trainer.max_epochs=1",
    "compile=false",
)
MODELS = {
    "monai": ("model=monai_basicunet", "model.features=[4,4,4,8,8,4]"),
    "smp": (
        "model=smp_unet",
        "model.encoder_name=resnet18",
        "model.decoder_channels=[16,8,8,4,4]",
        "callbacks=freeze_encoder",
        "task.encoder_lr_scale=0.5",
    ),
}

OWN = """
from torch import nn

class Net(nn.Module):
    def __init__(self, planes, classes):
        super().__init__()
        self.down, self.up = nn.Conv2d(planes, 8, 4, stride=4), nn.ConvTranspose2d(8, classes, 4, stride=4)

    def forward(self, image):
        return self.up(self.down(image).relu())
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module", params=MODELS)
def trained(request: pytest.FixtureRequest, succeed, home: Path) -> Path:
    """The folder of a run."""
    succeed("train", *DATA, *MODELS[request.param], f"paths.output_dir={request.param}", cwd=home)
    return home / request.param


def test_a_checkpoint_is_scored_as_the_run_was(trained: Path, succeed, home: Path) -> None:
    scores = f"{trained.name}-scores"
    succeed("evaluate", f"ckpt={trained}/checkpoints/best.ckpt", f"paths.output_dir={scores}", cwd=home)
    assert (home / scores / "metrics.json").read_text() == (trained / "metrics.json").read_text()


def test_a_checkpoint_predicts(trained: Path, succeed, home: Path, tmp_path: Path) -> None:
    (scan,) = home.glob("data/phantom-*/volume-0.nii.gz")
    succeed(
        "predict",
        f"ckpt={trained}/checkpoints/best.ckpt",
        f"input={scan}",
        f"output={tmp_path}/masks",
        cwd=home,
    )
    told = json.loads((tmp_path / "masks" / "predictions.json").read_text())
    assert [case["case"] for case in told["cases"]] == ["volume-0"]
    assert (tmp_path / "masks" / "volume-0_mask.nii.gz").is_file()


@pytest.mark.parametrize("format_name", ["onnx", "torchscript"])
def test_a_checkpoint_is_exported_and_agrees_at_every_size(
    trained: Path, succeed, home: Path, tmp_path: Path, format_name: str
) -> None:
    ckpt = f"ckpt={trained}/checkpoints/best.ckpt"
    told = succeed("export", ckpt, f"format={format_name}", f"output={tmp_path}/model", cwd=home)
    assert "at 40 x 40 pixels and at other sizes: differs from PyTorch by" in told


def test_its_weights_are_those_of_the_library_under_their_own_names(trained: Path) -> None:
    saved = torch.load(trained / "checkpoints" / "best.ckpt", weights_only=True)
    names = [
        name.removeprefix("network.network.") for name in saved["state_dict"] if name.startswith("network.")
    ]
    expected = {"monai": "conv_0.conv_0.conv.weight", "smp": "segmentation_head.0.weight"}
    assert expected[trained.name] in names


def test_a_network_of_ones_own_goes_through_by_trust_alone(run, home: Path, tmp_path: Path) -> None:
    (tmp_path / "nets_of_mine.py").write_text(OWN)
    env = {"PYTHONPATH": str(tmp_path)}
    trust, ckpt = "trusted_modules=[nets_of_mine]", "ckpt=own/checkpoints/best.ckpt"
    own = (
        *("model._target_=nets_of_mine.Net", "~model.width", "~model.depth", "~model.norm", "~model.dropout"),
        "~model.patch",
        "~model.deep_supervision",
        *("+model._in_channels_=planes", "+model._out_channels_=classes", "+model._multiple_=4"),
    )
    lines = {
        "train": (*DATA, *own, "paths.output_dir=own"),
        "evaluate": (ckpt, "paths.output_dir=own-scores"),
        "predict": (ckpt, "input=data/phantom-5x48-seed0", "output=own-masks"),
        "export": (ckpt, "format=torchscript", "output=own.pt"),
    }
    for command, line in lines.items():
        done = run(command, *line, trust, cwd=home, env=env)
        assert done.returncode == 0, done.stderr
        assert "Warning" not in done.stderr
    refused = run("predict", *lines["predict"], cwd=home, env=env)
    assert refused.returncode == 2
    assert "_target_: must be one of " in refused.stderr
    assert len(refused.stderr.splitlines()) == 1
    assert (home / "own-scores" / "metrics.json").read_text() == (home / "own" / "metrics.json").read_text()
