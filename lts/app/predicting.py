"""Masks of new scans, one after the other: a bad one does not stop the others."""

import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from nibabel.affines import voxel_sizes
from omegaconf import DictConfig

from lts.app.console import ShowProgress, print_table, say
from lts.app.model import plain
from lts.app.prediction import load_checkpoints, open_predictor, origins, series_choice
from lts.app.provenance import library_versions, make_folder
from lts.app.segmentation import Segmentation
from lts.app.writing import write_json
from lts.base import CohortError, ConfigError, LtsError
from lts.cohort import ArchiveLimits, ScanSource, find_scans
from lts.inference import Predictor, SlabProbs, doubts, measure
from lts.volume import (
    PROBABILITY_STEPS,
    SegLayout,
    Volume,
    check_dicom_seg,
    write_mask,
    write_probabilities,
)

PREDICTIONS_FILE = "predictions.json"

_TOLD = 3
_MOST_GIB = 2**20
_TABLE = ("case", "liver_ml", "tumor_ml", "tumor_burden", "lesion_count")
_DECIMALS = {"liver_ml": 1, "tumor_ml": 1, "tumor_burden": 3}


def predict(config: DictConfig) -> None:
    """Predict all scans of `input` and write masks and `predictions.json` into `output`.

    Raises:
        CohortError: There is no scan, or some could not be predicted; the others are written all the same.
        LtsError: The input or config was wrong; then nothing is written.
    """
    output, scans = (Path(config[key]).expanduser() for key in ("output", "input"))
    if output.resolve() == scans.resolve():
        raise ConfigError(f"output: must not be the folder of the scans, got {output}")
    if config.dicom_seg:
        check_dicom_seg(config.dicom_seg_layout)
    predictor = open_predictor(config, load_checkpoints(config))
    limits = _limits(config.archive)
    with tempfile.TemporaryDirectory(prefix="lts-") as unpacked:
        found = find_scans(
            scans, unpack_to=Path(unpacked), limits=limits, choice=series_choice(plain(config))
        )
        jobs = [
            _Job(
                source=source,
                predictor=predictor,
                output=output,
                probabilities=config.probabilities,
                dicom_seg=config.dicom_seg_layout if config.dicom_seg else None,
            )
            for source in found.sources
        ]
        if not config.overwrite:
            _refuse_to_replace([output / PREDICTIONS_FILE, *(job.mask_path for job in jobs)])
        make_folder(output, key="output")
        facts = _facts(config, predictor)
        facts["passed_over"] = list(found.passed_over)
        for line in found.passed_over:
            say(f"passed over: {line}")
        for number, job in enumerate(jobs, start=1):
            title = f"[{number}/{len(jobs)}] {job.source.case}"
            try:
                facts["cases"].append(job.run(ShowProgress(title)))
            except LtsError as error:
                failure = {"case": job.source.case, "input": str(job.source.path), "reason": str(error)}
                facts["failed"].append(failure)
                say(f"{title}: failed: {error}")
            write_json(output / PREDICTIONS_FILE, facts)
    _tell(facts, output)


def _limits(archive: DictConfig) -> ArchiveLimits:
    if not 0 < archive.max_gib <= _MOST_GIB:
        raise ConfigError(f"archive.max_gib: must be > 0 and at most {_MOST_GIB}, got {archive.max_gib}")
    if archive.max_files < 1:
        raise ConfigError(f"archive.max_files: must be at least 1, got {archive.max_files}")
    return ArchiveLimits(max_bytes=int(archive.max_gib * 2**30), max_files=archive.max_files)


def _facts(config: DictConfig, predictor: Predictor) -> dict[str, Any]:
    """What `predictions.json` holds, without a case so far."""
    settings = {name: plain(config)[name] for name in ("flips", "temperature", "postprocess")}
    return {
        "cases": [],
        "failed": [],
        "regions": list(predictor.regions),
        "checkpoints": origins(predictor),
        "settings": {"batch_size": predictor.batch_size, **settings},
        "device": str(predictor.device),
        "versions": library_versions(),
    }


def _refuse_to_replace(paths: Sequence[Path]) -> None:
    there = [path for path in paths if path.exists()]
    if there:
        raise ConfigError(f"output: {there[0]} is there already; choose another folder, or overwrite=true")


