"""How masks are scored by default, and what the command says of a setting that breaks its rule."""

from pathlib import Path

import pytest
from settings_kit import compose

from lts.app.commands.scoring import bootstrap_of, rules_of
from lts.app.config.settings import ScoringSettings
from lts.base import ConfigError
from lts.evaluation import Bootstrap, ScoringRules


def settings(*overrides: str) -> ScoringSettings:
    return compose("evaluate", *overrides).scoring


def test_a_notebook_scores_as_the_command_does(tmp_path: Path) -> None:
    default, rules = settings(), ScoringRules()
    assert default == ScoringSettings()
    assert bootstrap_of(default) == Bootstrap()
    assert rules_of(default, rules.regions, output_dir=tmp_path, window_hu=None) == ScoringRules(
        overlay_dir=tmp_path / "overlays", lesion_dir=tmp_path / "lesions"
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
        rules_of(settings(override), ("tumor",), output_dir=tmp_path, window_hu=None)
