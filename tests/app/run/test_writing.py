"""Settings as a file."""

from pathlib import Path

from omegaconf import OmegaConf

from lts.app.run.writing import write_config


def test_settings_are_written_without_references(tmp_path: Path) -> None:
    config = OmegaConf.create({"seed": 7, "split": {"seed": "${seed}"}})
    write_config(tmp_path / "config.yaml", config)
    assert (tmp_path / "config.yaml").read_text() == "seed: 7\nsplit:\n  seed: 7\n"
