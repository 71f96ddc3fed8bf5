"""Which settings of a resumed run may differ from its checkpoint; others are refused by name."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from lts.app.config.component import OPEN
from lts.app.config.serialization import settings_to_dict
from lts.app.config.settings import TrainSettings
from lts.base import CheckpointError, ConfigError

Rule = Literal["free", "taken", "cases", "fixed"]

RULES: dict[str, Rule] = {
    # Where and how a run works, not what it learns.
    "budget_minutes": "free",
    "ckpt": "free",
    "compile": "free",
    "logger": "free",
    "paths": "free",
    "scoring": "free",
    "sweep": "free",
    "trusted_modules": "free",
    "callbacks.last": "free",
    "callbacks.learning_rate": "free",
    "callbacks.overlays": "free",
    "callbacks.prune": "free",
    "data.display_hu": "free",
    "data.num_workers": "free",
    # Settings of the remaining epochs.
    "augment": "taken",
    "callbacks": "taken",
    "data.batch_size": "taken",
    "data.region_share": "taken",
    "data.slices_per_epoch": "taken",
    "optimizer": "taken",
    "scheduler": "taken",
    "trainer": "taken",
    # Paths and names may change if the same cases are in the same parts.
    "data.layout": "cases",
    "data.phantom": "cases",
    "data.root": "cases",
    "split": "cases",
    # Weights, moments and scores depend on these; whatever is not listed is fixed too.
    "callbacks.best": "fixed",
    "callbacks.weight_averaging": "fixed",
    "data": "fixed",
    "init": "fixed",
    "intensity": "fixed",
    "locator": "fixed",
    "loss": "fixed",
    "model": "fixed",
    "optimizer._target_": "fixed",
    "scheduler._target_": "fixed",
    "seed": "fixed",
    "task": "fixed",
}
"""By key or section; the longest match decides."""

_CHOSEN_BY_THE_RUN = ("monitor", "mode")
"""Of `callbacks.best`."""
_ABSENT = "nothing"
_MOST_NAMED = 3
_LONGEST = 80


@dataclass(frozen=True, kw_only=True)
class Change:
    """A setting that differs from a checkpoint; a section that one side lacks is one change."""

    key: str
    saved: Any
    asked: Any

    @property
    def rule(self) -> Rule:
        """Its rule: `free`, `taken`, `cases` or `fixed`."""
        is_section = any(isinstance(value, Mapping) for value in (self.saved, self.asked))
        return rule_of(f"{self.key}._target_" if is_section else self.key)

    def summary(self) -> str:
        """`key VALUE (was VALUE)`."""
        return f"{self.key} {_shown(self.asked)} (was {_shown(self.saved)})"

    def refused(self, path: Path) -> str:
        """The rule that it breaks."""
        return f"{self.key}: must be {_shown(self.saved)} as in {path}, got {_shown(self.asked)}"


def rule_of(key: str) -> Rule:
    """The rule of a key: its own, or that of the section it is in."""
    parts = key.split(".")
    for length in range(len(parts), 0, -1):
        if rule := RULES.get(".".join(parts[:length])):
            return rule
    return "fixed"


@contextmanager
def settings_expected(where: Path | str) -> Iterator[None]:
    """Context that reads the settings of a training in a checkpoint.

    Args:
        where: The checkpoint, for the message.

    Raises:
        CheckpointError: They lack what is read, as in weights that were trained elsewhere.
    """
    try:
        yield
    except (AttributeError, KeyError, TypeError) as error:
        raise CheckpointError(
            f"{where}: must hold the settings of a training to go on from: {error}"
        ) from error


def settings_changed(saved: Mapping[str, Any], settings: TrainSettings) -> list[Change]:
    """Differences between the settings of a checkpoint and a run, apart from their folders.

    Settings that are still open count as in the checkpoint.

    Raises:
        CheckpointError: The checkpoint lacks its settings.
    """
    asked = settings_to_dict(settings)
    best = asked["callbacks"].get("best", {})
    with settings_expected("ckpt"):
        for name in _CHOSEN_BY_THE_RUN:
            if best.get(name) == OPEN:
                best[name] = saved["callbacks"]["best"][name]
        return list(_changes(_without_own_folder(saved), _without_own_folder(asked)))


def check_fixed_settings(changes: Sequence[Change], path: Path, *, same_folder: bool) -> None:
    """Refuse settings that a resumed run cannot change.

    Args:
        changes: As `settings_changed`.
        path: The checkpoint.
        same_folder: Whether the run is resumed in its own folder, with its best checkpoint.

    Raises:
        ConfigError: A setting is fixed by the checkpoint; all such settings are named.
    """
    fixed = [change for change in changes if change.rule == "fixed"]
    if not same_folder:
        fixed = [change for change in fixed if not change.key.startswith("callbacks.best")]
    _refuse(fixed, path)


def check_nothing_left(taken: Sequence[Change], path: Path) -> None:
    """Refuse settings of further epochs if none remain; other settings may still change.

    Raises:
        ConfigError: There are such settings.
    """
    if idle := [change for change in taken if not change.key.startswith(("callbacks.", "trainer."))]:
        raise ConfigError(
            f"{idle[0].refused(path)}; all epochs are done, a higher trainer.max_epochs would make more"
        )


def check_cases(
    changes: Sequence[Change],
    path: Path,
    *,
    saved: Mapping[str, Sequence[Any]],
    asked: Mapping[str, Sequence[Any]],
) -> None:
    """Refuse to resume with other cases in the parts of the split.

    Args:
        changes: As `settings_changed`.
        path: The checkpoint.
        saved: The cases of each part in the checkpoint, in order.
        asked: The cases of the run, likewise.

    Raises:
        ConfigError: They differ, and so do settings, which are named.
        CheckpointError: They differ although no setting does: files have changed.
    """
    if part := next((part for part, cases in saved.items() if list(cases) != list(asked[part])), None):
        _refuse([change for change in changes if change.rule == "cases"], path)
        raise CheckpointError(
            f"{path}: was trained with another split: its {part} cases are no longer those of data.root"
        )


def _refuse(changes: Sequence[Change], path: Path) -> None:
    if changes:
        rules = "; ".join(change.refused(path) for change in changes[:_MOST_NAMED])
        others = [change.key for change in changes[_MOST_NAMED:]]
        raise ConfigError(rules + (f"; so must {', '.join(others)}" if others else ""))


def _changes(saved: Any, asked: Any, prefix: str = "") -> Iterator[Change]:
    for name in dict.fromkeys((*saved, *asked)):
        key = f"{prefix}{name}"
        # An empty section is the choice `none`.
        # At the top and in `data`, a key that an earlier version did not have was null.
        missing = None if prefix in ("", "data.") else _ABSENT
        before, now = saved.get(name, missing), asked.get(name, _ABSENT)
        before, now = (None if each == {} else each for each in (before, now))
        if isinstance(before, Mapping) and isinstance(now, Mapping):
            yield from _changes(before, now, prefix=f"{key}.")
        elif before != now:
            yield Change(key=key, saved=before, asked=now)


def _without_own_folder(settings: Mapping[str, Any]) -> Any:
    own = str(settings["paths"]["output_dir"])

    def without(item: Any) -> Any:
        if isinstance(item, Mapping):
            return {name: without(value) for name, value in item.items()}
        return item.replace(own, "") if isinstance(item, str) else item

    return without(settings)


def _shown(value: Any) -> str:
    text = value.get("_target_", "set") if isinstance(value, Mapping) else value
    line = " ".join(str("null" if text is None else text).split())
    return line if len(line) <= _LONGEST else f"{line[:_LONGEST]}..."
