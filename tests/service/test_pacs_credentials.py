"""Results go by STOW-RS to who is known, with credentials that nobody else is told."""

import json
import shutil
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from service_kit import Running, run_service, wait_until

pytest.importorskip("pynetdicom", reason="the extra `pacs` is not installed")
from pacs_kit import OPTIONS, make_series, stow_body
from pydicom import dcmread

from lts.base import ConfigError
from lts.inference import Predictor
from lts.service.pacs import PacsOptions, WebNode, read_authorization
from lts.service.pacs.delivery import UndeliveredError, WebDelivery

RIGHT, WRONG = "archive:correct horse", "archive:wrong battery"
BASIC = "Basic YXJjaGl2ZTpjb3JyZWN0IGhvcnNl"


class Web:
    """A DICOMweb service that keeps the headers of requests, and gives one answer to all."""

    def __init__(self, server: HTTPServer) -> None:
        self.url = f"http://127.0.0.1:{server.server_address[1]}"
        self.authorizations: list[str | None] = []
        self.answer: Callable[[str | None], tuple[int, dict[str, str], bytes]] = lambda _: (200, {}, b"{}")


@contextmanager
def serve_web(*, tls: ssl.SSLContext | None = None) -> Iterator[Web]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            given = self.headers["Authorization"]
            web.authorizations.append(given)
            status, headers, body = web.answer(given)
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        web = Web(server)
        if tls is not None:
            server.socket = tls.wrap_socket(server.socket, server_side=True)
            web.url = web.url.replace("http:", "https:")
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield web
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def web() -> Iterator[Web]:
    with serve_web() as web:
        yield web


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return next(make_series(tmp_path).iterdir())


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    path = tmp_path / "credentials"
    path.write_text(f"# of the archive\n\n{RIGHT}\n")
    return path


def stored(file: Path) -> bytes:
    """The answer that names a file as stored."""
    uid = {"00081155": {"vr": "UI", "Value": [dcmread(file).SOPInstanceUID]}}
    return json.dumps({"00081199": {"vr": "SQ", "Value": [uid]}}).encode()


def test_credentials_are_given_as_their_file_has_them_at_the_time(web: Web, file: Path, secret: Path) -> None:
    web.answer = lambda _: (200, {}, stored(file))
    WebDelivery(WebNode(web.url)).send(file)
    delivery = WebDelivery(WebNode(web.url), credentials_file=secret)
    delivery.send(file)
    secret.write_text("a.b-c_d~e/f+g==")
    delivery.send(file)
    assert web.authorizations == [None, BASIC, "Bearer a.b-c_d~e/f+g=="]
    secret.unlink()
    with pytest.raises(UndeliveredError, match=r"^pacs\.credentials_file: .* cannot be read: No such file"):
        delivery.send(file)
    assert len(web.authorizations) == 3


def test_who_is_named_by_a_redirection_is_given_nothing(web: Web, file: Path, secret: Path) -> None:
    with serve_web() as other:
        web.answer = lambda _: (302, {"Location": f"{other.url}/studies"}, b"")
        with pytest.raises(UndeliveredError, match="^it answered with status 302$"):
            WebDelivery(WebNode(web.url), credentials_file=secret).send(file)
        assert other.authorizations == []


def test_an_answer_that_does_not_name_the_result_is_no_delivery(web: Web, file: Path) -> None:
    web.answer = lambda _: (200, {}, json.dumps({"00081199": {"vr": "SQ", "Value": []}}).encode())
    with pytest.raises(UndeliveredError, match="^its answer does not say that the result is stored$"):
        WebDelivery(WebNode(web.url)).send(file)


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")
def test_a_certificate_that_nobody_vouches_for_is_refused(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate, key = tmp_path / "certificate.pem", tmp_path / "key.pem"
    extensions = ("subjectAltName=IP:127.0.0.1", "keyUsage=critical,digitalSignature,keyCertSign")
    made = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=archive"]
    made += [word for extension in extensions for word in ("-addext", extension)]
    subprocess.run([*made, "-keyout", key, "-out", certificate], check=True, capture_output=True)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate, key)
    with serve_web(tls=tls) as web:
        web.answer = lambda _: (200, {}, stored(file))
        with pytest.raises(UndeliveredError, match="certificate verify failed"):
            WebDelivery(WebNode(web.url)).send(file)
        assert web.authorizations == []
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        WebDelivery(WebNode(web.url)).send(file)
        assert web.authorizations == [None]


