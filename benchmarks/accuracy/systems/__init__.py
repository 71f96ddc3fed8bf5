"""The systems: each is a module whose `run(job)` trains until the time is up and writes masks.

It runs in a fresh process with the processors of the job. Any other module that can be imported is a system
too, by its dotted path.
"""

from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from typing import Protocol, cast

from benchmarks.accuracy.job import Answer, Job


@dataclass(frozen=True)
class Known:
    """A system of the benchmark.

    Attributes:
        module: Where its `run` is.
        needs: The package that it requires.
        extra: The extra of this project that installs that package.
        about: What is trained, on what, and how it is computed; for the page.
    """

    module: str
    needs: str
    extra: str
    about: str


SYSTEMS = {
    "lts": Known(
        f"{__name__}.lts_training",
        "lts",
        "",
        "this project's U-Net of width 16 on slices of 128 x 128 pixels, by the recipe that each part "
        "names; in bfloat16 where the processor has instructions for it (AVX-512 BF16, AMX), which lts "
        "does unasked, else in float32",
    ),
    "monai": Known(
        f"{__name__}.monai_unet",
        "monai",
        "bench",
        "MONAI's 2D BasicUNet of 2.0 million parameters on patches of 96 x 96 pixels of 1.5 mm, by the "
        "recipes of MONAI's tutorials; in float32, as those do",
    ),
    "smp": Known(
        f"{__name__}.smp_unet",
        "segmentation_models_pytorch",
        "bench",
        "the ResNet-18 Unet of segmentation_models.pytorch, 14.3 million parameters, random weights, on "
        "slices shrunk to 256 x 256 pixels; in float32, as the examples of that library",
    ),
    "nnunet": Known(
        f"{__name__}.nnunet_2d",
        "nnunetv2",
        "nnunet",
        "nnU-Net 2d with its own plan, preprocessing, trainer and prediction, its schedule fitted to the "
        "minutes; in float32, as it always does without a GPU",
    ),
}


class _System(Protocol):
    def run(self, job: Job) -> Answer: ...


def absent(system: str) -> str | None:
    """Why a system cannot run, None if it can.

    Args:
        system: As on the command line, with or without options.
    """
    known = SYSTEMS.get(_name(system))
    if known is None or _is_there(known.needs):
        return None
    return f'not installed: pip install ".[{known.extra}]"'


def is_known(system: str) -> bool:
    """Whether it is a system of the benchmark, or a module that can be imported."""
    return _name(system) in SYSTEMS or _is_there(_name(system))


def run(job: Job) -> Answer:
    """Train and predict with the system of a job."""
    name = _name(job.system)
    module = SYSTEMS[name].module if name in SYSTEMS else name
    return cast(_System, import_module(module)).run(job)


def _name(system: str) -> str:
    return system.partition(":")[0]


def _is_there(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:
        return False
