"""Masks of new scans, one after the other; a bad scan does not stop the others."""

import re
from collections.abc import Callable, Sequence, Set
from contextlib import suppress
from pathlib import Path
from typing import Any

from lts.app.commands.dicom_outputs import dicom_choice, models_in_words
from lts.app.commands.earlier_predictions import read_predictions
from lts.app.commands.open_model import load_checkpoints, open_predictor, origins, series_choice
from lts.app.commands.prediction_report import report
from lts.app.commands.predictions import PREDICTIONS_FILE, Predictions
from lts.app.commands.scan_job import ScanJob
from lts.app.commands.shared_output import locked_output, merge_ended
from lts.app.commands.temporary_folder import temporary_folder
from lts.app.config.serialization import settings_to_dict
from lts.app.config.settings import ArchiveSettings, PredictSettings
from lts.app.config.shard import shard_of
from lts.app.config.types import check_settings
from lts.app.run.console import ShowProgress, print_line
from lts.app.run.provenance import library_versions
from lts.app.run.signals import stop_signals
from lts.base import (
    ConfigError,
    LtsError,
    StorageError,
    VolumeError,
    counted,
    name_some,
    natural_key,
)
from lts.cohort import ArchiveLimits, ScanSource, find_scans
from lts.inference import Predictor

_NOT_OF_THE_MASK = (
    *("ckpt", "trusted_modules", "input", "output", "overwrite", "archive", "device", "batch_size"),
    *("shard", "shards"),
    *("series", "acquisition"),  # a scan is known by its files and its acquisition
    *("probabilities", "dicom_seg", "dicom_seg_layout", "dicom_rtstruct", "dicom_sr", "overlays"),
)
"""Settings of `conf/predict.yaml` that do not change masks; all others must agree for masks to be kept."""

_MOST_GIB = 2**20


def predict(settings: PredictSettings) -> tuple[dict[str, Any], ...]:
    """Predict the scans of `input` that `output` lacks, and write masks and `predictions.json` there.

    Args:
        settings: The scans, the model, and where masks go.

    Returns:
        A row of `predictions.json` per scan of the input, or of its shard.

    Raises:
        CohortError: There is no scan, or some could not be predicted; the others are still written.
        LtsError: The input or config was wrong and nothing is written; or the disk is full.
        Interrupted: The command was told to stop.
    """
    record, asked, found = _predict_recorded(settings)
    if settings.shard is not None:
        _tell_what_is_left(found, Path(settings.output).expanduser())
    report(record.cases, record.failed, asked, settings.output)
    return tuple(record.cases[case] for case in asked)


def conclude_shards(settings: PredictSettings) -> Callable[[Set[str]], None]:
    """Merge what killed shards have left into the record of the output folder.

    Returns:
        Reports cases of that record, given their names; raises CohortError where some failed.
    """
    output = Path(settings.output).expanduser()
    if output.is_dir():
        merge_ended(output)
    record = read_predictions(output / PREDICTIONS_FILE)

    def report_of(asked: Set[str]) -> None:
        rows, failed = (
            {row["case"]: row for row in record.get(kind, ()) if row["case"] in asked}
            for kind in ("cases", "failed")
        )
        report(rows, failed, sorted(asked, key=natural_key), output)

    return report_of


def predict_shard(settings: PredictSettings) -> list[str]:
    """As `predict`, without the table at its end and without an error for scans that failed.

    Returns:
        The names of the cases that were asked for.
    """
    return _predict_recorded(settings)[1]


def _predict_recorded(settings: PredictSettings) -> tuple[Predictions, list[str], list[str]]:
    """As `predict_shard`; the record, the names, and those of all scans of the input."""
    check_settings(settings)
    shard = shard_of(settings)
    output, scans = (Path(path).expanduser() for path in (settings.output, settings.input))
    if output.resolve() == scans.resolve():
        raise ConfigError(f"output: must not be the folder of the scans, got {output}")
    if not re.fullmatch(r"[\w.-]{0,50}", settings.mask_suffix, re.ASCII) or ".." in settings.mask_suffix:
        rule = "must be at most 50 letters, digits and signs of _.-"
        raise ConfigError(f"mask_suffix: {rule}, got {settings.mask_suffix!r}")
    dicom = dicom_choice(settings)
    stop = _StopMessage()
    with locked_output(output, shard) as part, temporary_folder() as unpacked, stop_signals(stop):
        predictor = open_predictor(
            settings,
            load_checkpoints(settings.ckpt, trusted_modules=settings.trusted_modules),
            turn=0 if shard is None else shard.number,
        )
        found = find_scans(
            scans, unpack_to=unpacked, limits=_limits(settings.archive), choice=series_choice(settings)
        )
        sources = found.sources if shard is None else shard.part_of(found.sources)
        facts = _facts(settings, predictor)
        jobs = [
            ScanJob(
                source=source,
                input=str(source.path).replace(str(unpacked), str(scans)),
                predictor=predictor,
                output=output,
                mask_suffix=settings.mask_suffix,
                ending=f".{settings.output_format}",
                probabilities=settings.probabilities,
                dicom=dicom,
                models=models_in_words(facts["checkpoints"]),
                overlays=settings.overlays,
            )
            for source in sources
        ]
        _check_no_scan_is_replaced(jobs, found.sources)
        record = Predictions(
            output,
            facts,
            latest={"passed_over": list(found.passed_over)},
            part=part,
        )
        for line in found.passed_over:
            print_line(f"passed over: {line}")
        named = [source.case for source in found.sources]
        _predict_all(jobs, record, overwrite=settings.overwrite, named=named, stop=stop)
    return record, [job.source.case for job in jobs], named


