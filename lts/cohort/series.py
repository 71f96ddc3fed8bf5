"""Which DICOM series of a study are to be predicted: those that may be volumes, or those that are named."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from lts.base import CohortError, counted, listed
from lts.cohort.passed_over import short
from lts.volume import DicomSeries

_MOST_TOLD = 10


@dataclass(frozen=True)
class SeriesChoice:
    """Which DICOM series are meant, and what of them.

    Attributes:
        names: Of each its SeriesInstanceUID, number or description; empty for all that may be volumes.
        acquisition: Which one of a series that holds several, or "all" of them, as `DicomSeries` has it.
    """

    names: tuple[str, ...] = ()
    acquisition: str = ""


ALL_SERIES = SeriesChoice()


def choose_series(
    path: Path, series: Sequence[DicomSeries], choice: SeriesChoice, *, folder: Path
) -> tuple[list[DicomSeries], list[str]]:
    """The series that are meant, and a sentence on those that are not.

    Args:
        path: What the user named, for the message.
        series: All there are.
        choice: Which are meant.
        folder: That they lie in.

    Raises:
        CohortError: A name fits none.
    """
    for name in choice.names:
        if not any(_fits(one, name) for one in series):
            shown = listed(
                (_described(one, folder=folder) for one in series), most=_MOST_TOLD, separator="; "
            )
            raise CohortError(
                f"series: {path} holds no DICOM series of the UID, number or description {name!r}, "
                f"but {counted(len(series), 'series', 'series')}{': ' if shown else ''}{shown}"
            )
    if choice.names:
        chosen = [one for one in series if any(_fits(one, name) for name in choice.names)]
        why = "series that {} not chosen"
    else:
        chosen = [one for one in series if not one.no_volume]
        why = "series that {} no volume"
    others = [_described(one, folder=folder) for one in series if one not in chosen]
    kind = why.format("are" if others[1:] else "is")
    told = [f"{len(others)} {kind}: {listed(others, most=_MOST_TOLD, separator='; ')}"] if others else []
    return [replace(one, acquisition=choice.acquisition) for one in chosen], told


def _fits(series: DicomSeries, name: str) -> bool:
    return name in (series.uid, series.number) or name.casefold() == series.description.casefold()


def _described(series: DicomSeries, *, folder: Path) -> str:
    """A series by what its study calls it, where it lies, and what it holds."""
    number = f" {short(series.number)}" if series.number else ""
    description = f" {short(series.description)!r}" if series.description else ""
    place = series.folder.relative_to(folder).as_posix()
    where = f" in {short(place)}" if place != "." else ""
    holds = series.no_volume or counted(len(series.files), "file")
    return f"series{number}{description}{where}, {holds}"
