"""One run: a fresh process trains and predicts, then its masks are scored."""

import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.accuracy.job import Answer, Job
from benchmarks.accuracy.parts import Fold
from benchmarks.accuracy.records import Record, Run
from benchmarks.accuracy.scoring import score
from benchmarks.machine import machine_facts
from lts.base import read_json_object

ROOT = Path(__file__).parents[2]


class RunError(Exception):
    """A system failed; the message names the file with its output."""


def measure(run: Run, fold: Fold, folder: Path, *, at_once: int, lane: int) -> Record:
    """Train, predict and score.

    Args:
        run: The key.
        fold: Its cases.
        folder: Folder of the benchmark; masks and output are kept in its subfolder `runs`.
        at_once: Number of runs that share the machine.
        lane: Which of them it is, from 0.

    Raises:
        RunError: The system failed.
        LtsError: A mask is missing, or does not fit its scan.
    """
    own = _folder_of(run, folder)
    shutil.rmtree(own, ignore_errors=True)
    job = Job(
        system=run.system,
        recipe=fold.recipe,
        train=fold.train,
        test=fold.test,
        regions=fold.regions,
        minutes=run.minutes,
        cores=run.cores,
        lane=lane,
        seed=run.seed,
        folder=own / "work",
        masks=masks_of(run, folder),
    )
    for path in (job.folder, job.masks):
        path.mkdir(parents=True)
    began = time.perf_counter()
    answer, cpu_s = _in_fresh_process(job, own)
    all_s = time.perf_counter() - began
    shutil.rmtree(job.folder)
    return Record(
        run=run,
        slices_seen=answer.slices_seen,
        train_s=round(answer.train_s, 1),
        all_s=round(all_s, 1),
        cpu_s=round(cpu_s, 1),
        at_once=at_once,
        cases=score(job),
        machine=machine_facts(),
    )


def _in_fresh_process(job: Job, own: Path) -> tuple[Answer, float]:
    """The answer of a child process, and the processor seconds of it and of its own children."""
    job_file, answer_file, log = own / "job.json", job.folder / "answer.json", own / "log.txt"
    job.save(job_file)
    command = [sys.executable, "-m", "benchmarks.accuracy.child", str(job_file), str(answer_file)]
    with log.open("w") as output:
        child = subprocess.Popen(
            command, cwd=ROOT, env=_environment(job.cores), stdout=output, stderr=subprocess.STDOUT
        )
        _, status, used = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise RunError(f"exit code {child.returncode}, its output is in {log}")
    return Answer(**read_json_object(answer_file)), used.ru_utime + used.ru_stime


def _environment(cores: int) -> dict[str, str]:
    threads = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), str(cores))
    return {
        **os.environ,
        **threads,
        "NO_ALBUMENTATIONS_UPDATE": "1",
        "CUDA_VISIBLE_DEVICES": "",
        "PYTHONUNBUFFERED": "1",
    }


def masks_of(run: Run, folder: Path) -> Path:
    """Folder of the masks of a run, `<case>.nii.gz`."""
    return _folder_of(run, folder) / "masks"


def folder_name(system: str) -> str:
    """The name of a system as that of a folder."""
    return re.sub(r"[^\w.=-]+", "_", system)


def _folder_of(run: Run, folder: Path) -> Path:
    name = (
        f"{run.part}{run.fold}-{folder_name(run.system)}-seed{run.seed}-{run.minutes:g}min-{run.cores}cores"
    )
    return folder / "runs" / name
