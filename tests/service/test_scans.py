"""Files that are no scan, archives that are hostile: each gets one line, and leaves nothing behind."""

import gzip
import zipfile
from pathlib import Path

import numpy as np
import pytest
import SimpleITK
from service_kit import DEPTH, SIDE, SPACING_MM, Running, as_bytes, make_hu, upload

MIB = 2**20
WORDS = ".nii, .nii.gz, .nrrd or .mha file, or a .zip of one scan, such as a DICOM series"
SCAN = as_bytes(make_hu()[0])
BROKEN = {
    "text.nii": (b"not a scan at all", "text.nii: "),
    "empty.nii.gz": (b"", "empty.nii.gz: "),
    "cut.nii": (SCAN[:3000], "cut.nii: truncated"),
    "cut.nii.gz": (gzip.compress(SCAN)[:-2000], "cut.nii.gz: truncated"),
    "no-end.nii.gz": (gzip.compress(SCAN)[:-6], "no-end.nii.gz: truncated"),
    "flipped.nii.gz": (gzip.compress(SCAN)[:-8] + b"\0\0\0\0" + gzip.compress(SCAN)[-4:], "bad gzip data"),
    "four.nii": (as_bytes(np.zeros((4, 4, 4, 3), np.int16)), "four.nii: "),
    "no.zip": (b"PK\x03\x04 and no more", "no.zip: is no archive"),
    "nothing.zip": (b"PK\x05\x06" + bytes(18), "nothing.zip: "),
    "scan.exe": (SCAN, f"scan.exe: must be a {WORDS}"),
    "noname": (SCAN, f"noname: must be a {WORDS}"),
    "scan.mhd": (b"", "scan.mhd: is a header alone; send it and the file of its voxels in one .zip"),
    "SCAN.NHDR": (b"", "SCAN.NHDR: is a header alone; send it and the file of its voxels in one .zip"),
}


pytestmark = pytest.mark.usefixtures("nothing_is_left")


def zipped(folder: Path, members: dict[str, bytes]) -> Path:
    path = folder / "scans.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


@pytest.mark.parametrize("name", BROKEN)
@pytest.mark.parametrize("to", ["/predict", "/scans"])
def test_what_is_no_scan_is_told_in_one_line_without_a_path(
    running: Running, tmp_path: Path, name: str, to: str, capfd: pytest.CaptureFixture[str]
) -> None:
    content, expected = BROKEN[name]
    (tmp_path / name).write_bytes(content)
    with running.client as client:
        answer = upload(client, tmp_path / name, to)
    assert answer.status_code == 422
    detail = answer.json()["detail"]
    assert expected in detail
    assert "\n" not in detail
    assert str(running.root.parent) not in detail.replace(name, "")
    assert "lts-service" not in detail
    assert "Traceback" not in capfd.readouterr().err


def test_what_an_upload_may_be_is_told_alike_everywhere(running: Running) -> None:
    with running.client as client:
        assert f"A {WORDS}<" in client.get("/").text
        api = client.get("/openapi.json").json()
    assert f"a {WORDS}." in api["info"]["description"]
    body = api["paths"]["/scans"]["post"]["requestBody"]["content"]["multipart/form-data"]["schema"]
    assert body["properties"]["scan"]["description"] == f"A {WORDS}."
    docs = (Path(__file__).parents[2] / "docs" / "service.md").read_text().replace("`", "")
    assert f"A scan is a {WORDS}" in docs


@pytest.mark.parametrize("suffix", [".mhd", ".nhdr"])
def test_a_header_and_its_voxels_come_in_one_archive(running: Running, tmp_path: Path, suffix: str) -> None:
    image = SimpleITK.GetImageFromArray(make_hu()[0].T)
    image.SetSpacing(SPACING_MM)
    SimpleITK.WriteImage(image, str(tmp_path / f"scan{suffix}"))
    files = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert len(files) == 2
    with running.client as client:
        told = upload(client, zipped(tmp_path, files)).json()
    assert told["shape"] == [DEPTH, SIDE, SIDE]
    assert told["spacing_mm"] == pytest.approx(SPACING_MM[::-1])


@pytest.mark.parametrize(
    ("members", "expected"),
    [
        ({"../../escaped.nii": SCAN}, "must name files inside of itself"),
        ({"/tmp/escaped.nii": SCAN}, "must name files inside of itself"),
        ({"bomb.nii": bytes(64 * MIB)}, "must unpack to at most 4194304 bytes"),
        ({f"{number}.dcm": b"" for number in range(21)}, "must hold at most 20 files, got 21"),
        ({"a.nii": SCAN, "b.nii": SCAN}, "must hold one scan, got 2: a, b; send one a time"),
        ({"readme.txt": b"hello"}, "must hold a scan"),
        ({"inner/broken.nii": SCAN[:900]}, "scans.zip/inner/broken.nii: truncated"),
    ],
)
def test_archives_are_held_to_their_limits(
    running: Running, tmp_path: Path, members: dict[str, bytes], expected: str
) -> None:
    path = zipped(tmp_path, members)
    with running.client as client:
        answer = upload(client, path)
    assert answer.status_code == 422
    assert answer.json()["detail"].startswith("scans.zip")
    assert expected in answer.json()["detail"]
    assert "lts-service" not in answer.json()["detail"]
    assert not list(running.root.parent.glob("escaped*"))


def test_a_zip_of_one_scan_is_a_scan(running: Running, tmp_path: Path) -> None:
    with running.client as client:
        answer = upload(client, zipped(tmp_path, {"deep/in/it/scan.nii": SCAN}))
    assert answer.status_code == 201
    assert answer.json()["case"] == "scans"
