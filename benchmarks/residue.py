"""What a process holds: memory, files, threads, and what lies in its temporary folder."""

import os
import time
from dataclasses import dataclass
from pathlib import Path

_TICK_S = 0.5


@dataclass(frozen=True)
class Residue:
    """What a process holds at a moment.

    Attributes:
        memory_mib: Resident.
        files: Open files and sockets.
        threads: Threads.
        temporary: What lies in its temporary folder, at any depth.
    """

    memory_mib: float
    files: int
    threads: int
    temporary: int

    @classmethod
    def of(cls, pid: int, folder: Path) -> "Residue":
        """That of a process now."""
        process = Path(f"/proc/{pid}")
        pages = int((process / "statm").read_text().split()[1])
        return cls(
            memory_mib=pages * os.sysconf("SC_PAGE_SIZE") / 2**20,
            files=len(list((process / "fd").iterdir())),
            threads=len(list((process / "task").iterdir())),
            temporary=len(list(folder.rglob("*"))),
        )

    def exceeds(self, before: "Residue", *, growth_mib: float, threads: int) -> bool:
        """Whether more is held than before.

        Args:
            before: Held then.
            growth_mib: What memory may have grown by.
            threads: How many more of a pool may be kept by now.
        """
        return (
            self.memory_mib > before.memory_mib + growth_mib
            or self.files > before.files
            or self.threads > before.threads + threads
            or self.temporary > before.temporary
        )

    def __str__(self) -> str:
        return (
            f"{self.memory_mib:.0f} MiB, {self.files} open files, {self.threads} threads, "
            f"{self.temporary} temporary files and folders"
        )


def settled(
    pid: int, folder: Path, *, before: Residue, seconds: float, growth_mib: float, threads: int
) -> Residue:
    """What is held once no more is than before, or after some time."""
    end = time.monotonic() + seconds
    while True:
        held = Residue.of(pid, folder)
        if not held.exceeds(before, growth_mib=growth_mib, threads=threads) or time.monotonic() > end:
            return held
        time.sleep(_TICK_S)
