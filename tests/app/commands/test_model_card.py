"""Model cards: they say what the checkpoint says, and take scores of that checkpoint alone."""

import json
from dataclasses import replace
from pathlib import Path

import command_kit
import pytest
import torch

from lts.app.commands.export import export
from lts.app.commands.model_card import model_card
from lts.app.config.settings import ExportSettings
from lts.base import ConfigError
from lts.inference import load_checkpoint
from lts.slices import content_hash


@pytest.fixture
def ckpt(make_content, tmp_path: Path) -> Path:
    content = make_content()
    members = [{"case": f"c{n}", "patient": f"p{n // 2}", "sha256": f"{n}" * 64} for n in range(5)]
    content["lts"]["split"] = {"train": members[:3], "val": members[3:4], "test": members[4:]}
    torch.save(content, tmp_path / "model.ckpt")
    return tmp_path / "model.ckpt"


def evaluation(folder: Path, sha256: str) -> Path:
    folder.mkdir()
    (folder / "run.json").write_text(json.dumps({"checkpoints": [{"path": "model.ckpt", "sha256": sha256}]}))
    scores = {"liver": {"dice_per_case": 0.9512, "hd95_mm": None}, "tumor": {"dice_per_case": 0.5}}
    intervals = {"liver": {"dice_per_case": [0.94, 0.96], "hd95_mm": None}}
    metrics = {"subset": "all", "n_cases": 12, "regions": scores, "intervals": intervals}
    metrics["intervals_level"] = 0.9
    (folder / "metrics.json").write_text(json.dumps(metrics))
    return folder


def test_a_card_tells_what_the_checkpoint_says(ckpt: Path) -> None:
    checkpoint = load_checkpoint(ckpt)
    card = model_card(checkpoint, title="liver.onnx")
    weights = sum(weight.numel() for weight in checkpoint.network.parameters())
    for told in (
        "# liver.onnx\n",
        "Segments liver and tumor in CT of the abdomen.",
        f"| segments whole slices | {type(checkpoint.network).__name__} | {weights:,} |",
        "| training | 3 | 2 |",  # of two patients
        "| held out for testing | 1 | 1 |",
        f"`{content_hash(ckpt)}`",
        "None were given for this card.",
    ):
        assert told in card
    assert "began with" not in card


def test_scores_are_those_of_this_checkpoint(ckpt: Path, tmp_path: Path) -> None:
    checkpoint = load_checkpoint(ckpt)
    ours = evaluation(tmp_path / "ours", content_hash(ckpt))
    card = model_card(checkpoint, title="a", evaluations=[ours])
    assert "`ours`, 12 cases, subset all:" in card
    assert "| region | score | value, 90 % interval over cases |" in card
    assert "| liver | Dice per case | 0.951 (0.940 to 0.960) |" in card
    assert "| liver | HD95 in mm | not defined |" in card
    assert "| tumor | Dice per case | 0.500 |" in card
    other = evaluation(tmp_path / "other", "0" * 64)
    with pytest.raises(ConfigError, match="scores: must be of this checkpoint alone, got .*other of another"):
        model_card(checkpoint, title="a", evaluations=[ours, other])
    (ours / "metrics.json").unlink()
    with pytest.raises(ConfigError, match="got .*ours without metrics.json"):
        model_card(checkpoint, title="a", evaluations=[ours])


def test_the_command_writes_a_card_beside_the_model(ckpt: Path, tmp_path: Path) -> None:
    line = (f"ckpt={ckpt}", "format=torchscript", "output=liver.pt")
    done = command_kit.run("export", *line, "card=liver.md", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.endswith("wrote liver.md, the model card\n")
    assert (tmp_path / "liver.md").read_text().startswith("# liver.pt\n")
    for wrong, told in (
        (("card=liver.md",), "card: liver.md exists; overwrite=true replaces it"),
        (("card=other.pt",), "card: must be a file of its own, got other.pt"),
        (("scores=[nowhere]",), "scores: has no meaning without card"),
    ):
        done = command_kit.run("export", *line[:2], "output=other.pt", *wrong, cwd=tmp_path)
        assert (done.returncode, done.stderr) == (2, f"export: {told}\n")
        assert not (tmp_path / "other.pt").exists()


def test_no_card_replaces_what_the_export_reads(ckpt: Path, make_case, tmp_path: Path) -> None:
    ours, scan = evaluation(tmp_path / "ours", content_hash(ckpt)), make_case(depth=6, side=48).image
    settings = ExportSettings(ckpt=ckpt, format="torchscript", output=tmp_path / "a.pt", overwrite=True)
    for read in ({"card": scan, "scan": scan}, {"card": ours / "metrics.json", "scores": (ours,)}):
        with pytest.raises(ConfigError, match="^card: must not be a file that is read, got "):
            export(replace(settings, **read))  # type: ignore[arg-type]
