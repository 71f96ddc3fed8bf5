"""What a PACS gets back of a series: SEG, RTSTRUCT and report, each whatever becomes of the others."""

import asyncio
import errno
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from service_kit import KnownPredictor, Running, run_service, samples, wait_until

pytest.importorskip("pynetdicom", reason="the extra `pacs` is not installed")
from pacs_kit import OPTIONS, Archive, labels_in, labels_of, make_series, send, stow_body
from pydicom import Dataset
from pydicom.uid import ComprehensiveSRStorage, SegmentationStorage

from lts.base import ConfigError, StorageError, VolumeError
from lts.inference import Predictor
from lts.service.metrics import Metrics
from lts.service.pacs import PacsOptions, outbox
from lts.service.pacs.answered import sole_user_of
from lts.service.pacs.delivery import Delivery, UndeliveredError
from lts.service.pacs.outbox import Outbox
from lts.volume import DicomRtstructWriter, _dicom_rtstruct

pytestmark = pytest.mark.filterwarnings(
    # where pynetdicom sends, it leaves a socket that its peer has closed or refused to the collector
    "ignore:Exception ignored in. <socket.socket:pytest.PytestUnraisableExceptionWarning"
)
ALL = ("seg", "rtstruct", "sr")


@pytest.fixture(scope="module")
def archive() -> Iterator[Archive]:
    archive = Archive()
    yield archive
    archive.close()


@pytest.fixture(scope="module")
def running(predictor: Predictor, archive: Archive) -> Iterator[Running]:
    with run_service(predictor, pacs=options_of(archive)) as running:
        yield running


@pytest.fixture(autouse=True)
def nothing_has_come(archive: Archive, running: Running) -> None:
    archive.results.clear()
    running.lines.clear()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return make_series(tmp_path)


def options_of(archive: Archive, **changes: Any) -> PacsOptions:
    return PacsOptions(**{**OPTIONS, "send_to": archive.node, "results": ALL, **changes})


def wait_for(condition: Callable[[], bool]) -> None:
    """As `wait_until`, with the time that a busy machine takes to import highdicom."""
    wait_until(condition, seconds=60)


def stow(running: Running, files: list[Path]) -> None:
    body, headers = stow_body([file.read_bytes() for file in files])
    with running.client as client:
        client.post("/dicom-web/studies", content=body, headers=headers).raise_for_status()


def told(running: Running, words: str) -> list[str]:
    return [line for line in list(running.lines) if words in line]


def count(running: Running, what: str, **labels: str) -> float:
    name = f"lts_pacs_{what}_total" + "".join(f",{key}={value}" for key, value in sorted(labels.items()))
    return samples(running.service.metrics.text().decode())[name]


def values(dataset: Dataset, keyword: str) -> list[Any]:
    return [element.value for element in dataset.iterall() if element.keyword == keyword]


def test_all_that_is_asked_for_comes_back_and_belongs_together(
    running: Running, archive: Archive, predictor: Predictor, folder: Path
) -> None:
    before = {kind: count(running, "results", kind=kind, outcome="sent") for kind in ALL}
    sent = count(running, "series", outcome="sent")
    send(running.exchange.port, sorted(folder.iterdir()))
    wait_for(lambda: count(running, "series", outcome="sent") == sent + 1)
    assert all(count(running, "results", kind=kind, outcome="sent") == before[kind] + 1 for kind in ALL)
    seg, structures, report = archive.results
    assert [one.Modality for one in archive.results] == ["SEG", "RTSTRUCT", "SR"]
    assert len({one.StudyInstanceUID for one in archive.results}) == 1
    labels = labels_of(folder, predictor)
    np.testing.assert_array_equal(labels_in(seg, 6), labels)
    drawn = structures.ROIContourSequence[0].ContourSequence
    assert len(drawn) == np.count_nonzero(labels.any(axis=(0, 1)))
    assert seg.SOPInstanceUID in values(report, "ReferencedSOPInstanceUID")
    (model,) = running.service.version["models"]
    assert f"checkpoint {model['file']}, SHA-256 {model['sha256']}" in values(report, "TextValue")
    assert [line.rpartition("has taken ")[2] for line in told(running, "has taken")] == [
        *("DICOM SEG", "RTSTRUCT", "DICOM SR")
    ]
    assert "DICOM SEG, RTSTRUCT, DICOM SR go to ARCHIVE@" in running.exchange.describe()


