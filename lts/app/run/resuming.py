"""Where a run goes on: from which checkpoint, or anew."""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lts.app.config.settings import TrainSettings
from lts.app.run.records import RUN_FILE, read_run
from lts.app.run.resume_settings import (
    Change,
    check_cases,
    check_nothing_left,
    check_settings,
    settings_changed,
)
from lts.base import DESCRIPTION_KEY, CheckpointError, ConfigError
from lts.cohort import Split
from lts.inference import read_checkpoint

_STATE_OF_TRAINING = ("loops", "global_step", "callbacks", "optimizer_states", "lr_schedulers")
_WRITTEN_BY_EPOCHS = ("checkpoints", "tensorboard", "csv", "curves.png")


@dataclass(frozen=True, kw_only=True)
class Resume:
    """From where a run goes on, and with which other settings.

    Attributes:
        path: The checkpoint.
        epochs: Whole epochs that it has behind it.
        steps: Steps that it has behind it.
        members: By part of the split its cases, as in the checkpoint.
        settings: The config in the checkpoint.
        changes: Settings that differ from those of the checkpoint.
        earlier_changes: What differed when earlier runs went on, as in the checkpoint.
    """

    path: Path
    epochs: int
    steps: int
    members: Mapping[str, Sequence[Mapping[str, str]]]
    settings: Mapping[str, Any]
    changes: Sequence[Change]
    earlier_changes: Sequence[Mapping[str, Any]]

    @property
    def taken(self) -> list[Change]:
        """The settings that the epochs to come are made with, though those behind were not."""
        return [change for change in self.changes if change.rule == "taken"]

    @property
    def optimizer_changed(self) -> bool:
        """Whether the optimizer or the scheduler goes on with other settings."""
        return any(change.key.startswith(("optimizer.", "scheduler.")) for change in self.taken)

    @property
    def learning_rate_changed(self) -> bool:
        """Whether the learning rate is another one than before."""
        return any(change.key == "optimizer.lr" for change in self.taken)

    @property
    def history(self) -> list[dict[str, Any]]:
        """All changes so far, as plain types: after how many epochs, which key, from what, to what."""
        now = [
            {"after_epoch": self.epochs, "key": change.key, "from": change.saved, "to": change.asked}
            for change in self.taken
        ]
        return [*map(dict, self.earlier_changes), *now]

    def line(self) -> str:
        """What is said of it."""
        changes = ", ".join(change.summary() for change in self.taken)
        return f"goes on after epoch {self.epochs} of {self.path}" + (f" with {changes}" if changes else "")


def plan_resume(settings: TrainSettings, output_dir: Path, split: Split) -> Resume | None:
    """Find the checkpoint to go on from, and check all that can be before a scan is read; None for a new run.

    Raises:
        ConfigError: As `checkpoint_to_resume` and `check_epochs_left`; a setting differs that cannot.
        CheckpointError: The checkpoint cannot be gone on from, or the best one of its run is lost.
    """
    path = checkpoint_to_resume(settings.ckpt, output_dir)
    if path is None:
        return None
    saved = read_checkpoint(path)
    epochs = check_epochs_left(saved, path, max_epochs=settings.max_epochs, ckpt=settings.ckpt)
    described = saved[DESCRIPTION_KEY]
    resume = Resume(
        path=path,
        epochs=epochs,
        steps=int(saved["global_step"]),
        members=described["split"],
        settings=described["config"],
        changes=settings_changed(described["config"], settings),
        earlier_changes=described.get("changes", ()),
    )
    check_settings(resume.changes, path, same_folder=resumes_in_place(settings.ckpt))
    if epochs == settings.max_epochs:
        check_nothing_left(resume.taken, path)
    ids = {part: [member["case"] for member in members] for part, members in resume.members.items()}
    check_cases(resume.changes, path, saved=ids, asked={part: split.subset(part) for part in ids})
    if resumes_in_place(settings.ckpt):
        _check_best(path.with_name("best.ckpt"))
    return resume


def check_before_resuming(
    resume: Resume, settings: TrainSettings, *, members: Mapping[str, Sequence[Mapping[str, str]]]
) -> None:
    """Check what is known once the cases are read: that they are the same, and what best.ckpt is chosen by.

    Raises:
        ConfigError: Settings lead to others.
        CheckpointError: Files of cases have changed.
    """
    check_cases(resume.changes, resume.path, saved=resume.members, asked=members)
    if resumes_in_place(settings.ckpt):
        check_settings(settings_changed(resume.settings, settings), resume.path, same_folder=True)


def _check_best(path: Path) -> None:
    if not path.is_file():
        raise CheckpointError(f"{path}: is missing, and the run cannot end without its best checkpoint")
    read_checkpoint(path)


def resumes_in_place(ckpt: str | Path | None) -> bool:
    """Whether a run goes on with the one that its folder may hold."""
    return str(ckpt) in ("last", "auto")


def checkpoint_to_resume(ckpt: str | Path | None, output_dir: Path) -> Path | None:
    """The checkpoint that `ckpt` means, None for a run that begins anew.

    Args:
        ckpt: None; a file; `last` for the last whole epoch of the run in `output_dir`; or `auto`, which is
            `last` where there is a run and begins one where there is none.
        output_dir: Folder of the run.

    Raises:
        ConfigError: There is no such file, or no such run, or what the folder holds is no training.
    """
    if ckpt is None:
        return None
    if not resumes_in_place(ckpt):
        if Path(ckpt).is_dir():
            raise ConfigError(
                f"ckpt: must be a file, last or auto, got the folder {ckpt}; "
                f"paths.output_dir={ckpt} ckpt=last goes on with a run in it"
            )
        if not Path(ckpt).is_file():
            raise ConfigError(f"ckpt: no such file: {ckpt}")
        return Path(ckpt)
    begun = output_dir / RUN_FILE
    if (command := read_run(output_dir).get("command") or "train") != "train":
        raise ConfigError(
            f"paths.output_dir: {output_dir} must hold a training to go on with, got one of {command}"
        )
    last = output_dir / "checkpoints" / "last.ckpt"
    if last.is_file():
        return last
    # A run that died before its first epoch was whole has nothing to go on from, and nothing to lose.
    if str(ckpt) == "last" and not begun.is_file():
        raise ConfigError(f"ckpt: no such file: {last}")
    return None


def check_epochs_left(
    saved: Mapping[str, Any], path: Path, *, max_epochs: int, ckpt: str | Path | None
) -> int:
    """Check that a checkpoint leaves something to train; returns the epochs that it has behind it.

    A run that goes on in its own folder may have trained to the end: then its best checkpoint is there, to be
    scored again.

    Raises:
        CheckpointError: It holds a model, but not the state of its training.
        ConfigError: All epochs are done; in another folder there would be no best checkpoint to score.
    """
    lacking = [key for key in _STATE_OF_TRAINING if key not in saved]
    if lacking:
        raise CheckpointError(f"{path}: must hold the state of a training to go on from, lacks {lacking}")
    done = int(saved["loops"]["fit_loop"]["epoch_progress"]["current"]["processed"])
    if done > max_epochs or (done == max_epochs and not resumes_in_place(ckpt)):
        raise ConfigError(f"trainer.max_epochs: must exceed the {done} epochs of {path}, got {max_epochs}")
    return done


def clear_traces(output_dir: Path) -> None:
    """Take away what the epochs of a run left that begins anew, so that no curve shows them twice."""
    for name in _WRITTEN_BY_EPOCHS:
        path = output_dir / name
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
