"""How a run was asked for, as far as its settings do not say it."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class Invocation:
    """What a command line says beside its settings; of a call from Python nothing is to be said.

    Attributes:
        overrides: The arguments of the command line, for the record of the run.
        folder_is_named_by_time: Whether a run may take another name where one of the same second has it.
        study_direction: Which end of the scale the study looks for that this run is a trial of.
    """

    overrides: tuple[str, ...] = ()
    folder_is_named_by_time: bool = False
    study_direction: Literal["min", "max"] | None = None


FROM_PYTHON = Invocation()
