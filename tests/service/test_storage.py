"""A disk that is full, a folder that vanishes, files that stay: told truly, and nothing is left behind."""

import errno
import resource
import shutil
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from service_kit import SIDE, HeldPredictor, Running, as_bytes, run_service, upload, wait_until, write_scan

from lts.base import VolumeError
from lts.service.refusals import not_the_senders

ROOM = 2**16  # bytes that a file may have on the full disk
DEPTH = 100  # makes 200 KiB of a scan, and 100 KiB of labels
FULL = {"detail": "the service cannot store the scan: its disk is full or fails"}


@contextmanager
def full_disk() -> Iterator[None]:
    """Files end after some bytes, as on a disk that fills up; the error is another, and as final."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (ROOM, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.fixture(scope="module")
def scans(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The same scan in files that fill the disk when they are received, unpacked, and kept."""
    folder = tmp_path_factory.mktemp("scans")
    hu = np.full((SIDE, SIDE, DEPTH), -1000, np.int16)
    with zipfile.ZipFile(folder / "unpacked.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.nii", as_bytes(hu))
    write_scan(folder / "received.nii", hu)
    write_scan(folder / "kept.nii.gz", hu)
    return {path.name.partition(".")[0]: path for path in folder.iterdir()}


@pytest.mark.parametrize("when", ["received", "unpacked", "kept"])
def test_a_full_disk_is_not_the_senders_fault(
    running: Running, scans: dict[str, Path], when: str, nothing_is_left: None
) -> None:
    n_kept = len(running.kept())
    with running.client as client:
        with full_disk():
            answer = upload(client, scans[when])
        assert (answer.status_code, answer.json()) == (507, FULL)
        assert len(running.kept()) == n_kept
        assert upload(client, scans[when]).status_code == 201
    assert any("507" in line and "File too large" in line for line in running.lines)


def test_ready_says_no_where_nothing_can_be_stored(
    running: Running, scan_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any, **__: Any) -> Any:
        raise OSError(errno.ENOSPC, "No space left on device")

    with running.client as client:
        with monkeypatch.context() as change:
            change.setattr(Path, "write_bytes", full)
            answer = client.get("/ready")
            assert answer.status_code == 503
            assert answer.json() == {"detail": "the service cannot store scans: no space left on device"}
            assert client.get("/health").status_code == 200
        with monkeypatch.context() as change:
            change.setattr("tempfile.mkdtemp", full)
            assert client.get("/ready").status_code == 503
            answer = upload(client, scan_file)
            assert (answer.status_code, answer.json()) == (507, FULL)
        assert client.get("/ready").status_code == 200


@pytest.mark.parametrize(
    ("number", "status", "expected"),
    [
        (errno.EMFILE, 503, "too much open"),
        (errno.ENOSPC, 507, "disk is full"),
        (errno.EDQUOT, 507, "disk is full"),
        (errno.EACCES, None, ""),  # a fault of the service
    ],
)
def test_what_the_machine_lacks_is_told_by_its_error(number: int, status: int | None, expected: str) -> None:
    try:
        try:
            raise OSError(number, "reason")
        except OSError as error:
            raise VolumeError("scan.nii: cannot be written") from error
    except VolumeError as error:
        refusal = not_the_senders(error)
    assert (None if refusal is None else refusal.status) == status
    assert refusal is None or (expected in refusal.detail and "scan.nii" not in refusal.detail)


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB"),
        RuntimeError(
            "alloc_cpu.cpp:117: DefaultCPUAllocator: can't allocate memory: you tried to allocate 1"
        ),
        MemoryError(),
    ],
)
def test_too_little_memory_of_any_device_is_told(error: Exception) -> None:
    refusal = not_the_senders(error)
    assert refusal is not None
    assert (refusal.status, refusal.detail) == (507, "the service has not enough memory for this scan")
    assert not_the_senders(RuntimeError("another fault")) is None


def test_too_little_memory_is_not_the_senders_fault(
    running: Running, scan_file: Path, monkeypatch: pytest.MonkeyPatch, nothing_is_left: None
) -> None:
    def no_memory(*_: Any, **__: Any) -> Any:
        raise MemoryError

    monkeypatch.setattr("lts.volume._nifti.read_stored", no_memory)
    with running.client as client:
        answer = upload(client, scan_file)
    assert answer.status_code == 507
    assert answer.json() == {"detail": "the service has not enough memory for this scan"}


def test_its_folder_may_vanish(predictor: Any, scan_file: Path) -> None:
    with run_service(predictor) as running, running.client as client:
        before = upload(client, scan_file).json()["links"]
        shutil.rmtree(running.root)
        assert client.get(before["self"]).status_code == 404
        assert client.get(before["mask"]).status_code == 404
        assert client.get("/ready").status_code == 200
        after = upload(client, scan_file).json()["links"]
        assert client.get(after["mask"]).status_code == 200
        assert len(running.kept()) == 1
    assert any("has vanished" in line for line in running.lines)


def test_an_upload_that_vanishes_before_its_turn_is_to_be_sent_again(
    held: HeldPredictor, scan_file: Path
) -> None:
    def post() -> Any:
        with running.client as client:
            return upload(client, scan_file)

    with run_service(held) as running, ThreadPoolExecutor(2) as pool:
        first = pool.submit(post)
        held.wait_until_started()
        second = pool.submit(post)
        wait_until(lambda: running.service.gate.taken == 2 and len(running.service.jobs._waiting) == 1)
        shutil.rmtree(running.root)
        held.go.set()
        for answer in (first.result(), second.result()):  # the first was read, and cannot be kept
            assert answer.status_code == 503
            assert answer.json() == {"detail": "the service lost the upload, send it again"}
            assert answer.headers["retry-after"] == "1"
        assert post().status_code == 201


def test_a_file_that_cannot_be_removed_is_emptied_and_removed_later(
    running: Running, scan_file: Path, monkeypatch: pytest.MonkeyPatch, nothing_is_left: None
) -> None:
    unlink = Path.unlink

    def refuse(path: Path, *arguments: Any, **options: Any) -> None:
        if path.name == "scan.nii.gz":
            raise PermissionError(errno.EPERM, "Operation not permitted")
        unlink(path, *arguments, **options)

    with running.client as client, monkeypatch.context() as change:
        change.setattr(Path, "unlink", refuse)
        assert upload(client, scan_file, "/predict").status_code == 200
        left = list(running.root.glob("upload-*/*"))
        assert [(path.name, path.stat().st_size) for path in left] == [("scan.nii.gz", 0)]
    assert any("cannot be removed yet" in line for line in running.lines)
    running.service.tidy()


def test_a_thread_that_cannot_be_had_does_not_keep_an_upload(
    running: Running, scan_file: Path, monkeypatch: pytest.MonkeyPatch, nothing_is_left: None
) -> None:
    async def none(*_: Any) -> Any:
        raise RuntimeError("can't start new thread")

    with running.client as client, monkeypatch.context() as change:
        change.setattr("asyncio.to_thread", none)
        assert upload(client, scan_file).status_code == 500


def test_a_log_that_cannot_be_written_stops_nothing(predictor: Any, scan_file: Path) -> None:
    def full(_: str) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with run_service(predictor, log=full) as running, running.client as client:
        assert upload(client, scan_file).status_code == 201
        assert upload(client, scan_file, name="a.txt").status_code == 422
        # and it ends when it is told to, as the kit holds it to
