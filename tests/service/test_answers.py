"""What the service answers to a scan that is as it should be."""

import gzip
import json
import re
import subprocess
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from service_kit import DEPTH, SIDE, SPACING_MM, Running, make_hu, run_service, upload, wait_until, write_scan

from lts.inference import Findings, Predictor
from lts.service.planes import VALUES_FILE
from lts.service.routes import header_of_notes
from lts.service.scans import _start
from lts.volume import read_ct, read_mask


@pytest.fixture(scope="module")
def told(running: Running, scan_file: Path) -> dict[str, Any]:
    with running.client as client:
        answer = upload(client, scan_file)
    assert answer.status_code == 201, answer.text
    found: dict[str, Any] = answer.json()
    assert answer.headers["location"] == f"/scans/{found['id']}"
    return found


def fetch_slice(running: Running, told: dict[str, Any], z: int) -> tuple[np.ndarray, np.ndarray]:
    """Values and labels `(H, W)`, unpacked as the description says."""
    with running.client as client:
        answer = client.get(told["links"]["slices"].replace("{z}", str(z)))
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/octet-stream"
    n_pixels = SIDE * SIDE
    assert len(answer.content) == 3 * n_pixels
    values = np.frombuffer(answer.content[: 2 * n_pixels], "<i2").reshape(SIDE, SIDE)
    return values, np.frombuffer(answer.content[2 * n_pixels :], np.uint8).reshape(SIDE, SIDE)


def test_it_lives_and_is_ready(running: Running) -> None:
    with running.client as client:
        assert client.get("/health").json() == {"status": "ok"}
        ready = client.get("/ready")
    assert ready.status_code == 200
    assert ready.json() == {
        "status": "ok",
        "modality": "ct",
        "regions": ["liver", "tumor"],
        "max_upload_mib": 4,
    }


def test_predict_answers_with_the_mask_on_the_scans_own_grid(
    running: Running, scan_file: Path, predictor: Predictor, tmp_path: Path
) -> None:
    with running.client as client:
        answer = upload(client, scan_file, "/predict")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/gzip"
    assert 'filename="volume-7_mask.nii.gz"' in answer.headers["content-disposition"]
    with running.client as client:
        notes = upload(client, scan_file).json()["notes"]
    assert json.loads(answer.headers["lts-notes"]) == notes
    assert notes
    (tmp_path / "mask.nii.gz").write_bytes(answer.content)
    mask, scan = nib.load(tmp_path / "mask.nii.gz"), nib.load(scan_file)
    assert np.array_equal(mask.affine, scan.affine)
    found = np.asarray(mask.dataobj)
    truth = make_hu()[1]
    assert (found == truth).mean() > 0.97
    assert {0, 1, 2} == set(np.unique(found).tolist())
    expected = predictor.mask(read_ct(scan_file))
    assert np.array_equal(
        read_mask(tmp_path / "mask.nii.gz", image=read_ct(scan_file).geometry).voxels, expected
    )
    assert running.left_over() == set()


def test_notes_in_a_header_are_ascii_and_of_bounded_length() -> None:
    told = header_of_notes(["Lebertumor: \u00e4\r\nSet-Cookie: a", *["x" * 2000] * 12])
    assert told.isascii()
    assert told.isprintable()
    assert len(told) < 4000
    first, *_, last = json.loads(told)
    assert first == "Lebertumor: \u00e4\r\nSet-Cookie: a"
    assert last == "and 3 more"


def test_curl_works_as_documented(running: Running, scan_file: Path, tmp_path: Path) -> None:
    out = tmp_path / "mask.nii.gz"
    line = ["curl", "-sS", "-f", "-F", f"scan=@{scan_file}", f"{running.url}/predict", "-o", str(out)]
    subprocess.run(line, check=True, capture_output=True)
    assert nib.load(out).shape == (SIDE, SIDE, DEPTH)


