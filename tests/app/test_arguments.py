"""What of a command line is answered in one line, where Hydra has its usage or something else to say."""

from pathlib import Path

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import OverrideParseException

from lts.app.arguments import check_arguments, unparsable, with_home
from lts.base import ConfigError


@pytest.mark.parametrize(
    "arguments",
    [
        ("-m", "seed=1,2", "model=unet"),
        ("seed=1,2", "model=unet", "--multirun"),
        ("seed=1", "--cfg", "job", "--resolve"),
        ("--cfg=job", "--package", "data", "seed=1"),
        ("--info", "seed=1"),
        ("seed=1", "-c", "job", "-p", "data"),
        ("--help",),
        ("--multi", "seed=1,2"),
        ("seed=-1", "~logger", "+callbacks=freeze_encoder"),
    ],
)
def test_options_stand_before_or_behind_settings(arguments: tuple[str, ...]) -> None:
    check_arguments(arguments)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("seed=1,2", "-m", "model=unet"), "-m: must stand before or behind all settings"),
        (("seed=1", "--cfg", "job", "model=unet"), "--cfg: must stand before or behind all settings"),
        (("--lr=3",), "--lr=3: is no option; a setting is KEY=VALUE"),
        (("seed=1", "-x"), "-x: is no option"),
        (("=3",), "=3: must be KEY=VALUE, got no key"),
        (("hydra.run.dir=runs/a",), "hydra.run.dir: must be left out, .* paths.output_dir=DIR"),
    ],
)
def test_what_hydra_answers_by_its_usage_or_not_at_all_is_told(arguments: tuple[str, ...], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        check_arguments(arguments)


@pytest.mark.parametrize(
    ("argument", "expected"),
    [
        ("ckpt=~/a.ckpt", "ckpt=/home/anna/a.ckpt"),
        ("output=~", "output=/home/anna"),
        ("++hydra.sweep.dir='~/a b'", "++hydra.sweep.dir='/home/anna/a b'"),
        ("ckpt=[~/a.ckpt,'~/b.ckpt',c~d]", "ckpt=[/home/anna/a.ckpt,'/home/anna/b.ckpt',c~d]"),
        ("~logger", "~logger"),
        ("input=a~/b", "input=a~/b"),
        ("input=~bert/b", "input=~bert/b"),
    ],
)
def test_a_path_may_begin_at_home(argument: str, expected: str, monkeypatch) -> None:
    monkeypatch.setattr(Path, "home", lambda: Path("/home/anna"))
    assert with_home([argument]) == [expected]


@pytest.mark.parametrize(
    "value", ["scan (1).nii.gz", "it's.nii", "a&b", "a{1}", "~bert/a", "a=b", "x[1]", "a;b!"]
)
def test_the_quotes_that_are_advised_make_a_value_parsable(value: str) -> None:
    parser = OverridesParser.create()
    with pytest.raises(OverrideParseException):
        parser.parse_overrides([f"input={value}"])
    told = unparsable(f"input={value}", "mismatched input")
    assert told.startswith(f"input={value}: must be KEY=VALUE")
    (advised,) = parser.parse_overrides([told.rpartition(': "')[2].removesuffix('"')])
    assert (advised.key_or_group, advised.value()) == ("input", value)


def test_of_a_broken_list_the_reason_is_told() -> None:
    assert unparsable("data.regions=[liver", "missing ]").endswith("in quotes: missing ]")
    assert unparsable("seed", "missing EQUAL").endswith("in quotes: missing EQUAL")
