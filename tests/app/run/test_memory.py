import subprocess
import sys

import pytest

MEASURE = """
import ctypes, sys
from lts.app.run.memory import return_freed_memory
class Info(ctypes.Structure):
    _fields_ = [(name, ctypes.c_size_t) for name in
                "arena ordblks smblks hblks hblkhd usmblks fsmblks uordblks fordblks keepcost".split()]
libc = ctypes.CDLL(None)
libc.mallinfo2.restype = Info
libc.malloc.restype = ctypes.c_void_p
libc.free.argtypes = [ctypes.c_void_p]
if sys.argv[1] == "yes":
    return_freed_memory()
libc.free(libc.malloc(30 * 2**20))  # from here on, glibc by itself keeps what is smaller
before = libc.mallinfo2().hblkhd
libc.malloc(20 * 2**20)
print((libc.mallinfo2().hblkhd - before) // 2**20)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's allocator")
@pytest.mark.parametrize(("asked", "mapped_mib"), [("yes", "20"), ("no", "0")])
def test_large_blocks_are_mapped_on_their_own_and_so_returned_when_freed(asked: str, mapped_mib: str) -> None:
    done = subprocess.run([sys.executable, "-c", MEASURE, asked], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == mapped_mib


FREE_AND_TAKE_AGAIN = """
import resource
import numpy as np
from lts.app.run.memory import return_freed_memory
return_freed_memory()
def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
def take():
    np.ones(2**19).sum()  # 4 MiB
for _ in range(3):
    take()
before = faults()
for _ in range(100):
    take()
print(faults() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's allocator")
def test_small_blocks_are_kept_for_the_next_use() -> None:
    done = subprocess.run(
        [sys.executable, "-c", FREE_AND_TAKE_AGAIN], capture_output=True, text=True, check=True
    )
    assert int(done.stdout) < 1000  # mapped again, 100 times 4 MiB would be 102,400 pages
