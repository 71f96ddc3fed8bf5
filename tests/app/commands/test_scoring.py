"""How masks are scored by default, and what the command says of a setting that breaks its rule."""

from dataclasses import replace
from pathlib import Path

import pytest
from settings_kit import compose

from lts.app.commands.scoring import bootstrap_of, of_cases, rules_of
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


@pytest.mark.parametrize(("cases", "drawn"), [(1, 8), (3, 8), (4, 6), (24, 1), (1000, 1)])
def test_of_many_cases_fewer_lesions_are_drawn(cases: int, drawn: int) -> None:
    rules = ScoringRules()
    assert of_cases(rules, cases).lesions_of_a_kind == drawn
    assert of_cases(replace(rules, lesions_of_a_kind=2), 1).lesions_of_a_kind == 2
