"""A service that asks for a key."""

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from page_kit import open_scan, text
from service_kit import Running, multipart, read_answer, run_service, upload

from lts.base import ConfigError
from lts.service import read_keys

KEY, OTHER = "correct-horse-battery-staple", "k" * 16


def basic(credentials: str) -> str:
    return "Basic " + base64.b64encode(credentials.encode()).decode()


@pytest.fixture(scope="module")
def asking(predictor: Any) -> Iterator[Running]:
    with run_service(predictor, keys=(KEY, OTHER)) as running:
        yield running


@pytest.mark.parametrize(
    "authorization",
    [f"Bearer {KEY}", f"bearer  {OTHER}", basic(f":{KEY}"), basic(f"anyone:{OTHER}"), basic(f"é:{KEY}")],
)
def test_a_key_opens_the_service(asking: Running, authorization: str) -> None:
    with asking.client as client:
        for path, status in (("/", 200), ("/version", 200), ("/metrics", 200), ("/scans/none", 404)):
            assert client.get(path, headers={"authorization": authorization}).status_code == status


@pytest.mark.parametrize(
    "authorization",
    [
        *("", "Bearer", f"Bearer {KEY}x", f"Bearer {KEY[:-1]}", f"Bearer {KEY.upper()}", f"Token {KEY}", KEY),
        *(f"Basic {KEY}", "Basic é", basic(KEY), basic(f"{KEY}:"), basic(f"a:{KEY}:"), "Bearer é"),
    ],
)
def test_without_one_nothing_is_told_but_that_it_lives(asking: Running, authorization: str) -> None:
    with asking.client as client:
        headers = {"authorization": authorization.encode()}
        for path in ("/", "/docs", "/page/main.js", "/openapi.json", "/version", "/metrics", "/nowhere"):
            answer = client.get(path, headers=headers)
            assert answer.status_code == 401, path
            assert answer.headers["www-authenticate"].startswith("Basic realm=")
            assert answer.headers["x-content-type-options"] == "nosniff"
            assert answer.json()["detail"].startswith("a key is needed")
        assert client.delete("/scans/none", headers=headers).status_code == 401
        assert [client.get(path).status_code for path in ("/health", "/ready")] == [200, 200]


def test_a_key_given_twice_is_none(asking: Running) -> None:
    with asking.client as client:
        headers = [("authorization", f"Bearer {KEY}"), ("authorization", f"Bearer {KEY}")]
        assert client.get("/version", headers=headers).status_code == 401


def test_an_upload_without_a_key_is_refused_before_its_body_is_read(asking: Running, scan_file: Path) -> None:
    start, _, _ = multipart(scan_file).partition(b"\r\n\r\n")
    with asking.connect(start + b"\r\n\r\n") as connection:
        assert read_answer(connection)[0] == 401
    assert asking.service.gate.taken == 0
    with asking.client as client:
        headers = {"authorization": f"Bearer {KEY}"}
        assert upload(client, scan_file, "/predict", headers=headers).status_code == 200


def test_a_page_of_another_site_cannot_write_with_the_key_of_the_browser(asking: Running) -> None:
    with asking.client as client:
        headers = {"authorization": basic(f":{KEY}"), "origin": "http://evil.example"}
        assert client.post("/scans", headers=headers).status_code == 403


def test_the_page_works_once_the_browser_has_the_key(asking: Running, browser: Any, scan_file: Path) -> None:
    browser.get(asking.url.replace("//", f"//reader:{KEY}@"))  # as typed into the browser's own dialog
    browser.get_log("browser")
    open_scan(browser, asking, scan_file)
    assert "volume-7" in text(browser, "#case")
    assert browser.get_log("browser") == []


def test_keys_are_lines_of_a_file(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_text(f"# of the ward\n{KEY}\n\n  {OTHER}  \n")
    assert read_keys(file) == (KEY, OTHER)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (None, "{file} cannot be read: No such file or directory"),
        (b"", "{file} must hold a key a line, has none"),
        (b"# only this\n", "{file} must hold a key a line, has none"),
        (b"\xff\xfe", "{file} cannot be read: it is not text"),
        (b"# a\nshort-secret\n", "{file}, line 2: a key must have 16 characters or more, got 12 characters"),
        (b"a key with some spaces\n", "{file}, line 1: a key must be of printable ASCII without spaces"),
        ("\u00e9".encode() * 20, "{file}, line 1: a key must be of printable ASCII without spaces"),
    ],
)
def test_a_file_without_good_keys_is_refused_and_no_key_is_told(
    tmp_path: Path, content: bytes | None, told: str
) -> None:
    file = tmp_path / "keys"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(ConfigError) as refused:
        read_keys(file)
    assert str(refused.value).startswith(f"api_key_file: {told.format(file=file)}")
    assert "short-secret" not in str(refused.value)
