"""Short runs of `train.py` to measure on."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def train_briefly(
    scratch: Path, *overrides: str, cases: int = 6, model: str | None = "unet", build: Path = ROOT
) -> Path:
    """Train the default U-Net, or what the command line says, for some steps on small phantoms.

    Args:
        scratch: Where data, store and run are written.
        *overrides: More of the command line.
        cases: How many phantoms.
        model: The choice of the model; None for that of the other settings.
        build: Folder of the lts that trains.

    Returns:
        The checkpoint.
    """
    run = scratch / "run"
    arguments = [
        *([f"model={model}"] if model else []),
        f"data.phantom.cases={cases}",
        "data.phantom.matrix=64",
        "data.batch_size=2",
        "data.slices_per_epoch=8",
        "trainer.max_epochs=1",
        "trainer.accelerator=cpu",
        f"paths.output_dir={run}",
        f"paths.data_dir={scratch / 'phantoms'}",
        f"paths.store_dir={scratch / 'store'}",
        *overrides,
    ]
    subprocess.run([sys.executable, "train.py", *arguments], cwd=build, check=True, stdout=subprocess.DEVNULL)
    return run / "checkpoints" / "best.ckpt"
