"""Where a run starts: from which checkpoint, or from scratch."""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lts.app.config.settings import TrainSettings
from lts.app.run.records import LOGGERS_FILE, RUN_FILE, read_run
from lts.app.run.resume_settings import (
    Change,
    check_cases,
    check_fixed_settings,
    check_nothing_left,
    settings_changed,
    settings_expected,
)
from lts.base import DESCRIPTION_KEY, CheckpointError, ConfigError
from lts.cohort import Split
from lts.inference import read_checkpoint

_STATE_OF_TRAINING = ("loops", "global_step", "callbacks", "optimizer_states", "lr_schedulers")
_WRITTEN_BY_EPOCHS = ("checkpoints", "tensorboard", "csv", "wandb", LOGGERS_FILE, "curves.png")


@dataclass(frozen=True, kw_only=True)
class Resume:
    """Where a run resumes, and with which changed settings.

    Attributes:
        path: The checkpoint.
        epochs: Its number of complete epochs.
        steps: Its number of steps.
        members: The cases of each part of the split, as in the checkpoint.
        settings: The config in the checkpoint.
        changes: Settings that differ from those of the checkpoint.
        earlier_changes: Changes at earlier resumes, as in the checkpoint.
        start_cases: Cases that the weights its run began with, or its locator, were trained on.
        fingerprint: What settings of its run were fitted to; empty where none was.
        locator: What the checkpoint holds of its locator, None without one.
    """

    path: Path
    epochs: int
    steps: int
    members: Mapping[str, Sequence[Mapping[str, str]]]
    settings: Mapping[str, Any]
    changes: Sequence[Change]
    earlier_changes: Sequence[Mapping[str, Any]]
    start_cases: Sequence[Mapping[str, str]]
    fingerprint: Mapping[str, Any]
    locator: Mapping[str, Any] | None = None

    @property
    def taken(self) -> list[Change]:
        """The changed settings of the remaining epochs."""
        return [change for change in self.changes if change.rule == "taken"]

    @property
    def optimizer_changed(self) -> bool:
        """Whether settings of the optimizer or scheduler changed."""
        return any(change.key.startswith(("optimizer.", "scheduler.")) for change in self.taken)

    @property
    def learning_rate_changed(self) -> bool:
        """Whether the learning rate changed."""
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
        """The line that a run prints of it."""
        changes = ", ".join(change.summary() for change in self.taken)
        return f"goes on after epoch {self.epochs} of {self.path}" + (f" with {changes}" if changes else "")


def plan_resume(settings: TrainSettings, output_dir: Path, split: Split) -> Resume | None:
    """Find the checkpoint to resume, and check what is possible before a scan is read; None for a new run.

    Raises:
        ConfigError: As `checkpoint_to_resume` and `check_epochs_left`; or a fixed setting differs.
        CheckpointError: The checkpoint cannot be resumed, or the best one of its run is lost.
    """
    path = checkpoint_to_resume(settings.ckpt, output_dir)
    if path is None:
        return None
    saved = read_checkpoint(path)
    epochs = check_epochs_left(saved, path, max_epochs=settings.max_epochs, ckpt=settings.ckpt)
    described = saved[DESCRIPTION_KEY]
    with settings_expected(path):
        resume = Resume(
            path=path,
            epochs=epochs,
            steps=int(saved["global_step"]),
            members=described["split"],
            settings=described["config"],
            changes=settings_changed(described["config"], settings),
            earlier_changes=described.get("changes", ()),
            start_cases=described.get("start_cases", ()),
            fingerprint=described.get("fingerprint", {}),
            locator=described.get("locator"),
        )
    check_fixed_settings(resume.changes, path, same_folder=resumes_in_place(settings.ckpt))
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
    """Check, once the cases are read, that they and the score of best.ckpt are the same.

    Raises:
        ConfigError: They differ because of settings.
        CheckpointError: Files of cases have changed.
    """
    check_cases(resume.changes, resume.path, saved=resume.members, asked=members)
    if resumes_in_place(settings.ckpt):
        check_fixed_settings(settings_changed(resume.settings, settings), resume.path, same_folder=True)


def _check_best(path: Path) -> None:
    if not path.is_file():
        raise CheckpointError(f"{path}: is missing, and the run cannot end without its best checkpoint")
    read_checkpoint(path)


def resumes_in_place(ckpt: str | Path | None) -> bool:
    """Whether a run resumes the one that its folder may hold."""
    return str(ckpt) in ("last", "auto")


def checkpoint_to_resume(ckpt: str | Path | None, output_dir: Path) -> Path | None:
    """The checkpoint that `ckpt` means, None for a new run.

    Args:
        ckpt: None; a file; `last` for the last complete epoch of the run in `output_dir`; or `auto`, which is
            `last` if there is a run and else starts one.
        output_dir: Folder of the run.

    Raises:
        ConfigError: There is no such file or run, or the folder holds something other than a training.
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
    # A run that died in its first epoch has nothing to resume, and nothing to lose.
    if str(ckpt) == "last" and not begun.is_file():
        raise ConfigError(f"ckpt: no such file: {last}")
    return None


def check_epochs_left(
    saved: Mapping[str, Any], path: Path, *, max_epochs: int, ckpt: str | Path | None
) -> int:
    """Check that epochs remain after a checkpoint; returns its number of complete epochs.

    A run resumed in its own folder may be fully trained; its best checkpoint is then scored again.

    Raises:
        CheckpointError: It holds a model but no training state.
        ConfigError: All epochs are done, and another folder would have no best checkpoint to score.
    """
    lacking = [key for key in _STATE_OF_TRAINING if key not in saved]
    if lacking:
        raise CheckpointError(f"{path}: must hold the state of a training to go on from, lacks {lacking}")
    done = int(saved["loops"]["fit_loop"]["epoch_progress"]["current"]["processed"])
    if done > max_epochs or (done == max_epochs and not resumes_in_place(ckpt)):
        raise ConfigError(f"trainer.max_epochs: must exceed the {done} epochs of {path}, got {max_epochs}")
    return done


def clear_traces(output_dir: Path) -> None:
    """Remove the output of earlier epochs before a run starts again, so that no curve shows them twice."""
    for name in _WRITTEN_BY_EPOCHS:
        path = output_dir / name
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
