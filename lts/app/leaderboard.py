"""What a sweep found: every job with its settings and scores, best first."""

import csv
import json
from pathlib import Path
from typing import Any

from hydra.experimental.callback import Callback
from omegaconf import DictConfig

LEADERBOARD_FILE, PICTURE_FILE = "leaderboard.csv", "leaderboard.png"


class Leaderboard(Callback):
    """Writes `leaderboard.csv` and `leaderboard.png` into the folder of a sweep when its jobs are done."""

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:  # noqa: ARG002
        """Gather the jobs and rank them."""
        from lts.app.console import print_table, say  # a sweep is over by now: what is heavy costs nothing
        from lts.figures import save_leaderboard

        folder = Path(config.hydra.sweep.dir).resolve()
        rows = rank_jobs(folder)
        if not rows:
            return
        with (folder / LEADERBOARD_FILE).open("w", newline="") as file:
            writer = csv.DictWriter(file, fieldnames=list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
        bars = [(_settings_of(row), float("nan") if row["score"] is None else row["score"]) for row in rows]
        score, highest_is_best = rows[0]["monitor"] or "score", rows[0]["mode"] != "min"
        save_leaderboard(folder / PICTURE_FILE, bars, score=score, maximize=highest_is_best)
        print_table(f"leaderboard of {len(rows)} runs", rows)
        say(f"{folder / LEADERBOARD_FILE}")


def rank_jobs(folder: Path) -> list[dict[str, Any]]:
    """One row a job of a sweep, the best first, jobs without a score last.

    Returns:
        Rows with `job`, a column per setting that differs between jobs, `state`, `monitor`, `mode`,
        `score` (the best value of what is monitored), `<region>_dice_per_case` and `<region>_dice_global` of
        the test cases, and `duration_s`; None where a job did not come so far.
    """
    jobs = []
    for file in sorted(folder.glob("*/run.json"), key=lambda path: (len(path.parent.name), path.parent.name)):
        run = json.loads(file.read_text())
        metrics = file.with_name("metrics.json")
        regions = json.loads(metrics.read_text())["regions"] if metrics.is_file() else {}
        jobs.append((file.parent.name, run, regions))
    settings = {job: dict(override.split("=", 1) for override in run["overrides"]) for job, run, _ in jobs}
    keys = list(dict.fromkeys(key for own in settings.values() for key in own))
    swept = [key for key in keys if len({own.get(key) for own in settings.values()}) > 1]
    region_names = list(dict.fromkeys(region for _, _, regions in jobs for region in regions))
    rows = [
        {
            "job": job,
            **{key: settings[job].get(key) for key in swept},
            "state": run["state"],
            "monitor": run.get("monitor"),
            "mode": run.get("mode"),
            "score": run.get("best_score"),
            **{
                f"{region}_{name}": regions.get(region, {}).get(name)
                for region in region_names
                for name in ("dice_per_case", "dice_global")
            },
            "duration_s": run.get("duration_s"),
        }
        for job, run, regions in jobs
    ]
    return sorted(rows, key=_rank)


def _rank(row: dict[str, Any]) -> tuple[bool, float]:
    score = row["score"]
    if score is None:
        return True, 0.0
    return False, score if row["mode"] == "min" else -score


def _settings_of(row: dict[str, Any]) -> str:
    names = list(row)
    settings = {name: row[name] for name in names[1 : names.index("state")]}
    return ", ".join(f"{name}={value}" for name, value in settings.items()) or f"job {row['job']}"
