"""One job of a sweep: known by its settings, gone on with where it stopped, and its failure written down."""

import hashlib
import json
import os
import sys
import traceback
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from filelock import FileLock
from hydra.core.hydra_config import HydraConfig
from omegaconf import MISSING, DictConfig, OmegaConf

from lts.app.run.console import print_line
from lts.app.run.environment import SWEEP_BEGAN_VARIABLE
from lts.app.run.failures import INPUT_WAS_WRONG, failure_of, print_error
from lts.app.run.lock import locked_folder
from lts.app.run.processors import reset_start_method
from lts.app.run.records import FAILED, FINISHED, INTERRUPTED, JOB_FILE, RUN_FILE, read_job, read_run
from lts.app.sweep.leaderboard import read_runs
from lts.app.sweep.study import score_for_sweeper
from lts.base import ConfigError, LtsError, write_json

_CLAIMS_FILE = ".claims.lock"
_OF_THE_RUN_ITSELF = ("paths.output_dir", "paths.store_dir", "data.num_workers", "scoring.workers", "sweep")
"""Settings that change nothing of a result."""


class RunOfJob(Protocol):
    """A command as a job of a sweep runs it."""

    def __call__(self, config: DictConfig, folder: Path, *, goes_on: bool) -> float | None:
        """Run it in a folder, from the last checkpoint there where it goes on; returns its score."""


def run_job(config: DictConfig, run: RunOfJob, *, name: str) -> float | None:
    """Do a job of a sweep unless it is done; a failure is written into its `run.json` and ends no other job.

    Args:
        config: Its config.
        run: The command.
        name: Of the command.

    Returns:
        Its score, now or of the earlier time; None where it failed.

    Raises:
        SystemExit: It failed and `sweep.stop_on_failure` is set.
    """
    reset_start_method()
    hydra = HydraConfig.get()
    job, sweep_dir, made = str(hydra.job.num), Path(hydra.sweep.dir).resolve(), Path(hydra.runtime.output_dir)
    failed = partial(_note_failure, name=name, stop=config.sweep.stop_on_failure)
    try:
        folder = claim_folder(sweep_dir, wished=made, settings=settings_hash(config))
    except Exception as error:
        return failed(made, error)

    def tell_of_waiting() -> None:
        print_line(f"job {job}: has the settings of {folder}, which is being run; waits for it")

    with locked_folder(folder, before_waiting=tell_of_waiting):
        try:
            earlier = read_run(folder)
        except ConfigError as error:
            return failed(folder, error)
        if earlier.get("state") in FINISHED:
            print_line(_skipped(job, folder, earlier))
            return score_for_sweeper(earlier.get("best_score"), earlier.get("mode"))
        if _failed_in_this_sweep(earlier):
            print_line(f"job {job}: has the settings of {folder}, which failed in this sweep; skipped")
            return None
        goes_on = bool(earlier) and _goes_on(folder, job=job)
        try:
            score = run(config, folder, goes_on=goes_on)
        except Exception as error:
            return failed(folder, error)
        except BaseException:
            _note(folder, state=INTERRUPTED)
            raise
        return score_for_sweeper(score, read_run(folder).get("mode"))


def note_lost_job(config: DictConfig, reason: str, *, name: str) -> float | None:
    """Count a job as failed whose process ended without a result, unless its record says how it ended.

    Args:
        config: Its config.
        reason: Why there is no result.
        name: Of the command.

    Returns:
        Its score, if it was done before it was lost.

    Raises:
        SystemExit: It failed and `sweep.stop_on_failure` is set.
    """
    hydra = HydraConfig.get()
    made = Path(hydra.runtime.output_dir)
    folder = claim_folder(Path(hydra.sweep.dir).resolve(), wished=made, settings=settings_hash(config))
    record = read_run(folder)
    if record.get("state") in FINISHED:
        return score_for_sweeper(record.get("best_score"), record.get("mode"))
    stop = config.sweep.stop_on_failure
    if not _failed_in_this_sweep(record):
        _note_failure(folder, LtsError(reason), name=name, stop=stop)
    elif stop:
        sys.exit(record.get("exit_code") or INPUT_WAS_WRONG)
    return None


