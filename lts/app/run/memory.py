"""Memory allocation of large tensors on a CPU."""

import ctypes
import os
import sys

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # of malloc.h
_LARGE_BYTES = 16 * 2**20  # below, mapping anew at each use would cost more than it saves


def use_large_pages() -> None:
    """Ask torch for large pages on Linux: page faults take a quarter of a training step on a CPU.

    To be called before torch is imported.
    """
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")


def return_freed_memory() -> None:
    """Have glibc give every freed block of 16 MiB or more back to the system.

    By default glibc raises that threshold with use, up to 32 MiB, and a training run grows by fragments.
    """
    if sys.platform == "linux":
        mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # not in every C library
        if mallopt is not None:
            mallopt(_M_MMAP_THRESHOLD, _LARGE_BYTES)
            # Set by hand, the one leaves the other at 128 KiB: a slice freed at the end of the heap would be
            # given back, and mapped again page by page for the next.
            mallopt(_M_TRIM_THRESHOLD, 2 * _LARGE_BYTES)