def _tell_what_is_left(found: Sequence[str], output: Path) -> None:
    """Print which scans have no mask when a shard is done: of shards that still run, or in no shard at all.

    The latter happens where scans came between the starts of two shards, as each takes every N-th of those
    that it finds.
    """
    record = read_predictions(output / PREDICTIONS_FILE)
    known = {row["case"] for kind in ("cases", "failed") for row in record.get(kind, ())}
    if left := [case for case in found if case not in known]:
        print_line(
            f"without a mask yet: {name_some(left)}, {len(left)} of {len(found)} scans; when all shards have "
            "ended, the command without shards goes on with what is left"
        )


def _check_no_scan_is_replaced(jobs: Sequence[ScanJob], sources: Sequence[ScanSource]) -> None:
    """Check that no file to be written is one of any scan of the input: `overwrite=true` is about masks.

    Raises:
        ConfigError: One is.
    """
    read: set[Path] = set()
    for source in sources:
        with suppress(VolumeError):  # told when its turn comes
            read.update(file.resolve() for file in source.files)
    for job in jobs:
        for name in job.wanted().files:
            if (path := job.output / name).resolve() in read:
                raise ConfigError(
                    f"output: {path} is a scan of the input and would be replaced; choose another folder or "
                    "mask_suffix"
                )


def _predict_all(
    jobs: Sequence[ScanJob],
    record: Predictions,
    *,
    overwrite: bool,
    named: Sequence[str],
    stop: "_StopMessage",
) -> None:
    wanted = [job.wanted() for job in jobs]
    todo = record.to_do(wanted, overwrite=overwrite, named=named)
    names = {one.case for one in todo}
    if kept := record.describe_kept([one for one in wanted if one.case not in names]):
        print_line(kept)
    stop.left = len(todo)
    for number, (job, one) in enumerate(zip(jobs, wanted, strict=True), start=1):
        if one.case not in names:
            continue
        title = f"[{number}/{len(jobs)}] {one.case}"
        if series := job.source.series:  # which it is, folders and files are rarely named for
            title += f", {series.describe(below=series.folder)}"
        record.begin(one)
        try:
            _ = one.scan_sha256  # of the files that are read now
            record.add(one, job.run(ShowProgress(title)))
        except StorageError:  # the next case would meet the same disk
            raise
        except LtsError as error:
            reason = record.fail(one, job.with_users_path(error))
            print_line(f"{title}: failed: {reason}")
        stop.left -= 1
    record.write()


def _limits(archive: ArchiveSettings) -> ArchiveLimits:
    if not 0 < archive.max_gib <= _MOST_GIB:
        raise ConfigError(f"archive.max_gib: must be > 0 and at most {_MOST_GIB}, got {archive.max_gib}")
    if archive.max_files < 1:
        raise ConfigError(f"archive.max_files: must be at least 1, got {archive.max_files}")
    return ArchiveLimits(max_bytes=int(archive.max_gib * 2**30), max_files=archive.max_files)


def _facts(settings: PredictSettings, predictor: Predictor) -> dict[str, Any]:
    """What `predictions.json` says of a run."""
    of_the_mask = {
        name: item for name, item in settings_to_dict(settings).items() if name not in _NOT_OF_THE_MASK
    }
    return {
        "regions": list(predictor.regions),
        "checkpoints": origins(predictor),
        "settings": {**of_the_mask, "batch_size": predictor.batch_size, "precision": predictor.precision},
        "device": str(predictor.device),
        "versions": library_versions(),
    }


class _StopMessage:
    """The message of a stopped command.

    Attributes:
        left: Number of remaining scans, None while unknown.
    """

    def __init__(self) -> None:
        self.left: int | None = None

    def __call__(self) -> str:
        """How to go on."""
        if self.left is None:
            return "nothing was begun"
        return f"{counted(self.left, 'scan')} left, which the same command goes on with"
