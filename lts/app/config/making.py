"""From settings to the object that they describe: a class named by `_target_`, and its arguments.

Arguments are held against the annotations of the class first. What a class of another library says against
the values it is given is the user's to hear; what goes wrong in one of ours is a bug. Our classes name their
arguments, `width: must be ...`; here the user is told of the keys of the config, `model.width: must be ...`.
"""

import functools
import inspect
import pkgutil
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, get_type_hints

from hydra.errors import InstantiationException
from hydra.utils import instantiate
from lightning_fabric.utilities.exceptions import MisconfigurationException
from omegaconf import MISSING, DictConfig, OmegaConf

from lts.app.config.suggestions import closest
from lts.app.config.values import Made, fits, shown, words
from lts.base import ConfigError, LtsError, one_line

_OF_HYDRA = {"_target_", "_partial_", "_recursive_", "_convert_", "_args_"}
_NO_NAMES = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


def make(config: DictConfig, *, key: str, kind: type, partial: bool = False, **arguments: Any) -> Any:
    """Make the object of some settings, of plain lists and dicts: no object of OmegaConf goes further down.

    Args:
        config: The settings.
        key: Where they stand in the config.
        kind: What the object must be.
        partial: Whether it is to be a function that makes such an object.
        arguments: More arguments; they win over settings of their names.

    Raises:
        ConfigError: A setting is missing, unknown, of another type, or not what the class allows.
    """
    settings = _plain(config, key)
    if settings.get("_partial_", False) is not partial:
        raise ConfigError(
            f"{key}._partial_: must be {shown(partial)}, got {shown(settings.get('_partial_'))}"
        )
    check_arguments_of(key, settings, given=arguments)
    with _blamed_on(key, _find(f"{key}._target_", settings["_target_"])):
        made = instantiate(config, _convert_="all", **arguments)
    is_kind = _makes(made.func, kind) if isinstance(made, functools.partial) else isinstance(made, kind)
    if not is_kind:
        target = shown(settings["_target_"])
        raise ConfigError(f"{key}._target_: must name what makes a kind of {kind.__name__}, got {target}")
    return made


@contextmanager
def under(key: str, called: Callable[..., Any]) -> Iterator[None]:
    """Within, an error of the user that begins with arguments of what is called is told of their keys.

    Args:
        key: The section of the config that the arguments come from.
        called: The class or function that says `width: must be ...`, or `alpha, beta: one of them ...`.

    Raises:
        LtsError: The same one, saying `model.width: must be ...`, `loss.alpha, loss.beta: one of them ...`.
    """
    try:
        yield
    except LtsError as error:
        _name_keys(error, key, called)
        raise


@contextmanager
def told_as(key: str) -> Iterator[None]:
    """Within, what a library says against values that it was given is told as the user's error of `key`.

    Raises:
        ConfigError: It said something.
    """
    try:
        yield
    except LtsError:
        raise
    except Exception as error:  # a library may say no in any way
        raise ConfigError(f"{key}: {_reason(error)}") from error


def check_arguments_of(key: str, settings: Mapping[str, Any], *, given: Collection[str] = ()) -> type | None:
    """Check settings, and those within them, against what their `_target_` takes.

    Args:
        key: Where they stand in the config.
        settings: As plain types.
        given: Arguments that do not come from the settings.

    Returns:
        The class of what they make, None where the target is a function or they are `_partial_`.

    Raises:
        ConfigError: A setting is missing, unknown or of another type.
    """
    target = _find(f"{key}._target_", settings.get("_target_"))
    partial = settings.get("_partial_", False)
    if not isinstance(partial, bool):
        raise ConfigError(f"{key}._partial_: must be true or false, got {shown(partial)}")
    called = target.__init__ if inspect.isclass(target) else target
    parameters = _parameters_of(target)
    if parameters is None:
        return None
    _check_names(key, settings, parameters, of=getattr(target, "__name__", "it"))
    _check_types(key, settings, {name: hint for name, hint in _hints_of(called).items() if name not in given})
    if not partial and "_args_" not in settings:
        _check_complete(key, {*settings, *given}, parameters)
    return target if inspect.isclass(target) and not partial else None


def _check_names(
    key: str, settings: Mapping[str, Any], parameters: Mapping[str, inspect.Parameter], *, of: str
) -> None:
    if any(each.kind is inspect.Parameter.VAR_KEYWORD for each in parameters.values()):
        return
    for name in settings:
        if name not in parameters and name not in _OF_HYDRA:
            meant = closest(f"{key}.{name}", [f"{key}.{each}" for each in parameters])
            advice = f". Did you mean {meant}?" if meant else ""
            raise ConfigError(f"{key}.{name}: is no setting of {of}{advice}")


