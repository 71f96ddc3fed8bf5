"""What a sweep found: every job with its settings and scores, best first."""

import json
from collections import Counter
from collections.abc import Mapping
from math import nan
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from lts.app.run.records import (
    DAMAGED,
    KILLED,
    LOCK_FILE,
    METRICS_FILE,
    RUN_FILE,
    RUNNING,
    read_run,
    read_scores,
)
from lts.base import ConfigError, write_csv

LEADERBOARD_FILE, PICTURE_FILE = "leaderboard.csv", "leaderboard.png"


def write_leaderboard(folder: Path) -> list[dict[str, Any]]:
    """Write `leaderboard.csv` and `leaderboard.png` into the folder of a sweep, and print the table.

    Returns:
        What `read_runs` finds; without a run nothing is written.
    """
    from lts.app.run.console import (  # a sweep is over by now: what is heavy costs nothing
        print_line,
        print_table,
    )
    from lts.figures import save_leaderboard

    runs = read_runs(folder)
    rows = rank_jobs(folder)
    if not rows:
        return runs
    write_csv(folder / LEADERBOARD_FILE, rows)
    kinds = {run["job"]: kind_of_score(run) for run in runs}
    apart = [row for row in rows if row["score"] is not None and kinds[row["job"]] != kinds[rows[0]["job"]]]
    bars = [
        (_settings_of(row), nan if row["score"] is None else row["score"]) for row in rows if row not in apart
    ]
    score, highest_is_best = rows[0]["monitor"] or "score", rows[0]["mode"] != "min"
    save_leaderboard(folder / PICTURE_FILE, bars, score=score, maximize=highest_is_best)
    if apart:
        named = ", ".join(row["job"] for row in apart)
        print_line(
            f"jobs {named}: their scores do not compare with that of job {rows[0]['job']}, ranked behind it"
        )
    shown = [name for name in rows[0] if any(row[name] is not None for row in rows)]
    print_table(f"leaderboard of {len(rows)} runs", [{name: row[name] for name in shown} for row in rows])
    print_line(f"{folder / LEADERBOARD_FILE}")
    return runs


def kind_of_score(run: Mapping[str, Any]) -> str:
    """What the score of a run is of: those of two runs compare where it is the same.

    Losses compare where they are of one loss.
    """
    monitor = str(run.get("monitor"))
    return (
        f"{monitor} {json.dumps(run.get('loss'), sort_keys=True)}" if monitor.endswith("/loss") else monitor
    )


def read_runs(folder: Path) -> list[dict[str, Any]]:
    """The records of a sweep's jobs in the order of their names, each with its `job`.

    A record that says "running" of a job that no process runs says "killed" here, and one that cannot be
    read "damaged", with the reason.
    """
    jobs = sorted(
        (path.parent for path in folder.glob(f"*/{RUN_FILE}")), key=lambda job: (len(job.name), job.name)
    )
    runs = [{"job": job.name, **_read_or_damaged(job)} for job in jobs]
    return [{**run, "state": KILLED} if _was_killed(run, folder / run["job"]) else run for run in runs]


def _read_or_damaged(job: Path) -> dict[str, Any]:
    try:
        return read_run(job)
    except ConfigError as error:
        return {"state": DAMAGED, "reason": str(error)}


def _was_killed(run: dict[str, Any], job: Path) -> bool:
    if run["state"] != RUNNING:
        return False
    try:
        with FileLock(job / LOCK_FILE, blocking=False):
            return True
    except Timeout:
        return False


def rank_jobs(folder: Path) -> list[dict[str, Any]]:
    """One row a job of a sweep, the best first, jobs without a score last.

    Where scores do not compare, the kind that most jobs have comes first.

    Returns:
        Rows with `job`, a column per setting that differs between jobs, `state`, `reason` of a failure,
        `monitor`, `mode`, `score` (the best value of what is monitored), `<region>_dice_per_case` and
        `<region>_dice_global` of the test cases, and `duration_s`; None where a job did not come so far.
    """
    runs = _ranked(read_runs(folder))
    test_scores = {run["job"]: read_scores(folder / run["job"] / METRICS_FILE) for run in runs}
    settings = {
        run["job"]: dict(override.partition("=")[::2] for override in run.get("overrides") or [])
        for run in runs
    }
    keys = list(dict.fromkeys(key for own in settings.values() for key in own))
    swept = [key for key in keys if len({own.get(key) for own in settings.values()}) > 1]
    region_names = list(dict.fromkeys(region for regions in test_scores.values() for region in regions))
    return [
        {
            "job": run["job"],
            **{key: settings[run["job"]].get(key) for key in swept},
            "state": run["state"],
            "reason": run.get("reason"),
            "monitor": run.get("monitor"),
            "mode": run.get("mode"),
            "score": run.get("best_score"),
            **{
                f"{region}_{name}": test_scores[run["job"]].get(region, {}).get(name)
                for region in region_names
                for name in ("dice_per_case", "dice_global")
            },
            "duration_s": run.get("duration_s"),
        }
        for run in runs
    ]


def _ranked(runs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    kinds = Counter(kind_of_score(run) for run in runs if run.get("best_score") is not None)
    most_first = [kind for kind, _ in kinds.most_common()]

    def rank(run: dict[str, Any]) -> tuple[bool, int, float]:
        score = run.get("best_score")
        if score is None:
            return True, 0, 0.0
        return False, most_first.index(kind_of_score(run)), score if run.get("mode") == "min" else -score

    return sorted(runs, key=rank)


def _settings_of(row: dict[str, Any]) -> str:
    names = list(row)
    settings = {name: row[name] for name in names[1 : names.index("state")]}
    return ", ".join(f"{name}={value}" for name, value in settings.items()) or f"job {row['job']}"
