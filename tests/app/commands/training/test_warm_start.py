"""A training that begins with the weights of another run."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import settings_kit
import torch
from run_kit import ON_CPU, read, saved

from lts.app.commands.training.network import build_network
from lts.app.commands.training.rehearsal import rehearse
from lts.app.commands.training.warm_start import (
    WarmStart,
    fit_to_network,
    open_start,
)
from lts.app.config.settings import TrainSettings
from lts.base import CheckpointError, ConfigError

SMALL = ("model.width=4", "model.depth=2", "compile=false")


def compose(*overrides: str) -> TrainSettings:
    return settings_kit.compose("train", *SMALL, *overrides)


def network_of(settings: TrainSettings, *, in_channels: int = 3) -> torch.nn.Module:
    return build_network(settings, in_channels=in_channels, out_channels=len(settings.data.regions))[0]


def start_of(settings: TrainSettings, *, in_channels: int = 3) -> WarmStart:
    network = network_of(settings, in_channels=in_channels)
    return WarmStart(
        path=Path("a.ckpt"), weights=network.state_dict(), regions=settings.data.regions, cases=[]
    )


def test_all_weights_of_a_network_like_this_one_are_taken() -> None:
    start, settings = start_of(compose()), compose("loss=tversky")
    network = network_of(settings)
    fit = fit_to_network(start, network, settings, in_channels=3)
    assert fit.weights.keys() == network.state_dict().keys()
    assert all(torch.equal(fit.weights[name], weight) for name, weight in start.weights.items())
    assert list(fit.lines(start.path)) == [f"init a.ckpt: {fit.n_tensors} of {fit.n_tensors} tensors taken"]


def test_a_region_takes_its_own_channel_wherever_it_was() -> None:
    start = start_of(compose("data.regions=[liver,tumor]"))
    settings = compose("data.regions=[kidney,tumor]")
    network = network_of(settings)
    fit = fit_to_network(start, network, settings, in_channels=3)
    weight, given, own = (each["head.weight"] for each in (fit.weights, start.weights, network.state_dict()))
    assert torch.equal(weight, torch.stack([own[0], given[1]]))
    assert fit.not_taken == dict.fromkeys(("head.weight", "head.bias"), "channels of kidney")
    alone = compose("data.regions=[tumor]")
    of_tumor = fit_to_network(start, network_of(alone), alone, in_channels=3)
    assert torch.equal(of_tumor.weights["head.weight"], given[1:])
    assert of_tumor.not_taken == {}


def test_layers_of_another_shape_and_of_another_norm_are_told() -> None:
    start = start_of(compose(), in_channels=3)
    settings = compose("model.norm=none", "intensity=ct_plain")
    network = network_of(settings, in_channels=1)
    fit = fit_to_network(start, network, settings, in_channels=1)
    first = next(name for name, weight in network.state_dict().items() if weight.ndim == 4)
    assert fit.not_taken[first] == "(4, 3, 3, 3) in the file, (4, 1, 3, 3) here"
    assert "running_mean" in " ".join(fit.left_over)
    told = list(fit.lines(start.path))
    assert told[1].startswith(f"init: begin anew: {first} ((4, 3, 3, 3) in the file, (4, 1, 3, 3) here)")
    assert told[2].startswith("init: have no place here: ")


def test_weights_of_which_none_fits_are_refused_before_anything_is_read() -> None:
    start = start_of(compose())
    settings = settings_kit.compose(
        "train", "model=monai_basicunet", "model.features=[4,4,4,4,4,4]", "compile=false"
    )
    with pytest.raises(ConfigError, match=r"^init: a\.ckpt has no weights that fit a Padded as here$"):
        rehearse(settings, start)
    rehearse(compose(), start)


def test_layers_are_counted_without_reading_start_weights(recwarn: pytest.WarningsRecorder) -> None:
    small = ("model=resnet50", "model.decoder_width=2", "compile=false")
    start = start_of(settings_kit.compose("train", *small, "model.weights=null"))
    settings = settings_kit.compose("train", *small, "model.weights=nowhere.pth")
    network = network_of(settings_kit.compose("train", *small, "model.weights=null"))
    fit = fit_to_network(start, network, settings, in_channels=3)
    assert fit.weights.keys() == network.state_dict().keys()
    assert not recwarn.list


def test_a_start_is_no_other_file(tmp_path: Path, make_checkpoint: Any) -> None:
    assert open_start(compose()) is None
    with pytest.raises(CheckpointError, match="no such file"):
        open_start(compose(f"init={tmp_path}/none.ckpt"))
    start = open_start(compose(f"init={make_checkpoint()}"))
    assert start is not None
    assert "head.weight" in start.weights


@pytest.mark.parametrize(
    ("spoilt", "told"),
    [
        ("x", "weights must be finite real numbers, not so: head.bias$"),
        (torch.full((2,), torch.nan), "weights must be finite real numbers, not so: head.bias$"),
        (torch.ones(2, dtype=torch.complex64), "weights must be finite real numbers, not so: head.bias$"),
        (None, "does not describe a model: "),
    ],
    ids=["text", "nan", "complex", "no weights"],
)
def test_what_is_no_weight_is_refused(spoilt: object, told: str, make_content: Any, tmp_path: Path) -> None:
    content = make_content()
    content["state_dict"]["network.head.bias"] = spoilt
    path = tmp_path / "a.ckpt"
    torch.save({**content, **({"state_dict": []} if spoilt is None else {})}, path)
    with pytest.raises(CheckpointError, match=f"^init: {path}:? {told}"):
        open_start(compose(f"init={path}"))


def test_a_head_of_another_shape_begins_anew() -> None:
    start, settings = start_of(compose()), compose()
    start = replace(start, weights={**start.weights, "head.bias": torch.tensor(0.5)})
    fit = fit_to_network(start, network_of(settings), settings, in_channels=3)
    assert fit.not_taken == {"head.bias": "() in the file, (2,) here"}


@pytest.mark.slow
def test_a_run_begins_with_the_weights_of_another_and_remembers_their_cases(
    succeed: Any, run: Any, tmp_path: Path
) -> None:
    settings = (*ON_CPU, "trainer.max_epochs=1")
    succeed("train", *settings, "paths.output_dir=first", cwd=tmp_path)
    first = "first/checkpoints/last.ckpt"
    again = (*settings, f"init={first}", "optimizer.lr=0", "paths.output_dir=second")
    refused = run("train", *again, "split.seed=1", "paths.output_dir=refused", cwd=tmp_path)
    assert refused.returncode == 2
    assert refused.stderr.startswith(f"train: init: {tmp_path}/{first} was trained on volume-")
    assert refused.stderr.endswith("; split.file can name the split.json of that run\n")
    printed = succeed("train", *again, cwd=tmp_path)
    assert f"init {tmp_path}/{first}: " in printed
    before, after = saved(tmp_path / "first"), saved(tmp_path / "second")
    for name, weight in before["state_dict"].items():
        if weight.is_floating_point() and "running" not in name:
            assert torch.equal(after["state_dict"][name], weight)
    trained_on = before["lts"]["split"]["train"]
    assert after["lts"]["start_cases"] == trained_on
    # It goes on without the file that it began with, which is still named.
    (tmp_path / "first").rename(tmp_path / "elsewhere")
    succeed(
        "train", *again[:-1], "trainer.max_epochs=2", "paths.output_dir=second", "ckpt=last", cwd=tmp_path
    )
    assert saved(tmp_path / "second")["lts"]["start_cases"] == trained_on
    assert read(tmp_path / "second" / "run.json")["state"] == "done"
    changed = run(
        "train", *settings, "trainer.max_epochs=3", "paths.output_dir=second", "ckpt=last", cwd=tmp_path
    )
    assert changed.returncode == 2
    assert changed.stderr.startswith(f"train: init: must be {tmp_path}/first"[:90])
    assert changed.stderr.endswith(f" as in {tmp_path}/second/checkpoints/last.ckpt, got null\n")
