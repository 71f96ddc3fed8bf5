"""How masks are scored by default, and what the command says of a setting that breaks its rule."""

from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir

from lts.app.commands.scoring import ScoringSettings
from lts.app.config.arguments import CONF
from lts.app.config.plain import plain
from lts.base import ConfigError
from lts.evaluation import Bootstrap, ScoringRules


def settings(*overrides: str) -> ScoringSettings:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return ScoringSettings(**plain(compose("evaluate", list(overrides)).scoring))


def test_a_notebook_scores_as_the_command_does(tmp_path: Path) -> None:
    default, rules = settings(), ScoringRules()
    assert default.bootstrap() == Bootstrap()
    assert default.rules(rules.regions, output_dir=tmp_path, window_hu=None) == ScoringRules(
        overlay_dir=tmp_path / "overlays"
    )


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("scoring.nsd_mm=[2,-1]", r"^scoring\.nsd_mm: tolerances must be >= 0, got \[2, -1\]$"),
        ("scoring.lits=true", r"^scoring\.lits: needs the regions \['liver', 'tumor'\], got \['tumor'\]$"),
    ],
)
def test_a_rule_that_is_broken_is_told_by_its_key(override: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=message):
        settings(override).rules(("tumor",), output_dir=tmp_path, window_hu=None)
