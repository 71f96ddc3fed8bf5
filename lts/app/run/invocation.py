"""How a run was started, beyond its settings."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class Invocation:
    """What a command line gives besides settings; empty for a call from Python.

    Attributes:
        overrides: The arguments of the command line, for the record of the run.
        folder_is_named_by_time: Whether a run may rename its folder if another of the same second exists.
        study_direction: `min` or `max` of the study that this run is a trial of.
    """

    overrides: tuple[str, ...] = ()
    folder_is_named_by_time: bool = False
    study_direction: Literal["min", "max"] | None = None


FROM_PYTHON = Invocation()
