"""The DICOM objects of a predicted scan; one that fails does not affect the mask."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lts.app.config.settings import PredictSettings
from lts.app.run.console import print_line
from lts.cohort import ScanSource
from lts.inference import DICOM_NAMES, DicomChoice, DicomObjects, Findings, model_in_words
from lts.volume import Volume


def dicom_choice(settings: PredictSettings) -> DicomChoice:
    """Which DICOM objects the settings ask for.

    Raises:
        ConfigError: There is no such layout, a report has no segments to refer to, or a library is not
            installed.
    """
    choice = DicomChoice(
        dicom_seg=settings.dicom_seg_layout if settings.dicom_seg else None,
        dicom_rtstruct=settings.dicom_rtstruct,
        dicom_sr=settings.dicom_sr,
    )
    choice.check()
    return choice


def models_in_words(checkpoints: Sequence[Mapping[str, str]]) -> tuple[str, ...]:
    """What DICOM objects say of models, a line each.

    Args:
        checkpoints: Path and SHA-256 of each.
    """
    return tuple(model_in_words(Path(one["path"]).name, one["sha256"]) for one in checkpoints)


class DicomOutputs:
    """The mask of a scan as DICOM objects.

    Made before there is a mask, so that problems are reported before the network runs. A problem does not
    stop the scan, which still gets its mask.

    Args:
        source: The scan.
        regions: Regions in channel order.
        choice: Which objects.
        models: What a report says of the models, a line each.
    """

    def __init__(
        self, source: ScanSource, regions: Sequence[str], choice: DicomChoice, *, models: Sequence[str] = ()
    ) -> None:
        self._case, self._choice = source.case, choice
        self._told: set[str] = set()
        self._objects = DicomObjects(source, regions, choice, models=models)
        self._tell()

    @property
    def notes(self) -> tuple[str, ...]:
        """Notes on what is written, one sentence each."""
        return self._objects.notes

    def write(
        self, folder: Path, mask: NDArray[np.uint8], scan: Volume, findings: Findings
    ) -> dict[str, str | None]:
        """Write them where it can be.

        Returns:
            By kind, as `dicom_seg`, the name of the file, or None with the reason in `dicom_seg_refused`;
            nothing of those that are not asked for.
        """
        written = self._objects.write(folder, self._case, mask, geometry=scan.geometry, findings=findings)
        self._tell()
        row: dict[str, str | None] = {}
        for kind in self._choice.outputs:
            row[kind] = written.get(kind)
            if kind in self._objects.refused:
                row[f"{kind}_refused"] = self._objects.refused[kind]
        return row

    def _tell(self) -> None:
        """Print new refusals, those of one reason in one line."""
        kinds_of: dict[str, list[str]] = {}
        for kind, reason in self._objects.refused.items():
            if kind not in self._told:
                self._told.add(kind)
                kinds_of.setdefault(reason, []).append(DICOM_NAMES[kind])
        for reason, names in kinds_of.items():
            print_line(f"{self._case}: no {' or '.join(names)}: {reason}")


def unwritten(rows: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, list[str]]]:
    """Which DICOM objects are missing.

    Args:
        rows: Of `predictions.json`.

    Yields:
        What is called so, and the reasons; once for those that are missing for the same reasons.
    """
    names_of: dict[tuple[str, ...], list[str]] = {}
    for kind, name in DICOM_NAMES.items():
        reasons = tuple(row[f"{kind}_refused"] for row in rows if row.get(f"{kind}_refused"))
        if reasons:
            names_of.setdefault(reasons, []).append(name)
    for reasons, names in names_of.items():
        yield " or ".join(names), list(reasons)
