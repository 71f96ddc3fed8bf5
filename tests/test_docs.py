"""What the docs name exists."""

import re
from pathlib import Path

import pytest
from docs_kit import lines_missing

from lts.evaluation import score_table

DOCS = Path(__file__).parents[1] / "docs"
TESTS = Path(__file__).parent

NAMED = sorted(
    {
        named
        for page in DOCS.glob("*.md")
        for named in re.findall(
            r"`(?:tests/)?((?:\w+/)*test_\w+\.py)(?:::(test_\w+)(?:\[\w+\])?)?`", page.read_text()
        )
    }
)


def test_the_pages_name_tests() -> None:
    assert len(NAMED) > 150


@pytest.mark.parametrize(("file", "test"), NAMED)
def test_a_test_that_a_page_names_exists(file: str, test: str) -> None:
    path = TESTS / file
    assert path.is_file()
    assert f"def {test}(" in path.read_text() or not test


@pytest.mark.parametrize("page", sorted(DOCS.glob("*.md")), ids=lambda page: page.name)
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text()):
        assert (page.parent / target).exists(), target


def test_the_reference_shows_the_packages_that_are_public() -> None:
    of_library = (DOCS / "library.md").read_text().split("## The packages")[1].split("are public")[0]
    shown = re.findall(r"^   (lts[.\w]*)$", (DOCS / "reference.md").read_text(), flags=re.M)
    assert shown == ["lts", *re.findall(r"`(lts\.\w+)`", of_library)]


def test_the_choices_of_the_page_are_those_of_the_config() -> None:
    page = (DOCS / "settings.md").read_text().split("## Choices")[1].split("\n## ")[0]
    rows = re.findall(r"^\| `(\w+)` \| ([^|]+)", page, flags=re.M)
    named = {group: re.findall(r"`(\w+)`", cell) for group, cell in rows}
    conf = DOCS.parent / "conf"
    choices = {group: {path.stem for path in (conf / group).glob("*.yaml")} for group in named}
    choices["data"] -= {"base", "checkpoint"}  # made use of by others
    assert {group: set(names) for group, names in named.items()} == choices
    of_training = dict(re.findall(r"^  - (\w+): (\w+)", (conf / "train.yaml").read_text(), flags=re.M))
    chosen = {group: names[0] for group, names in named.items() if of_training[group] != "null"}
    assert chosen == {group: of_training[group] for group in chosen}
    assert of_training.keys() - named.keys() == {"scoring", "paths", "hydra"}


def test_the_table_of_scores_is_that_of_the_code() -> None:
    assert lines_missing() == []
    page = (DOCS / "scores.md").read_text()
    named = re.findall(r"^\| `(\w+)` \| (?:case|cohort)", page, flags=re.M)
    assert named == [score.name for score in score_table() if score.meaning]
