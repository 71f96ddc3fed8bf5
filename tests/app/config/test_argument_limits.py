"""Arguments that nothing could parse are refused before anything tries."""

import pytest

from lts.app.config.argument_limits import check_argument_limits
from lts.base import ConfigError


def test_arguments_as_people_write_them_are_taken() -> None:
    check_argument_limits(
        ["-m", "ckpt=[" + ",".join(["/data/runs/a/best.ckpt"] * 800) + "]", "seed=" + "1" * 300]
    )
    check_argument_limits(["data.regions=" + "[" * 50 + "]" * 50, "--help", "input=/data/1.2.840.113619.2.5"])


@pytest.mark.parametrize(
    ("argument", "told"),
    [
        ("optimizer.lr=" + "x" * 20_000, "'optimizer.lr': must be at most 20000 characters, got 20013"),
        ("k" * 30_000, r"^'kkk.*kk': must be at most 20000 characters, got 30000"),
        ("optimizer.lr=1." + "9" * 5000, "optimizer.lr: a number must have at most 300 digits, got 5000"),
        ("data.regions=" + "[" * 51, "data.regions: must be nested at most 50 deep, got 51"),
        ("a={b:" * 60, "a: must be nested at most 50 deep, got 60"),
    ],
)
def test_what_nothing_could_parse_is_refused_by_its_key(argument: str, told: str) -> None:
    with pytest.raises(ConfigError, match=told) as error:
        check_argument_limits(["seed=1", argument])
    assert len(str(error.value)) < 400
