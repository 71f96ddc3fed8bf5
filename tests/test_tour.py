"""The tour in `docs/tour.ipynb` runs from its first cell to its last, and shows what it says it shows."""

import base64
import json
import re
import tempfile
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from notebook_kit import code_cells, outputs_of
from PIL import Image

TOUR = Path(__file__).parents[1] / "docs" / "tour.ipynb"
NUMBER = re.compile(r"\d+\.\d*|\d+")


def printed(outputs: list[dict[str, Any]]) -> str:
    return "".join(line for each in outputs for line in each.get("text", []))


def picture(outputs: list[dict[str, Any]]) -> np.ndarray | None:
    shown = [each["data"]["image/png"] for each in outputs if "data" in each]
    return np.asarray(Image.open(BytesIO(base64.b64decode(shown[0])))).astype(int) if shown else None


def check_same(now: str, stored: str) -> None:
    """Words and whole numbers are the same; others, which follow from rounding here and there, are close."""
    assert NUMBER.sub("#", now) == NUMBER.sub("#", stored)
    for one, other in zip(NUMBER.findall(now), NUMBER.findall(stored), strict=True):
        assert one == other or ("." in other and float(one) == pytest.approx(float(other), abs=0.11)), now


@pytest.mark.slow
def test_the_tour_shows_what_is_stored_in_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    namespace: dict[str, Any] = {}
    with torch.random.fork_rng():
        for number, cell in enumerate(code_cells(json.loads(TOUR.read_text(encoding="utf-8"))), start=1):
            now = outputs_of(cell, namespace, number=number)
            assert now, f"{cell['id']} shows nothing"
            check_same(printed(now), printed(cell["outputs"]))
            drawn, stored = picture(now), picture(cell["outputs"])
            if stored is None:
                assert drawn is None
            else:
                assert drawn is not None
                assert drawn.shape == stored.shape
                assert np.abs(drawn - stored).mean() < 8  # of 255; fonts differ from version to version


def test_the_tour_needs_no_command_and_no_config() -> None:
    code = "".join(line for cell in code_cells(json.loads(TOUR.read_text())) for line in cell["source"])
    assert not re.search(r"hydra|omegaconf|lts\.app|yaml", code)


@pytest.mark.parametrize(
    ("now", "stored"),
    [("loss 0.7\n", "loss 0.5\n"), ("3 lesions", "2 lesions"), ("liver 0.5", "tumor 0.5"), ("1 2", "1")],
)
def test_other_words_or_numbers_are_told(now: str, stored: str) -> None:
    check_same("loss 0.55, 3 lesions", "loss 0.5, 3 lesions")
    with pytest.raises(AssertionError):
        check_same(now, stored)
