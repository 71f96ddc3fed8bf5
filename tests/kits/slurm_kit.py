"""A cluster of two jobs: SLURM's programs, replaced; the first job is lost, the second is run here."""

import os
import stat
from pathlib import Path

import pytest

_SBATCH = """#!/bin/bash
script=${@: -1}
cp "$script" submitted.sh
export SLURM_NTASKS=1 SLURM_NNODES=1 SLURM_PROCID=0 SLURM_LOCALID=0 SLURM_NODEID=0 SLURM_ARRAY_JOB_ID=17
export SLURM_JOB_NODELIST=localhost SLURM_JOB_NUM_NODES=1
SLURM_JOB_ID=19 SLURM_ARRAY_TASK_ID=1 bash "$script" > tasks 2>&1 &
echo "Submitted batch job 17"
"""
_SRUN = """#!/bin/bash
while [[ $1 == -* ]]; do [[ $1 == --output || $1 == --error ]] && shift; shift; done
exec "$@"
"""
_SACCT = """#!/bin/bash
echo "JobID|State|NodeList"
echo "17_0|NODE_FAIL|"
"""


def install_fake_slurm(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put `sbatch`, `srun` and `sacct` into a folder and in front of the search path."""
    folder.mkdir()
    for name, script in (("sbatch", _SBATCH), ("srun", _SRUN), ("sacct", _SACCT)):
        (folder / name).write_text(script)
        (folder / name).chmod(stat.S_IRWXU)
    monkeypatch.setenv("PATH", str(folder), prepend=os.pathsep)
