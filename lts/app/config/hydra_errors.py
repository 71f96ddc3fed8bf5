"""Errors of Hydra and OmegaConf about a command line, as messages of lts."""

import re
import shlex
import sys

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import (
    ConfigCompositionException,
    HydraException,
    InstantiationException,
    MissingConfigException,
    OverrideParseException,
)
from omegaconf.errors import ConfigAttributeError, ConfigKeyError, OmegaConfBaseException

from lts.app.config.arguments import FORM
from lts.app.config.suggestions import advice_on
from lts.app.config.values import shown
from lts.base import causes_of

_UNHELPFUL = ("full_key:", "object_type=", "To append", "See https")
"""Beginnings of lines in Hydra's errors that do not help a user."""

_OF_SWEEPS = {
    "hydra/launcher/joblib": "joblib",
    "hydra/launcher/submitit": "submitit",
}
"""Choices of Hydra that come from plugins."""

_OF_STUDIES = "hydra/sweeper/sampler"
"""A group of Hydra whose choices are all ours."""

_OPENS = ("'", '"', "[", "{")


def is_of_a_constructor(error: BaseException) -> bool:
    """Whether a constructor failed for a reason other than its arguments."""
    return isinstance(error, InstantiationException)


def message_of(error: BaseException, *, name: str) -> str | None:
    """One line on what is wrong with the command line, None for other errors.

    Args:
        error: Of Hydra or OmegaConf.
        name: Of the command.
    """
    if isinstance(error, OverrideParseException):
        return _message_on_syntax(error.override)
    if not isinstance(error, HydraException | OmegaConfBaseException):
        return None
    causes = [*causes_of(error, in_passing=False)]
    message = ": ".join(without_jargon(cause).rstrip(".") for cause in causes)
    known = (_message_on_several(error), *(_message_on_composing(cause, name) for cause in causes))
    return next(filter(None, known), None) or message + _missing_extra(message)


def without_jargon(error: BaseException) -> str:
    """The message of an error in one line, without what Hydra adds for programmers."""
    message, _, _ = str(error).partition("Config search path:")
    lines = (line.strip() for line in message.splitlines())
    return " ".join(line for line in lines if line and not line.startswith(_UNHELPFUL))


def _message_on_syntax(argument: str) -> str:
    """How to write an argument that cannot be parsed."""
    key, equals, value = argument.partition("=")
    if not equals or not key:
        return f"{argument}: {FORM}"
    # A backslash stands for itself unless a quote follows.
    escaped = re.sub(r'(\\*)(?="|$)', r"\1\1", value).replace('"', '\\"')
    quoted = f'{key}="{escaped}"'
    if value.startswith(_OPENS) or not _is_parsed(quoted):
        return f"{argument}: must be KEY=VALUE with each quote and bracket closed"
    return (
        f"{argument}: must have its value in quotes of its own, for a sign such as = or ( in it: "
        f"{shlex.quote(quoted)}"
    )


def _is_parsed(argument: str) -> bool:
    try:
        OverridesParser.create().parse_overrides([argument])
    except HydraException:
        return False
    return True


def _message_on_several(error: BaseException) -> str | None:
    """The message for `ckpt=a.ckpt,b.ckpt`."""
    found = re.match(r"Ambiguous value for argument '([^=]+)=(.*)'\n", str(error))
    if found is None:
        return None
    key, values = found.groups()
    return (
        f"{key}: must be one value, got several: {key}=[{values}] where it takes a list, "
        "-m to try each in turn"
    )


def _message_on_composing(error: BaseException, name: str) -> str | None:
    if isinstance(error, MissingConfigException):
        return _message_on_choice(error)
    return _message_on_key(error, name) if isinstance(error, ConfigCompositionException) else None


def _message_on_choice(error: MissingConfigException) -> str | None:
    group, _, choice = (error.missing_cfg_file or "").rpartition("/")
    if not group or not error.options or (group.startswith("hydra") and group != _OF_STUDIES):
        return None
    return f"{group}: must be one of {', '.join(error.options)}, got {shown(choice)}"


def _message_on_key(error: ConfigCompositionException, name: str) -> str | None:
    if found := re.match(r"Could not append to config. An item is already at '([^']+)'", str(error)):
        return f"{found[1]}: is a key already, which takes no + in front"
    found = re.match(r"Could not override '([^']+)'", str(error))
    if found is None or not isinstance(error.__cause__, ConfigAttributeError | ConfigKeyError):
        return None
    return f"{found[1]}: no such key{advice_on(found[1], name=name, arguments=sys.argv[1:])}"


def _missing_extra(message: str) -> str:
    """What to install for a missing sweeper or launcher."""
    return next(
        (
            f'. {what} needs pip install ".[sweep]"'
            for key, what in _OF_SWEEPS.items()
            if f"'{key}" in message
        ),
        "",
    )