def settings_hash(config: DictConfig) -> str:
    """SHA-256 of the resolved settings, but for those of the run itself: two jobs with the same are one."""
    # What is missing the run fills in or refuses.
    settings = OmegaConf.create(_without_missing(OmegaConf.to_container(config, resolve=False)))
    for key in _OF_THE_RUN_ITSELF:
        OmegaConf.update(settings, key, "")
    plain = OmegaConf.to_container(settings, resolve=True)
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()


def _without_missing(item: Any) -> Any:
    if isinstance(item, dict):
        return {key: _without_missing(value) for key, value in item.items()}
    return "" if item == MISSING else item


def claim_folder(sweep_dir: Path, *, wished: Path, settings: str) -> Path:
    """The folder of the job with these settings: that of an earlier time, else one that no other job has.

    Numbers of jobs do not tell: a grid that grew and a study that goes on give old numbers to new settings.

    Args:
        sweep_dir: Folder of the sweep.
        wished: Folder in it that Hydra made for the job; removed where it stays empty.
        settings: `settings_hash` of the job.
    """
    with FileLock(sweep_dir / _CLAIMS_FILE):
        for file in sweep_dir.glob(f"*/{JOB_FILE}"):
            if read_job(file)["settings"] == settings:
                folder = file.parent
                break
        else:
            folder = _next_folder(sweep_dir) if any(wished.iterdir()) else wished
            folder.mkdir(exist_ok=True)
            facts = {"settings": settings, "overrides": list(HydraConfig.get().overrides.task)}
            write_json(folder / JOB_FILE, facts)
        if folder != wished:
            with suppress(OSError):
                wished.rmdir()
    return folder


def _next_folder(sweep_dir: Path) -> Path:
    taken = [int(path.name) for path in sweep_dir.iterdir() if path.name.isdecimal()]
    return sweep_dir / str(max(taken, default=-1) + 1)


def _skipped(job: str, folder: Path, earlier: dict[str, Any]) -> str:
    score = earlier.get("best_score")
    found = "" if score is None else f" with score {score:.4f}"
    return f"job {job}: {folder} is {earlier['state']} already{found}; skipped"


def _goes_on(folder: Path, *, job: str) -> bool:
    """Whether a run that began goes on from its last checkpoint; else it starts anew beside what is left."""
    last = folder / "checkpoints" / "last.ckpt"
    if last.is_file():
        print_line(f"job {job}: goes on from {last}")
        return True
    attempts = len(list(folder.glob("run-*.json"))) + 1
    (folder / RUN_FILE).rename(folder / f"run-{attempts}.json")
    print_line(f"job {job}: began in {folder} and left no checkpoint; starts anew")
    return False


def _note_failure(folder: Path, error: Exception, *, name: str, stop: bool) -> None:
    failure = failure_of(error, name)
    others = (run for run in read_runs(folder.parent) if run["job"] != folder.name)
    alike = (run for run in others if run.get("reason") == failure.reason)
    first = next(filter(_failed_in_this_sweep, alike), None)
    if first is None and failure.is_bug:
        traceback.print_exception(error)
    line = failure.reason if first is None else f"failed as job {first['job']} did"
    print_error(name, f"job {folder.name}: {line}")
    _note(folder, state=FAILED, reason=failure.reason, exit_code=failure.exit_code)
    if stop:
        sys.exit(failure.exit_code)


def _failed_in_this_sweep(record: dict[str, Any]) -> bool:
    began = os.environ.get(SWEEP_BEGAN_VARIABLE)
    return began is not None and record.get("state") == FAILED and (record.get("ended") or "") >= began


def _note(folder: Path, **facts: Any) -> None:
    try:
        record = read_run(folder) or {"overrides": list(HydraConfig.get().overrides.task)}
    except ConfigError:
        return  # what is damaged is not written over: a person may read more of it
    write_json(folder / RUN_FILE, {**record, **facts, "ended": datetime.now(UTC).isoformat()})