@pytest.fixture
def refused(predictor: Predictor, web: Web, secret: Path) -> Iterator[Running]:
    """A service that is refused until it gives the right credentials."""
    secret.write_text(WRONG)
    changes = {"send_to": web.url, "credentials_file": secret, "port": None, "retry_s": 0.05}
    with run_service(predictor, pacs=PacsOptions(**{**OPTIONS, **changes})) as running:
        yield running


def test_wrong_credentials_are_told_once_and_never_shown(
    refused: Running, web: Web, tmp_path: Path, secret: Path
) -> None:
    def answer(given: str | None) -> tuple[int, dict[str, str], bytes]:
        if given != BASIC:
            return 401, {"WWW-Authenticate": 'Basic realm="archive"'}, b""
        (result,) = refused.root.glob("series-*/*_mask.dcm")
        return 200, {}, stored(result)

    web.answer = answer
    body, headers = stow_body([one.read_bytes() for one in make_series(tmp_path, name="sent").iterdir()])
    with refused.client as client:
        client.post("/dicom-web/studies", content=body, headers=headers).raise_for_status()
    wait_until(lambda: len(web.authorizations) >= 3, seconds=60)
    right = tmp_path / "right"
    right.write_text(RIGHT)
    right.replace(secret)  # at once: it is read all the time
    wait_until(lambda: any("has taken DICOM SEG" in line for line in refused.lines), seconds=60)
    told = [line for line in refused.lines if "did not take" in line]
    assert len(told) == 1
    assert "401: it does not accept the credentials of pacs.credentials_file; tried again in" in told[0]
    log = "\n".join([*refused.lines, refused.exchange.describe()])
    assert not [part for part in (RIGHT, WRONG, "battery", "horse", "YXJj") if part in log]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("# none\n\n", "{file} must hold one line, NAME:PASSWORD or a token, has 0 lines"),
        ("a:secret\nb:secret", "{file} must hold one line, NAME:PASSWORD or a token, has 2 lines"),
        ("\nBearer secret", "{file}, line 2: must be NAME:PASSWORD, or a bearer token alone"),
        ("name:", "{file}, line 1: must be NAME:PASSWORD, or a bearer token alone"),
        ("name:sec\x07ret", "{file}, line 1: must be NAME:PASSWORD, or a bearer token alone"),
        (None, "{file} cannot be read: No such file or directory"),
    ],
)
def test_a_file_without_credentials_is_told_without_its_content(
    tmp_path: Path, content: str | None, told: str
) -> None:
    file = tmp_path / "credentials"
    if content is not None:
        file.write_text(content)
    with pytest.raises(ConfigError) as wrong:
        read_authorization(file)
    assert str(wrong.value) == f"credentials_file: {told.format(file=file)}"


def test_a_password_may_hold_colons_and_letters_of_any_language(tmp_path: Path) -> None:
    file = tmp_path / "credentials"
    file.write_text("arzt:gr\u00fcn:blau", encoding="utf-8")
    assert read_authorization(file) == "Basic YXJ6dDpncsO8bjpibGF1"


@pytest.mark.parametrize(
    ("url", "is_open"),
    [
        ("http://127.0.0.1:8042/dicom-web", False),
        ("http://localhost/dicom-web", False),
        ("http://[::1]:8042", False),
        ("https://pacs.example.org/dicom-web", False),
        ("http://pacs.example.org/dicom-web", True),
    ],
)
def test_credentials_that_travel_unencrypted_beyond_this_machine_are_told(url: str, is_open: bool) -> None:
    assert WebNode(url).is_open is is_open
