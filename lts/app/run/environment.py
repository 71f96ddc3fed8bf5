"""Environment variables between processes of a run or sweep."""

import os

RUN_FOLDER_VARIABLE = "LTS_RUN_FOLDER"
"""The run folder, set for processes that train beside the first one."""

SWEEP_BEGAN_VARIABLE = "LTS_SWEEP_BEGAN"
"""When a sweep began, set for the processes of its jobs: UTC, ISO 8601."""


def follows() -> bool:
    """Whether this process was started to train beside another one."""
    return RUN_FOLDER_VARIABLE in os.environ
