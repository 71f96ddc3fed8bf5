"""Every command that opens a checkpoint refuses a spoilt one in one line, with code 2 and nothing written."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from command_kit import ROOT

# One process runs a command several times.
RUNS = """
import runpy, sys
from hydra.core.global_hydra import GlobalHydra
script, *lines = sys.argv[1:]
for line in lines:
    sys.argv = [script, *line.split()]
    GlobalHydra.instance().clear()
    try:
        runpy.run_path(script, run_name="__main__")
    except SystemExit as ended:
        print(f"exit code {ended.code}", file=sys.stderr)
"""

LINES = {
    "predict": "input=scan.nii.gz output=masks",
    "evaluate": "paths.output_dir=scores data=lits data.root=.",
    "export": "format=torchscript output=model.pt",
    "serve": "port=0",
}


class RunsCode:
    """Makes a folder when it is unpickled."""

    def __reduce__(self):
        return os.mkdir, ("loot",)


def running_code(path: Path, content: dict) -> None:
    torch.save({**content, "optimizer_states": [RunsCode()]}, path)


def of_another_format(path: Path, content: dict) -> None:
    torch.save({**content, "lts": {**content["lts"], "format": 2}}, path)


def cut_short(path: Path, content: dict) -> None:
    torch.save(content, path)
    path.write_bytes(path.read_bytes()[:-200])


def of_other_shapes(path: Path, content: dict) -> None:
    head = content["state_dict"]["network.head.weight"]
    weights = {**content["state_dict"], "network.head.weight": torch.zeros(5, *head.shape[1:])}
    torch.save({**content, "state_dict": weights}, path)


def building_what_it_likes(path: Path, content: dict) -> None:
    network = {"_target_": "os.mkdir", "path": "loot"}
    torch.save({**content, "lts": {**content["lts"], "network": network}}, path)


def calling_a_function(path: Path, content: dict) -> None:
    network = {
        "_target_": "segmentation_models_pytorch.from_pretrained",
        "pretrained_model_name_or_path": "loot",
    }
    torch.save({**content, "lts": {**content["lts"], "network": network}}, path)


def importing_what_it_likes(path: Path, content: dict) -> None:
    (path.parent / "loot_maker.py").write_text("import os; os.mkdir('loot')")
    network = {"_target_": "lts.networks.Padded", "multiple": 2, "network": {"_target_": "loot_maker.Net"}}
    torch.save({**content, "lts": {**content["lts"], "network": network}}, path)


def taking_weights_from_elsewhere(path: Path, content: dict) -> None:
    network = {
        **content["lts"]["network"],
        "_target_": "lts.networks.ResNet50Segmenter",
        "weights": "imagenet",
    }
    for name in ("width", "depth", "norm", "dropout"):
        del network[name]
    torch.save({**content, "lts": {**content["lts"], "network": network}}, path)


def without_its_config(path: Path, content: dict) -> None:
    torch.save({**content, "lts": {**content["lts"], "config": {}}}, path)


SPOILT: dict[Callable[[Path, dict], None], str] = {
    running_code: "is damaged or holds more than weights and plain types, refused",
    of_another_format: "format must be 1 to be read here, got 2",
    cut_short: "is damaged or holds more than weights and plain types, refused",
    of_other_shapes: "does not describe a model that can be built: Error(s) in loading state_dict for UNet:",
    building_what_it_likes: "does not describe a model that can be built: _target_: must be one of ",
    calling_a_function: "does not describe a model that can be built: _target_: must be one of ",
    importing_what_it_likes: "does not describe a model that can be built: _target_: must be one of ",
    taking_weights_from_elsewhere: "does not describe a model that can be built: weights: must be null, ",
    without_its_config: "does not describe a model that can be built: 'data'",
}


@pytest.mark.parametrize("command", LINES)
def test_a_spoilt_checkpoint_is_refused_by_every_command(
    command: str, run, make_content, make_case, tmp_path: Path
) -> None:
    make_case("volume-0").image.rename(tmp_path / "scan.nii.gz")
    for number, spoil in enumerate(SPOILT):
        spoil(tmp_path / f"{number}.ckpt", make_content())
    (tmp_path / "runs.py").write_text(RUNS)
    before = sorted(tmp_path.rglob("*"))
    given = [f"ckpt={number}.ckpt {LINES[command]}" for number in range(len(SPOILT))]
    done = run(tmp_path / "runs.py", str(ROOT / f"{command}.py"), *given, cwd=tmp_path)
    told = done.stderr.splitlines()
    assert len(told) == 2 * len(SPOILT), done.stderr
    for number, (rule, message, code) in enumerate(zip(SPOILT.values(), told[::2], told[1::2], strict=True)):
        assert message.startswith(f"{command}: {number}.ckpt: {rule}")
        assert code == "exit code 2"
    assert done.stdout == ""
    assert sorted(tmp_path.rglob("*")) == before