@dataclass(frozen=True, kw_only=True)
class _Job:
    """One scan to predict, and what is to be written of it.

    Attributes:
        source: The scan.
        predictor: The model.
        output: Folder to write to.
        probabilities: Whether to write probabilities too.
        dicom_seg: How to write the mask as DICOM SEG too; None for not at all.
    """

    source: ScanSource
    predictor: Predictor
    output: Path
    probabilities: bool
    dicom_seg: SegLayout | None

    @property
    def mask_path(self) -> Path:
        """Where the mask goes."""
        return self.output / f"{self.source.case}_mask.nii.gz"

    def run(self, progress: ShowProgress) -> dict[str, Any]:
        """Predict, write, and return what is to be said of the case.

        Raises:
            LtsError: The scan cannot be read, or a file cannot be written.
        """
        watch = _StopWatch()
        scan = self.source.read(modality=self.predictor.modality)
        segmentation = Segmentation(self.source, self.predictor.regions, layout=self.dicom_seg)
        watch.lap("read")
        volumes = _ProbabilityVolumes(self.predictor.regions if self.probabilities else (), scan)

        def on_slab(slab: SlabProbs) -> None:
            volumes.add(slab)
            progress(slab.slices.stop, len(scan.voxels))

        mask = self.predictor.mask(scan, on_slab=on_slab)
        watch.lap("predict")
        findings = measure(mask, geometry=scan.geometry, regions=self.predictor.regions)
        watch.lap("measure")
        # the mask comes first: whatever becomes of the others, it is there
        write_mask(self.mask_path, mask, geometry=scan.geometry)
        files = {
            "mask": self.mask_path.name,
            **segmentation.write(self.output, mask, scan),
            **volumes.write(self.output, self.source.case),
        }
        watch.lap("write")
        return {
            "case": self.source.case,
            **files,
            "input": str(self.source.path),
            "series_uid": self.source.series.uid if self.source.series else None,
            "shape": list(scan.geometry.shape),
            "spacing_mm": voxel_sizes(scan.geometry.affine).tolist(),
            "axes": scan.geometry.axes,
            **findings.to_dict(),
            "seconds": watch.laps,
            "warnings": [
                *doubts(
                    findings,
                    scan=scan,
                    labels_zhw=mask,
                    path=self.source.path,
                    modality=self.predictor.modality,
                    checkpoints=self.predictor.checkpoints,
                ),
                *segmentation.notes,
            ],
        }


class _ProbabilityVolumes:
    """Probabilities of whole scans, 2 bytes a voxel and region; without regions, nothing.

    Args:
        regions: Regions in channel order.
        scan: The scan.
    """

    def __init__(self, regions: Sequence[str], scan: Volume) -> None:
        self._steps = {region: np.empty(scan.voxels.shape, np.uint16) for region in regions}
        self._geometry = scan.geometry

    def add(self, slab: SlabProbs) -> None:
        """Keep those of some slices."""
        for channel, steps in enumerate(self._steps.values()):
            steps[slab.slices] = (slab.probs[:, channel] * PROBABILITY_STEPS).round().numpy()

    def write(self, folder: Path, case: str) -> dict[str, dict[str, str]]:
        """Write a file a region and return their names."""
        # in a folder of their own: a folder of masks is all masks to whoever scores it
        names = {region: f"probabilities/{case}_{region}.nii.gz" for region in self._steps}
        for region, steps in self._steps.items():
            (folder / names[region]).parent.mkdir(exist_ok=True)
            write_probabilities(folder / names[region], steps, geometry=self._geometry)
        return {"probabilities": names} if names else {}


class _StopWatch:
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


def _tell(facts: dict[str, Any], output: Path) -> None:
    rows, failed = facts["cases"], facts["failed"]
    if rows:
        shown = [{name: row[name] for name in _TABLE} for row in rows]
        print_table(f"masks in {output}", shown, decimals=_DECIMALS)
    for row in rows:
        for warning in row["warnings"]:
            say(f"{row['case']}: {warning}")
    unwritten = [row["dicom_seg_refused"] for row in rows if row.get("dicom_seg_refused")]
    problems = []
    if failed:
        total = len(rows) + len(failed)
        counted = f"{len(failed)} of {total} scans could not be predicted: " if total > 1 else ""
        problems.append(counted + _some([failure["reason"] for failure in failed]))
    if unwritten:
        counted = f"{len(unwritten)} of {len(rows)} masks are written as NIfTI, but not as DICOM SEG: "
        problems.append(counted + _some(unwritten))
    if problems:
        raise CohortError("; ".join(problems))


def _some(reasons: Sequence[str]) -> str:
    more = f"; and {len(reasons) - _TOLD} more, see {PREDICTIONS_FILE}" if len(reasons) > _TOLD else ""
    return "; ".join(reasons[:_TOLD]) + more
