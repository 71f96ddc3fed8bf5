"""What of a command line is answered in one line, where Hydra has its usage or something else to say."""

import pytest

from lts.app.arguments import check_arguments
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
