"""Where the groups of settings and their choices are."""

from pathlib import Path

CONF = Path(__file__).parents[2] / "conf"
"""A link to the `conf` of the checkout, whose files a wheel carries in its place."""


def choices_of(group: str) -> list[str]:
    """The choices of a group, none where there is no such group of ours."""
    return [] if "/" in group else sorted(path.stem for path in (CONF / group).glob("*.yaml"))
