"""Predictions that are killed again and again, in forks of one process that has imported all."""

import json
import os
import random
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from lts.app.commands.predict import predict
from lts.app.config.serialization import settings_from_dict
from lts.app.config.settings import PredictSettings


def in_fork(work: Callable[[], object]) -> int:
    """Start some work in a fork without a terminal; returns the number of its process."""
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        silence = os.open(os.devnull, os.O_WRONLY)
        os.dup2(silence, 1)
        work()
        code = 0
    finally:
        os._exit(code)


def ended(child: int) -> int:
    """Wait for a fork; its exit code, negative for the signal that ended it."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def _dying_at(step: int, run: Callable[[], object]) -> None:
    """Kill this process before its `step`-th step of writing: content synced, name given, folder synced."""
    left = step

    def counted(real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any) -> Any:
            nonlocal left
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return real(*arguments)

        return call

    os.fsync, Path.replace = counted(os.fsync), counted(Path.replace)
    run()


def content(folder: Path) -> dict[str, object]:
    """All files of an output folder, `predictions.json` without what a clock said."""
    found: dict[str, object] = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            found[str(path.relative_to(folder))] = path.read_bytes()
    record = json.loads(found["predictions.json"])  # type: ignore[arg-type]
    for row in record["cases"]:
        del row["seconds"]
    return {**found, "predictions.json": record}


def compare_with_kills(settings: PredictSettings, *, at_random: int, steps: range, seed: int) -> list[str]:
    """Predict once undisturbed, then with kills, each time continued, and compare.

    Returns:
        A line for each kill: when it was, what was left, and whether the end is that of the run left alone.
    """
    alone = Path(settings.output)
    torch.set_num_threads(1)  # no thread that a fork would lack
    predict(settings)  # here, so that forks have nothing left to import
    expected, lines = content(alone), []
    again = replace(settings, output=f"{alone}-timed")
    began = time.perf_counter()
    assert ended(in_fork(partial(predict, again))) == 0
    whole_s = time.perf_counter() - began
    assert content(Path(again.output)) == expected
    moments = random.Random(seed)
    for number in range(at_random + len(steps)):
        output = alone.with_name(f"{alone.name}-{number}")
        again = replace(settings, output=output)
        run = partial(predict, again)
        if number < at_random:
            after_s = moments.uniform(0, whole_s)
            child = in_fork(run)
            time.sleep(after_s)
            os.kill(child, signal.SIGKILL)
            when = f"after {after_s:.3f} of {whole_s:.3f} s"
        else:
            step = steps[number - at_random]
            child = in_fork(partial(_dying_at, step, run))
            when = f"at step {step} of writing"
        how = ended(child)
        left = sorted(path.name for path in output.rglob("*") if path.is_file())
        goes_on = ended(in_fork(run))
        same = goes_on == 0 and content(output) == expected
        lines.append(f"{'equal' if same else 'DIFFERENT'} | killed {when} ({how}) | left: {' '.join(left)}")
    return lines


if __name__ == "__main__":
    arguments = json.loads(sys.argv[1])
    first, last = arguments["steps"]
    for line in compare_with_kills(
        settings_from_dict(PredictSettings, arguments["settings"]),
        at_random=arguments["at_random"],
        steps=range(first, last),
        seed=arguments["seed"],
    ):
        print(line, flush=True)
