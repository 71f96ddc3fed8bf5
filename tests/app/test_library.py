"""lts as a library: what `import lts` offers, and that it trains, scores and predicts without Hydra."""

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from command_kit import ROOT
from settings_kit import compose

import lts
from lts.app.config.component import OPEN, Component
from lts.app.config.serialization import settings_from_dict, settings_to_dict, with_output_dir
from lts.app.config.settings import SETTINGS
from lts.base import ConfigError

DATA = lts.DataSettings(layout="lits", root="scans")


def run(program: str, folder: Path) -> str:
    """What a Python program prints that finds this lts, whatever else is installed."""
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=folder,
        env={"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "PATH": "", "HOME": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


PROGRAM = """
import json, sys
from dataclasses import replace
import lts

data = lts.DataSettings(
    layout="lits", root="scans", image_size=32, batch_size=4, num_workers=0,
    phantom=lts.PhantomSettings(cases=5, matrix=48),
)
settings = lts.TrainSettings(
    data=data,
    model=lts.Component("lts.networks.UNet", {"width": 4, "depth": 2, "norm": "batch", "dropout": 0.0}),
    compile=False,
    paths=lts.RunPaths(store_dir="store", output_dir="run"),
)
settings = replace(settings, trainer=settings.trainer.with_arguments(max_epochs=1, accelerator="cpu"))
trained = lts.train(settings)
scored = lts.evaluate(lts.EvaluateSettings(
    ckpt=trained.best_checkpoint, paths=lts.EvaluationPaths(output_dir="scored"), device="cpu",
))
rows = lts.predict(lts.PredictSettings(
    ckpt=trained.best_checkpoint, input="scans/volume-0.nii.gz", output="masks", device="cpu",
))
print(json.dumps({
    "hydra": "hydra" in sys.modules,
    "trained": [str(trained.output_dir), trained.score, trained.metrics],
    "scored": [str(scored.output_dir), scored.score, scored.metrics],
    "rows": rows,
}))
"""


@pytest.mark.slow
def test_a_program_trains_scores_and_predicts_without_hydra(tmp_path: Path) -> None:
    found = json.loads(run(PROGRAM, tmp_path).splitlines()[-1])
    assert found["hydra"] is False
    folder, _, metrics = found["trained"]
    assert folder == str(tmp_path / "run")
    assert metrics == json.loads((tmp_path / "run" / "metrics.json").read_text())
    folder, score, again = found["scored"]
    assert folder == str(tmp_path / "scored")
    assert again["regions"] == metrics["regions"]
    assert score == metrics["regions"]["tumor"]["dice_per_case"]
    (row,) = found["rows"]
    assert (tmp_path / "masks" / row["mask"]).is_file()
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    assert (record["state"], record["overrides"]) == ("done", [])


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"seed": "x"}, "seed: must be a whole number, got 'x'"),
        ({"loss": 3}, "loss: must be a section of settings, got 3"),
        ({"data": replace(DATA, regions="liver")}, "data.regions: must be a list of text, got 'liver'"),
        ({"paths": lts.RunPaths(output_dir="")}, "paths.output_dir: must be a path, got ''"),
    ],
)
def test_a_wrong_type_is_told_as_on_a_command_line(changes: dict[str, Any], line: str) -> None:
    with pytest.raises(ConfigError, match=f"^{line}"):
        lts.train(lts.TrainSettings(**{"data": DATA, **changes}))


def leaves(settings: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in settings.items():
        if isinstance(value, Mapping) and value:
            yield from leaves(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


LINES = {
    "train": ("data=lits", "data.root=scans"),
    "store": ("data=lits", "data.root=scans"),
    "evaluate": (),
    "predict": ("ckpt=a", "input=b", "output=c"),
    "check": ("data=lits", "data.root=scans"),
    "export": ("ckpt=a", "format=onnx", "output=c"),
    "serve": ("ckpt=a",),
}
GIVEN: dict[str, dict[str, Any]] = {
    "train": {"data": DATA},
    "store": {"data": DATA},
    "check": {"data": lts.CasesSettings(layout="lits", root="scans")},
    "predict": {"ckpt": "a", "input": "b", "output": "c"},
    "export": {"ckpt": "a", "format": "onnx", "output": "c"},
    "serve": {"ckpt": "a"},
}


def in_one_folder(settings: Any) -> dict[str, Any]:
    """All settings by key, in a folder that is the same whatever the time."""
    return dict(
        leaves(
            settings_to_dict(
                with_output_dir(settings, Path("run")) if hasattr(settings, "paths") else settings
            )
        )
    )


@pytest.mark.parametrize("name", SETTINGS)
def test_a_setting_is_by_default_what_its_yaml_file_says(name: str) -> None:
    said = in_one_folder(compose(name, *LINES[name]))
    known = in_one_folder(SETTINGS[name](**GIVEN.get(name, {})))
    for key, value in known.items():
        if value == OPEN:
            continue  # filled in by the run
        if name == "check" and key.startswith("data."):
            continue  # what only training asks for is open
        assert said[key] == value, key
    # What a component leaves out its class knows; tests of these classes hold them to YAML.
    components = {key.rpartition(".")[0] for key in known if key.endswith("._target_")}
    for key in said.keys() - known.keys():
        assert key.rpartition(".")[0] in components, key


def test_settings_survive_plain_types_and_another_folder() -> None:
    settings = compose("train", "paths.output_dir=runs/a", "ckpt=runs/ab/x.ckpt")
    assert settings_from_dict(lts.TrainSettings, settings_to_dict(settings)) == settings
    moved = with_output_dir(settings, Path("/new"))
    assert moved.paths.output_dir == "/new"
    assert moved.callbacks["best"].arguments["dirpath"] == "/new/checkpoints"
    assert moved.ckpt == "runs/ab/x.ckpt"
    assert moved.paths.store_dir == settings.paths.store_dir


def test_a_folder_with_the_name_of_something_else_is_moved_alone() -> None:
    moved = with_output_dir(compose("train", "paths.output_dir=csv", "logger=csv"), Path("/new"))
    assert moved.logger["csv"].arguments["name"] == "csv"
    assert moved.logger["csv"].arguments["save_dir"] == "/new"


def test_a_component_is_named_by_its_shortest_public_path() -> None:
    import torch

    from lts.networks import UNet

    assert Component.of(UNet, width=16) == Component("lts.networks.UNet", {"width": 16})
    assert Component.of(torch.optim.AdamW).to_dict() == {"_target_": "torch.optim.AdamW"}
    with pytest.raises(ConfigError, match="must be a class or function of a module"):
        Component.of(lambda: None)