def test_one_that_cannot_be_made_is_told_and_costs_no_other(
    running: Running, archive: Archive, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_dicom_rtstruct, "_MOST_CONTOURS", 0)
    refused = count(running, "results", kind="rtstruct", outcome="refused")
    sent = count(running, "series", outcome="sent")
    send(running.exchange.port, sorted(folder.iterdir()))
    wait_for(lambda: count(running, "series", outcome="sent") == sent + 1)
    assert [one.Modality for one in archive.results] == ["SEG", "SR"]
    (line,) = told(running, ": no RTSTRUCT: ")
    assert "no RTSTRUCT: scan_rtstruct.dcm: contours of liver must be at most 0" in line
    assert count(running, "results", kind="rtstruct", outcome="refused") == refused + 1


def test_a_disk_that_fills_up_costs_what_was_not_written_yet(
    running: Running, archive: Archive, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise StorageError("full") from OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(DicomRtstructWriter, "write", full)
    sent = count(running, "series", outcome="sent")
    send(running.exchange.port, sorted(folder.iterdir()))
    wait_for(lambda: count(running, "series", outcome="sent") == sent + 1)
    assert [one.Modality for one in archive.results] == ["SEG"]
    assert len(told(running, ": no RTSTRUCT or DICOM SR: the service cannot store the scan")) == 1


def test_where_no_object_can_refer_to_a_series_nothing_is_predicted_or_sent(
    running: Running, archive: Archive, folder: Path, predictor: Predictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unasked(*_: object, **__: object) -> None:
        raise AssertionError("the network ran")

    def refuse(*_: object) -> None:
        raise VolumeError("no StudyInstanceUID")

    monkeypatch.setattr(predictor, "mask", unasked)
    monkeypatch.setattr("lts.inference.dicom_objects.refer_to", refuse)
    refused = count(running, "series", outcome="refused")
    send(running.exchange.port, sorted(folder.iterdir()))
    wait_for(lambda: count(running, "series", outcome="refused") == refused + 1)
    (line,) = told(running, ": refused, 422: ")
    assert line.endswith("no StudyInstanceUID")
    assert archive.results == []


def test_where_the_model_finds_no_liver_all_objects_come_and_are_empty(
    archive: Archive, folder: Path
) -> None:
    nothing = KnownPredictor(np.zeros((6, 30, 32), np.uint8))
    with run_service(nothing, pacs=options_of(archive)) as empty:
        send(empty.exchange.port, sorted(folder.iterdir()))
        wait_for(lambda: count(empty, "series", outcome="sent") == 1)
        assert not told(empty, "liver")
    seg, structures, report = archive.results
    assert [segment.SegmentLabel for segment in seg.SegmentSequence] == ["Liver", "Tumor"]
    assert not labels_in(seg, 6).any()
    assert [roi.ROIName for roi in structures.StructureSetROISequence] == ["Liver", "Tumor"]
    assert not values(structures, "ContourData")
    assert [float(value) for value in values(report, "NumericValue")] == [0.0, 0.0]


def test_a_pacs_that_takes_no_such_objects_gets_the_others_once(predictor: Predictor, folder: Path) -> None:
    files = sorted(folder.iterdir())
    archive = Archive(classes=[SegmentationStorage, ComprehensiveSRStorage])
    try:
        with run_service(predictor, pacs=options_of(archive, send_minutes=0.05)) as running:
            send(running.exchange.port, files)
            wait_for(lambda: count(running, "series", outcome="given_up") == 1)
            lines = told(running, "did not take RTSTRUCT: it takes no such objects; ")
            assert [line.rpartition("; ")[2] for line in lines] == [
                "tried again in 0.1 s and so on",
                "given up after 0.05 minutes",
            ]
            assert count(running, "results", kind="rtstruct", outcome="given_up") == 1
            send(running.exchange.port, files)
            wait_for(lambda: count(running, "series", outcome="known") == 1)
    finally:
        archive.close()
    assert [one.Modality for one in archive.results] == ["SEG", "SR"]


def test_a_service_that_starts_again_answers_nothing_twice(
    archive: Archive, predictor: Predictor, folder: Path, tmp_path: Path
) -> None:
    files, memory = sorted(folder.iterdir()), tmp_path / "answered.json"

    def outcomes(**changes: Any) -> dict[str, float]:
        options = options_of(archive, answered_file=memory, **{"results": ("seg",), **changes})
        with run_service(predictor, pacs=options) as running:
            with pytest.raises(ConfigError, match="must be of one service at a time"), sole_user_of(memory):
                pass
            send(running.exchange.port, files)
            names = ("sent", "known")
            wait_for(lambda: any(count(running, "series", outcome=name) for name in names))
            return {name: count(running, "series", outcome=name) for name in names}

    assert outcomes() == {"sent": 1, "known": 0}
    assert outcomes() == {"sent": 0, "known": 1}
    assert outcomes(results=("rtstruct",)) == {"sent": 1, "known": 0}
    assert [one.Modality for one in archive.results] == ["SEG", "RTSTRUCT"]


def test_a_memory_that_cannot_be_written_is_told_and_costs_no_result(
    archive: Archive, folder: Path, tmp_path: Path
) -> None:
    memory = tmp_path / "state" / "answered.json"
    memory.parent.mkdir()
    nothing = KnownPredictor(np.zeros((6, 30, 32), np.uint8))
    options = options_of(archive, answered_file=memory, results=("seg",))
    with run_service(nothing, pacs=options) as running:
        shutil.rmtree(memory.parent)
        send(running.exchange.port, sorted(folder.iterdir()))
        wait_for(lambda: count(running, "series", outcome="sent") == 1)
    (line,) = told(running, "will not be known to a later service: ")
    assert line.endswith("answered.json: cannot be written: No such file or directory")


class Failing(KnownPredictor):
    """Fails as often as it is told; the first time when it is let go."""

    def __init__(self, *, failures: int) -> None:
        super().__init__(np.zeros((6, 30, 32), np.uint8))
        self.started, self.go, self._failures = threading.Event(), threading.Event(), failures

    def mask(self, scan: Any, *, on_slab: Callable[[Any], None], located: Any) -> Any:
        self.started.set()
        assert self.go.wait(60)
        if self._failures:
            self._failures -= 1
            raise MemoryError
        return super().mask(scan, on_slab=on_slab, located=located)


@pytest.mark.parametrize(
    ("failures", "expected"),
    [
        (0, {"sent": 1, "known": 3, "refused": 0}),
        (1, {"sent": 1, "known": 2, "refused": 1}),
    ],
)
def test_a_series_that_comes_again_while_it_is_in_hand_is_answered_once_and_not_lost(
    archive: Archive, folder: Path, failures: int, expected: dict[str, float]
) -> None:
    files, failing = sorted(folder.iterdir()), Failing(failures=failures)
    with run_service(failing, pacs=options_of(archive, results=("seg",), port=None)) as running:

        def outcomes() -> dict[str, float]:
            return {name: count(running, "series", outcome=name) for name in expected}

        def known_and_kept() -> tuple[float, int]:
            kept = told(running, "came again, and are kept until those in hand are answered")
            return outcomes()["known"], len(kept)

        stow(running, files)
        assert failing.started.wait(60)
        # Of those that wait, one is kept that has the instances of all.
        for part, state in ((files[:4], (0, 1)), (files, (1, 2)), (files[:5], (2, 2))):
            stow(running, part)
            wait_for(lambda state=state: known_and_kept() == state)  # type: ignore[misc]
        failing.go.set()
        wait_for(lambda: outcomes() == expected)
        wait_for(lambda: running.exchange.in_hand == 0 and running.left_over() == set())
    assert [one.Modality for one in archive.results] == ["SEG"]


def test_a_series_that_is_complete_when_the_service_stops_is_answered(
    archive: Archive, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    came, go = threading.Event(), threading.Event()
    nothing = KnownPredictor(np.zeros((6, 30, 32), np.uint8))
    with run_service(nothing, pacs=options_of(archive, results=("seg",), port=None)) as stopping:
        complete = stopping.exchange.intake.complete

        def slowly() -> Any:
            if found := complete():
                came.set()
                assert go.wait(60)
            return found

        monkeypatch.setattr(stopping.exchange.intake, "complete", slowly)
        stow(stopping, sorted(folder.iterdir()))
        assert came.wait(60)
        stopping.server.stop()
        wait_for(lambda: bool(told(stopping, "stopping: ")))
        time.sleep(0.5)  # several looks at whether anything is in hand
        go.set()
        wait_for(lambda: len(archive.results) == 1)


class Refusing(Delivery):
    """Refuses each file so many times, and notes in which order files are tried."""

    def __init__(self, refusals: Mapping[str, list[str]]) -> None:
        self._refusals = refusals
        self.tried: list[str] = []

    def send(self, path: Path) -> None:
        self.tried.append(path.name)
        if refusals := self._refusals.get(path.name):
            raise UndeliveredError(refusals.pop(0))

    def close(self) -> None:
        pass


@pytest.fixture
def sending(monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[bool, list[str], list[str], int]]:
    """Send three results: whether all were taken, what was tried, what was told, and how many were taken."""

    def send_all(refusals: Mapping[str, list[str]], **changes: Any) -> tuple[bool, list[str], list[str], int]:
        delivery, lines, taken = Refusing(refusals), [], []
        monkeypatch.setattr(outbox, "delivery_to", lambda _: delivery)
        options = PacsOptions(**{**OPTIONS, "retry_s": 0.01, **changes})
        box = Outbox(options, counts=Metrics({}).pacs, log=lines.append)
        files = {kind: Path(kind) for kind in ("dicom_seg", "dicom_rtstruct", "dicom_sr")}

        async def on_taken() -> None:
            taken.append(delivery.tried[-1])

        is_sent = asyncio.run(box.send("series 1.2", files, on_taken=on_taken))
        return is_sent, delivery.tried, lines, len(taken)

    return send_all


def test_a_report_follows_its_seg_and_other_objects_wait_for_nothing(sending: Any) -> None:
    is_sent, tried, lines, n_taken = sending({"dicom_seg": ["busy", "full"]})
    assert (is_sent, n_taken) == (True, 3)
    assert tried == ["dicom_seg", "dicom_rtstruct", "dicom_seg", "dicom_seg", "dicom_sr"]
    node = OPTIONS["send_to"]
    assert lines == [
        f"series 1.2: {node} has taken RTSTRUCT",
        f"series 1.2: {node} did not take DICOM SEG: busy; tried again in 0.01 s and so on",
        f"series 1.2: {node} did not take DICOM SR: it is sent after its DICOM SEG; "
        "tried again in 0.01 s and so on",
        f"series 1.2: {node} did not take DICOM SEG: full; tried again in 0.02 s and so on",
        f"series 1.2: {node} has taken DICOM SEG",
        f"series 1.2: {node} has taken DICOM SR",
    ]


def test_one_reason_is_told_once_for_all_and_again_at_the_end(sending: Any) -> None:
    down = {"dicom_seg": ["down"] * 99, "dicom_rtstruct": ["down"] * 99}
    is_sent, tried, lines, n_taken = sending(down, send_minutes=0.02)
    assert (is_sent, n_taken) == (False, 0)
    assert len(tried) >= 4
    told_of_both = [line for line in lines if "DICOM SEG, RTSTRUCT: down; " in line]
    assert [line.rpartition("; ")[2] for line in told_of_both] == [
        "tried again in 0.01 s and so on",
        "given up after 0.02 minutes",
    ]
    assert len(lines) == 4