def test_a_scan_is_told_by_its_findings(told: dict[str, Any], predictor: Predictor, scan_file: Path) -> None:
    labels = predictor.mask(read_ct(scan_file))
    voxel_ml = np.prod(SPACING_MM) / 1000
    assert told["case"] == "volume-7"
    assert told["shape"] == [DEPTH, SIDE, SIDE]
    assert told["spacing_mm"] == pytest.approx([4.0, 2.0, 1.5])
    assert told["liver_ml"] == pytest.approx((labels >= 1).sum() * voxel_ml)
    assert told["tumor_ml"] == pytest.approx((labels == 2).sum() * voxel_ml)
    assert told["tumor_burden"] == pytest.approx((labels == 2).sum() / (labels >= 1).sum())
    assert told["pixels_per_slice"]["tumor"] == [int((plane == 2).sum()) for plane in labels]
    assert told["pixels_per_slice"]["liver"] == [int((plane >= 1).sum()) for plane in labels]
    # The first voxel is the lowest, foremost and rightmost, that of the file the rearmost and leftmost.
    corner = [[0, 0, -1.5, 1.5 * (SIDE - 1)], [0, -2.0, 0, 2.0 * (SIDE - 1)], [4.0, 0, 0, 0], [0, 0, 0, 1]]
    assert np.allclose(told["affine_ras_mm"], corner)
    assert told["start_zhw"] == np.argwhere(labels == 2).mean(axis=0).round().astype(int).tolist()
    fitted, soft_tissue = told["windows"]
    assert fitted["level"] == pytest.approx(110, abs=2)  # of the liver
    assert 150 <= fitted["width"] < 200
    assert (soft_tissue["level"], soft_tissue["width"]) == (40, 400)
    assert re.fullmatch(r"[A-Za-z0-9_-]{32}", told["id"])


def test_a_lesion_lies_among_the_slices_where_its_labels_are(told: dict[str, Any], running: Running) -> None:
    lesion = told["lesions"][0]
    z, row, column = lesion["center_zhw"]
    assert lesion["slice_from_feet"] == round(z)
    planes = [fetch_slice(running, told, index)[1] == 2 for index in range(DEPTH)]
    where = np.argwhere(np.stack(planes))
    assert [z, row, column] == pytest.approx(where.mean(axis=0), abs=0.05)


def test_slices_are_values_then_labels_with_the_patients_right_first(
    told: dict[str, Any], running: Running, scan_file: Path, predictor: Predictor
) -> None:
    scan = read_ct(scan_file)
    labels = predictor.mask(scan)
    for z in range(DEPTH):
        values, found = fetch_slice(running, told, z)
        assert np.array_equal(values, scan.voxels[z])
        assert np.array_equal(found, labels[z])
    # On disk x runs to the right and y to the front; the first pixel is front and right.
    hu = make_hu()[0]
    assert np.array_equal(fetch_slice(running, told, 2)[0], hu[::-1, ::-1, 2].T)


def test_coronal_and_sagittal_planes_are_seen_with_the_head_above(
    told: dict[str, Any], running: Running, scan_file: Path, predictor: Predictor
) -> None:
    scan = read_ct(scan_file)
    volumes = ((scan.voxels, "<i2"), (predictor.mask(scan), "u1"))
    with running.client as client:
        for index in (0, 9, SIDE - 1):
            for plane, where in (("coronal", np.s_[::-1, index]), ("sagittal", np.s_[::-1, :, index])):
                content = client.get(re.sub(r"{\w+}", str(index), told["links"][plane])).content
                expected = b"".join(volume[where].astype(kind).tobytes() for volume, kind in volumes)
                assert content == expected
    # On disk x runs to the right, y to the front, z to the head.
    hu = make_hu()[0]
    assert np.array_equal(
        np.frombuffer(content[: 2 * DEPTH * SIDE], "<i2").reshape(DEPTH, SIDE), hu[0].T[::-1, ::-1]
    )


def test_without_a_lesion_the_liver_is_looked_at_first_and_without_that_the_middle() -> None:
    labels = np.zeros((6, 9, 12), np.uint8)
    none = Findings(0.0, 0.0, None, ())
    assert _start(labels, none) == [3, 4, 6]
    labels[2:5, 1:4, 7:10] = 1
    assert _start(labels, none) == [3, 2, 8]


def test_a_kept_result_is_found_again_until_it_is_deleted(
    running: Running, scan_file: Path, told: dict[str, Any]
) -> None:
    with running.client as client:
        mine = upload(client, scan_file).json()
        assert client.get(mine["links"]["self"]).json() == mine
        mask = client.get(mine["links"]["mask"])
        assert mask.content == upload(client, scan_file, "/predict").content
        assert 'filename="volume-7_mask.nii.gz"' in mask.headers["content-disposition"]
        assert mine["id"] != told["id"]
        assert client.delete(mine["links"]["self"]).status_code == 204
        for link in ("self", "mask"):
            assert client.get(mine["links"][link]).status_code == 404
        assert client.get(mine["links"]["slices"].replace("{z}", "0")).status_code == 404
        assert client.delete(mine["links"]["self"]).status_code == 404
        assert client.get(told["links"]["self"]).status_code == 200


@pytest.mark.parametrize("id_", ["x", "%2e%2e%2fresults", "../results", "a" * 64, "a" * 65, "%00"])
def test_another_id_opens_nothing(running: Running, id_: str) -> None:
    with running.client as client:
        for path in (f"/scans/{id_}", f"/scans/{id_}/mask", f"/scans/{id_}/slices/0"):
            answer = client.get(path)
            assert answer.status_code in (404, 405, 422)
            assert set(answer.json()) == {"detail"}


