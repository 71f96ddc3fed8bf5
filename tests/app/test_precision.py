"""What networks compute in, on a command line."""

import json
from pathlib import Path
from typing import Any

import torch

from lts.networks.precision import computes_bf16


def test_predictions_say_what_they_were_computed_in(
    run: Any, succeed: Any, make_case: Any, make_checkpoint: Any, tmp_path: Path
) -> None:
    case, path = make_case("a"), make_checkpoint()
    able = computes_bf16(torch.device("cpu"))
    line = (f"ckpt={path}", f"input={case.image}", "output=masks", "device=cpu")
    succeed("predict", *line, "precision=auto", cwd=tmp_path)
    told = json.loads((tmp_path / "masks" / "predictions.json").read_text())
    assert told["settings"]["precision"] == ("bfloat16" if able else "float32")
    refused = run("predict", *line, "precision=half", cwd=tmp_path)
    assert refused.returncode == 2
    assert refused.stderr.startswith("predict: precision: must be one of auto, float32, bfloat16, got 'half'")
