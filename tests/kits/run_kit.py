"""Training runs on phantom scans of a few kilobytes, as processes that a test can watch, stop and compare."""

import json
import time
from collections.abc import Mapping
from pathlib import Path

import torch
from command_kit import Started
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

TINY = (
    "compile=false",
    "data.phantom.cases=5",
    "data.phantom.matrix=48",
    "data.image_size=48",
    "data.num_workers=0",
    "data.slices_per_epoch=16",
    "data.batch_size=8",
    "model.width=4",
    "model.depth=3",
    "optimizer.lr=1e-2",
)
ON_CPU = (*TINY, "trainer=cpu")
ON_TWO = (
    *TINY,
    "trainer=ddp",
    "trainer.accelerator=cpu",
    "trainer.devices=2",
    "trainer.sync_batchnorm=false",
)


_started: list[Started] = []


def start(*arguments: str, cwd: Path, env: Mapping[str, str] | None = None) -> Started:
    """Start a training and return at once; it ends with the test at the latest."""
    _started.append(Started("train", *arguments, cwd=cwd, env=env))
    return _started[-1]


def end_all_started() -> None:
    """End what `start` began and what still runs, so that no other test meets it."""
    while _started:
        _started.pop().close()


def wait_for(process: Started, beginning: str) -> None:
    """Wait for a line that begins so."""
    for line in process.stdout:
        if line.startswith(beginning):
            return
    raise AssertionError(f"ended before it said {beginning!r}: {process.stderr.read()}")


def all_ended_in(folder: Path, *, within_s: float = 60) -> bool:
    """Whether no process works in a folder any more; always, where the system does not list them in /proc."""
    deadline = time.monotonic() + within_s
    while any(_works_in(process, folder) for process in Path("/proc").glob("[0-9]*")):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def _works_in(process: Path, folder: Path) -> bool:
    try:
        return (process / "cwd").readlink() == folder
    except OSError:
        return False


def saved(folder: Path, name: str = "last") -> dict:
    """What a checkpoint of a run holds."""
    return torch.load(folder / "checkpoints" / f"{name}.ckpt", weights_only=True)


def same_weights(one: dict, other: dict) -> bool:
    """Whether two checkpoints hold the same weights bit for bit."""
    weights, others = one["state_dict"], other["state_dict"]
    return weights.keys() == others.keys() and all(torch.equal(weights[key], others[key]) for key in weights)


def read(path: Path) -> dict:
    """A JSON file."""
    return json.loads(path.read_text())


def logged(folder: Path, name: str) -> dict[int, float]:
    """A curve in TensorBoard, by step."""
    events = EventAccumulator(str(folder / "tensorboard"))
    events.Reload()
    return {event.step: event.value for event in events.Scalars(name)}


def write_record(folder: Path, **facts: object) -> None:
    """The `run.json` of a job that is done, with these facts."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "run.json").write_text(json.dumps({"state": "done", "overrides": [], **facts}))
