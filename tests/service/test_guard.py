"""Other web sites cannot reach a service on loopback through a browser of the same machine."""

from pathlib import Path
from typing import Any

import pytest
from service_kit import Running, run_service, upload

from lts.service import is_loopback


def statuses(running: Running, method: str, path: str, headers: dict[str, str]) -> int:
    with running.client as client:
        status: int = client.request(method, path, headers=headers).status_code
        return status


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1", 200),
        ("localhost", 200),
        ("LOCALHOST:8000", 200),
        ("localhost.:80", 200),
        ("[::1]:8000", 200),
        ("127.1.2.3", 200),
        ("evil.example", 403),
        ("localhost.evil.example", 403),
        ("127.0.0.1.evil.example", 403),
        ("192.168.0.7", 403),
        ("0.0.0.0", 403),
        ("[bad", 403),
        ("", 403),
    ],
)
def test_only_names_of_this_machine_are_answered(running: Running, host: str, status: int) -> None:
    for path in ("/", "/health", "/openapi.json", "/scans/x"):
        expected = 404 if status == 200 and path == "/scans/x" else status
        assert statuses(running, "GET", path, {"host": host}) == expected


@pytest.mark.parametrize(
    ("headers", "passes"),
    [
        ({}, True),
        ({"origin": "http://127.0.0.1:{port}"}, True),
        ({"origin": "https://127.0.0.1:{port}"}, True),
        ({"origin": "http://evil.example"}, False),
        ({"origin": "http://127.0.0.1:1"}, False),
        ({"origin": "http://127.0.0.1"}, False),
        ({"origin": "http://localhost:{port}"}, False),
        ({"origin": "null"}, False),
        ({"origin": ""}, False),
        ({"origin": "http://["}, False),
        ({"sec-fetch-site": "cross-site"}, False),
        ({"sec-fetch-site": "same-site"}, False),
        ({"sec-fetch-site": "same-origin"}, True),
        ({"sec-fetch-site": "none"}, True),
    ],
)
def test_pages_of_other_origins_cannot_write(
    running: Running, scan_file: Path, headers: dict[str, str], passes: bool
) -> None:
    headers = {name: value.format(port=running.port) for name, value in headers.items()}
    with running.client as client:
        for path in ("/predict", "/scans"):
            status = upload(client, scan_file, path, headers=headers).status_code
            assert status in (200, 201) if passes else status == 403
        deleted = client.delete("/scans/none", headers=headers).status_code
        assert deleted == (404 if passes else 403)
    assert running.service.gate.taken == 0


def test_a_default_port_may_be_left_out(running: Running, scan_file: Path) -> None:
    headers = {"host": "localhost:80", "origin": "http://localhost"}
    with running.client as client:
        assert upload(client, scan_file, headers=headers).status_code == 201


def test_a_proxy_is_let_in_by_name(predictor: Any) -> None:
    with run_service(predictor, allowed_hosts=["lts.example.org"]) as running:
        assert statuses(running, "GET", "/health", {"host": "LTS.example.org"}) == 200
        assert statuses(running, "GET", "/health", {"host": "localhost"}) == 200
        assert statuses(running, "GET", "/health", {"host": "example.org"}) == 403


def test_on_all_addresses_any_name_is_answered_and_other_origins_are_not(predictor: Any) -> None:
    with run_service(predictor, host="0.0.0.0") as running:
        assert statuses(running, "GET", "/health", {"host": "anything.example"}) == 200
        headers = {"host": "anything.example", "origin": "http://evil.example"}
        assert statuses(running, "POST", "/scans", headers) == 403


@pytest.mark.parametrize("path", ["/", "/docs", "/page/main.js", "/health", "/nowhere", "/scans/none"])
def test_every_answer_is_held_by_strict_headers(running: Running, path: str) -> None:
    with running.client as client:
        headers = client.get(path).headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "DENY"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cross-origin-resource-policy"] == "same-origin"
    assert headers["cache-control"] in ("no-store", "no-cache")
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy
    sources = {source for rule in policy.split(";") for source in rule.split()[1:]}
    assert sources == {"'none'", "'self'"}
    assert "access-control-allow-origin" not in headers
    assert "server" not in headers


@pytest.mark.parametrize(
    "path", ["/page/../app.py", "/page/%2e%2e/app.py", "/page/", "/page/x.js", "/favicon.ico"]
)
def test_only_files_of_the_page_are_served(running: Running, path: str) -> None:
    connection = running.connect(
        f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode()
    )
    with connection:
        assert connection.recv(100).startswith(b"HTTP/1.1 404")


@pytest.mark.parametrize(
    ("host", "expected"), [("::1", True), ("127.9.9.9", True), ("10.0.0.1", False), ("lts", False)]
)
def test_loopback_is_told_from_other_hosts(host: str, expected: bool) -> None:
    assert is_loopback(host) is expected
