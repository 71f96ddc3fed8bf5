"""Builds networks and intensities from the plain types of a checkpoint, and describes them.

A section names a class by `_target_`, the rest are its arguments. It must be a `torch.nn.Module` that is
defined in lts, in one of two libraries of networks, or in a module that the user trusts. Only these modules
are ever imported for a checkpoint.
"""

import inspect
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from importlib import import_module
from typing import Any

from torch import nn

from lts.base import CheckpointError, ConfigError, shown
from lts.intensity import Channels

KNOWN_MODULES = ("lts.intensity", "lts.networks", "monai.networks.nets", "segmentation_models_pytorch")
"""Modules that are always trusted; of the two libraries only the networks."""

_EXTRA_OF = {"monai": "zoo", "segmentation_models_pytorch": "zoo"}

_START_WEIGHTS = re.compile(
    r"(\w+_)?weights|pretrained\w*|checkpoint|filename|\w*(path|url|file|repo|repo_id)"
)
"""Names of arguments that load weights from the internet or files."""


def find_class(target: object, *, trusted_modules: Sequence[str] = ()) -> type[nn.Module]:
    """The class that a `_target_` names, `MODULE.CLASS`.

    Args:
        target: The name; what is none is refused.
        trusted_modules: Modules beside `KNOWN_MODULES`, by the names under which they are imported.

    Raises:
        CheckpointError: It is no network or intensity that is defined in one of these modules or below, or
            the module cannot be imported.

    Example:
        >>> find_class("lts.networks.UNet").__name__
        'UNet'
        >>> find_class("os.system")  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        lts.base._errors.CheckpointError: _target_: must be one of lts.intensity.Channels, ...
    """
    module, _, name = target.rpartition(".") if isinstance(target, str) else ("", "", "")
    if module in KNOWN_MODULES or module in trusted_modules:
        found = getattr(_imported(module), name, None)
        if isinstance(found, type) and issubclass(found, nn.Module) and _is_of(found, module):
            return found
    own = ", ".join(f"{each}.{name}" for each in KNOWN_MODULES[:2] for name in _classes_of(each))
    others = ", ".join((*KNOWN_MODULES[2:], *trusted_modules))
    raise CheckpointError(
        f"_target_: must be one of {own}, or a network that is defined in {others} "
        f"or another module of trusted_modules, got {shown(target)}"
    )


def check_buildable(spec: Any, *, trusted_modules: Sequence[str] = ()) -> None:
    """Check that a checkpoint may have built what plain types describe; builds and runs nothing.

    Args:
        spec: A section with `_target_`, or anything that may hold such.
        trusted_modules: As `find_class`.

    Raises:
        CheckpointError: A `_target_` within names something else, an argument is none of its class, is no
            plain type, or has weights taken from elsewhere.

    Example:
        >>> check_buildable({"_target_": "lts.networks.UNet", "in_channels": 1, "out_channels": 2})
        >>> check_buildable({"_target_": "lts.networks.UNet", "widht": 8})
        Traceback (most recent call last):
        lts.base._errors.CheckpointError: widht: is no argument of UNet
    """
    if isinstance(spec, Mapping):
        if "_target_" in spec:
            kind = find_class(spec["_target_"], trusted_modules=trusted_modules)
            if _is_known(kind):
                _check_arguments(kind, {name: value for name, value in spec.items() if name != "_target_"})
        for item in spec.values():
            check_buildable(item, trusted_modules=trusted_modules)
    elif isinstance(spec, list | tuple):
        for item in spec:
            check_buildable(item, trusted_modules=trusted_modules)
    elif not isinstance(spec, str | int | float | None):
        raise CheckpointError(f"arguments must be plain types, got a {type(spec).__name__}")


def build(spec: Any, *, trusted_modules: Sequence[str] = ()) -> Any:
    """Build what plain types describe: the module of a section, and of the sections within.

    Args:
        spec: As `check_buildable`, which is asked first.
        trusted_modules: As `find_class`.

    Raises:
        CheckpointError: As `check_buildable`.

    Example:
        >>> build({"_target_": "lts.intensity.Window", "level_hu": 40, "width_hu": 400})
        Window(level_hu=40, width_hu=400)
    """
    check_buildable(spec, trusted_modules=trusted_modules)
    return _build(spec, trusted_modules)


def _build(spec: Any, trusted_modules: Sequence[str]) -> Any:
    if isinstance(spec, list | tuple):
        return [_build(item, trusted_modules) for item in spec]
    if not isinstance(spec, Mapping):
        return spec
    built = {name: _build(item, trusted_modules) for name, item in spec.items() if name != "_target_"}
    if "_target_" not in spec:
        return built
    return find_class(spec["_target_"], trusted_modules=trusted_modules)(**built)


