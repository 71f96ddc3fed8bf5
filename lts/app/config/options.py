"""The options of a command line, as `-m` and `--help`, which stand before, among or behind its settings."""

from argparse import ArgumentError
from collections.abc import Sequence

from lts.app.config.hydra_internals import parser_of_options
from lts.app.config.suggestions import setting_like
from lts.base import ConfigError


def options_first(arguments: Sequence[str], *, name: str) -> list[str]:
    """A command line as Hydra reads it: `model=unet -m seed=1,2` becomes `-m model=unet seed=1,2`.

    Args:
        arguments: Of the command line.
        name: Of the command.

    Raises:
        ConfigError: An option is unknown, which is mostly a setting written with dashes, or lacks its value.
    """
    parser = parser_of_options()
    parser.exit_on_error = False
    try:
        read, unknown = parser.parse_known_intermixed_args(list(arguments))
    except ArgumentError as error:
        raise ConfigError(f"{error.argument_name}: {error.message}") from error
    if unknown:
        raise ConfigError(_no_option(unknown[0], arguments, name=name))
    settings = [*read.overrides]
    options = []
    for argument in arguments:
        if settings and argument == settings[0]:
            settings.pop(0)
        else:
            options.append(argument)
    return [*options, *read.overrides]


def _no_option(option: str, arguments: Sequence[str], *, name: str) -> str:
    """The reason for refusing `--batch-size 4`."""
    reason = f"{option}: no such option; settings are written KEY=VALUE"
    wrong, equals, value = option.lstrip("-").partition("=")
    meant = setting_like(wrong.replace("-", "_"), name=name, arguments=[])
    if meant is None:
        return reason
    if not equals:
        follows = arguments[arguments.index(option) + 1 :] if option in arguments else []
        value = follows[0] if follows and "=" not in follows[0] and not follows[0].startswith("-") else "..."
    return f"{reason}. Did you mean {meant}={value}?"
