"""Which existing key is most similar to a wrong one."""

import difflib
from collections.abc import Collection

_LEAST_ALIKE = 0.6


def closest(wrong: str, keys: Collection[str]) -> str | None:
    """The key that is most similar to a wrong one, None if none is.

    Among keys with the same last part the one with the most similar path is meant: `optimizer.lr` for `lr`
    and `optimiser.lr`. Otherwise keys of the same section come before others.

    Args:
        wrong: A key that does not exist.
        keys: The keys that exist.
    """
    section, _, name = wrong.rpartition(".")
    others = [key for key in keys if key != wrong]
    same_name = [key for key in others if key.rpartition(".")[2] == name]
    if same_name:
        return max(same_name, key=lambda key: _similarity(wrong, key))
    siblings = {key: key.rpartition(".")[2] for key in others if key.rpartition(".")[0] == section}
    for found in (
        [(_similarity(name, sibling), key) for key, sibling in siblings.items()],
        [(_similarity(wrong, key), key) for key in others],
        [(_similarity(name, key.rpartition(".")[2]), key) for key in others],
    ):
        likeness, key = max(found, default=(0.0, ""))
        if likeness >= _LEAST_ALIKE:
            return key
    return None


def _similarity(one: str, other: str) -> float:
    return difflib.SequenceMatcher(None, one, other).ratio()
