"""Which keys of a section must be there."""

from dataclasses import dataclass
from typing import Any

import pytest

from lts.app.config.types import check_section
from lts.base import ConfigError


@dataclass(frozen=True, kw_only=True)
class Part:
    name: str
    size: int = 1


@dataclass(frozen=True, kw_only=True)
class Whole:
    fixed: Part
    free: Part | None = None


FIXED = {"name": "a", "size": 2}


@pytest.mark.parametrize("free", [None, {}, {"name": "b"}, {"name": "b", "size": 3}])
def test_a_section_that_may_be_null_may_be_written_in_part(free: Any) -> None:
    check_section("", {"fixed": FIXED, "free": free}, Whole, optional=False)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"fixed": {"name": "a"}, "free": None}, "fixed.size: must be given"),
        ({"fixed": FIXED, "free": {"size": 3}}, "free.name: must be given"),
        (
            {"fixed": FIXED, "free": {"name": "b", "sise": 3}},
            r"free.sise: is no setting. Did you mean free.size\?",
        ),
        (
            {"fixed": FIXED, "free": {"name": "b", "size": "large"}},
            "free.size: must be a whole number, got 'large'",
        ),
    ],
)
def test_all_others_must_be_there_and_whole(given: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigError, match=f"^{told}$"):
        check_section("", given, Whole, optional=False)
