"""Checks of a command line where Hydra would print a traceback or do something unintended."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException

from lts.app.config.argument_limits import check_argument_limits
from lts.app.config.groups import CONF, choices_of
from lts.app.config.values import shown
from lts.base import ConfigError

FORM = "must be KEY=VALUE without spaces around =; --help shows the keys"

_SEVERAL = {"callbacks", "experiment", "logger"}
"""Groups whose choices can be combined; elsewhere the second choice would overwrite the first."""

_HOME = re.compile(r"""(?<=[=\[,'"])~(?=$|[/,\]'"])""")
"""Where a path begins in an argument, as the only one or in a list."""


def with_home(arguments: Sequence[str]) -> list[str]:
    """Arguments with `~` at the beginning of paths expanded, which a shell does not do."""
    return [
        _HOME.sub(lambda _: str(Path.home()), argument) if "=" in argument else argument
        for argument in arguments
    ]


def check_arguments(arguments: Sequence[str]) -> None:
    """Check settings and the choices of groups; what Hydra itself refuses in a line is left to it.

    Args:
        arguments: Of the command line, or of a sweep.

    Raises:
        ConfigError: A key is missing, a choice is no name, several are given where one is taken, a setting
            has no effect, or an argument cannot be parsed at all.
    """
    check_argument_limits(arguments)
    parser = OverridesParser.create()
    groups = {path.name for path in CONF.iterdir() if path.is_dir()}
    for argument in arguments:
        if "=" not in argument or argument.startswith("-"):
            continue
        try:
            (override,) = parser.parse_overrides([argument])
        except HydraException:
            continue
        group = override.key_or_group
        if not group:
            raise ConfigError(f"{argument}: {FORM}")
        if group == "hydra.run.dir":
            raise ConfigError(
                f"{group}: must be left out, the folder of a run is named by paths.output_dir=DIR"
            )
        if "/" in group or group in groups:
            for choice in _choices(override):
                _check_choice(group, choice)


def _choices(override: Override) -> Iterator[Any]:
    if override.is_discrete_sweep():
        yield from override.sweep_iterator()
    elif not override.is_sweep_override() and not override.is_delete():
        yield override.value()


def _check_choice(group: str, choice: Any) -> None:
    names = choice if isinstance(choice, list) else [choice]
    # Hydra's own groups have choices elsewhere, too.
    found = choices_of(group)
    rule = f"must be one of {', '.join(found)}" if found else "must be the name of a choice"
    if not names or not all(isinstance(name, str) and name for name in names):
        raise ConfigError(f"{group}: {rule}, got {shown(choice)}")
    if len(names) > 1 and group not in _SEVERAL:
        raise ConfigError(f"{group}: {rule}, got {len(names)} of them")
