"""Two thousand files drawn at random: each is read as nibabel reads it, or refused in one line of our own."""

import gzip
import hashlib
import os
import signal
import subprocess
import sys
import tracemalloc
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from hypothesis import Phase, given, settings
from nifti_kit import Made, Seen, files, inflated, seen_by_nibabel

from lts.base import VolumeError
from lts.volume import Geometry, Volume, read_ct, read_geometry, read_mask, read_mr

INPUTS = 2700
LONGEST_READ_S = 5.0
"""Of the processor: a busy machine makes nothing a hang."""

BYTES_PER_BYTE = 40
"""What readers may take for each byte of an image: values and their roundings in float64, of a uint8."""

BYTES_BESIDE = 4 * 2**20
"""What they may take beside: the padding that is looked at behind the voxels."""

SOME_GRID = Geometry.from_affine(np.eye(4), shape=(4, 5, 6))


@contextmanager
def hang_guard() -> Iterator[None]:
    """Raise where what is within does not come to an end."""

    def give_up(*_: object) -> None:
        raise AssertionError(f"a read took more than {LONGEST_READ_S} s of the processor")

    before = signal.signal(signal.SIGPROF, give_up)
    signal.setitimer(signal.ITIMER_PROF, LONGEST_READ_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


def attempt(read: Callable[[Path], Any], path: Path, made: Made) -> Any:
    """What a reader returns, None where it refuses; its message, time and memory are looked at."""
    found, message = None, ""
    tracemalloc.start()
    try:
        with hang_guard():
            found = read(path)
    except VolumeError as error:
        message = str(error)
    finally:
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert found is not None or message.startswith(f"{path}: ")
    assert "\n" not in message
    assert peak <= BYTES_BESIDE + BYTES_PER_BYTE * made.honest
    return found


def as_ct(seen: Seen) -> np.ndarray | None:
    hu = np.rint(seen.values)
    sound = np.isfinite(hu).all() and hu.max() < 2**15
    return np.maximum(hu, -1024).astype(np.int16) if sound else None


def as_mr(seen: Seen) -> np.ndarray | None:
    values = seen.values
    if not np.isfinite(values).all() or np.abs(values).max() > np.finfo(np.float32).max:
        return None
    whole = (values == np.rint(values)).all() and values.min() >= -(2**15) and values.max() < 2**15
    return values.astype(np.int16 if whole else np.float32)


def as_mask(seen: Seen) -> np.ndarray | None:
    labels = np.rint(seen.values)
    sound = (np.abs(seen.values - labels) <= 0.01).all() and set(np.unique(labels)) <= {0, 1, 2}
    return labels.astype(np.uint8) if sound else None


def hold_against_nibabel(
    found: Volume | None, expected: np.ndarray | None, *, seen: Seen, made: Made
) -> None:
    if found is None:
        assert expected is None or not made.sound
        return
    assert expected is not None
    assert found.voxels.dtype == expected.dtype
    assert found.voxels.flags.c_contiguous
    np.testing.assert_array_equal(found.voxels, expected)
    np.testing.assert_allclose(found.geometry.canonical_affine, seen.canonical_affine, rtol=1e-9, atol=1e-9)


def read_or_refuse(path: Path, made: Made) -> str:
    """Read a file with every reader; returns how many of them took it."""
    path.write_bytes(made.content)
    geometry = attempt(read_geometry, path, made)
    volumes = [
        attempt(read, path, made)
        for read in (read_ct, read_mr, lambda path: read_mask(path, image=geometry or SOME_GRID))
    ]
    if geometry is None:
        assert not made.sound
        assert volumes == [None] * 3
        return "refused"
    raw = inflated(made.content)
    if raw is None or len(raw) > made.honest + 2**20:
        assert volumes == [None] * 3
        return "refused but for its header"
    if volumes == [None] * 3 and not made.sound:
        return "refused but for its header"
    seen = seen_by_nibabel(raw)
    np.testing.assert_allclose(geometry.affine, seen.affine, rtol=1e-12)
    assert geometry.canonical_shape == seen.values.shape
    for found, expect in zip(volumes, (as_ct, as_mr, as_mask), strict=True):
        hold_against_nibabel(found, expect(seen), seen=seen, made=made)
    return "read"


def test_two_thousand_files_are_read_as_nibabel_reads_them_or_refused(tmp_path: Path) -> None:
    tally: Counter[str] = Counter()
    inputs: set[bytes] = set()

    @settings(max_examples=INPUTS, phases=[Phase.generate, Phase.shrink])
    @given(made=files())
    def hold(made: Made) -> None:
        verdict = read_or_refuse(tmp_path / "a.nii", made)
        inputs.add(hashlib.sha256(made.content).digest())
        tally.update([verdict, *made.spoilt_by])

    hold()
    assert len(inputs) >= 2000
    assert min(tally["read"], tally["refused"]) >= 500
    assert tally["refused but for its header"] >= 100
    assert min(tally.values()) >= 90


def _promising(dim: list[int], *, holding: bytes) -> bytes:
    header = nib.Nifti2Header()
    header.set_data_dtype(np.uint8)
    header["dim"] = dim
    header["magic"] = header.single_magic
    header["vox_offset"] = header.single_vox_offset
    return header.binaryblock + bytes(4) + holding


@pytest.mark.parametrize("dim", [[3, 50000, 50000, 40000], [3, 10**14, 1, 1], [3, 2**62, 2**62, 2**62]])
@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_a_header_that_promises_100_tb_is_refused_before_memory_is_taken(
    dim: list[int], pack: Callable[[bytes], bytes], tmp_path: Path
) -> None:
    path = tmp_path / "a.nii.gz"
    content = pack(_promising([*dim, 1, 1, 1, 1], holding=bytes(1000)))
    path.write_bytes(content)
    for read in (read_geometry, read_ct, read_mr, lambda path: read_mask(path, image=SOME_GRID)):
        tracemalloc.start()
        with hang_guard(), pytest.raises(VolumeError, match=r"truncated: the header promises \d{15,} bytes"):
            read(path)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < 2**20


@pytest.mark.parametrize("trailer", [None, b"\xff" * 8, (200 * 2**20).to_bytes(8, "little")])
def test_what_gzip_could_hold_takes_no_memory_until_it_comes(trailer: bytes | None, tmp_path: Path) -> None:
    """Deflate could make 200 MiB of a file of this size; what the trailer says of it is not asked for."""
    path = tmp_path / "a.nii.gz"
    held = np.random.default_rng(0).bytes(2**18)
    content = gzip.compress(_promising([3, 2**10, 2**10, 200, 1, 1, 1, 1], holding=held), mtime=0)
    path.write_bytes(content if trailer is None else content[:-8] + trailer)
    made = Made(content, sound=False, honest=len(held))
    for read in (read_ct, read_mr, lambda path: read_mask(path, image=SOME_GRID)):
        assert attempt(read, path, made) is None


def test_voxels_far_beyond_the_size_of_their_file_are_read_whole(tmp_path: Path) -> None:
    path = tmp_path / "a.nii.gz"
    labels = (np.arange(205 * 210 * 107) // 10**5 % 3).astype(np.uint8)
    raw = _promising([3, 205, 210, 107, 1, 1, 1, 1], holding=labels.tobytes())
    path.write_bytes(gzip.compress(raw, mtime=0))
    assert path.stat().st_size < labels.size / 100
    mask = read_mask(path, image=read_geometry(path))
    np.testing.assert_array_equal(mask.voxels, seen_by_nibabel(raw).values)


SPARSE = """
import resource, sys
from pathlib import Path
from lts.base import VolumeError
from lts.volume import read_ct, read_geometry, read_mr
resource.setrlimit(resource.RLIMIT_AS, (2**32, 2**32))
path = Path(sys.argv[1])
print(read_geometry(path).shape)
for read in (read_ct, read_mr):
    try:
        read(path)
    except VolumeError as error:
        print(error)
"""


def test_a_file_of_holes_that_is_as_large_as_it_promises_is_beyond_memory(tmp_path: Path) -> None:
    """Its size is honest, its blocks are not there. Under a limit, or it might take all that there is."""
    path = tmp_path / "a.nii"
    path.write_bytes(_promising([3, 2000, 2000, 10**6, 1, 1, 1, 1], holding=b""))
    with path.open("r+b") as file:
        file.truncate(544 + 4 * 10**12)
    line = [sys.executable, "-c", SPARSE, str(path)]
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run(line, env=env, capture_output=True, text=True, check=True, timeout=60)
    shape, *refused = done.stdout.splitlines()
    assert shape == "(2000, 2000, 1000000)"
    assert refused == [f"{path}: {shape} voxels do not fit into memory"] * 2
