"""The second scan that a service is given, beside the network's own time on the same slices."""

import sys
import tempfile
from pathlib import Path

import httpx
import numpy as np

from benchmarks.measuring import Figure, Report, in_turns, middle, ratios
from benchmarks.prediction import REPEATS, SIZE, network_alone
from benchmarks.scans import DEPTH, MATRIX, full_size_case
from benchmarks.serve_load import serving
from benchmarks.training_run import train_briefly
from lts.inference import Predictor
from lts.volume import read_ct, read_mask

ANSWER_S = 600
SETTINGS = ["device=cpu", "max_upload_mib=1024", "max_unpacked_mib=2048"]


def main(result: Path, scratch: Path, depth: int = DEPTH) -> None:
    """Measure and write the figures."""
    case = full_size_case(scratch, depth=depth)
    ckpt = train_briefly(scratch, f"data.image_size={SIZE}")
    predictor = Predictor.from_checkpoint(ckpt, device="cpu")
    scan, content = read_ct(case.image), case.image.read_bytes()
    answers: list[bytes] = []
    with (
        tempfile.TemporaryDirectory(dir=scratch) as folder,
        serving(ckpt, Path(folder), SETTINGS) as (_, url),
        httpx.Client(base_url=url, timeout=ANSWER_S) as client,
    ):

        def ask() -> None:
            answer = client.post("/predict", files={"scan": (case.image.name, content)})
            answers.append(answer.raise_for_status().content)

        sides = {"ours": ask, "network": network_alone(predictor, depth)}
        times = in_turns(sides, repeats=REPEATS)  # the first scan is that of the warm-up
    (scratch / "answer.nii.gz").write_bytes(answers[-1])
    mask = read_mask(scratch / "answer.nii.gz", image=scan.geometry).voxels
    assert np.array_equal(mask, predictor.mask(scan))
    report = Report()
    report.figures.append(
        Figure(
            what=f"the second scan that a service is given, {MATRIX}x{MATRIX}x{depth}, from upload to mask",
            against="the network's own time on the same slices",
            values=ratios(times["ours"], times["network"]),
            unit="x",
            goal=1.15,
            better="less",
            detail=f"{middle(times['ours']):.1f} s against {middle(times['network']):.1f} s, "
            f"U-Net as shipped at {SIZE}x{SIZE}, CPU, both in {predictor.precision}",
            same_work="The answer is the mask that `Predictor` gives",
        )
    )
    report.save(result)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), *map(int, sys.argv[3:]))
