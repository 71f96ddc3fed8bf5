"""Compressed pixels are decoded in processes that end: by themselves, by a limit, by who waits for them."""

import json
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dicom_kit import find_dicom_series, read_dicom_ct
from pydicom.uid import JPEG2000Lossless, RLELossless

from lts.base import VolumeError
from lts.volume import DicomSeries, _dicom_decoding, find_dicom
from lts.volume._dicom_decoding import DecodeRequest, decoded_frames

DECODERS = {
    "sleeps": "time.sleep(600)",
    "ends": "os._exit(3)",
    "is killed": "os.kill(os.getpid(), signal.SIGKILL)",
    "takes memory": "yield numpy.zeros(2**33, 'u1')",
    "has another shape": "yield numpy.zeros((3, 3), 'i2')",
    "prints": "os.write(1, b'a line'); yield from real(path, frames, syntax=syntax)",
}


@pytest.fixture
def decoder(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Has the processes decode in another way; returns those that were started."""
    started: list[subprocess.Popen[bytes]] = []

    class Kept(subprocess.Popen):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            started.append(self)

    monkeypatch.setattr(_dicom_decoding.subprocess, "Popen", Kept)

    def instead(body: str | None) -> list[subprocess.Popen[bytes]]:
        if body is not None:
            monkeypatch.setattr(_dicom_decoding, "_RUN", running(body))
        return started

    return instead


def running(body: str) -> str:
    return "\n".join(
        [
            "import json, os, signal, sys, time",
            "sys.path[:] = json.loads(sys.argv[1])",
            "import numpy",
            "from lts.volume import _dicom_decoder",
            "real = _dicom_decoder.stored_frames",
            f"def frames_of(path, frames, *, syntax):\n    {body}\n    yield",
            "_dicom_decoder.stored_frames = frames_of",
            "_dicom_decoder.main()",
        ]
    )


def compressed(phantoms: Any, n_slices: int = 3) -> tuple[DicomSeries, np.ndarray]:
    stored = phantoms.stored((80, 70, n_slices))
    (series,) = find_dicom_series(phantoms.series(stored, syntax=JPEG2000Lossless))
    return series, stored.transpose(2, 1, 0) - 1024


def all_ended(processes: list[subprocess.Popen[bytes]]) -> bool:
    return bool(processes) and all(process.returncode is not None for process in processes)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("ends", r"im0\.dcm: broken pixel data: its decoder was ended by it \(exit code 3\)"),
        ("is killed", r"im0\.dcm: broken pixel data: its decoder was ended by it \(signal 9\)"),
        pytest.param(
            "takes memory",
            r"im0\.dcm: pixels do not fit into memory",
            marks=pytest.mark.skipif(sys.platform != "linux", reason="memory is bounded on Linux alone"),
        ),
        (
            "has another shape",
            r"im0\.dcm: broken pixel data: must be \(70, 80\) rows and columns, got \[3, 3\]",
        ),
    ],
)
def test_a_decoder_that_fails_is_a_file_that_is_damaged(
    name: str, message: str, decoder: Any, phantoms: Any
) -> None:
    started = decoder(DECODERS[name])
    series, _ = compressed(phantoms)
    with pytest.raises(VolumeError, match=message.replace("im0", r"im\d")) as caught:
        read_dicom_ct(series)
    assert "\n" not in str(caught.value)
    assert all_ended(started)


def test_a_slice_that_takes_too_long_is_refused(
    decoder: Any, phantoms: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    started = decoder(DECODERS["sleeps"])
    monkeypatch.setattr(_dicom_decoding, "FRAME_LIMIT_S", 0.2)
    series, _ = compressed(phantoms)
    with pytest.raises(VolumeError, match=r"im\d\.dcm: pixels must be decoded within 0\.2 s"):
        read_dicom_ct(series)
    assert all_ended(started)


class GivenUpError(Exception):
    """What who waits may raise."""


def test_who_waits_for_a_slice_may_give_it_up_and_others_read_on(decoder: Any, phantoms: Any) -> None:
    started = decoder(DECODERS["sleeps"])
    series, _ = compressed(phantoms)
    elsewhere = phantoms.series(phantoms.stored(), name="elsewhere")
    begun = []

    def check() -> None:
        with ThreadPoolExecutor(1) as other:
            (found,) = other.submit(find_dicom, elsewhere).result(timeout=60).series
            begun.append(other.submit(read_dicom_ct, found).result(timeout=60))
        if len(begun) > 3:
            raise GivenUpError

    with pytest.raises(GivenUpError):
        read_dicom_ct(series, check=check)
    assert all_ended(started)


def test_frames_that_are_ready_hold_nobody_up_who_gives_up(decoder: Any, tmp_path: Path) -> None:
    started = decoder("yield from [numpy.zeros((16, 16), 'i2')] * 60")
    frames = decoded_frames([DecodeRequest(tmp_path, tuple(range(60)), "1.2", (16, 16))], check=lambda: None)
    assert [next(frames).shape for _ in range(20)] == [(16, 16)] * 20
    frames.close()
    assert all_ended(started)


def test_a_value_that_is_refused_ends_the_decoding(decoder: Any, phantoms: Any) -> None:
    started = decoder(None)

    def change(dataset: Any, index: int) -> None:
        dataset.RescaleSlope = 100

    folder = phantoms.series(phantoms.stored((16, 16, 5)), syntax=RLELossless, change=change)
    with pytest.raises(VolumeError, match="HU must be at most 32767") as caught:
        read_dicom_ct(find_dicom_series(folder)[0])
    assert all_ended(started)
    del caught


def test_several_processes_give_slices_in_their_order(
    decoder: Any, phantoms: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    started = decoder(DECODERS["prints"])
    monkeypatch.setattr(_dicom_decoding, "_FILES_PER_PROCESS", 1)
    monkeypatch.setattr(_dicom_decoding, "usable_processors", lambda: 3)
    series, expected = compressed(phantoms, 8)
    np.testing.assert_array_equal(read_dicom_ct(series).voxels, expected)
    assert len(started) == 3
    assert all_ended(started)


def test_pixels_that_are_not_compressed_start_no_process(decoder: Any, phantoms: Any) -> None:
    started = decoder(None)
    (series,) = find_dicom_series(phantoms.series(phantoms.stored()))
    calls = []
    read_dicom_ct(series, check=lambda: calls.append(1))
    assert (started, len(calls)) == ([], 4)


@pytest.mark.skipif(not hasattr(signal, "alarm"), reason="the system has no alarms")
def test_a_decoder_that_nobody_waits_for_ends_by_itself(tmp_path: Path) -> None:
    """Its limit is 1 s and 5 more; closed input ends it where it is not at work."""
    line = [sys.executable, "-c", running("while True: pass").replace("_dicom_decoder.main()", ""), "[]", "1"]
    line[2] = line[2].replace("json.loads(sys.argv[1])", repr(sys.path))
    line[2] += "_dicom_decoder._GRACE_S = 0\n_dicom_decoder.main()"
    wanted = json.dumps({"path": str(tmp_path), "frames": [0], "syntax": "1.2"}).encode() + b"\n"
    busy = subprocess.run(line, input=wanted, capture_output=True, timeout=120, check=False)
    assert busy.returncode == -signal.SIGALRM
    idle = subprocess.run(line, input=b"", capture_output=True, timeout=120, check=False)
    assert (idle.returncode, idle.stderr, json.loads(idle.stdout)) == (0, b"", {"begun": True})