@pytest.mark.parametrize(
    ("plane", "index", "status"),
    [
        ("slices", -1, 404),
        ("slices", DEPTH, 404),
        ("slices", "two", 422),
        ("slices", DEPTH - 1, 200),
        ("coronal", DEPTH, 200),
        ("coronal", SIDE, 404),
        ("sagittal", -1, 404),
        ("oblique", 0, 422),
    ],
)
def test_planes_end_where_the_scan_does(
    running: Running, told: dict[str, Any], plane: str, index: object, status: int
) -> None:
    with running.client as client:
        answer = client.get(f"{told['links']['self']}/{plane}/{index}")
    assert answer.status_code == status


def test_a_plane_of_an_emptied_file_is_no_longer_kept(running: Running, scan_file: Path) -> None:
    with running.client as client:
        links = upload(client, scan_file).json()["links"]
        newest = max(running.kept(), key=lambda folder: folder.stat().st_ctime_ns)
        (newest / VALUES_FILE).write_bytes(b"")
        for plane in ("slices", "coronal", "sagittal"):
            assert client.get(f"{links['self']}/{plane}/0").status_code == 404


def test_the_folder_is_its_owners_alone(running: Running, told: dict[str, Any]) -> None:
    folders = [running.root, *running.kept()]
    assert len(folders) > 1
    assert {folder.stat().st_mode & 0o777 for folder in folders} == {0o700}


def test_the_oldest_result_goes_first(predictor: Predictor, scan_file: Path) -> None:
    with run_service(predictor, keep_results=2) as running, running.client as client:
        links = [upload(client, scan_file).json()["links"]["self"] for _ in range(3)]
        assert [client.get(link).status_code for link in links] == [404, 200, 200]
        assert len(running.kept()) == 2


def test_a_result_expires_and_its_files_with_it(predictor: Predictor, scan_file: Path) -> None:
    with run_service(predictor, keep_minutes=1 / 60) as running, running.client as client:
        link = upload(client, scan_file).json()["links"]["self"]
        assert client.get(link).status_code == 200
        wait_until(lambda: client.get(link).status_code == 404)
        wait_until(lambda: not running.kept())


def test_a_scan_in_other_axes_is_shown_the_same(running: Running, tmp_path: Path) -> None:
    hu = make_hu()[0]
    turned = nib.Nifti1Image(
        hu[::-1].transpose(2, 0, 1),
        np.array([[0, -1.5, 0, 1.5 * (SIDE - 1)], [0, 0, 2.0, 0], [4.0, 0, 0, 0], [0, 0, 0, 1]]),
    )
    nib.save(turned, tmp_path / "turned.nii")
    with running.client as client:
        told = upload(client, tmp_path / "turned.nii").json()
    assert np.array_equal(fetch_slice(running, told, 3)[0], hu[::-1, ::-1, 3].T)


def test_a_note_tells_of_a_scan_without_liver(running: Running, tmp_path: Path) -> None:
    empty = write_scan(tmp_path / "air.nii.gz", np.full((SIDE, SIDE, 3), -1000, np.int16))
    with running.client as client:
        told = upload(client, empty).json()
    assert "No liver was found." in told["notes"]
    assert told["lesions"] == []
    assert told["tumor_burden"] is None


def test_the_log_has_one_line_a_scan(running: Running, scan_file: Path) -> None:
    before = len(running.lines)
    with running.client as client:
        upload(client, scan_file)
    (line,) = running.lines[before:]
    assert re.fullmatch(r"volume-7: done in \d+\.\d s", line)


def test_the_description_names_what_may_be_refused_and_nothing_from_elsewhere(running: Running) -> None:
    with running.client as client:
        api = client.get("/openapi.json").json()
        pages = [client.get(path).text for path in ("/", "/docs")]
    for path in ("/predict", "/scans"):
        assert {"413", "422", "503"} <= set(api["paths"][path]["post"]["responses"])
        assert "multipart/form-data" in api["paths"][path]["post"]["requestBody"]["content"]
    assert "HTTPValidationError" not in str(api)
    for page in pages:
        assert not re.findall(r"(?:src|href)=\"(?!page/|docs\"|openapi.json\"|./\")", page)


def test_masks_are_the_same_bytes_each_time(running: Running, scan_file: Path) -> None:
    with running.client as client:
        first, second = (upload(client, scan_file, "/predict").content for _ in range(2))
    assert first == second
    assert len(gzip.decompress(first)) == 352 + SIDE * SIDE * DEPTH
