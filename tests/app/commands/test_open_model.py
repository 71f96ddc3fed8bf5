"""Which checkpoints a command opens."""

from pathlib import Path

import pytest
from omegaconf import OmegaConf

from lts.app.commands.open_model import load_checkpoints
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
            load_checkpoints(OmegaConf.create({"ckpt": [str(path) for path in named], "trusted_modules": []}))
    with pytest.raises(CheckpointError, match="is damaged"):  # they differ, and neither is a model
        load_checkpoints(OmegaConf.create({"ckpt": [str(one), str(other)], "trusted_modules": []}))
