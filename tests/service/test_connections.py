"""Clients that send slowly, by halves or nothing, take no answer, or are many: none holds a place."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from service_kit import HeldPredictor, Running, multipart, read_answer, run_service, upload, wait_until

from lts.service.connections import Connections

HEALTH = b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
TOKEN = "0123456789abcdef"


def all_that_comes(connection: socket.socket) -> bytes:
    """What a service sends until it closes."""
    connection.settimeout(60)
    received = b""
    while got := connection.recv(65536):
        received += got
    return received


def n_open(running: Running) -> int:
    return len(running.server._connections.open)


def drip(connection: socket.socket, content: bytes) -> bytes:
    """Send byte by byte until an answer comes, which is all: never silent for long, and never whole."""
    connection.setblocking(False)
    for byte in content:
        try:
            return connection.recv(4096) + all_that_comes(connection)
        except BlockingIOError:
            connection.send(bytes([byte]))
            time.sleep(0.05)
    raise AssertionError("nothing came")


@contextmanager
def half_closed(running: Running, sent: bytes) -> Iterator[socket.socket]:
    """A client that has said that it sends no more."""
    with running.connect(sent) as connection:
        connection.shutdown(socket.SHUT_WR)
        yield connection


@pytest.mark.parametrize(
    "begun", [b"GET / HTTP/1.1\r\nHost", b"POST /scans HTTP/1.1\r\nHost: 127.0.0.1\r\nX: "]
)
def test_half_a_head_is_waited_for_so_long(predictor: Any, begun: bytes) -> None:
    with run_service(predictor, headers_s=0.4) as running, running.connect(begun) as connection:
        answer = all_that_comes(connection)
        assert answer.startswith(b"HTTP/1.1 408 ")
        assert answer.endswith(b'{"detail":"no whole request came in time"}')
        wait_until(lambda: n_open(running) == 0)


def test_a_head_that_comes_byte_by_byte_is_waited_for_no_longer(predictor: Any) -> None:
    with run_service(predictor, headers_s=0.4) as running, running.connect(b"GET / HTTP/1.1\r\nX: ") as slow:
        assert drip(slow, b"x" * 200).startswith(b"HTTP/1.1 408 ")
        assert n_open(running) == 0


def test_a_connection_that_says_nothing_is_closed_without_a_word(predictor: Any) -> None:
    with run_service(predictor, headers_s=0.4) as running, running.connect(b"") as connection:
        assert all_that_comes(connection) == b""


def test_half_a_second_request_is_no_better(predictor: Any) -> None:
    with (
        run_service(predictor, headers_s=0.4) as running,
        running.connect(HEALTH + b"GET /hea") as connection,
    ):
        assert all_that_comes(connection).count(b"HTTP/1.1 ") == 1


def test_the_rest_of_a_body_that_nobody_wants_is_not_waited_for(predictor: Any) -> None:
    body_to_come = HEALTH.replace(b"\r\n\r\n", b"\r\nContent-Length: 1000\r\n\r\n")
    with run_service(predictor, headers_s=0.4) as running, running.connect(body_to_come) as connection:
        assert all_that_comes(connection).count(b"HTTP/1.1 200 ") == 1


@pytest.mark.parametrize("first", [300, 2000])
def test_a_slow_sender_loses_its_place(predictor: Any, scan_file: Path, first: int) -> None:
    sent = multipart(scan_file)
    with (
        run_service(predictor, stalled_s=0.5, least_kib_s=2) as running,
        running.connect(sent[:first]) as slow,
    ):
        wait_until(lambda: running.service.gate.taken == 1)
        answer = drip(slow, sent[first:])
        assert answer.startswith(b"HTTP/1.1 408 ")
        assert b"the upload came too slowly: less than 1 KiB in 0.5 s" in answer
        wait_until(lambda: running.service.gate.taken == 0 and running.left_over() == set())


def test_who_sends_fast_enough_may_take_longer(predictor: Any, scan_file: Path) -> None:
    sent = multipart(scan_file, url="/predict")
    with (
        run_service(predictor, stalled_s=2.5, least_kib_s=0.2) as running,
        running.connect(b"") as connection,
    ):
        for part in range(10):
            connection.sendall(sent[part * len(sent) // 10 : (part + 1) * len(sent) // 10])
            time.sleep(0.3)
        connection.settimeout(60)
        assert connection.recv(65536).startswith(b"HTTP/1.1 200 ")


def test_who_sends_no_more_is_answered(held: HeldPredictor, scan_file: Path) -> None:
    with (
        run_service(held) as running,
        half_closed(running, multipart(scan_file, url="/predict")) as connection,
    ):
        held.wait_until_started()
        # It is asked whether it is there, by a word that clients skip; and then it is waited on no less.
        assert connection.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        time.sleep(1.5)
        held.go.set()
        answer = all_that_comes(connection)
        assert answer.startswith(b"HTTP/1.1 200 ")
        assert b"\x1f\x8b" in answer
        wait_until(lambda: n_open(running) == 0)


def test_a_client_of_http_1_0_is_asked_nothing(held: HeldPredictor, scan_file: Path) -> None:
    sent = multipart(scan_file, url="/predict").replace(b"HTTP/1.1", b"HTTP/1.0", 1)
    with run_service(held) as running, half_closed(running, sent) as connection:
        held.wait_until_started()
        time.sleep(1.5)
        held.go.set()
        assert all_that_comes(connection).startswith(b"HTTP/1.1 200 ")


def test_all_requests_of_one_who_sends_no_more_are_answered(running: Running) -> None:
    with half_closed(running, HEALTH * 3) as connection:
        assert all_that_comes(connection).count(b"HTTP/1.1 200 ") == 3


def test_a_body_that_ends_too_early_is_told(running: Running, scan_file: Path) -> None:
    with half_closed(running, multipart(scan_file)[:-100]) as connection:
        status, _, told = read_answer(connection)
    assert (status, told) == (400, {"detail": "the request ended before its body did"})
    wait_until(lambda: running.service.gate.taken == 0 and running.left_over() == set())


def test_who_takes_no_answer_is_dropped(predictor: Any) -> None:
    asked = HEALTH.replace(b"/health", b"/openapi.json") * 800  # far more than systems keep on the way
    with run_service(predictor, stalled_s=0.5) as running, socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2**12)
        connection.connect(("127.0.0.1", running.port))
        connection.sendall(asked)
        wait_until(lambda: n_open(running) == 1)
        wait_until(lambda: n_open(running) == 0)


def test_beyond_the_most_connections_the_one_longest_without_a_request_gives_way(
    predictor: Any, scan_file: Path
) -> None:
    with run_service(predictor, max_connections=3) as running, ExitStack() as stack:
        idle = [stack.enter_context(running.connect(b"GET")) for _ in range(3)]
        wait_until(lambda: n_open(running) == 3)
        with running.client as client:
            assert upload(client, scan_file, "/predict").status_code == 200
            assert n_open(running) == 3
        assert idle[0].recv(1) == b""
        idle[2].sendall(b" /health HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        assert read_answer(idle[2])[0] == 200


def test_where_all_connections_have_requests_another_is_turned_away(
    held: HeldPredictor, scan_file: Path
) -> None:
    with run_service(held, max_connections=2) as running, ExitStack() as stack:
        busy = [stack.enter_context(running.connect(multipart(scan_file))) for _ in range(2)]
        wait_until(lambda: running.service.gate.taken == 2)
        for sent in (b"", multipart(scan_file) * 50):  # closing at once would reset the answer to the latter
            with running.connect(b"") as third:
                third.sendall(sent)
                assert all_that_comes(third).startswith(b"HTTP/1.1 503 ")
        held.go.set()
        assert [read_answer(connection)[0] for connection in busy] == [201, 201]


def test_a_request_that_came_while_the_service_was_busy_is_no_idle_connection(
    predictor: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    check, is_checking, is_sent = Connections.check, threading.Event(), threading.Event()

    def check_late(self: Connections) -> None:
        is_checking.set()
        is_sent.wait(60)
        check(self)

    with run_service(predictor, headers_s=0.4) as running, running.connect(HEALTH) as connection:
        assert read_answer(connection)[0] == 200
        monkeypatch.setattr(Connections, "check", check_late)
        assert is_checking.wait(60)
        time.sleep(0.5)
        connection.sendall(HEALTH)
        is_sent.set()
        assert read_answer(connection)[0] == 200


def test_slow_senders_give_way_to_others_one_by_one(
    predictor: Any, scan_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent = multipart(scan_file)
    settings = {"queue_size": 2, "least_kib_s": 8, "stalled_s": 60}
    with run_service(predictor, **settings) as running, ExitStack() as stack, running.client as client:
        slow = [stack.enter_context(running.connect(sent[:-500])) for _ in range(3)]
        wait_until(lambda: running.service.gate.taken == 3)
        assert upload(client, scan_file).status_code == 503  # they have just begun
        monkeypatch.setattr("lts.service.admission._FIRST_S", 0.0)
        wait_until(lambda: upload(client, scan_file).status_code == 201)
        status, _, told = read_answer(slow[0])
        assert (status, told) == (408, {"detail": "the upload came too slowly, and others waited"})
        for connection in slow[1:]:
            connection.sendall(sent[-500:])
            assert read_answer(connection)[0] == 201


def test_who_sends_fast_enough_does_not_give_way(
    predictor: Any, scan_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lts.service.admission._FIRST_S", 0.0)
    sent = multipart(scan_file)
    settings = {"queue_size": 1, "least_kib_s": 1e-3}  # it has sent what would do for hours
    with run_service(predictor, **settings) as running, ExitStack() as stack, running.client as client:
        fast = [stack.enter_context(running.connect(sent[:-500])) for _ in range(2)]
        wait_until(lambda: running.service.gate.taken == 2)
        for _ in range(3):
            assert upload(client, scan_file).status_code == 503
        for connection in fast:
            connection.sendall(sent[-500:])
            assert read_answer(connection)[0] == 201


def test_a_fault_of_the_watch_is_told_and_it_goes_on(
    predictor: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    check, faults = Connections.check, [ZeroDivisionError("a fault")]

    def check_after_faults(self: Connections) -> None:
        if faults:
            raise faults.pop()
        check(self)

    monkeypatch.setattr(Connections, "check", check_after_faults)
    with run_service(predictor, headers_s=0.4) as running, running.connect(b"GET") as connection:
        assert all_that_comes(connection).startswith(b"HTTP/1.1 408 ")
    assert "ZeroDivisionError: a fault" in caplog.text
