"""Suggestions for a key that does not exist."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import hydra
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException
from omegaconf import OmegaConf

from lts.app.config.closest import closest
from lts.app.config.groups import CONF

_FOR_OTHERS = ("base",)
"""Choices that only serve as a base of others."""


def advice_on(wrong: str, *, name: str, arguments: Sequence[str]) -> str:
    """The advice at the end of a message about an unknown key.

    Args:
        wrong: The key.
        name: Of the command.
        arguments: Of its command line, whose choices of groups decide which keys there are.

    Returns:
        The choice that has such a key, or the most similar key; "" if there is neither.
    """
    if found := [*_choices_with(wrong)]:
        return f". It is a key of {', '.join(found)}"
    meant = setting_like(wrong, name=name, arguments=arguments)
    return f". Did you mean {meant}?" if meant else ""


def setting_like(wrong: str, *, name: str, arguments: Sequence[str]) -> str | None:
    """The key of a command that equals a name or is most similar to it; None without one.

    Args:
        wrong: The name.
        name: Of the command.
        arguments: Of its command line, whose choices of groups decide which keys there are.
    """
    choices = [argument for argument in arguments if _is_choice(argument)]
    begun = GlobalHydra.instance().is_initialized()
    with nullcontext() if begun else hydra.initialize_config_dir(str(CONF), version_base="1.3"):
        try:
            composed = hydra.compose(name, overrides=choices)
        except HydraException:  # a choice is wrong too
            composed = hydra.compose(name)
    config: Any = OmegaConf.to_container(composed, resolve=False)
    keys = [*keys_of(config)]
    return wrong if wrong in keys else closest(wrong, keys)


def keys_of(config: Mapping[Any, Any], prefix: str = "") -> Iterator[str]:
    """All keys of a config, with those of its sections."""
    for key, value in config.items():
        yield f"{prefix}{key}"
        if isinstance(value, Mapping):
            yield from keys_of(value, f"{prefix}{key}.")


def _choices_with(key: str) -> Iterator[str]:
    """The choices of a key's group that have it: `scheduler=plateau` has `scheduler.patience`."""
    group = key.partition(".")[0]
    for file in sorted((CONF / group).glob("*.yaml")):
        content: Any = OmegaConf.to_container(OmegaConf.load(file), resolve=False)
        keys = {*keys_of({group: content}), *keys_of(content)} if isinstance(content, dict) else set()
        if key in keys and file.stem not in _FOR_OTHERS:
            yield f"{group}={file.stem}"


def _is_choice(argument: str) -> bool:
    key, _, _ = argument.partition("=")
    return bool(key) and "=" in argument and (CONF / Path(key)).is_dir()
