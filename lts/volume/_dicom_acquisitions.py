"""Separates acquisitions in one series, such as phases of contrast, so that they are never mixed."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lts.base import VolumeError, listed
from lts.volume._dicom_slices import Slice
from lts.volume._geometry import FloatArray

ALL = "all"
"""Chooses all acquisitions as one volume."""

SAME_PLACE_MM = 0.01
"""Slices closer than this are at the same position; no scanner makes slices as thin."""

_PAUSE_S, _PAUSE_SHARE = 2.0, 3.0
"""A pause that separates two acquisitions: in seconds, and in multiples of the time between slices."""

_SHOWN = 4
_LONGEST = 40
_TIME = re.compile(r"(?:\d{8}(?=\d))?(\d{2}):?(\d{2})?:?(\d{2}(?:\.\d+)?)?")


@dataclass(frozen=True)
class Acquisition:
    """Slices that were acquired together.

    Attributes:
        label: Its name for a choice.
        difference: How it differs from the others, for messages.
        indices: Indices of its slices in the series.
    """

    label: str
    difference: str
    indices: tuple[int, ...]


def choose(
    folder: Path, slices: Sequence[Slice], *, along: FloatArray, wanted: str, timed: bool
) -> list[Slice]:
    """The slices of the only or the chosen acquisition of a series.

    Parts that follow each other in space are one volume; interleaved parts are not.

    Args:
        folder: For the message.
        slices: All slices of the series.
        along: `(n,)` mm, positions along the normal.
        wanted: A label, "all", or "" for the only one.
        timed: Whether slices are acquired in order: in CT they are, in MR often not.

    Raises:
        VolumeError: There are several and none is chosen, or the chosen one does not exist.
    """
    if wanted == ALL:
        return list(slices)
    found = find_acquisitions(slices, along=along, timed=timed)
    if len(found) < 2:
        return list(slices)
    for each in found:
        if each.label == wanted:
            return [slices[index] for index in each.indices]
    descriptions = (f"{each.label} ({len(each.indices)} images: {each.difference})" for each in found)
    choices = listed(descriptions, most=_SHOWN)
    if wanted:
        raise VolumeError(f"{folder}: acquisition must be one of those it holds, got {wanted!r}: {choices}")
    apart = np.diff(np.sort(along)).min() > SAME_PLACE_MM
    as_one = f", acquisition={ALL} takes all as one volume" if apart else ""
    raise VolumeError(
        f"{folder}: must hold one acquisition, got {len(found)} that lie within each other: {choices}; "
        f"acquisition={found[0].label} chooses one{as_one}"
    )


def find_acquisitions(slices: Sequence[Slice], *, along: FloatArray, timed: bool) -> list[Acquisition]:
    """Separate acquisitions by attributes that differ between interleaved slices.

    Returns:
        One for all slices if attributes only differ between consecutive parts of the volume.
    """
    facts = [dict(each.facts) for each in slices]
    if timed:
        for each, time in zip(facts, _parts_in_time(slices), strict=True):
            each["AcquisitionTime"] = time
    differing = [name for name in facts[0] if _lie_within([each[name] for each in facts], along)]
    groups: dict[tuple[str, ...], list[int]] = {}
    for index, each in enumerate(facts):
        groups.setdefault(tuple(each[name] for name in differing), []).append(index)
    in_order = sorted(groups.values(), key=lambda indices: _age(slices, indices))
    if max(map(len, in_order)) < 2:
        return [Acquisition("1", "", tuple(range(len(slices))))]  # images at one position
    numbers = [slices[indices[0]].facts.get("AcquisitionNumber", "") for indices in in_order]
    by_number = "AcquisitionNumber" in differing and len(set(numbers)) == len(numbers) and all(numbers)
    return [
        Acquisition(
            label=number if by_number else str(place),
            difference=_difference(facts[indices[0]], differing),
            indices=tuple(indices),
        )
        for place, (number, indices) in enumerate(zip(numbers, in_order, strict=True), 1)
    ]


def _lie_within(values: Sequence[str], along: FloatArray) -> bool:
    """Whether slices with one value are interleaved with those of another."""
    names = {name: index for index, name in enumerate(dict.fromkeys(values))}
    if len(names) < 2:
        return False
    index = [names[value] for value in values]
    lowest, highest = np.full(len(names), np.inf), np.full(len(names), -np.inf)
    np.minimum.at(lowest, index, along)
    np.maximum.at(highest, index, along)
    order = lowest.argsort()  # if any two overlap, two neighbors do
    return bool((lowest[order][1:] <= highest[order][:-1] + SAME_PLACE_MM).any())


def _parts_in_time(slices: Sequence[Slice]) -> list[str]:
    """For each slice the time when its part began; parts are separated by pauses."""
    seconds = [_seconds(each.time) for each in slices]
    if any(second is None for second in seconds):
        return [""] * len(slices)
    times = np.array(seconds, float)
    order = times.argsort(kind="stable")
    gaps = np.diff(times[order])
    pauses = gaps > max(_PAUSE_S, _PAUSE_SHARE * float(np.median(gaps)) if len(gaps) else 0.0)
    begins = np.maximum.accumulate(np.where(np.concatenate([[True], pauses]), np.arange(len(order)), 0))
    parts = [""] * len(slices)
    for place, begin in zip(order, begins, strict=True):
        parts[place] = slices[order[begin]].time
    return parts


def _seconds(time: str) -> float | None:
    """Seconds of the day."""
    found = _TIME.match(time)
    return 3600 * int(found[1]) + 60 * int(found[2] or 0) + float(found[3] or 0) if found else None


def _age(slices: Sequence[Slice], indices: Sequence[int]) -> tuple[float, float, int]:
    """Sort key of acquisitions: number, time, first file."""
    first = slices[indices[0]]
    number = first.facts.get("AcquisitionNumber", "")
    times = [second for index in indices if (second := _seconds(slices[index].time)) is not None]
    return (float(number) if number.isdecimal() else 0.0, min(times, default=0.0), indices[0])


def _difference(facts: Mapping[str, str], differing: Sequence[str]) -> str:
    return ", ".join(f"{name} {facts[name][:_LONGEST] or 'not stated'}" for name in differing)
