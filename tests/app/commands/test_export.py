"""The command as a user runs it: each test in a process and a folder of its own."""

import re
import shutil
import subprocess
from pathlib import Path

import command_kit
import nibabel as nib
import numpy as np
import pytest
import torch
from command_kit import ROOT, run_anew

from lts.app.commands.export import _phantom_slices, export
from lts.app.config.settings import ExportSettings
from lts.base import LtsError
from lts.inference import load_checkpoint, save_checkpoint
from lts.slices import Recipe

MR = {"_target_": "lts.intensity.MRPercentiles", "lower_percent": 1, "upper_percent": 99}
ONE_CHANNEL = {
    "_target_": "lts.networks.UNet",
    "in_channels": 3,
    "out_channels": 2,
    "width": 4,
    "depth": 3,
    "norm": "batch",
    "dropout": 0.0,
}


def run(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return command_kit.run("export", *arguments, cwd=cwd)


@pytest.fixture(scope="module")
def ckpt(make_content, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("ckpt") / "model.ckpt"
    torch.save(make_content(), path)
    return path


def without_progress(printed: str) -> list[str]:
    return [line for line in printed.splitlines() if not line.startswith("comparing slices")]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("format_name", "runtime"), [("onnx", "ONNX Runtime"), ("torchscript", "TorchScript")]
)
def test_an_export_tells_what_it_wrote_and_leaves_nothing_else(
    ckpt: Path, tmp_path: Path, format_name: str, runtime: str
) -> None:
    done = run(f"ckpt={ckpt}", f"format={format_name}", "output=model", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    wrote, takes, gives, checked, time = without_progress(done.stdout)
    size_mb = (tmp_path / "model").stat().st_size / 1e6
    assert wrote == f"wrote model, {size_mb:.1f} MB"
    assert takes == "takes hu: float32 (batch, 1, height, width), slices in HU"
    assert gives == "gives probs: float32 (batch, 2, height, width), of liver, tumor"
    assert checked.startswith("checked on 75 slices of a phantom at 32 x 32 pixels and at other sizes: ")
    assert checked.endswith(" at most, 1e-04 is allowed")
    assert re.search(rf", threads \d+: {runtime} ", time)
    assert "ms, PyTorch " in time
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


@pytest.mark.slow
def test_a_scan_of_the_user_checks_the_file(ckpt: Path, make_case, tmp_path: Path) -> None:
    scan = make_case(depth=6, side=48).image
    done = run(f"ckpt={ckpt}", "format=torchscript", "output=m.pt", f"scan={scan}", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert f"checked on 6 slices of {scan} at 32 x 32 pixels" in done.stdout


@pytest.mark.slow
def test_a_model_of_mr_with_context_is_checked_on_its_own_scale(make_content, tmp_path: Path) -> None:
    described = {"context": 1, "recipe": {"image_size": 40, "pixel_mm": None, "modality": "mr"}}
    torch.save(make_content(described, network=ONE_CHANNEL, intensity=MR), tmp_path / "mr.ckpt")
    done = run("ckpt=mr.ckpt", "format=torchscript", "output=mr.pt", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    takes = "takes hu: float32 (batch, 3, height, width), slices in the scan's own scale"
    assert f"{takes}, 1 on each side of the one in question, foot to head\n" in done.stdout

    signal = np.random.default_rng(0).uniform(0, 900, (48, 44, 5)).astype(np.float32)
    nib.save(nib.Nifti1Image(signal, np.diag([1.5, 1.5, 4.0, 1.0])), tmp_path / "mr.nii.gz")
    arguments = ("ckpt=mr.ckpt", "format=torchscript", "output=mr.pt", "scan=mr.nii.gz", "overwrite=true")
    done = run(*arguments, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert "checked on 5 slices of mr.nii.gz at 40 x 40 pixels" in done.stdout


@pytest.mark.slow
def test_two_networks_are_written_beside_each_other(make_checkpoint, make_case, tmp_path: Path) -> None:
    whole = load_checkpoint(make_checkpoint("whole.ckpt"))
    save_checkpoint(
        tmp_path / "both.ckpt",
        whole.network,
        intensity=whole.intensity,
        regions=whole.regions,
        recipe=Recipe(image_size=40, focus="liver", margin_mm=8),
        locator=whole,
    )
    scan = make_case(depth=9, side=48).image
    line = ("ckpt=both.ckpt", "format=torchscript", "output=m.pt", f"scan={scan}")
    done = run(*line, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    lines = without_progress(done.stdout)
    assert lines[0].startswith("wrote m.pt, ")
    # The liver is in slices 1 to 7 of 4 mm; two more are one too many at the head.
    assert lines[3].startswith(f"checked on 9 slices of {scan} at 40 x 40 pixels ")
    assert lines[5].startswith("wrote m_locator.pt, ")
    assert lines[8].startswith(f"checked on 9 slices of {scan} at 32 x 32 pixels ")
    assert lines[-1] == "m.pt.json says how both go together"
    assert all((tmp_path / name).exists() for name in ("m.pt", "m_locator.pt", "m.pt.json"))
    (tmp_path / "m.pt").unlink()
    again = run(*line, cwd=tmp_path)
    assert again.returncode == 2
    assert again.stderr == "export: output: m_locator.pt exists; overwrite=true replaces it\n"
    done = run("ckpt=both.ckpt", "format=torchscript", "output=m.pt", "overwrite=true", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert "checked on 75 slices of a phantom at 32 x 32 pixels" in done.stdout


@pytest.mark.slow
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"output": ""}, "output: must be given"),
        ({"ckpt": "broken.ckpt"}, "broken.ckpt: is damaged"),
        ({"output": "old.pt"}, "output: old.pt exists; overwrite=true replaces it"),
    ],
)
def test_wrong_input_is_told_in_one_line_and_nothing_is_written(
    ckpt: Path, tmp_path: Path, changes: dict[str, str], message: str
) -> None:
    (tmp_path / "old.pt").write_text("old")
    (tmp_path / "broken.ckpt").write_text("no checkpoint")
    given = {"ckpt": str(ckpt), "format": "torchscript", "output": "new.pt", **changes}
    done = run(*(f"{key}={value}" for key, value in given.items() if value), cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith("export: ")
    assert message in done.stderr
    assert done.stderr.count("\n") == 1
    assert done.stdout == ""
    assert {path.name for path in tmp_path.iterdir()} == {"old.pt", "broken.ckpt"}
    assert (tmp_path / "old.pt").read_text() == "old"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"ckpt": "nowhere.ckpt"}, "nowhere.ckpt: no such file"),
        # Told before the checkpoint is opened, which can take long.
        ({"format": "coreml", "ckpt": "gone"}, "format: must be one of onnx, torchscript, got 'coreml'"),
        ({"output": "old", "ckpt": "gone"}, "output: old exists; overwrite=true replaces it"),
        ({"output": "model.ckpt", "overwrite": True}, "output: must not be a file that is read"),
        ({"scan": "old", "output": "old", "overwrite": True}, "output: must not be a file that is read"),
        ({"output": "a/b.pt"}, "output: must lie in a folder that exists, got a/b.pt"),
        ({"scan": "nowhere.nii"}, "nowhere.nii"),
        ({"overwrite": "perhaps"}, "overwrite: must be true or false, got 'perhaps'"),
    ],
)
def test_settings_that_cannot_be_are_refused_before_anything_is_written(
    ckpt: Path, tmp_path: Path, monkeypatch, changes: dict[str, object], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copy(ckpt, "model.ckpt")
    Path("old").write_text("old")
    given = {"ckpt": "model.ckpt", "format": "torchscript", "output": "new.pt"}
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(LtsError, match=message):
        export(ExportSettings(**{**given, **changes}))  # type: ignore[arg-type]
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_the_phantom_of_an_mr_model_is_a_rescaled_one_that_lies_outside_hounsfield_units() -> None:
    ct, mr = (_phantom_slices(Recipe(image_size=64, pixel_mm=None, modality=each)) for each in ("ct", "mr"))
    assert (ct.dtype, mr.dtype) == (torch.int16, torch.float32)
    assert ct.min() == -1024
    assert mr.min() >= 0
    torch.testing.assert_close(mr, (ct.float() + 1024) * 0.37, rtol=0, atol=0.5)


WITHOUT_ONNXRUNTIME = """
import sys
from lts.app.command import run_command
sys.modules["onnxruntime"] = None
run_command("export")
"""


@pytest.mark.slow
def test_a_missing_package_is_told_with_its_remedy(ckpt: Path, tmp_path: Path) -> None:
    program = ckpt.with_name("without_onnxruntime.py")
    program.write_text(WITHOUT_ONNXRUNTIME)
    done = command_kit.run(program, f"ckpt={ckpt}", "format=onnx", "output=m.onnx", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr == (
        "export: format: onnx needs the package onnxruntime, which is not installed; "
        'pip install ".[export]"\n'
    )
    assert not list(tmp_path.iterdir())


def test_help_shows_the_settings(tmp_path: Path) -> None:
    done = run("--help", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    for line in ("ckpt: ???", "format: ???", "output: ???", "overwrite: false", "scan: null"):
        assert line in done.stdout
    assert not list(tmp_path.iterdir())


def test_a_misspelt_key_fails_before_anything_heavy_is_imported(tmp_path: Path) -> None:
    done = run_anew("-X", "importtime", str(ROOT / "export.py"), "ouput=x", cwd=tmp_path)
    assert done.returncode == 2
    assert "Did you mean output?" in done.stderr
    imported = {line.split("|")[-1].strip() for line in done.stderr.splitlines() if "|" in line}
    assert "hydra" in imported
    assert not imported & {"torch", "numpy", "onnx", "onnxruntime"}
    assert not list(tmp_path.iterdir())
