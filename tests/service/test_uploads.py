"""Uploads that are too large, broken or hostile: each gets one line, and leaves nothing behind."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from service_kit import (
    SIDE,
    Running,
    as_bytes,
    make_hu,
    multipart,
    read_answer,
    run_service,
    upload,
    wait_until,
    write_scan,
)

from lts.service.refusals import RefusedError
from lts.service.uploads import name_upload

MIB = 2**20
SCAN = as_bytes(make_hu()[0])

pytestmark = pytest.mark.usefixtures("nothing_is_left")


def chunked(first: bytes, *, size: int) -> Iterator[bytes]:
    """An upload that never says how long it is."""
    yield b'--edge\r\nContent-Disposition: form-data; name="scan"; filename="a.nii"\r\n\r\n' + first
    for _ in range(size // 65536):
        yield bytes(65536)


def send_chunked(running: Running, size: int, *, path: str = "/scans") -> Any:
    with running.client as client:
        headers = {"content-type": "multipart/form-data; boundary=edge"}
        return client.post(path, content=chunked(b"", size=size), headers=headers)


@pytest.mark.parametrize("path", ["/predict", "/scans", "/scans/x/second"])
@pytest.mark.parametrize("announced", [2 * 1024 * MIB, 4 * MIB + 1])
def test_an_upload_announced_beyond_the_limit_is_refused_before_its_body(
    running: Running, path: str, announced: int
) -> None:
    head = (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {announced}\r\n"
        "Content-Type: multipart/form-data; boundary=edge\r\n\r\n"
    )
    with running.connect(head.encode()) as connection:
        status, _, told = read_answer(connection)
        assert running.left_over() == set()
    assert status == 413
    assert told == {"detail": "the upload must be at most 4 MiB"}


def test_an_upload_of_just_the_limit_is_read(running: Running) -> None:
    part = b'--edge\r\nContent-Disposition: form-data; name="scan"; filename="a.nii"\r\n\r\n'
    end = b"\r\n--edge--\r\n"
    body = part + bytes(4 * MIB - len(part) - len(end)) + end
    assert len(body) == 4 * MIB
    headers = {"content-type": "multipart/form-data; boundary=edge"}
    with running.client as client:
        assert client.post("/scans", content=body, headers=headers).status_code == 422
        longer = part + bytes(4 * MIB - len(part) - len(end) + 1) + end
        assert client.post("/scans", content=longer, headers=headers).status_code == 413
        whole, more = (
            client.post("/scans", content=iter([sent]), headers=headers) for sent in (body, longer)
        )
    assert (whole.status_code, more.status_code) == (422, 413)


@pytest.mark.parametrize("path", ["/predict", "/scans"])
def test_a_chunked_upload_is_counted(running: Running, path: str) -> None:
    answer = send_chunked(running, 6 * MIB, path=path)
    assert answer.status_code == 413
    assert answer.json() == {"detail": "the upload must be at most 4 MiB"}


def test_curl_waits_for_leave_and_gets_the_refusal(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lts.service.admission._LINGER_S", 600.0)
    monkeypatch.setattr("lts.service.admission._LINGER_IDLE_S", 600.0)
    head = (
        "POST /scans HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 99999999\r\nExpect: 100-continue\r\n"
        "Content-Type: multipart/form-data; boundary=edge\r\n\r\n"
    )
    with running.connect(head.encode()) as connection:
        assert read_answer(connection)[0] == 413
        assert connection.recv(1) == b""  # at once, without waiting for what will not come


def test_a_client_that_sends_all_before_it_reads_gets_the_refusal_too(running: Running) -> None:
    body = bytes(24 * MIB)
    head = (
        f"POST /scans HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {len(body)}\r\n"
        "Content-Type: multipart/form-data; boundary=edge\r\n\r\n"
    )
    with running.connect(head.encode()) as connection:
        connection.sendall(body)  # as browsers do; a connection closed meanwhile would be reset
        assert read_answer(connection)[0] == 413


def test_more_voxels_than_allowed_are_told_from_the_header(running: Running, tmp_path: Path) -> None:
    allowed = running.service.limits.max_voxels
    for depth, status in ((allowed // SIDE**2, 201), (allowed // SIDE**2 + 1, 413)):
        scan = write_scan(tmp_path / "deep.nii.gz", np.full((SIDE, SIDE, depth), -1000, np.int16))
        before = running.service.jobs.expected_s
        with running.client as client:
            answer = upload(client, scan)
        assert answer.status_code == status
    assert answer.json()["detail"].startswith(
        "deep.nii.gz: a scan must have at most 200000 voxels, got 200704"
    )
    assert running.service.jobs.expected_s == before  # no job ran


@pytest.mark.parametrize(
    ("name", "case"),
    [
        ("../../../etc/passwd.nii.gz", "passwd"),
        ("C:\\scans\\a b.nii.gz", "a_b"),
        ("<script>alert(1)</script>.nii.gz", "script"),
        ('x" onerror="y.nii.gz', "x_onerror_y"),
        ("line\r\nbreak.nii.gz", "line_break"),
        ("Leber-Müller.NII.GZ", "Leber-Müller"),
        (".nii.gz", "scan"),
        ("....nii.gz", "scan"),
        ("a" * 300 + ".nii.gz", "a" * 93),
    ],
)
def test_names_are_made_safe_and_lead_nowhere(tmp_path: Path, name: str, case: str) -> None:
    named = name_upload(name, folder=tmp_path)
    assert named.case == case
    assert named.path == tmp_path / "scan.nii.gz"
    assert "\n" not in named.name


def test_a_name_without_a_suffix_is_refused_however_hostile(tmp_path: Path) -> None:
    with pytest.raises(RefusedError, match=r"^sh: must be a \.nii"):
        name_upload("a.nii/../sh", folder=tmp_path)


def test_hostile_names_reach_headers_and_logs_on_one_line(running: Running, scan_file: Path) -> None:
    with running.client as client:
        answer = upload(client, scan_file, "/predict", name="Müller\r\nX-Evil: 1\r\n.nii.gz")
    assert answer.status_code == 200
    assert "x-evil" not in answer.headers
    assert answer.headers["content-disposition"].isascii()
    assert all("\n" not in line for line in running.lines)


def test_a_body_that_is_no_form_is_refused(running: Running, scan_file: Path) -> None:
    content = scan_file.read_bytes()
    with running.client as client:
        for headers in ({}, {"content-type": "multipart/form-data"}, {"content-type": "application/gzip"}):
            answer = client.post("/scans", content=content, headers=headers)
            assert answer.status_code == 422
            assert answer.json()["detail"].startswith("the body must be multipart/form-data")
        broken = client.post(
            "/scans", content=content, headers={"content-type": "multipart/form-data; boundary=edge"}
        )
        assert broken.json()["detail"] == "the upload is not well-formed multipart/form-data"
        fields = [
            ({"other": ("a.nii", SCAN)}, "the upload has no file in its field 'scan'"),
            ([("scan", ("a.nii", SCAN)), ("scan", ("b.nii", SCAN))], "must have one file"),
            ([("x", (None, "1"))] * 17, "must have at most 16 fields"),
            ([("scan", (None, "text"))], "must be a file with a name"),
        ]
        for files, expected in fields:
            answer = client.post("/scans", files=files)
            assert answer.status_code == 422
            assert expected in answer.json()["detail"]


@pytest.mark.parametrize("length", [256, 257, 8000])
def test_a_boundary_has_so_many_characters(running: Running, scan_file: Path, length: int) -> None:
    body = multipart(scan_file).partition(b"\r\n\r\n")[2].replace(b"--edge", b"--" + b"e" * length)
    headers = {"content-type": f"multipart/form-data; boundary={'e' * length}"}
    with running.client as client:
        answer = client.post("/predict", content=body, headers=headers)
    if length == 256:
        assert answer.status_code == 200
    else:
        assert answer.status_code == 422
        assert answer.json() == {"detail": f"the boundary must have at most 256 characters, got {length}"}


@pytest.mark.parametrize("header", [b"X-" + b"y" * 2**20, b"X: " + b"y" * 2**20, b"X: y\r\n" * 2**18])
def test_headers_of_a_field_are_bounded(running: Running, header: bytes) -> None:
    headers = {"content-type": "multipart/form-data; boundary=edge"}
    with running.client as client:
        answer = client.post("/predict", content=b"--edge\r\n" + header, headers=headers)
    assert answer.status_code == 422
    # Versions of the parser that have a bound of their own call it ill-formed.
    assert answer.json()["detail"].endswith(
        ("must have at most 16384 bytes", "well-formed multipart/form-data")
    )


def test_an_upload_that_is_refused_on_the_way_holds_no_place_while_the_rest_is_let_run_out(
    running: Running,
) -> None:
    part = b'--edge\r\nContent-Disposition: form-data; name="scan"; filename="a.exe"\r\n\r\n' + bytes(MIB)
    head = (
        f"POST /scans HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {3 * MIB}\r\n"
        "Content-Type: multipart/form-data; boundary=edge\r\n\r\n"
    )
    with running.connect(head.encode() + part) as connection:
        assert read_answer(connection)[0] == 422
        assert running.service.gate.taken == 0
        connection.sendall(bytes(MIB))  # it is read still, so that nobody loses an answer by a reset


def test_an_upload_without_its_closing_boundary_is_refused(running: Running, scan_file: Path) -> None:
    body = multipart(scan_file).partition(b"\r\n\r\n")[2].removesuffix(b"--edge--\r\n")
    with running.client as client:
        answer = client.post(
            "/scans", content=body, headers={"content-type": "multipart/form-data; boundary=edge"}
        )
    assert answer.status_code == 422
    assert answer.json()["detail"] == "volume-7.nii.gz: the upload was cut short"


def test_other_fields_beside_the_scan_are_let_pass(running: Running, scan_file: Path) -> None:
    files = [("note", (None, "hello")), ("scan", (scan_file.name, scan_file.read_bytes()))]
    with running.client as client:
        assert client.post("/predict", files=files).status_code == 200


def test_an_upload_that_stalls_is_given_up(predictor: Any, scan_file: Path) -> None:
    with (
        run_service(predictor, stalled_s=0.3, least_kib_s=8) as running,
        running.connect(multipart(scan_file)[:-100]) as connection,
    ):
        status, _, told = read_answer(connection)
        assert status == 408
        assert told == {"detail": "the upload came too slowly: less than 2.4 KiB in 0.3 s"}
        wait_until(lambda: running.service.gate.taken == 0 and running.left_over() == set())
