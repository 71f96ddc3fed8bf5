"""What of a command line is answered in one line, where Hydra has its usage or something else to say."""

from pathlib import Path

import pytest

from lts.app.config.arguments import check_arguments, with_home
from lts.base import ConfigError


@pytest.mark.parametrize(
    ("argument", "told"),
    [
        ("=3", "=3: must be KEY=VALUE"),
        ("hydra.run.dir=runs/a", "hydra.run.dir: must be left out, .* paths.output_dir=DIR"),
    ],
)
def test_what_hydra_would_let_pass_is_told(argument: str, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        check_arguments([argument])


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
