"""Which checkpoints a command opens, and what it says of settings that a model cannot meet."""

from dataclasses import replace
from pathlib import Path

import pytest
from settings_kit import compose

from lts.app.commands.open_model import load_checkpoints, open_predictor
from lts.base import CheckpointError, ConfigError


def test_a_model_is_not_counted_twice_whatever_its_name(tmp_path: Path) -> None:
    one, copy, other = (tmp_path / name for name in ("a1.ckpt", "a2.ckpt", "b.ckpt"))
    one.write_bytes(b"weights")
    copy.write_bytes(b"weights")
    other.write_bytes(b"other weights")
    for named in ([one, other, one], [one, copy], [other, tmp_path / "a*.ckpt"]):
        with pytest.raises(
            ConfigError, match=r"ckpt: must name each model once, got .*/a1.ckpt and .*/a[12].ckpt"
        ):
            load_checkpoints(named)
    with pytest.raises(CheckpointError, match="is damaged"):  # they differ, and neither is a model
        load_checkpoints([one, other])


@pytest.mark.parametrize(
    ("setting", "told"),
    [
        ("postprocess.min_lesion_ml=-1", r"^postprocess\.min_lesion_ml: must be >= 0 ml, got -1"),
        (
            "postprocess.largest_liver=true",
            r"^postprocess\.largest_liver: needs a model of \['liver'\], got one of \['tumor'\]$",
        ),
        ("batch_size=0", "^batch_size: must be >= 1, got 0$"),
    ],
)
def test_a_rule_of_a_prediction_is_told_by_its_key(setting: str, told: str, make_checkpoint) -> None:
    path = make_checkpoint()
    settings = compose("predict", f"ckpt={path}", "input=scans", "output=masks", setting)
    (model,) = load_checkpoints(path)
    with pytest.raises(ConfigError, match=told):
        open_predictor(settings, (replace(model, regions=("tumor",)),))