def with_defaults(spec: Any, *, trusted_modules: Sequence[str] = ()) -> Any:
    """Plain types with the defaults of lts written out: a later version may have others.

    Args:
        spec: As `check_buildable`.
        trusted_modules: As `find_class`.

    Example:
        >>> with_defaults({"_target_": "lts.intensity.Window", "width_hu": 350})
        {'_target_': 'lts.intensity.Window', 'width_hu': 350, 'level_hu': 40}
    """
    if isinstance(spec, list | tuple):
        return [with_defaults(item, trusted_modules=trusted_modules) for item in spec]
    if not isinstance(spec, Mapping):
        return spec
    complete = {name: with_defaults(item, trusted_modules=trusted_modules) for name, item in spec.items()}
    if "_target_" in spec:
        kind = find_class(spec["_target_"], trusted_modules=trusted_modules)
        if _is_of(kind, "lts"):
            for name, parameter in inspect.signature(kind).parameters.items():
                if parameter.default is not inspect.Parameter.empty:
                    complete.setdefault(name, parameter.default)
    return complete


def without_start_weights(kind: type, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments that have no weights taken from elsewhere, for a module whose weights a checkpoint brings.

    Args:
        kind: The class; one of `KNOWN_MODULES` may take some unasked, so it is told not to.
        arguments: What it is called with to train.
    """
    known = _is_known(kind)
    none = {
        name: False if name == "pretrained" else None
        for name in inspect.signature(kind).parameters
        if _START_WEIGHTS.fullmatch(name)
        and (known or isinstance(arguments.get(name), str) or arguments.get(name) is True)
    }
    return {**arguments, **none}


def describe_module(module: nn.Module, arguments: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The section that `build` makes such a module of, weights and fitted state aside.

    Args:
        module: The module.
        arguments: What its class was called with, as plain types; None for a class of lts, which tells them
            by attributes of the same names.

    Raises:
        ConfigError: The class cannot be imported by its name, or does not tell its arguments.

    Example:
        >>> from lts.intensity import Window
        >>> describe_module(Window(level_hu=40, width_hu=400))
        {'_target_': 'lts.intensity.Window', 'level_hu': 40.0, 'width_hu': 400.0}
    """
    kind = type(module)
    if arguments is None:
        arguments = {name: _argument_value(module, name) for name in inspect.signature(kind).parameters}
    return {"_target_": _name_of(kind), **without_start_weights(kind, arguments)}


def describe_padded(spec: Mapping[str, Any], *, multiple: int) -> dict[str, Any]:
    """The section of `lts.networks.Padded` around that of a network."""
    return {"_target_": "lts.networks.Padded", "network": dict(spec), "multiple": multiple}


def _argument_value(module: nn.Module, name: str) -> Any:
    if _START_WEIGHTS.fullmatch(name):
        return None
    if isinstance(module, Channels):
        return [describe_module(each) for each in module.maps]
    value = getattr(module, name, inspect.Parameter.empty)
    if value is inspect.Parameter.empty:
        raise ConfigError(
            f"arguments: must be given for a {type(module).__name__}, which does not tell its {name}"
        )
    return describe_module(value) if isinstance(value, nn.Module) else value


def _name_of(kind: type) -> str:
    public = [f"{module}.{kind.__name__}" for module in KNOWN_MODULES if _is_of(kind, module)]
    name = public[0] if public else f"{kind.__module__}.{kind.__qualname__}"
    try:
        can_be_had = find_class(name, trusted_modules=[name.rpartition(".")[0]]) is kind
    except CheckpointError:
        can_be_had = False
    if not can_be_had or kind.__module__ == "__main__":
        raise ConfigError(f"network: must be of a class in a module that can be imported, got {name}")
    return name


def _check_arguments(kind: type, arguments: Mapping[str, Any]) -> None:
    """Check that a known class gets what it names itself, and nothing from the network or from files."""
    parameters = inspect.signature(kind).parameters
    for name in arguments:
        if name not in parameters or parameters[name].kind is inspect.Parameter.VAR_KEYWORD:
            raise CheckpointError(f"{name}: is no argument of {kind.__name__}")
    for name, parameter in parameters.items():
        value = arguments.get(name, parameter.default)
        if not _START_WEIGHTS.fullmatch(name) or value is inspect.Parameter.empty:
            continue
        if isinstance(value, str) or value is True or (name.endswith("weights") and value is not None):
            raise CheckpointError(f"{name}: must be null, a checkpoint brings its own, got {shown(value)}")
    if place := next((text for text in _texts(list(arguments.values())) if ":" in text), None):
        raise CheckpointError(f"arguments of {kind.__name__} must name nothing elsewhere, got {shown(place)}")


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping | list | tuple):
        for item in value.values() if isinstance(value, Mapping) else value:
            yield from _texts(item)


def _is_known(kind: type) -> bool:
    return any(_is_of(kind, module) for module in KNOWN_MODULES)


def _is_of(kind: type, module: str) -> bool:
    return f"{kind.__module__}.".startswith(f"{module}.")


def _classes_of(module: str) -> list[str]:
    items = vars(import_module(module)).items()
    return sorted(name for name, item in items if isinstance(item, type) and issubclass(item, nn.Module))


def _imported(module: str) -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what libraries say to each other as they are imported
            return import_module(module)
    except Exception as error:  # to import a module is to run it
        extra = _EXTRA_OF.get(module.partition(".")[0])
        advice = f'; pip install ".[{extra}]"' if extra else ""
        reason = " ".join(str(error).split()) or type(error).__name__
        raise CheckpointError(f"_target_: {module} cannot be imported: {reason}{advice}") from error
