"""A file of settings that is no YAML is told by its name, line and column."""

from pathlib import Path

import hydra
import pytest

from lts.app.config.composed import read_settings
from lts.app.config.hydra_internals import name_spoilt_files
from lts.app.config.yaml_files import write_settings
from lts.base import ConfigError

CONF = Path(__file__).parents[3] / "conf"
HEAD = "# @package _global_\n"


def put(path: Path, content: bytes | str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (
            f"{HEAD}data:\n\tbatch_size: 1\n",
            r"found character '\\t' that cannot start any token in line 3, column 1",
        ),
        (f"{HEAD}seed: 1\nseed: 2\n", "found duplicate key seed in line 3, column 1"),
        (f'{HEAD}seed: "abc\n', "found unexpected end of stream in line 3, column 1"),
        (
            "seed: !other 1\n",
            "could not determine a constructor for the tag .* in line 1, column 7",
        ),
        ("seed: *x\n", "found undefined alias 'x' in line 1, column 7"),
        (b"a: \0\n", "unacceptable character #x0000: special characters are not allowed"),
        (b"# \xe4\n", "'utf-8' codec can't decode byte 0xe4 in position 2"),
        ("seed: " + "[" * 3000 + "]" * 3000, "it is nested too deeply"),
        (f"{HEAD}seed: {'9' * 5000}\n", r"Exceeds the limit \(4300 digits\)"),
    ],
)
def test_a_file_that_is_no_yaml_is_named(tmp_path: Path, content: bytes | str, told: str) -> None:
    path = put(tmp_path / "experiment" / "mine.yaml", content)
    with pytest.raises(ConfigError, match=f"^{path}: must be YAML in UTF-8: {told}") as error:
        read_settings(path)
    assert str(error.value).isprintable()
    name_spoilt_files()
    with (
        hydra.initialize_config_dir(str(CONF), version_base="1.3"),
        pytest.raises(ConfigError, match=f"{path}: must be YAML in UTF-8: {told}"),
    ):
        hydra.compose("train", overrides=[f"hydra.searchpath=[file://{tmp_path}]", "experiment=mine"])


def test_settings_are_read(tmp_path: Path) -> None:
    put(tmp_path / "config.yaml", "seed: 1\nlr: 1e-3\nday: 2026-01-02\n")
    assert read_settings(tmp_path / "config.yaml") == {"seed": 1, "lr": 1e-3, "day": "2026-01-02"}
    with pytest.raises(ConfigError, match="config.yaml: must hold settings by name, got a list"):
        read_settings(put(tmp_path / "config.yaml", "- 1\n"))
    with pytest.raises(ConfigError, match="none.yaml: cannot be read: No such file or directory"):
        read_settings(tmp_path / "none.yaml")


def test_settings_are_read_as_they_were_written(tmp_path: Path) -> None:
    settings = {
        "seed": 7,
        "name": "1e-3",
        "split": {"file": None, "shares": [0.5, 1e-6]},
        "path": "M\udcfcller",
    }
    write_settings(tmp_path / "config.yaml", settings)
    assert (tmp_path / "config.yaml").read_text().startswith("seed: 7\nname: '1e-3'\nsplit:\n  file: null\n")
    assert read_settings(tmp_path / "config.yaml") == settings
