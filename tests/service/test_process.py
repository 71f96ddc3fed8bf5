"""The command as it is started and stopped: ports, signals, exit codes, and what lies on disk afterwards."""

import signal
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import numpy as np
import pytest
from command_kit import Started
from service_kit import multipart, wait_until, write_scan

from lts.service.pacs.answered import sole_user_of


@contextmanager
def start(folder: Path, *arguments: str) -> Iterator[tuple[Started, Path]]:
    """`python serve.py ...` with temporary files in `folder`; gives the process and its output."""
    output = folder / "output.txt"
    (folder / "tmp").mkdir(exist_ok=True)
    process = Started("serve", *arguments, cwd=folder, env={"TMPDIR": str(folder / "tmp")}, output=output)
    try:
        yield process, output
    finally:
        process.close()


def wait_for_url(process: Started, output: Path) -> str:
    wait_until(lambda: "Ctrl+C" in output.read_text() or process.poll() is not None, seconds=90)
    assert process.poll() is None, output.read_text()
    line = next(line for line in output.read_text().splitlines() if "http://" in line)
    return line.split(" at ")[1].split(";")[0]


@pytest.fixture
def slow_scan(tmp_path: Path) -> Path:
    """A scan that takes seconds, slice by slice."""
    return write_scan(tmp_path / "slow.nii.gz", np.full((32, 32, 900), 40, np.int16))


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_lets_the_scan_in_hand_be_answered_and_ends_with_code_0(
    checkpoint: Path, slow_scan: Path, tmp_path: Path, number: signal.Signals
) -> None:
    settings = (f"ckpt={checkpoint}", "port=0", "batch_size=1", "flips=[left_right]")
    with start(tmp_path, *settings) as (process, output):
        url = wait_for_url(process, output)
        port = int(url.rpartition(":")[2])
        with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
            connection.sendall(multipart(slow_scan, url=f"/scans?progress={'a' * 16}"))
            message_to_sender = lambda: httpx.get(f"{url}/progress/{'a' * 16}").json()  # noqa: E731
            wait_until(lambda: message_to_sender()["slices_done"] > 10, seconds=30)
            assert len(list((tmp_path / "tmp").iterdir())) == 1
            process.send_signal(number)
            wait_until(lambda: httpx.get(f"{url}/ready").status_code == 503)
            assert connection.recv(4096).startswith(b"HTTP/1.1 201 ")
        assert process.wait(30) == 0
    assert list((tmp_path / "tmp").iterdir()) == []
    said = output.read_text()
    assert "Traceback" not in said
    assert "stopping: 1 scans in hand" in said
    assert said.rstrip().endswith("stopped")


@pytest.mark.slow
def test_a_second_signal_gives_up_what_is_in_hand(checkpoint: Path, slow_scan: Path, tmp_path: Path) -> None:
    with start(tmp_path, f"ckpt={checkpoint}", "port=0", "batch_size=1") as (process, output):
        url = wait_for_url(process, output)
        port = int(url.rpartition(":")[2])
        with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
            connection.sendall(multipart(slow_scan, url=f"/scans?progress={'a' * 16}"))
            message_to_sender = lambda: httpx.get(f"{url}/progress/{'a' * 16}").json()  # noqa: E731
            wait_until(lambda: message_to_sender()["slices_done"] > 10, seconds=30)
            process.send_signal(signal.SIGTERM)
            time.sleep(0.3)
            process.send_signal(signal.SIGTERM)
            assert connection.recv(4096).startswith(b"HTTP/1.1 503 ")
        assert process.wait(60) == 0
    assert list((tmp_path / "tmp").iterdir()) == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("keys", "warning", "status"),
    [([], "there is no authentication", 200), (["k" * 16], "keys and scans travel unencrypted", 401)],
)
def test_beyond_loopback_it_says_what_protects_it(
    checkpoint: Path, tmp_path: Path, keys: list[str], warning: str, status: int
) -> None:
    (tmp_path / "keys").write_text("\n".join(keys))
    asked = [f"api_key_file={tmp_path}/keys"] if keys else []
    with start(tmp_path, f"ckpt={checkpoint}", "port=0", "host=0.0.0.0", *asked) as (process, output):
        url = wait_for_url(process, output)
        wait_until(lambda: warning in output.read_text())
        assert httpx.get(f"{url}/version").status_code == status
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("ckpt=nowhere.ckpt", "port=0"), "serve: nowhere.ckpt: no such file"),
        ((), "ckpt"),
        (("ckpt={ckpt}", "port=70000"), "serve: port: must be 0 to 65535, got 70000"),
        (("ckpt={ckpt}", "host=192.0.2.7"), "serve: host, port: cannot listen on 192.0.2.7 port 8000"),
        (("ckpt={ckpt}", "host=no.such.host.invalid"), "serve: host: must be a name or address of this"),
        (("ckpt={ckpt}", "port=0", "queue_size=0"), "serve: queue_size: must be a number > 0, got 0"),
        (("ckpt={ckpt}", "port=0", "keep_minutes=x"), "serve: keep_minutes: must be a number, got 'x'"),
        (("ckpt={ckpt}", "api_key_file=nowhere"), "serve: api_key_file: nowhere cannot be read: No such"),
        (
            ("ckpt={ckpt}", "port=0", "pacs.port=11112", "pacs.host=192.0.2.7", "pacs.send_to=A@b:104"),
            "serve: pacs.host, pacs.port: cannot listen on 192.0.2.7 port 11112",
        ),
        (
            ("ckpt={ckpt}", "port=0", "pacs.send_to=http://a/b", "pacs.credentials_file=nowhere"),
            "serve: pacs.credentials_file: nowhere cannot be read: No such file",
        ),
        (("ckpt={ckpt}", "prot=1"), "Did you mean port?"),
    ],
)
def test_wrong_settings_end_in_one_line_and_code_2(
    checkpoint: Path, tmp_path: Path, arguments: tuple[str, ...], expected: str
) -> None:
    given = [argument.format(ckpt=checkpoint) for argument in arguments]
    with start(tmp_path, *given) as (process, output):
        assert process.wait(90) == 2
    said = output.read_text()
    assert expected in said
    assert said.count("\n") == 1
    assert list((tmp_path / "tmp").iterdir()) == []


@pytest.mark.slow
def test_a_port_in_use_is_told_before_the_model_is_opened(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with start(tmp_path, "ckpt=not-opened.ckpt", f"port={port}") as (process, output):
            assert process.wait(90) == 2
    assert output.read_text() == (
        f"serve: host, port: cannot listen on 127.0.0.1 port {port}: address already in use\n"
    )


@pytest.mark.slow
def test_a_file_of_answered_series_in_use_is_told_before_the_model_is_opened(tmp_path: Path) -> None:
    file = tmp_path / "answered.json"
    asked = ("ckpt=not-opened.ckpt", "port=0", "pacs.send_to=A@b:104", f"pacs.answered_file={file}")
    with sole_user_of(file), start(tmp_path, *asked) as (process, output):
        assert process.wait(90) == 2
    rule = "must be of one service at a time, and one is using it; wait for its end, or name another file"
    assert output.read_text() == f"serve: pacs.answered_file: {file} {rule}\n"


def test_without_the_extra_it_says_what_to_install() -> None:
    from lts.app.commands.serve import check_installed
    from lts.base import ConfigError

    with pytest.raises(ConfigError, match=r'^serving needs no_such_library: pip install "\.\[serve\]"$'):
        check_installed(("json", "no_such_library"))
