from pathlib import Path

import pytest
import torch
from settings_kit import compose

from lts.app.commands.training import precision
from lts.app.commands.training.precision import with_precision_of
from lts.base import CheckpointError


@pytest.fixture(params=[True, False])
def computes_bf16(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Of this CPU; it is alone."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": request.param})
    return bool(request.param)


def checkpoint(path: Path, **trainer: object) -> Path:
    torch.save({"state_dict": {}, "lts": {"format": 1, "config": {"trainer": trainer}}}, path)
    return path


def chosen(*overrides: str, path: Path | None = None) -> object:
    return with_precision_of(compose("train", *overrides), path).trainer.arguments["precision"]


def test_a_new_run_takes_what_the_machine_computes_in(computes_bf16: bool) -> None:
    assert chosen() == ("bf16-mixed" if computes_bf16 else "32-true")
    assert chosen("trainer.precision=32-true") == "32-true"


def test_a_run_that_goes_on_stays_in_its_precision_on_any_machine(
    computes_bf16: bool, tmp_path: Path
) -> None:
    of_this_machine = "bf16-mixed" if computes_bf16 else "32-true"
    for saved, expected in (
        ("bf16-mixed", "bf16-mixed"),
        ("32-true", "32-true"),
        ("16-mixed", of_this_machine),  # of a GPU
        ("auto", of_this_machine),  # of an earlier version
    ):
        assert chosen(path=checkpoint(tmp_path / "a.ckpt", precision=saved)) == expected
        assert chosen("trainer.precision=32", path=tmp_path / "a.ckpt") == "32"
    assert chosen(path=checkpoint(tmp_path / "b.ckpt")) == of_this_machine


def test_a_checkpoint_without_settings_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision, "read_checkpoint", lambda _: {"lts": {"config": None}})
    with pytest.raises(CheckpointError, match=r"a\.ckpt: must hold the settings of a training to go on from"):
        chosen(path=tmp_path / "a.ckpt")
