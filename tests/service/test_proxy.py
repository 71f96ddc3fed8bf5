"""Behind nginx as `deploy/nginx.conf` sets it up, below a path of a host; and as a unit of systemd."""

import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from page_kit import open_scan, text
from service_kit import Running, run_service, upload, wait_until

from lts.base import ConfigError
from lts.inference import Predictor
from lts.service import check_root_path

ROOT = Path(__file__).parents[2]
CONFIG = """
daemon off; master_process off; pid {folder}/pid; error_log {folder}/error.log;
events {{}}
http {{
  access_log off;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/f;
  uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
  server {{
    listen 127.0.0.1:{port};
    {location}
  }}
}}
"""


@pytest.fixture(scope="module")
def behind(predictor: Predictor, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Running, str]]:
    """A service, and its address behind nginx."""
    nginx = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
    if nginx is None:
        pytest.skip("nginx is not installed: apt-get install nginx")
    folder = tmp_path_factory.mktemp("nginx")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    shipped = (ROOT / "deploy" / "nginx.conf").read_text()
    location = "\n".join(line for line in shipped.splitlines() if "auth_basic" not in line)
    with run_service(predictor, root_path="/lts") as running:
        config = folder / "nginx.conf"
        location = location.replace("http://127.0.0.1:8000", running.url)
        config.write_text(CONFIG.format(folder=folder, port=port, location=location))
        process = subprocess.Popen([nginx, "-p", str(folder), "-c", str(config)], stderr=subprocess.DEVNULL)
        url = f"http://127.0.0.1:{port}/lts"

        def answers() -> bool:
            assert process.poll() is None, (folder / "error.log").read_text()
            try:
                return httpx.get(f"{url}/health").is_success
            except httpx.TransportError:
                return False

        try:
            wait_until(answers)
            yield running, url
        finally:
            process.terminate()
            process.wait(10)


def test_addresses_lead_back_through_the_proxy(behind: tuple[Running, str], scan_file: Path) -> None:
    _, url = behind
    with httpx.Client(base_url=url, timeout=20) as client:
        answer = upload(client, scan_file, f"{url}/scans")
        assert answer.status_code == 201, answer.text
        links = answer.json()["links"]
        assert links["self"] == answer.headers["location"]
        host = url.removesuffix("/lts")
        for name in ("self", "mask"):
            assert links[name].startswith("/lts/scans/")
            assert httpx.get(host + links[name]).is_success
        assert httpx.get(f"{url}/openapi.json").json()["servers"] == [{"url": "/lts"}]
        assert httpx.delete(host + links["self"]).status_code == 204


def test_the_page_works_below_a_path(behind: tuple[Running, str], browser: Any, scan_file: Path) -> None:
    running, url = behind
    there = Running(running.service, running.server, f"{url}/")
    browser.get_log("browser")
    open_scan(browser, there, scan_file)
    assert "volume-7" in text(browser, "#case")
    browser.get(f"{url}/docs")
    wait_until(lambda: "/scans/{id}/mask" in text(browser, "#operations"))
    assert browser.get_log("browser") == []


@pytest.mark.parametrize("wrong", ["lts", "/lts/", "/a b", "/..", "/a/../b", "//", "/lts?x"])
def test_what_is_no_path_is_refused(wrong: str) -> None:
    with pytest.raises(ConfigError, match="^root_path: must be a path such as /lts, or empty, got"):
        check_root_path(wrong)
    for right in ("", "/lts", "/radiology/lts-2.0"):
        check_root_path(right)


def test_the_unit_of_systemd_is_sound(tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd is not installed")
    program = Path(sys.executable).with_name("lts")
    unit = (ROOT / "deploy" / "lts.service").read_text()
    assert "/opt/lts/bin/lts serve " in unit
    (tmp_path / "lts.service").write_text(unit.replace("/opt/lts/bin/lts", str(program)))
    line = ["systemd-analyze", "verify", "--man=no", str(tmp_path / "lts.service")]
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
