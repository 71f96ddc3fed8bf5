"""What Hydra finds wrong with a command line, in words that need no knowledge of Hydra."""

import shlex
from pathlib import Path

import hydra
import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException

from lts.app.config.arguments import FORM
from lts.app.config.groups import CONF
from lts.app.config.hydra_errors import message_of


def _refused(*arguments: str) -> str | None:
    with (
        hydra.initialize_config_dir(str(CONF), version_base="1.3"),
        pytest.raises(HydraException) as refused,
    ):
        hydra.compose("train", overrides=[*arguments])
    return message_of(refused.value, name="train")


@pytest.mark.parametrize(
    ("argument", "line"),
    [
        ("data.rot=3", "data.rot: no such key. Did you mean data.root?"),
        ("scheduler.mode_=3", "scheduler.mode_: no such key. Did you mean scheduler.mode?"),
        (
            "model=unt",
            "model: must be one of attention_unet, monai_basicunet, resnet50, smp_unet, unet, got 'unt'",
        ),
        ("+optimizer.lr=1", "optimizer.lr: is a key already, which takes no + in front"),
        ("scan.nii.gz", f"scan.nii.gz: {FORM}"),
        ("data.regions=[liver", "data.regions=[liver: must be KEY=VALUE with each quote and bracket closed"),
    ],
)
def test_what_is_wrong_is_told_in_one_line(argument: str, line: str) -> None:
    assert _refused(argument) == line


@pytest.mark.parametrize("name", ["scan (1).nii", "a=b/scan.nii", 'the "best".nii', "it's (2).nii", "a\\(1)"])
def test_a_value_that_needs_quotes_is_told_with_them(name: str, tmp_path: Path) -> None:
    line = _refused(f"data.root={tmp_path}/{name}")
    assert line is not None
    (written,) = shlex.split(line.rpartition(" in it: ")[2])
    (override,) = OverridesParser.create().parse_overrides([written])
    assert (override.key_or_group, override.value()) == ("data.root", f"{tmp_path}/{name}")


def test_another_error_is_not_told_here() -> None:
    assert message_of(RuntimeError("ours"), name="train") is None
