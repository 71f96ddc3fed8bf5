"""The image and the services of `deploy/`, as far as they can be judged without a registry of images."""

import json
import os
import re
import shutil
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest
import yaml
from packaging.version import Version
from service_kit import run_service
from settings_kit import compose

from lts.inference import Predictor
from lts.service.pacs import PacsOptions
from lts.service.pacs.options import DicomNode

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
SERVICES: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
LTS, ORTHANC = SERVICES["services"]["lts"], SERVICES["services"]["orthanc"]


def arguments(instruction: str) -> list[str]:
    """What follows an instruction of the Dockerfile, wherever it stands."""
    lines = (DEPLOY / "Dockerfile").read_text().splitlines()
    return [line.removeprefix(f"{instruction} ") for line in lines if line.startswith(f"{instruction} ")]


def sources() -> list[str]:
    """What the image takes from the checkout."""
    copied = [line.split()[:-1] for line in arguments("COPY") if not line.startswith("--from=")]
    return [source for line in copied for source in line]


def docker_compose(*line: str, **given: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["docker", "compose", *line],
        env={**os.environ, **given},
        capture_output=True,
        text=True,
        check=False,
    )


def test_docker_is_sent_what_the_image_takes_and_nothing_else() -> None:
    patterns = [
        line for line in (ROOT / ".dockerignore").read_text().splitlines() if not line.startswith("#")
    ]
    assert patterns[0] == "*"
    assert sorted(line[1:] for line in patterns if line.startswith("!")) == sorted(sources())
    # Docker takes the last pattern that fits.
    assert patterns[-1] == "**/__pycache__"


def test_what_the_image_takes_makes_a_whole_package(tmp_path: Path) -> None:
    if Version(version("setuptools")) < Version("77"):
        pytest.skip("pyproject.toml needs a newer setuptools, which pip would download")
    for name in sources():
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, tmp_path / name, symlinks=True)
        else:
            shutil.copy(ROOT / name, tmp_path)
    build = "from setuptools.build_meta import build_wheel; build_wheel('.')"
    done = subprocess.run(
        [sys.executable, "-c", build], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    (wheel,) = tmp_path.glob("*.whl")
    with ZipFile(wheel) as packed:
        names = set(packed.namelist())
        needs = next(packed.read(name).decode() for name in names if name.endswith("/METADATA"))
    pages = {
        f"lts/{folder}/{page.name}"
        for folder in ("service/page", "viewer/page", "viewer/case")
        for page in (ROOT / "lts" / folder).iterdir()
    }
    assert {"lts/conf/serve.yaml", "lts/conf/prediction/default.yaml", *pages} <= names
    (extra,) = re.findall(r'"\.\[(\w+)\]"', "\n".join(arguments("RUN")))
    assert f"Provides-Extra: {extra}" in needs


def test_the_image_serves_what_is_mounted_at_the_port_that_it_exposes() -> None:
    assert json.loads(arguments("ENTRYPOINT")[0]) == ["lts", "serve"]
    settings = compose("serve", *json.loads(arguments("CMD")[0]))
    assert (settings.host, settings.ckpt) == ("0.0.0.0", "/model.ckpt")
    exposed = [int(port) for port in arguments("EXPOSE")[0].split()]
    assert exposed == [settings.port, compose("serve", *LTS["command"]).pacs.port]
    assert "USER 10001" in (DEPLOY / "Dockerfile").read_text().split("FROM ")[-1]


def test_the_image_asks_whether_the_service_lives(predictor: Predictor) -> None:
    (line,) = arguments("HEALTHCHECK")
    program, *command = json.loads(line.partition(" CMD ")[2])
    assert program == "python"
    with run_service(predictor, host="0.0.0.0", keys=("k" * 16,)) as running:
        asked = [sys.executable, *(part.replace("8000", str(running.port)) for part in command)]
        assert asked[1:] != command
        assert subprocess.run(asked, check=False).returncode == 0
    assert subprocess.run(asked, capture_output=True, check=False).returncode != 0


def test_lts_and_orthanc_know_each_other() -> None:
    settings = compose("serve", *LTS["command"])
    pacs = PacsOptions(**vars(settings.pacs))
    own = ORTHANC["environment"]
    assert pacs.node == DicomNode(own["ORTHANC__DICOM_AET"], "orthanc", own["ORTHANC__DICOM_PORT"])
    assert pacs.calling == (own["ORTHANC__DICOM_AET"],)
    assert json.loads(own["ORTHANC__DICOM_MODALITIES"]) == {"lts": [pacs.ae_title, "lts", pacs.port]}
    assert settings.host == pacs.host == "0.0.0.0", "the loopback of a container is its own"
    # The same as without containers, where both have one address.
    shipped = json.loads(re.sub(r"(?m)^ *//.*", "", (DEPLOY / "orthanc.json").read_text()))
    assert shipped["DicomAet"] == own["ORTHANC__DICOM_AET"]
    assert shipped["DicomPort"] == own["ORTHANC__DICOM_PORT"]
    assert shipped["DicomModalities"] == {"lts": [pacs.ae_title, "127.0.0.1", pacs.port]}


def test_services_get_what_they_are_told_to_read() -> None:
    settings = compose("serve", *LTS["command"])
    mounted, kept = LTS["volumes"]
    assert (mounted["target"], mounted["read_only"]) == (settings.ckpt, True)
    folder = Path(settings.pacs.answered_file).parent
    assert kept == f"answered:{folder}"
    assert any(line.endswith(f"install --directory --owner lts {folder}") for line in arguments("RUN"))
    assert {kept.partition(":")[0], ORTHANC["volumes"][0].partition(":")[0]} == SERVICES["volumes"].keys()
    assert settings.api_key_file == f"/run/secrets/{LTS['secrets'][0]}"
    secrets = {*LTS["secrets"], *(secret["source"] for secret in ORTHANC["secrets"])}
    assert secrets == SERVICES["secrets"].keys()
    build = LTS["build"]
    assert (DEPLOY / build["context"]).resolve() == ROOT
    assert ROOT / build["dockerfile"] == DEPLOY / "Dockerfile"
    assert int(LTS["stop_grace_period"].removesuffix("s")) > settings.drain_s


def test_ports_are_published_on_this_machine_alone_and_lts_is_sent_series_by_orthanc_alone() -> None:
    settings = compose("serve", *LTS["command"])
    assert LTS["ports"] == [f"127.0.0.1:{settings.port}:{settings.port}"]
    dicom_port = ORTHANC["environment"]["ORTHANC__DICOM_PORT"]
    assert f"127.0.0.1:{dicom_port}:{dicom_port}" in ORTHANC["ports"]
    assert all(port.startswith("127.0.0.1:") for port in ORTHANC["ports"])


def test_docker_understands_the_services(tmp_path: Path) -> None:
    if shutil.which("docker") is None or docker_compose("version").returncode:
        pytest.skip("docker compose is not installed")
    given = {name: str(tmp_path / name) for name in ("LTS_CKPT", "LTS_KEYS", "ORTHANC_USERS")}
    done = docker_compose("-f", str(DEPLOY / "compose.yaml"), "config", "--quiet", **given)
    assert (done.returncode, done.stderr) == (0, "")
    assert docker_compose("-f", str(DEPLOY / "compose.yaml"), "config", "--quiet").returncode != 0
