"""A class to be instantiated later, as plain values: a section with `_target_` in YAML."""

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from lts.base import ConfigError

OPEN = "???"
"""Placeholder of an argument that a run fills in once it knows its folder and cases."""


@dataclass(frozen=True)
class Component:
    """A class or function by its name, and the arguments that it is called with.

    Arguments are plain values, lists and mappings of them, and other components, as YAML and checkpoints can
    hold them.

    Attributes:
        target: Import path, such as `lts.networks.UNet`.
        arguments: By name, where they differ from the defaults.

    Example:
        >>> Component("lts.networks.UNet", {"width": 16}).to_dict()
        {'_target_': 'lts.networks.UNet', 'width': 16}
    """

    target: str
    arguments: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, target: Callable[..., Any], **arguments: Any) -> "Component":
        """The component of a class or function.

        Raises:
            ConfigError: It has no name to be imported by.

        Example:
            >>> from fractions import Fraction
            >>> Component.of(Fraction, numerator=3)
            Component(target='fractions.Fraction', arguments={'numerator': 3})
        """
        return cls(_public_name(target), arguments)

    @classmethod
    def from_dict(cls, settings: Mapping[str, Any]) -> "Component":
        """The component of a section with `_target_`; those within it stay sections."""
        return cls(settings["_target_"], {name: settings[name] for name in settings if name != "_target_"})

    def to_dict(self) -> dict[str, Any]:
        """As the section that it is in YAML, of plain types."""
        return {"_target_": self.target, **_plain(self.arguments)}

    def with_arguments(self, **arguments: Any) -> "Component":
        """A copy with these arguments added or replaced."""
        return Component(self.target, {**self.arguments, **arguments})


def _plain(item: Any) -> Any:
    if isinstance(item, Component):
        return item.to_dict()
    if isinstance(item, Mapping):
        return {name: _plain(value) for name, value in item.items()}
    return [_plain(value) for value in item] if isinstance(item, list | tuple) else item


def _public_name(target: Callable[..., Any]) -> str:
    """The shortest import path: `torch.optim.Adam` rather than `torch.optim.adam.Adam`."""
    module, name = getattr(target, "__module__", ""), getattr(target, "__qualname__", "")
    parts = module.split(".")
    for length in range(1, len(parts) + 1):
        package = ".".join(parts[:length])
        if getattr(sys.modules.get(package), name, None) is target:
            return f"{package}.{name}"
    raise ConfigError(f"{target!r}: must be a class or function of a module, to be imported by its name")
