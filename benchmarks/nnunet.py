"""`nnUNetv2_predict` beside `predict.py`: one scan from file to file, whole processes.

python -m benchmarks.nnunet RESULT SCRATCH [SLICES]
"""

import json
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from benchmarks.measuring import Figure, Report, in_turns, middle
from benchmarks.scans import DEPTH, MATRIX, full_size_case
from benchmarks.training_run import train_briefly
from lts.base import LIVER, usable_processors
from lts.cohort import Case
from lts.volume import read_geometry, read_mask

ROOT = Path(__file__).parents[1]
GOALS = {"with its defaults": 100, "without mirroring": 25}
OPTIONS = {"with its defaults": (), "without mirroring": ("--disable_tta",)}


def main(result: Path, scratch: Path, depth: int = DEPTH) -> None:
    """Measure and write the figures."""
    report = Report()
    if find_spec("nnunetv2") is None:
        report.notes.append('nnU-Net is not installed (`pip install ".[nnunet]"`): nothing was measured.')
        report.save(result)
        return
    case = full_size_case(scratch, depth=depth)
    predicted = _nnunet(case, scratch / "nnunet")
    ours = _ours(case, scratch / "lts")
    # Ours before, between and after: the other sides take minutes, in which the machine may change.
    without, by_default = (predicted[name] for name in ("without mirroring", "with its defaults"))
    sides = {
        "first": ours,
        "without mirroring": without,
        "second": ours,
        "with its defaults": by_default,
        "third": ours,
    }
    seconds = {name: middle(times) for name, times in in_turns(sides, repeats=1, warm_up=0).items()}
    own = [seconds[name] for name in ("first", "second", "third")]
    for name, goal in GOALS.items():
        report.figures.append(
            Figure(
                what=f"`python predict.py`, {MATRIX}x{MATRIX}x{depth}, `experiment=phantom_cpu`",
                against=f"`nnUNetv2_predict -c 2d -f all -device cpu`, {name}",
                values=tuple(seconds[name] / one for one in own),
                unit="x",
                goal=goal,
                better="more",
                detail=f"{middle(own):.1f} s against {seconds[name]:.1f} s, the masks of other networks: "
                f"nnU-Net's by its own plan, with random weights; {_found(case, scratch / 'lts')}",
            )
        )
    report.save(result)


def _nnunet(case: Case, folder: Path) -> dict[str, Callable[[], object]]:
    """Predictions by a network that nnU-Net has planned for this scan, by the name of their options."""
    from benchmarks.accuracy.job import Job
    from benchmarks.accuracy.systems.nnunet_2d import save_untrained, write_image

    images = folder / "images"
    images.mkdir(parents=True)
    write_image(images, case)
    number = save_untrained(
        Job(
            system="nnunet",
            recipe="",
            train=(case,),
            test=(),
            regions=("liver", "tumor"),
            minutes=0,
            cores=usable_processors(),
            lane=0,
            seed=0,
            folder=folder,
            masks=folder / "masks",
        )
    )
    program = Path(sys.executable).with_name("nnUNetv2_predict")
    command = (program, "-i", images, "-d", number, "-c", "2d", "-f", "all", "-device", "cpu")
    return {
        name: partial(_run, *command, "-o", folder / name.replace(" ", "-"), *options)
        for name, options in OPTIONS.items()
    }


def _ours(case: Case, folder: Path) -> Callable[[], object]:
    """A prediction by the recipe for phantoms, which has seen enough slices to find a liver."""
    learning = ("data.phantom.matrix=128", "data.slices_per_epoch=800", "data.batch_size=8")
    ckpt = train_briefly(
        folder, "experiment=phantom_cpu", "data.num_workers=0", *learning, cases=12, model=None
    )
    arguments = (f"ckpt={ckpt}", f"input={case.image}", f"output={folder / 'masks'}", "device=cpu")

    def predict() -> None:
        (folder / "masks" / "predictions.json").unlink(missing_ok=True)  # so that it predicts again
        _run(sys.executable, "predict.py", *arguments, "overwrite=true")

    return predict


def _found(case: Case, folder: Path) -> str:
    record = json.loads((folder / "masks" / "predictions.json").read_text())
    (row,), precision = record["cases"], record["settings"]["precision"]
    grid = read_geometry(case.image)
    assert case.mask is not None
    voxels = np.count_nonzero(read_mask(case.mask, image=grid).voxels >= LIVER)
    there_ml = voxels * np.prod(grid.spacing_mm) / 1000
    found = f"{row['liver_ml']:.0f} ml of a liver of {there_ml:.0f} ml"
    return f"lts, briefly trained, computes in {precision} and finds {found}"


def _run(*command: object) -> None:
    subprocess.run([str(each) for each in command], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), *map(int, sys.argv[3:]))
