"""One training and prediction: the input of a fresh process, and its answer."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from lts.base import write_json
from lts.cohort import Case


@dataclass(frozen=True, kw_only=True)
class Job:
    """A system, its training cases and its test cases.

    Attributes:
        system: As on the command line: `lts`, or with options `lts:model.norm=instance`.
        recipe: The `experiment` of lts that README names for such scans; other systems ignore it.
        train: Training cases; all of them are trained on.
        test: Cases to predict.
        regions: Regions in channel order, `liver` or `liver` and `tumor`.
        minutes: Length of the training; reading and preparing the cases does not count.
        cores: Processors, and threads of torch.
        lane: Which of the trainings that run at once it is, from 0; each lane has processors of its own.
        seed: Of the random numbers.
        folder: An empty folder for the system's own files.
        masks: Folder of the masks, `<case>.nii.gz` with labels 0, 1, 2 on the scan's own grid.
    """

    system: str
    recipe: str
    train: tuple[Case, ...]
    test: tuple[Case, ...]
    regions: tuple[str, ...]
    minutes: float
    cores: int
    lane: int
    seed: int
    folder: Path
    masks: Path

    @property
    def options(self) -> tuple[str, ...]:
        """The words after the colon."""
        return tuple(self.system.partition(":")[2].split())

    @property
    def classes(self) -> int:
        """Number of labels, with the background."""
        return 1 + len(self.regions)

    def mask_of(self, case: Case) -> Path:
        """Where the mask of a case is written."""
        return self.masks / f"{case.id}.nii.gz"

    def save(self, path: Path) -> None:
        """Write it as JSON."""
        write_json(path, json.loads(json.dumps(asdict(self), default=str)))

    @classmethod
    def load(cls, path: Path) -> "Job":
        """Read what `save` wrote."""
        content = json.loads(path.read_text())
        parts = {part: tuple(map(_case, content.pop(part))) for part in ("train", "test")}
        folders = {name: Path(content.pop(name)) for name in ("folder", "masks")}
        return cls(**parts, **folders, regions=tuple(content.pop("regions")), **content)


@dataclass(frozen=True, kw_only=True)
class Answer:
    """The facts of a training.

    Attributes:
        slices_seen: Slices, or patches of slices, that the network was trained on.
        train_s: Seconds of the training.
    """

    slices_seen: int
    train_s: float


def _case(content: dict[str, Any]) -> Case:
    return Case(content["id"], content["patient"], image=Path(content["image"]), mask=Path(content["mask"]))
