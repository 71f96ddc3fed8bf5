"""Places, hang-ups, faults: who waits, who is turned away, and that every place is free in the end."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from service_kit import HeldPredictor, Running, multipart, read_answer, run_service, upload, wait_until

from lts.service.jobs import JobDroppedError, JobQueue

TOKEN = "0123456789abcdef"


def is_idle(running: Running) -> bool:
    return running.service.gate.taken == 0 and running.left_over() == set()


def post(running: Running, path: Path, to: str = "/predict") -> httpx.Response:
    with running.client as client:
        return upload(client, path, to)


def test_a_full_queue_refuses_before_the_body_and_is_open_again_later(
    held: HeldPredictor, scan_file: Path
) -> None:
    with run_service(held, queue_size=2) as running, ThreadPoolExecutor(3) as pool:
        answers = [pool.submit(post, running, scan_file) for _ in range(3)]
        held.wait_until_started()
        wait_until(lambda: running.service.gate.taken == 3)
        before = running.left_over()
        head = multipart(scan_file).partition(b"\r\n\r\n")[0] + b"\r\n\r\n"
        with running.connect(head) as connection:
            status, refused, told = read_answer(connection)
        assert status == 503
        assert "retry-after: 1\r\n" in refused
        assert "the queue is full" in told["detail"]
        assert running.left_over() == before
        assert post(running, scan_file).status_code == 503
        held.go.set()
        assert [answer.result().status_code for answer in answers] == [200, 200, 200]
        wait_until(lambda: is_idle(running))
        assert post(running, scan_file).status_code == 200
        assert held.begun == held.ended == 4


def test_progress_is_told_under_a_token_of_the_sender(held: HeldPredictor, scan_file: Path) -> None:
    with run_service(held) as running, ThreadPoolExecutor(2) as pool, running.client as client:
        message_to_sender = lambda token=TOKEN: client.get(f"/progress/{token}").json()  # noqa: E731
        assert message_to_sender() == {"phase": "none", "ahead": 0, "slices_done": 0, "slices_total": 0}
        first = pool.submit(post, running, scan_file, f"/predict?progress={TOKEN}")
        held.wait_until_started()
        wait_until(lambda: message_to_sender()["slices_done"] == 2)
        assert message_to_sender() == {"phase": "predicting", "ahead": 0, "slices_done": 2, "slices_total": 6}
        second = pool.submit(post, running, scan_file, f"/scans?progress={TOKEN}x")
        wait_until(lambda: message_to_sender(f"{TOKEN}x")["phase"] == "waiting")
        taken = post(running, scan_file, f"/scans?progress={TOKEN}")
        assert (taken.status_code, taken.json()) == (422, {"detail": "progress: the token is in use"})
        held.go.set()
        assert (first.result().status_code, second.result().status_code) == (200, 201)
        assert message_to_sender()["phase"] == "none"
        assert post(running, scan_file, "/scans?progress=short").status_code == 422


def test_a_client_that_hangs_up_while_waiting_loses_its_turn(held: HeldPredictor, scan_file: Path) -> None:
    with run_service(held) as running, ThreadPoolExecutor(1) as pool:
        answer = pool.submit(post, running, scan_file)
        held.wait_until_started()
        waiting = running.connect(multipart(scan_file, url=f"/scans?progress={TOKEN}"))
        wait_until(lambda: running.service.progress_of(TOKEN)["phase"] == "waiting")
        waiting.close()
        wait_until(lambda: running.service.gate.taken == 1 and len(running.left_over()) == 1)
        held.go.set()
        assert answer.result().status_code == 200
        wait_until(lambda: is_idle(running))
        assert held.begun == 1
    assert "volume-7: the client hung up" in running.lines


@pytest.mark.parametrize("to", ["/predict", "/scans"])
def test_a_client_that_hangs_up_while_predicted_ends_the_prediction(
    held: HeldPredictor, scan_file: Path, to: str
) -> None:
    with run_service(held) as running:
        connection = running.connect(multipart(scan_file, url=to))
        held.wait_until_started()
        assert running.service.gate.taken == 1
        connection.close()
        wait_until(lambda: is_idle(running))
        assert held.ended == 1
        assert not running.kept()
        held.go.set()
        assert post(running, scan_file).status_code == 200


def test_a_client_that_hangs_up_while_sending_leaves_nothing(held: HeldPredictor, scan_file: Path) -> None:
    with run_service(held) as running:
        connection = running.connect(multipart(scan_file)[:-200])
        wait_until(lambda: len(running.left_over()) == 1)
        connection.close()
        wait_until(lambda: is_idle(running))
    assert "an upload: the client hung up" in running.lines


class FaultyPredictor(HeldPredictor):
    error: BaseException = ZeroDivisionError("secret of somebody")

    def mask(self, scan: Any, **_: Any) -> Any:
        self.begun += 1
        if self.begun == 1:
            raise self.error
        self.go.set()
        return super().mask(scan, **_)


@pytest.mark.parametrize(
    "error",
    [
        ZeroDivisionError("secret of somebody"),
        StopIteration("secret of somebody"),  # no future takes it
        KeyboardInterrupt("secret of somebody"),  # ends an event loop
        SystemExit("secret of somebody"),
    ],
)
def test_a_fault_is_told_without_details_and_the_worker_lives_on(
    predictor: Any, scan_file: Path, caplog: pytest.LogCaptureFixture, error: BaseException
) -> None:
    faulty = FaultyPredictor(predictor)
    faulty.error = error
    with run_service(faulty) as running:
        failed = post(running, scan_file)
        assert failed.status_code == 500
        assert failed.json() == {"detail": "the service failed on this request; its log says more"}
        wait_until(lambda: is_idle(running))
        assert post(running, scan_file).status_code == 200
    assert type(error).__name__ in caplog.text


def test_other_requests_are_answered_while_a_job_runs(held: HeldPredictor, scan_file: Path) -> None:
    with run_service(held) as running, ThreadPoolExecutor(1) as pool, running.client as client:
        answer = pool.submit(post, running, scan_file)
        held.wait_until_started()
        start = time.monotonic()
        assert [client.get("/health").status_code for _ in range(20)] == [200] * 20
        assert time.monotonic() - start < 5
        held.go.set()
        assert answer.result().status_code == 200


def test_while_draining_scans_are_refused_and_those_in_hand_answered(
    held: HeldPredictor, scan_file: Path
) -> None:
    with run_service(held) as running, ThreadPoolExecutor(2) as pool, running.client as client:
        answers = [pool.submit(post, running, scan_file, to) for to in ("/predict", "/scans")]
        held.wait_until_started()
        wait_until(lambda: running.service.gate.taken == 2)
        running.server.stop()
        ready = client.get("/ready")
        assert (ready.status_code, set(ready.json())) == (503, {"detail"})
        assert client.get("/health").status_code == 200
        refused = upload(client, scan_file)
        assert refused.status_code == 503
        assert "shutting down" in refused.json()["detail"]
        held.go.set()
        assert sorted(answer.result().status_code for answer in answers) == [200, 201]


def test_what_takes_longer_than_the_drain_is_given_up(held: HeldPredictor, scan_file: Path) -> None:
    with run_service(held, drain_s=0.3) as running, ThreadPoolExecutor(1) as pool:
        answer = pool.submit(post, running, scan_file)
        held.wait_until_started()
        running.server.stop()
        assert answer.result().status_code == 503
        assert "shutting down" in answer.result().json()["detail"]


def test_jobs_run_in_the_order_of_their_coming_on_every_device() -> None:
    order: list[int] = []
    begin = threading.Event()
    jobs: JobQueue[str] = JobQueue(["one"])
    submitted = [jobs.submit(lambda model, job: begin.wait(10))]
    submitted += [jobs.submit(lambda model, job, n=n: order.append(n)) for n in range(5)]
    wait_until(lambda: submitted[0].started)
    assert [jobs.ahead_of(job) for job in submitted] == [0, 0, 1, 2, 3, 4]
    jobs.drop(submitted[3])
    begin.set()
    submitted[-1].future.result(10)
    assert order == [0, 1, 3, 4]
    with pytest.raises(JobDroppedError):
        submitted[3].future.result()
    jobs.close(timeout_s=5)

    meet = threading.Barrier(2)
    both: JobQueue[str] = JobQueue(["one", "two"])
    found = [both.submit(lambda model, job: (meet.wait(10), model)[1]) for _ in range(2)]
    assert {job.future.result(10) for job in found} == {"one", "two"}
    both.close(timeout_s=5)
