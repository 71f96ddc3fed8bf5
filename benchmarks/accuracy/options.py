"""What the command lines of the bench share."""

import argparse

from benchmarks.accuracy.systems import SYSTEMS, absent, is_known
from lts.base import usable_processors


def add_options(parser: argparse.ArgumentParser, *, minutes: str) -> None:
    """Add the options on systems, time and processors.

    Args:
        parser: The command line.
        minutes: What its help says of the length of a training.
    """
    parser.add_argument(
        "--systems",
        nargs="+",
        default=list(SYSTEMS),
        help=f"of {', '.join(SYSTEMS)}; with options as in lts:model.norm=instance",
    )
    parser.add_argument("--minutes", type=float, help=f"of each training; {minutes}")
    parser.add_argument("--cores", type=int, default=1, help="processors of each training")
    parser.add_argument(
        "--at-once", type=int, default=1, help="trainings at once, each on processors of its own"
    )


def check_options(parser: argparse.ArgumentParser, asked: argparse.Namespace) -> None:
    """End with a line on the first option that is wrong."""
    for system in asked.systems:
        if not is_known(system):
            parser.error(f"--systems: must be of {', '.join(SYSTEMS)}, or a module, got {system}")
    if asked.minutes is not None and not asked.minutes > 0:
        parser.error(f"--minutes: must be > 0, got {asked.minutes:g}")
    if not 1 <= asked.cores <= usable_processors():
        parser.error(f"--cores: must be from 1 to {usable_processors()}, got {asked.cores}")
    most = usable_processors() // asked.cores
    if not 1 <= asked.at_once <= most:
        parser.error(f"--at-once: must be from 1 to {most} with --cores {asked.cores}, got {asked.at_once}")


def absent_systems(asked: argparse.Namespace) -> list[str]:
    """Why systems that are asked for cannot run, a line each."""
    reasons = {system: absent(system) for system in asked.systems}
    return [f"{system}: {why}" for system, why in reasons.items() if why]
