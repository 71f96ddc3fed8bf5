"""A PACS on loopback: what it sends by C-STORE and STOW-RS, what it gets back, and when it gets nothing."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from pydicom import dcmread
from pydicom.uid import UltrasoundImageStorage, generate_uid
from service_kit import HeldPredictor, Running, run_service, samples, wait_until

pytest.importorskip("pynetdicom", reason="the extra `pacs` is not installed")
from pacs_kit import (
    OPTIONS,
    Archive,
    associated,
    free_port,
    labels_in,
    labels_of,
    make_series,
    send,
    store,
    stow_body,
)

from lts.inference import Predictor
from lts.service.pacs import PacsOptions, WebNode
from lts.service.pacs.delivery import UndeliveredError, WebDelivery

pytestmark = [
    pytest.mark.usefixtures("nothing_is_left"),
    # where pynetdicom sends, it leaves a socket that its peer has closed or refused to the collector
    pytest.mark.filterwarnings(
        "ignore:Exception ignored in. <socket.socket:pytest.PytestUnraisableExceptionWarning"
    ),
]
STOW = "/dicom-web/studies"
RULE = 'the body must be multipart/related; type="application/dicom" with a boundary'


@pytest.fixture(scope="module")
def module_archive() -> Iterator[Archive]:
    archive = Archive()
    yield archive
    archive.close()


@pytest.fixture(scope="module")
def running(predictor: Predictor, module_archive: Archive) -> Iterator[Running]:
    options = PacsOptions(**{**OPTIONS, "send_to": module_archive.node, "calling": ("SCANNER",)})
    with run_service(predictor, pacs=options) as running:
        yield running


@pytest.fixture
def archive(module_archive: Archive, running: Running) -> Archive:
    """The archive, which has nothing yet and takes all."""
    module_archive.results.clear()
    module_archive.callers.clear()
    module_archive.statuses = [0x0000]
    running.lines.clear()
    return module_archive


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return make_series(tmp_path)


@pytest.fixture
def files(folder: Path) -> list[Path]:
    """From foot to head."""
    return sorted(folder.iterdir(), key=lambda file: dcmread(file).ImagePositionPatient[2])


def count(running: Running, name: str) -> float:
    return samples(running.service.metrics.text().decode())[name]


def wait_for(condition: Callable[[], bool]) -> None:
    """As `wait_until`, with the time that a busy machine takes to import highdicom."""
    wait_until(condition, seconds=60)


def is_told(running: Running, words: str) -> bool:
    return any(words in line for line in list(running.lines))


def test_a_series_comes_back_once_as_what_the_model_finds(
    running: Running, archive: Archive, predictor: Predictor, folder: Path, files: list[Path]
) -> None:
    port, known = running.exchange.port, "lts_pacs_series_total,outcome=known"
    before = count(running, known)
    assert send(port, files[:5]) == [0x0000] * 5
    wait_for(lambda: len(archive.results) == 1)
    assert send(port, files[:5]) == [0x0000] * 5
    wait_for(lambda: count(running, known) == before + 1)
    assert send(port, files[5:]) == [0x0000]
    wait_for(lambda: is_told(running, "send the whole series again"))
    assert len(archive.results) == 1
    assert send(port, files) == [0x0000] * 6
    wait_for(lambda: len(archive.results) == 2)
    seg = archive.results[1]
    np.testing.assert_array_equal(labels_in(seg, 6), labels_of(folder, predictor))
    assert (seg.Rows, seg.Columns) == (30, 32)
    assert seg.StudyInstanceUID == dcmread(files[0]).StudyInstanceUID
    assert archive.callers == ["LTS"] * 2
    assert not is_told(running, "Phantom")
    assert not is_told(running, "liver")  # no finding


def test_it_answers_an_echo_and_passes_over_what_is_no_scan(
    running: Running, archive: Archive, files: list[Path]
) -> None:
    other = dcmread(files[0])
    other.SOPClassUID, other.SOPInstanceUID, other.Modality = UltrasoundImageStorage, generate_uid(), "US"
    with associated(running.exchange.port) as association:
        assert association.send_c_echo().Status == 0x0000
        assert store(association, [other]) == [0x0000]
        association.release()
    wait_for(lambda: is_told(running, "passed over 1 instance that no rule chooses: 1 US"))
    assert running.exchange.intake.held == 0


@pytest.mark.parametrize(
    ("names", "diagnostic", "why"),
    [
        (
            {"calling": "OTHER"},
            3,
            "OTHER at 127.0.0.1: association refused: this AE title may not send",
        ),
        ({"called": "OTHER"}, 7, "association refused: it calls OTHER, and this is LTS"),
    ],
)
def test_who_is_not_known_is_rejected_as_the_standard_says(
    running: Running, archive: Archive, names: dict[str, str], diagnostic: int, why: str
) -> None:
    rejected = "lts_pacs_rejected_associations_total"
    before = count(running, rejected)
    with associated(running.exchange.port, **names) as association:
        assert association.is_rejected
        told = association.acceptor.primitive
    # PS3.8 table 9-21: permanently, by the service user, and which title is not recognized
    assert (told.result, told.result_source, told.diagnostic) == (1, 1, diagnostic)
    wait_for(lambda: count(running, rejected) == before + 1)
    assert is_told(running, why)


def test_beyond_the_most_associations_others_are_rejected_for_now(running: Running, archive: Archive) -> None:
    wait_for(lambda: not any("AcceptorThread" in thread.name for thread in threading.enumerate()))
    with ExitStack() as stack:
        for _ in range(3):
            assert stack.enter_context(associated(running.exchange.port)).is_established
        extra = stack.enter_context(associated(running.exchange.port))
        assert extra.is_rejected
        told = extra.acceptor.primitive
        # PS3.8 table 9-21: transiently, by the provider of the presentation, local limit exceeded
        assert (told.result, told.result_source, told.diagnostic) == (2, 3, 2)
    wait_for(lambda: is_told(running, "3 associations are open, which is the most"))


def test_what_was_cut_short_is_dropped_and_told(
    running: Running, archive: Archive, files: list[Path]
) -> None:
    with associated(running.exchange.port) as association:
        assert store(association, files[:3]) == [0x0000] * 3
        association.abort()
    wait_for(lambda: is_told(running, "SCANNER at 127.0.0.1: cut short; what came of series "))
    wait_for(lambda: is_told(running, "dropped with 3 instances: nothing of it came for 1 s"))
    wait_for(lambda: running.exchange.intake.held == 0)
    assert archive.results == []


def test_a_result_that_is_not_taken_is_sent_again(
    running: Running, archive: Archive, files: list[Path]
) -> None:
    before = count(running, "lts_pacs_retries_total")
    archive.statuses = [0xA700, 0xC000, 0xB000]
    send(running.exchange.port, files)
    wait_for(lambda: is_told(running, "has taken DICOM SEG"))
    assert count(running, "lts_pacs_retries_total") == before + 2
    assert is_told(running, "did not take DICOM SEG: it answered with status 0xA700; tried again in 0.1 s")
    assert is_told(running, "did not take DICOM SEG: it answered with status 0xC000; tried again in 0.2 s")


def test_what_is_no_volume_is_refused_and_told(running: Running, archive: Archive, files: list[Path]) -> None:
    before = count(running, "lts_pacs_series_total,outcome=refused")
    assert send(running.exchange.port, [*files[:2], *files[4:]]) == [0x0000] * 4
    wait_for(lambda: count(running, "lts_pacs_series_total,outcome=refused") == before + 1)
    (line,) = [line for line in running.lines if ": refused, 422: " in line]
    assert "lts-service" not in line
    assert archive.results == []


def test_a_message_unit_that_is_too_large_is_not_read(running: Running, archive: Archive) -> None:
    with socket.create_connection(("127.0.0.1", running.exchange.port), timeout=10) as connection:
        connection.sendall(b"\x01\x00" + (2**20 + 1).to_bytes(4, "big") + bytes(1000))
        with suppress(ConnectionResetError):  # as there was more to read
            assert connection.recv(1) == b""


def test_instances_come_by_stow_as_well(
    running: Running, archive: Archive, predictor: Predictor, folder: Path, files: list[Path]
) -> None:
    body, headers = stow_body([file.read_bytes() for file in files[:4]])
    rest, _ = stow_body([file.read_bytes() for file in files[4:]])
    with running.client as client:
        answers = [client.post(STOW, content=content, headers=headers) for content in (body, rest)]
    assert [answer.status_code for answer in answers] == [200, 200]
    assert answers[0].headers["content-type"] == "application/dicom+json"
    told = answers[0].json()
    assert told.keys() == {"00081190", "00081199"}
    assert [item["00081155"]["Value"] for item in told["00081199"]["Value"]] == [
        [dcmread(file).SOPInstanceUID] for file in files[:4]
    ]
    wait_for(lambda: archive.results != [])
    np.testing.assert_array_equal(labels_in(archive.results[0], 6), labels_of(folder, predictor))


def test_what_cannot_be_taken_by_stow_is_told_one_by_one(
    running: Running, archive: Archive, files: list[Path]
) -> None:
    junk = bytes(4096)
    with running.client as client:

        def post(parts: list[bytes]) -> tuple[int, Any]:
            body, headers = stow_body(parts)
            answer = client.post(STOW, content=body, headers=headers)
            return answer.status_code, answer.json()

        not_understood = {"vr": "SQ", "Value": [{"00081197": {"vr": "US", "Value": [0xC000]}}]}
        assert post([junk]) == (409, {"00081190": {"vr": "UR"}, "0008119A": not_understood})
        status, told = post([files[0].read_bytes(), junk])
        assert (status, told["0008119A"]) == (202, not_understood)
        assert len(told["00081199"]["Value"]) == 1
    wait_for(lambda: is_told(running, "dropped with 1 instance"))
    assert archive.results == []


def test_a_request_that_is_no_stow_is_refused(running: Running, archive: Archive, files: list[Path]) -> None:
    body, headers = stow_body([files[0].read_bytes()])
    wrong_part, _ = stow_body([b"{}"], kind="application/json")
    form = {"Content-Type": "multipart/form-data; boundary=edge"}
    metadata = {"Content-Type": 'multipart/related; type="application/dicom+json"; boundary=edge'}
    unnamed = {"Content-Type": 'multipart/related; type="application/dicom"'}
    with running.client as client:

        def refusal(content: bytes, **changed: Any) -> tuple[int, str]:
            answer = client.post(STOW, content=content, headers=changed or headers)
            return answer.status_code, answer.json()["detail"]

        assert refusal(body, **form) == (415, RULE)
        assert refusal(body, **metadata) == (415, RULE)
        assert refusal(body, **unnamed) == (415, f"{RULE} of 1 to 256 characters, got 0")
        assert refusal(wrong_part) == (415, "each part must be application/dicom, and say so")
        assert refusal(body[:-10]) == (400, "the body was cut short")
        assert refusal(b"--edge--\r\n") == (400, "the body holds no instance")
        assert refusal(b"no edge") == (400, "the body is not well-formed multipart/related")
        assert refusal(bytes(5 * 2**20)) == (413, "the upload must be at most 4 MiB")
        assert client.get(STOW).status_code == 405
    assert archive.results == []


def test_without_a_pacs_there_is_no_address_for_instances(predictor: Predictor, files: list[Path]) -> None:
    body, headers = stow_body([files[0].read_bytes()])
    with run_service(predictor) as plain, plain.client as client:
        assert client.post(STOW, content=body, headers=headers).status_code in (404, 405)


def test_a_result_goes_by_stow_where_that_is_asked_for(
    running: Running, archive: Archive, files: list[Path]
) -> None:
    other = dcmread(files[0])
    other.Modality = "US"  # which is passed over, and is told as taken
    file = files[0].parent.parent / "other.dcm"
    other.save_as(file)
    WebDelivery(WebNode(f"{running.url}/dicom-web")).send(file)
    wait_for(lambda: is_told(running, "STOW-RS from 127.0.0.1: passed over 1 instance"))
    with pytest.raises(UndeliveredError, match="^it answered with status 404$"):
        WebDelivery(WebNode(f"{running.url}/nowhere")).send(file)
    with pytest.raises(UndeliveredError, match="refused"):
        WebDelivery(WebNode(f"http://127.0.0.1:{free_port()}")).send(file)


def test_a_result_that_nobody_takes_is_given_up_and_made_anew_when_its_series_comes_again(
    predictor: Predictor, files: list[Path]
) -> None:
    port = free_port()
    options = {**OPTIONS, "send_to": f"ARCHIVE@127.0.0.1:{port}", "send_minutes": 0.005}
    with run_service(predictor, pacs=PacsOptions(**options)) as alone:
        send(alone.exchange.port, files)
        wait_for(lambda: is_told(alone, "no association with it; given up after 0.005 minutes"))
        wait_for(lambda: count(alone, "lts_pacs_series_total,outcome=given_up") == 1)
        wait_for(lambda: alone.left_over() == set())
        archive = Archive(port=port)
        try:
            send(alone.exchange.port, files)
            wait_for(lambda: archive.results != [])
        finally:
            archive.close()


def test_a_service_that_stops_sends_what_is_in_hand_and_drops_what_is_not_complete(
    held: HeldPredictor, module_archive: Archive, archive: Archive, files: list[Path], tmp_path: Path
) -> None:
    options = PacsOptions(**{**OPTIONS, "send_to": module_archive.node})
    second = sorted(make_series(tmp_path, name="second").iterdir())
    with run_service(held, pacs=options) as stopping:
        port = stopping.exchange.port
        send(port, files)
        held.wait_until_started()
        with associated(port) as association:
            assert store(association, second[:2]) == [0x0000] * 2
            stopping.server.stop()
            wait_for(lambda: is_told(stopping, "dropped with 2 instances: the service is stopping"))
            with pytest.raises(OSError, match="refused"), socket.create_connection(("127.0.0.1", port)):
                pass
            wait_for(lambda: not association.is_established)
        with pytest.raises(httpx.HTTPStatusError, match="503"), stopping.client as client:
            client.get("/ready").raise_for_status()
        held.go.set()
        wait_for(lambda: archive.results != [])
