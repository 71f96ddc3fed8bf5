"""From settings to the object that they describe: a class named by `_target_`, and its arguments.

Arguments are first checked against the annotations of the class. Errors of another library's class become
errors of the user; unexpected errors of our classes are bugs. Our classes name their arguments,
`width: must be ...`; here these become keys of the config, `model.width: must be ...`.
"""

import functools
import inspect
import pkgutil
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, get_type_hints

from lightning_fabric.utilities.exceptions import MisconfigurationException

from lts.app.config.closest import closest
from lts.app.config.component import OPEN, Component
from lts.app.config.values import Placeholder, fits, shown, words
from lts.base import ConfigError, LtsError, one_line

_OF_HYDRA = {"_target_", "_partial_", "_recursive_", "_convert_", "_args_"}
"""Hydra's own keys beside the arguments; `_convert_` has no effect on plain types."""
_NO_NAMES = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


def build_component(
    component: Component, *, key: str, kind: type, partial: bool = False, **arguments: Any
) -> Any:
    """Instantiate the object that a component describes.

    Args:
        component: Its class and arguments.
        key: Where they stand in the config.
        kind: What the object must be.
        partial: Whether to return a function that makes such an object.
        arguments: More arguments; they override settings of the same names.

    Raises:
        ConfigError: A setting is missing, unknown, of another type, or not what the class allows.
    """
    settings = component.to_dict()
    if settings.get("_partial_", False) is not partial:
        raise ConfigError(
            f"{key}._partial_: must be {shown(partial)}, got {shown(settings.get('_partial_'))}"
        )
    check_arguments_of(key, settings, given=arguments)
    made = _instantiate(key, settings, arguments)
    is_kind = _returns(made.func, kind) if isinstance(made, functools.partial) else isinstance(made, kind)
    if not is_kind:
        target = shown(settings["_target_"])
        raise ConfigError(f"{key}._target_: must name what makes a kind of {kind.__name__}, got {target}")
    return made


@contextmanager
def keys_in_errors(key: str, called: Callable[..., Any]) -> Iterator[None]:
    """Context in which errors that begin with arguments of `called` name their keys instead.

    Args:
        key: The section of the config that the arguments come from.
        called: The class or function that raises `width: must be ...`, or `alpha, beta: one of them ...`.

    Raises:
        LtsError: The same one with `model.width: must be ...`, `loss.alpha, loss.beta: one of them ...`.
    """
    try:
        yield
    except LtsError as error:
        _name_keys(error, key, called)
        raise


@contextmanager
def as_config_error(key: str) -> Iterator[None]:
    """Context that turns a library's errors into errors of `key`.

    Raises:
        ConfigError: The library raised an error.
    """
    try:
        yield
    except LtsError:
        raise
    except Exception as error:  # a library may raise anything
        raise ConfigError(f"{key}: {_reason(error)}") from error


def check_arguments_of(key: str, settings: Mapping[str, Any], *, given: Collection[str] = ()) -> type | None:
    """Check settings and nested settings against the parameters of their `_target_`.

    Args:
        key: Where they stand in the config.
        settings: As plain types.
        given: Arguments that do not come from the settings.

    Returns:
        The class that they instantiate, None for a function or `_partial_`.

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
        if value == OPEN:
            raise ConfigError(f"{key}.{name}: must be given")
        placeholder = value if name in _OF_HYDRA else _placeholder(f"{key}.{name}", value)
        if name in hints and not fits(placeholder, hints[name]):
            raise ConfigError(f"{key}.{name}: must be {words(hints[name])}, got {shown(value)}")


def _check_complete(key: str, known: Collection[str], parameters: Mapping[str, inspect.Parameter]) -> None:
    for name, each in parameters.items():
        if each.default is inspect.Parameter.empty and each.kind not in _NO_NAMES and name not in known:
            raise ConfigError(f"{key}.{name}: must be given")


def _placeholder(key: str, value: Any) -> Any:
    """A value whose nested sections with `_target_` are replaced by placeholders."""
    if isinstance(value, dict) and "_target_" in value:
        return Placeholder(check_arguments_of(key, value))
    if isinstance(value, dict):
        return {name: _placeholder(f"{key}.{name}", item) for name, item in value.items()}
    if isinstance(value, list):
        return [_placeholder(f"{key}.{place}", item) for place, item in enumerate(value)]
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
    except (TypeError, ValueError):  # classes written in C have no signature
        return None


def _hints_of(called: Any) -> dict[str, Any]:
    try:
        return get_type_hints(called)
    except Exception:  # a library may import names only for type checkers
        return {}


def _returns(function: Any, kind: type) -> bool:
    return not inspect.isclass(function) or issubclass(function, kind)


def _name_keys(error: LtsError, key: str, called: Callable[..., Any]) -> bool:
    """Turn the arguments at the beginning of an error into keys; returns whether there were any."""
    named, _, rule = str(error).partition(": ")
    names = re.split("(, | and )", named)
    if not set(names[::2]) <= (_parameters_of(called) or {}).keys():
        return False
    names[::2] = [f"{key}.{name}" for name in names[::2]]
    error.args = (one_line(f"{''.join(names)}: {rule}"),)
    return True


def _instantiate(key: str, settings: Mapping[str, Any], given: Mapping[str, Any]) -> Any:
    """Instantiate checked settings and the settings nested in them."""
    target = _find(f"{key}._target_", settings["_target_"])
    value_of = _instantiate_within if settings.get("_recursive_", True) else lambda _key, value: value
    places = [value_of(f"{key}._args_", value) for value in settings.get("_args_", ())]
    names = {
        name: value_of(f"{key}.{name}", value)
        for name, value in settings.items()
        if name not in given and name not in _OF_HYDRA
    }
    if settings.get("_partial_"):
        return functools.partial(target, *places, **names, **given)
    with _errors_of_key(key, target):
        return target(*places, **names, **given)


def _instantiate_within(key: str, value: Any) -> Any:
    if isinstance(value, dict) and "_target_" in value:
        return _instantiate(key, value, {})
    if isinstance(value, dict):
        return {name: _instantiate_within(f"{key}.{name}", item) for name, item in value.items()}
    if isinstance(value, list):
        return [_instantiate_within(f"{key}.{place}", item) for place, item in enumerate(value)]
    return value


@contextmanager
def _errors_of_key(key: str, target: Callable[..., Any]) -> Iterator[None]:
    """Context in which errors of other libraries' classes become errors of `key`; those of ours are bugs.

    `LtsError`s of our classes get the section's key, except in the app's own classes, which name keys.
    """
    module = str(getattr(target, "__module__", ""))
    try:
        yield
    except LtsError as error:
        is_named = module.startswith("lts.app.") or _name_keys(error, key, target)
        if not is_named and isinstance(error, ConfigError):
            error.args = (one_line(f"{key}: {error}"),)
        raise
    except MisconfigurationException as error:
        raise ConfigError(f"{key}: {_reason(error)}") from error
    except Exception as error:
        if module.startswith("lts."):
            raise
        raise ConfigError(f"{key}: {_reason(error)}") from error


def _reason(error: BaseException) -> str:
    reason = " ".join(str(error).split())
    return reason or type(error).__name__
