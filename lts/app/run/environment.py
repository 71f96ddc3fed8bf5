"""What one process of a run or sweep tells another through the environment."""

import os

RUN_FOLDER_VARIABLE = "LTS_RUN_FOLDER"
"""Names, in the environment of a process that trains beside a first one, the folder of their run."""

SWEEP_BEGAN_VARIABLE = "LTS_SWEEP_BEGAN"
"""Tells the processes of a sweep's jobs when it began: UTC, ISO 8601."""


def follows() -> bool:
    """Whether this process was started to train beside another one."""
    return RUN_FOLDER_VARIABLE in os.environ
