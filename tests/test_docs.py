"""What the docs name exists."""

import re
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[1] / "docs"
TESTS = Path(__file__).parent

NAMED = sorted(
    set(re.findall(r"`((?:\w+/)?test_\w+\.py)(?:::(test_\w+))?`", (DOCS / "faults.md").read_text()))
)


def test_the_table_of_faults_names_tests() -> None:
    assert len(NAMED) > 50


@pytest.mark.parametrize(("file", "test"), NAMED)
def test_a_test_that_shows_a_fault_exists(file: str, test: str) -> None:
    path = TESTS / file
    assert path.is_file()
    assert f"def {test}(" in path.read_text() or not test


@pytest.mark.parametrize("page", sorted(DOCS.glob("*.md")), ids=lambda page: page.name)
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text()):
        assert (page.parent / target).exists(), target
