"""One scan to predict: the files that are asked for, and its row of `predictions.json`."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from nibabel.affines import voxel_sizes
from numpy.typing import NDArray

from lts.app.commands.dicom_outputs import DicomOutputs
from lts.app.commands.mask_pictures import picture_file, write_picture
from lts.app.commands.predictions import CaseRequest
from lts.app.commands.probabilities import ProbabilityVolumes, probability_files
from lts.app.run.console import ShowProgress
from lts.cohort import ScanSource
from lts.inference import DicomChoice, Predictor, SlabProbs, measure, prediction_warnings
from lts.volume import Volume, write_mask


@dataclass(frozen=True, kw_only=True)
class ScanJob:
    """One scan to predict, and its outputs.

    Attributes:
        source: The scan.
        input: Where it lies, as the user knows it.
        predictor: The model.
        output: Folder to write to.
        mask_suffix: What follows the case in the name of its mask.
        ending: How the names of its volumes end.
        probabilities: Whether to write probabilities too.
        dicom: Which DICOM objects to write too.
        models: What these say of the model, a line each.
        overlays: Whether to draw the mask on a slice too.
    """

    source: ScanSource
    input: str
    predictor: Predictor
    output: Path
    mask_suffix: str
    ending: str
    probabilities: bool
    dicom: DicomChoice
    models: Sequence[str]
    overlays: bool

    @property
    def mask_path(self) -> Path:
        """Where the mask goes."""
        return self.output / f"{self.source.case}{self.mask_suffix}{self.ending}"

    def wanted(self) -> CaseRequest:
        """The files to write, and the settings that request them."""
        case = self.source.case
        regions = self.predictor.regions if self.probabilities else ()
        volumes = probability_files(case, regions, suffix=self.ending)
        objects = self.dicom.files(case)
        pictures = [picture_file(case)] if self.overlays else []
        asked = {
            "probabilities": self.probabilities,
            **self.dicom.outputs,
            "overlays": self.overlays,
        }
        return CaseRequest(
            source=self.source,
            input=self.input,
            files=(self.mask_path.name, *objects.values(), *volumes.values(), *pictures),
            outputs={name: value for name, value in asked.items() if value},
        )

    def with_users_path(self, reason: object) -> str:
        """A reason with the path of the scan as the user gave it."""
        return str(reason).replace(str(self.source.path), self.input)

    def run(self, progress: ShowProgress) -> dict[str, Any]:
        """Predict, write, and return the row of the case.

        Raises:
            LtsError: The scan cannot be read, or a file cannot be written.
        """
        watch = StopWatch()
        scan = self.source.read(modality=self.predictor.modality)
        objects = DicomOutputs(self.source, self.predictor.regions, self.dicom, models=self.models)
        watch.lap("read")
        regions = self.predictor.regions if self.probabilities else ()
        volumes = ProbabilityVolumes(regions, scan, suffix=self.ending)

        def on_slab(slab: SlabProbs) -> None:
            volumes.add(slab)
            progress(slab.slices.stop, len(scan.voxels))

        located = self.predictor.find_liver(scan)
        mask = self.predictor.mask(scan, on_slab=on_slab, located=located)
        watch.lap("predict")
        findings = measure(mask, geometry=scan.geometry, regions=self.predictor.regions)
        watch.lap("measure")
        # the mask comes first, so that it exists even if the others fail
        write_mask(self.mask_path, mask, geometry=scan.geometry)
        files = {
            "mask": self.mask_path.name,
            **{
                name: text and self.with_users_path(text)
                for name, text in objects.write(self.output, mask, scan, findings).items()
            },
            **volumes.write(self.output, self.source.case),
            **self._draw(scan, mask),
        }
        watch.lap("write")
        return {
            "case": self.source.case,
            **files,
            "input": self.input,
            "series_uid": self.source.series.uid if self.source.series else None,
            "shape": list(scan.geometry.shape),
            "spacing_mm": voxel_sizes(scan.geometry.affine).tolist(),
            "axes": scan.geometry.axes,
            **({"located": [one and one.to_dict() for one in located]} if any(located) else {}),
            **findings.to_dict(),
            "seconds": watch.laps,
            "warnings": [
                *prediction_warnings(
                    findings,
                    scan=scan,
                    labels_zhw=mask,
                    files=self.source.files,
                    modality=self.predictor.modality,
                    checkpoints=self.predictor.checkpoints,
                    located=located,
                ),
                *objects.notes,
            ],
        }

    def _draw(self, scan: Volume, mask: NDArray[np.uint8]) -> dict[str, str]:
        """Draw the mask if that is asked for, and return the name of the picture."""
        if not self.overlays:
            return {}
        name = picture_file(self.source.case)
        write_picture(
            self.output / name,
            self.source.case,
            scan,
            mask,
            regions=self.predictor.regions,
            is_ct=self.predictor.modality == "ct",
        )
        return {"overlay": name}


class StopWatch:
    """Seconds between laps.

    Attributes:
        laps: By name.
    """

    def __init__(self) -> None:
        self.laps: dict[str, float] = {}
        self._last = time.perf_counter()

    def lap(self, name: str) -> None:
        """End the lap of this name."""
        now = time.perf_counter()
        self.laps[name] = round(now - self._last, 3)
        self._last = now
