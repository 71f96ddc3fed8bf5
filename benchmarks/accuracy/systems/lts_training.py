"""lts as trained by `train.py experiment=NAME`, with the recipe that README names for the scans of a part.

Options are keys of that command line: `lts:model.norm=instance`, or several as one argument of the shell,
`"lts:model.width=16 optimizer.lr=1e-3"`. They override what is set here.
"""

import subprocess
import sys
from pathlib import Path

from benchmarks.accuracy.job import Answer, Job
from benchmarks.accuracy.own_cases import write_cases
from lts.base import LtsError, read_json_object, write_json
from lts.inference import Predictor
from lts.volume import read_ct, write_mask

ROOT = Path(__file__).parents[3]
_DEFAULT_WORKERS = 2


def run(job: Job) -> Answer:
    """Run `train.py` for the minutes of a job, and predict with its checkpoint."""
    run_dir = job.folder / "run"
    settings = command_line(job, run_dir)
    code = subprocess.run([sys.executable, "train.py", *settings], cwd=ROOT, check=False).returncode
    if code:
        raise LtsError(f"train.py ended with exit code {code}")
    predictor = Predictor.from_checkpoint(run_dir / "checkpoints" / "best.ckpt", device="cpu")
    for case in job.test:
        scan = read_ct(case.image)
        write_mask(job.mask_of(case), predictor.mask(scan), geometry=scan.geometry)
    facts = read_json_object(run_dir / "run.json")
    # Parts of the minutes, too: timing some steps, and the network that finds the liver.
    others_s = facts.get("budget", {}).get("timing_s", 0.0) + facts.get("locator", {}).get("fit_s", 0.0)
    seen = round(facts["train_slices_per_s"] * facts["fit_s"])
    return Answer(slices_seen=seen, train_s=facts["fit_s"] + others_s)


def command_line(job: Job, run_dir: Path) -> list[str]:
    """Write the files that `train.py` needs, and return its arguments.

    Args:
        job: The training.
        run_dir: Folder of the run.
    """
    write_cases(job.folder / "cases.csv", job.train)
    write_json(job.folder / "split.json", {"train": [case.id for case in job.train], "val": [], "test": []})
    ours = [
        f"experiment={job.recipe}",
        "data=pairs",
        f"data.root='{job.folder / 'cases.csv'}'",
        f"data.regions=[{','.join(job.regions)}]",
        f"data.num_workers={min(_DEFAULT_WORKERS, job.cores - 1)}",
        f"split.file='{job.folder / 'split.json'}'",
        "trainer=cpu",
        "logger=none",
        f"seed={job.seed}",
        f"paths.output_dir='{run_dir}'",
        f"paths.store_dir='{job.folder / 'store'}'",
        f"budget_minutes={job.minutes:g}",
    ]
    given = {_key(option) for option in job.options}
    return [one for one in ours if _key(one) not in given] + list(job.options)


def _key(argument: str) -> str:
    return argument.partition("=")[0].lstrip("+")
