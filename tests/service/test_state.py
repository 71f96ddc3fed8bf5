"""What a service tells of itself: what runs, and counts for Prometheus."""

import re
import socket
from pathlib import Path
from typing import Any

import httpx
import pytest
from service_kit import (
    HeldPredictor,
    Running,
    multipart,
    read_answer,
    run_service,
    samples,
    upload,
    wait_until,
)

from lts import __version__
from lts.inference import Predictor
from lts.slices import content_hash


def counts(client: httpx.Client) -> dict[str, float]:
    """All samples by name and labels, as Prometheus reads them."""
    answer = client.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    return samples(answer.text)


def test_it_tells_its_version_and_models(running: Running, predictor: Predictor, checkpoint: Path) -> None:
    with running.client as client:
        assert client.get("/version").json() == {
            "lts": __version__,
            "models": [{"file": "tiny.ckpt", "sha256": content_hash(checkpoint)}],
            "device": "cpu",
            "precision": predictor.precision,
        }


def test_scans_and_refusals_are_counted(predictor: Predictor, scan_file: Path, tmp_path: Path) -> None:
    (tmp_path / "broken.nii").write_bytes(b"no scan")
    with run_service(predictor) as running, running.client as client:
        before = counts(client)
        assert before[f"lts_info,version={__version__}"] == 1
        assert before["lts_scan_seconds_count"] == before["lts_results_kept"] == 0
        for to in ("/scans", "/predict"):
            assert upload(client, scan_file, to).is_success
        assert upload(client, tmp_path / "broken.nii").status_code == 422
        large = {"Content-Length": str(5 * 2**20), "Content-Type": "multipart/form-data; boundary=edge"}
        assert client.post("/scans", content=iter([bytes(2**20)] * 5), headers=large).status_code == 413
        after = counts(client)
    assert after["lts_scan_seconds_count"] == 2
    assert 0 < after["lts_scan_seconds_sum"] < 60
    assert after["lts_scan_seconds_bucket,le=+Inf"] == 2
    assert after["lts_results_kept"] == 1
    assert after["lts_refused_uploads_total,status=422"] == after["lts_refused_uploads_total,status=413"] == 1
    assert after["process_resident_memory_bytes"] > 1e6
    assert not any("volume" in name for name in after)  # nothing of a scan


def test_what_waits_and_runs_is_told_as_it_is(held: HeldPredictor, scan_file: Path) -> None:
    with run_service(held, queue_size=2) as running, running.client as client:
        assert counts(client)["lts_places"] == 3
        first, second = (running.connect(multipart(scan_file)) for _ in range(2))
        held.wait_until_started()
        wait_until(lambda: counts(client)["lts_scans_waiting"] == 1)
        found = counts(client)
        assert (found["lts_scans_running"], found["lts_places_taken"], found["lts_draining"]) == (1, 2, 0)
        second.close()
        wait_until(lambda: counts(client)["lts_hung_up_uploads_total"] == 1)
        held.go.set()
        wait_until(lambda: counts(client)["lts_scan_seconds_count"] == 1)
        first.close()


def test_an_upload_cut_short_counts_as_hung_up_even_if_its_sender_reads_on(
    predictor: Predictor, scan_file: Path
) -> None:
    with run_service(predictor) as running, running.client as client:
        with running.connect(multipart(scan_file)[:-100]) as connection:
            connection.shutdown(socket.SHUT_WR)  # as a close looks like from here
            assert read_answer(connection)[0] == 400
        found = counts(client)
    assert found["lts_hung_up_uploads_total"] == 1
    assert not any(name.startswith("lts_refused_uploads_total") for name in found)


def test_a_name_of_another_host_is_told_nothing(running: Running) -> None:
    with running.client as client:
        for path in ("/metrics", "/version"):
            assert client.get(path, headers={"Host": "example.org"}).status_code == 403


def test_every_count_is_explained(running: Running) -> None:
    with running.client as client:
        text = client.get("/metrics").text
    ours = set(re.findall(r"^# TYPE (lts_\w+) ", text, re.MULTILINE))
    assert len(ours) > 8
    helped: dict[str, Any] = dict(re.findall(r"^# HELP (lts_\w+) (.+)$", text, re.MULTILINE))
    assert all(len(helped[name]) > 10 for name in ours if not name.endswith("_created"))


@pytest.mark.parametrize("path", ["/metrics", "/version"])
def test_it_is_described(running: Running, path: str) -> None:
    with running.client as client:
        assert "200" in client.get("/openapi.json").json()["paths"][path]["get"]["responses"]
