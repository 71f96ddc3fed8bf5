"""Jobs that a cluster lost: they count as failed, and the sweep waits for the others."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from hydra.core.utils import run_job
from omegaconf import DictConfig, open_dict
from submitit.core.core import Job
from submitit.core.utils import FailedJobError, UncompletedJobError

NoteOfLostJob = Callable[[DictConfig, str], float | None]


def count_lost_jobs_as_failed(note: NoteOfLostJob) -> None:
    """Have a submitted job that ends without a result count as a failed job of the sweep.

    Hydra's launcher asks its jobs for their results one after the other. What one of them raises there would
    end the sweep with a traceback while others are still running.

    Args:
        note: Writes down that a job was lost, given its config and the reason; returns its score.
    """
    results = Job.results

    def results_or_failure(job: Any) -> list[Any]:
        try:
            found: list[Any] = results(job)
        except UncompletedJobError as error:
            found = [_result(job, error, note)]
        return found

    Job.results = results_or_failure  # type: ignore[method-assign, assignment]


def _result(job: Any, error: Exception, note: NoteOfLostJob) -> Any:
    """What Hydra's launcher would return of a job that failed."""
    submitted = job.submission()
    launcher, (overrides, dir_key, number, job_id, _) = submitted.function, submitted.args
    config = launcher.hydra_context.config_loader.load_sweep_config(launcher.config, overrides)
    with open_dict(config.hydra.job):
        config.hydra.job.num, config.hydra.job.id = number, job_id
    reason = _reason(job, error)

    def fail(settings: DictConfig) -> float | None:
        return note(settings, reason)

    return run_job(
        task_function=fail,
        config=config,
        job_dir_key=dir_key,
        job_subdir_key="hydra.sweep.subdir",
        hydra_context=launcher.hydra_context,
        configure_logging=False,
    )


def _reason(job: Any, error: Exception) -> str:
    how = "broke off" if isinstance(error, FailedJobError) else f"was lost in state {job.state}"
    return f"job {job.job_id} of the cluster {how}; its output is in {Path(job.paths.stderr)}"
