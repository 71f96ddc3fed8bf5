"""The DICOM series of a study to predict: those that may be volumes, or those that are named."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from lts.base import CohortError, counted
from lts.volume import DicomSeries, describe_series


@dataclass(frozen=True)
class SeriesChoice:
    """A choice of DICOM series and acquisition.

    Attributes:
        names: SeriesInstanceUID, number or description of each; empty for all that may be volumes.
        acquisition: The acquisition in a series with several, or "all", as in `DicomSeries`.

    Example:
        >>> SeriesChoice(names=("portal venous",))
        SeriesChoice(names=('portal venous',), acquisition='')
    """

    names: tuple[str, ...] = ()
    acquisition: str = ""


ALL_SERIES = SeriesChoice()


def choose_series(
    path: Path, series: Sequence[DicomSeries], choice: SeriesChoice, *, folder: Path
) -> tuple[list[DicomSeries], list[str]]:
    """The chosen series, and a sentence on the others.

    Args:
        path: What the user named, for the message.
        series: All there are.
        choice: Which are meant.
        folder: That they lie in.

    Raises:
        CohortError: A name fits none.

    Example:
        >>> study, choice = Path("study"), SeriesChoice(names=("portal venous",))
        >>> series = DicomSeries(study, "1.2", "CT", "Portal venous", (Path("study/1.dcm"),), n_voxels=16384)
        >>> chosen, others = choose_series(study, [series], choice, folder=study)
        >>> chosen[0].description, others
        ('Portal venous', [])
    """
    for name in choice.names:
        if not any(_fits(one, name) for one in series):
            shown = describe_series(series, below=folder)
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
    others = [one for one in series if one not in chosen]
    kind = why.format("are" if others[1:] else "is")
    skipped = [f"{len(others)} {kind}: {describe_series(others, below=folder)}"] if others else []
    return [replace(one, acquisition=choice.acquisition) for one in chosen], skipped


def _fits(series: DicomSeries, name: str) -> bool:
    return name in (series.uid, series.number) or name.casefold() == series.description.casefold()