def _check_types(key: str, settings: Mapping[str, Any], hints: Mapping[str, Any]) -> None:
    for name, value in settings.items():
        if value == MISSING:
            raise ConfigError(f"{key}.{name}: must be given")
        stand_in = value if name in _OF_HYDRA else _stand_in(f"{key}.{name}", value)
        if name in hints and not fits(stand_in, hints[name]):
            raise ConfigError(f"{key}.{name}: must be {words(hints[name])}, got {shown(value)}")


def _check_complete(key: str, known: Collection[str], parameters: Mapping[str, inspect.Parameter]) -> None:
    for name, each in parameters.items():
        if each.default is inspect.Parameter.empty and each.kind not in _NO_NAMES and name not in known:
            raise ConfigError(f"{key}.{name}: must be given")


def _stand_in(key: str, value: Any) -> Any:
    """A value, with what is yet to be made in it replaced by its class."""
    if isinstance(value, dict) and "_target_" in value:
        return Made(check_arguments_of(key, value))
    if isinstance(value, dict):
        return {name: _stand_in(f"{key}.{name}", item) for name, item in value.items()}
    if isinstance(value, list):
        return [_stand_in(f"{key}.{place}", item) for place, item in enumerate(value)]
    return value


def _find(key: str, name: Any) -> Any:
    if not isinstance(name, str) or not name:
        raise ConfigError(f"{key}: must name a class, got {shown(name)}")
    try:
        target = pkgutil.resolve_name(name)
    except Exception as error:  # to import a module is to run it
        raise ConfigError(f"{key}: {shown(name)} cannot be had: {_reason(error)}") from error
    if not callable(target):
        raise ConfigError(f"{key}: must name a class, got {shown(name)}, a {type(target).__name__}")
    return target


def _parameters_of(called: Any) -> dict[str, inspect.Parameter] | None:
    try:
        return dict(inspect.signature(called).parameters)
    except (TypeError, ValueError):  # of what is written in C, nothing is known before the call
        return None


def _hints_of(called: Any) -> dict[str, Any]:
    try:
        return get_type_hints(called)
    except Exception:  # names that a library imports for type checkers alone
        return {}


def _plain(config: DictConfig, key: str) -> dict[str, Any]:
    settings: Any = OmegaConf.to_container(config, resolve=True)
    if not isinstance(settings, dict):
        raise ConfigError(f"{key}: must be a section of settings, got {shown(settings)}")
    return settings


def _makes(function: Any, kind: type) -> bool:
    return not inspect.isclass(function) or issubclass(function, kind)


def _name_keys(error: LtsError, key: str, called: Callable[..., Any]) -> bool:
    """Change the arguments that an error begins with into keys; returns whether it named any."""
    named, _, rule = str(error).partition(": ")
    told = re.split("(, | and )", named)
    if named.startswith(f"{key}."):
        return True  # until no class names a key
    if not set(told[::2]) <= (_parameters_of(called) or {}).keys():
        return False
    told[::2] = [f"{key}.{name}" for name in told[::2]]
    error.args = (one_line(f"{''.join(told)}: {rule}"),)
    return True


@contextmanager
def _blamed_on(key: str, target: Callable[..., Any]) -> Iterator[None]:
    """Within, an error of another library's class is the user's, and one of ours is a bug.

    What our class says is told of its section, but for the app's own classes, which name keys themselves.
    """
    try:
        yield
    except InstantiationException as error:
        cause = error.__cause__ or error
        if isinstance(cause, LtsError):
            is_of_app = str(target.__module__).startswith("lts.app.")
            if not (is_of_app or _name_keys(cause, key, target)) and isinstance(cause, ConfigError):
                cause.args = (one_line(f"{key}: {cause}"),)
            raise cause from None
        failed = re.search(r"target '([^']+)'", str(error))
        is_ours = failed is not None and failed[1].startswith("lts.")
        if is_ours and not isinstance(cause, MisconfigurationException):
            raise
        raise ConfigError(f"{key}: {_reason(cause)}") from error


def _reason(error: BaseException) -> str:
    if isinstance(error, InstantiationException) and error.__cause__:
        return _reason(error.__cause__)
    told = " ".join(str(error).split())
    return told or type(error).__name__
