"""What Hydra would answer with a traceback on a command line, or with something else than was asked."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException

from lts.app.parsable import check_parsable
from lts.app.values import shown
from lts.base import ConfigError

CONF = Path(__file__).parents[2] / "conf"

_SEVERAL = {"callbacks", "experiment", "logger"}
"""Groups whose choices go together; of another group, the second choice would write over the first."""


_WITH_VALUE = {
    *("--cfg", "-c", "--package", "-p", "--config-path", "-cp", "--config-name", "-cn"),
    *("--config-dir", "-cd", "--experimental-rerun", "--info", "-i"),
}
_OPTIONS = {
    *_WITH_VALUE,
    *("--help", "-h", "--hydra-help", "--version", "--resolve", "--run", "-r", "--multirun", "-m"),
    *("--shell-completion", "-sc"),
}
"""Options of Hydra; those with a value may be followed by it."""


_HOME = re.compile(r"""(?<=[=\[,'"])~(?=$|[/,\]'"])""")
"""Where a path begins in an argument, as the only one or in a list."""


def with_home(arguments: Sequence[str]) -> list[str]:
    """Arguments in which paths that begin with `~` name the home folder, which a shell leaves to them."""
    return [
        _HOME.sub(lambda _: str(Path.home()), argument) if "=" in argument else argument
        for argument in arguments
    ]


def unparsable(argument: str, reason: str) -> str:
    """What is said of an argument that cannot be parsed.

    Args:
        argument: It.
        reason: What its parser says.
    """
    key, _, value = argument.partition("=")
    quoted = value.replace("'", r"\'")
    is_text = value and value[0] not in "[{'\"" and not value[-1].isspace()
    way = f": \"{key}='{quoted}'\"" if is_text else f": {reason}"
    rule = "must be KEY=VALUE, a value that holds other signs than those of plain paths in quotes"
    return f"{argument}: {rule}{way}"


def check_arguments(arguments: Sequence[str]) -> None:
    """Check options, and the choices of groups; what Hydra itself refuses in a line is left to it.

    Args:
        arguments: Of the command line, or of a sweep.

    Raises:
        ConfigError: An option is none or stands among settings, a choice is no name, several are given where
            one is taken, a setting has no effect, or an argument cannot be parsed at all.
    """
    check_parsable(arguments)
    _check_options(arguments)
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
            raise ConfigError(f"{argument}: must be KEY=VALUE, got no key")
        if group == "hydra.run.dir":
            raise ConfigError(
                f"{group}: must be left out, the folder of a run is named by paths.output_dir=DIR"
            )
        if "/" in group or group in groups:
            for choice in _choices(override):
                _check_choice(group, choice)


def _check_options(arguments: Sequence[str]) -> None:
    """Hydra takes settings in one block; to more of them and to no options it answers by its usage."""
    among: str | None = None  # an option behind settings
    previous, found_settings = "", False
    for argument in arguments:
        if argument.startswith("-"):
            name = argument.partition("=")[0]
            if not any(
                option.startswith(name) if name[:2] == "--" else option == name for option in _OPTIONS
            ):
                raise ConfigError(
                    f"{argument}: is no option; a setting is KEY=VALUE, without dashes before it"
                )
            among = name if found_settings and among is None else among
        elif previous not in _WITH_VALUE or "=" in argument:
            if among is not None:
                raise ConfigError(f"{among}: must stand before or behind all settings, not among them")
            found_settings = True
        previous = argument


def _choices(override: Override) -> Iterator[Any]:
    if override.is_discrete_sweep():
        yield from override.sweep_iterator()
    elif not override.is_sweep_override() and not override.is_delete():
        yield override.value()


def _check_choice(group: str, choice: Any) -> None:
    names = choice if isinstance(choice, list) else [choice]
    # Hydra's own groups have choices elsewhere, too.
    found = sorted(path.stem for path in (CONF / group).glob("*.yaml")) if "/" not in group else []
    rule = f"must be one of {', '.join(found)}" if found else "must be the name of a choice"
    if not names or not all(isinstance(name, str) and name for name in names):
        raise ConfigError(f"{group}: {rule}, got {shown(choice)}")
    if len(names) > 1 and group not in _SEVERAL:
        raise ConfigError(f"{group}: {rule}, got {len(names)} of them")
