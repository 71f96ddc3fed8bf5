"""A second mask beside that of the model, over HTTP: compared, kept with the result, and refused."""

import errno
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import nibabel as nib
import numpy as np
import pytest
from second_kit import VOXEL_ML, own_labels, second_labels, write_mask_file
from service_kit import SPACING_MM, KnownPredictor, Running, make_hu, run_service, upload, write_scan
from sklearn.metrics import f1_score

from lts.service.planes import write_labels


@pytest.fixture(scope="module")
def running() -> Iterator[Running]:
    with run_service(KnownPredictor(own_labels()), keep_results=20) as running:
        yield running


@pytest.fixture(scope="module")
def scan(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_scan(tmp_path_factory.mktemp("scan") / "volume-3.nii.gz", make_hu()[0])


@pytest.fixture
def client(running: Running, nothing_is_left: None) -> Iterator[httpx.Client]:
    with running.client as client:
        yield client


@pytest.fixture
def told(client: httpx.Client, scan: Path) -> dict[str, Any]:
    found: dict[str, Any] = upload(client, scan).json()
    return found


def send(client: httpx.Client, told: dict[str, Any], path: Path, **options: Any) -> httpx.Response:
    name = options.pop("name", path.name)
    return client.post(told["links"]["second"], files={"mask": (name, path.read_bytes())}, **options)


def of_region(answer: dict[str, Any], region: str) -> dict[str, Any]:
    (found,) = [one for one in answer["regions"] if one["region"] == region]
    return found


@pytest.mark.parametrize("ending", [".nii.gz", ".nrrd", ".mha"])
def test_it_is_compared_region_by_region(
    client: httpx.Client, told: dict[str, Any], tmp_path: Path, ending: str
) -> None:
    path = write_mask_file(tmp_path / f"reference-3{ending}", second_labels())
    answer = send(client, told, path)
    assert answer.status_code == 201, answer.text
    found = answer.json()
    assert answer.headers["location"] == found["links"]["self"] == told["links"]["second"]
    assert (found["name"], found["notes"]) == (path.name, [])
    # By hand: the second liver lies a column, its tumor two columns further left; see `second_kit`.
    liver, tumor = of_region(found, "liver"), of_region(found, "tumor")
    assert liver["dice"] == pytest.approx(2 * 760 / 1600)
    assert tumor["dice"] == pytest.approx(2 * 18 / 60)
    volumes = [
        [one[name] / VOXEL_ML for name in ("own_ml", "second_ml", "both_ml")] for one in (liver, tumor)
    ]
    assert np.allclose(volumes, [[800, 800, 760], [30, 30, 18]])
    assert liver["own_ml"] == pytest.approx(told["liver_ml"])
    assert found["differing_pixels_per_slice"] == [0, 20, 32, 32, 20, 0]
    for one, smallest in ((liver, 1), (tumor, 2)):
        masks = [labels.ravel() >= smallest for labels in (second_labels(), own_labels())]
        assert one["dice"] == pytest.approx(f1_score(*masks))
    assert client.get(told["links"]["self"]).json() == {**told, "second": found}


def test_planes_hold_the_labels_of_both(client: httpx.Client, told: dict[str, Any], tmp_path: Path) -> None:
    asked = (
        ("slices", "{z}", 2, np.s_[2]),
        ("coronal", "{row}", 7, np.s_[::-1, 7]),
        ("sagittal", "{column}", 25, np.s_[::-1, :, 25]),
    )
    own = {kind: told["links"][kind].replace(part, str(index)) for kind, part, index, _ in asked}
    alone = {kind: client.get(address).content for kind, address in own.items()}
    assert client.get(f"{own['slices']}?second=true").status_code == 404
    links = send(client, told, write_mask_file(tmp_path / "a.nii", second_labels())).json()["links"]
    for kind, part, index, where in asked:
        both = client.get(links[kind].replace(part, str(index)))
        assert both.status_code == 200
        assert both.content == alone[kind] + second_labels()[where].tobytes()
        assert client.get(own[kind]).content == alone[kind]


def test_a_region_in_neither_mask_has_no_dice_and_in_one_of_them_0(
    client: httpx.Client, scan: Path, told: dict[str, Any], tmp_path: Path
) -> None:
    liver_alone = np.minimum(own_labels(), 1)
    answer = send(client, told, write_mask_file(tmp_path / "a.nii.gz", liver_alone)).json()
    assert of_region(answer, "liver")["dice"] == 1
    assert of_region(answer, "tumor")["dice"] == 0
    assert of_region(answer, "tumor")["second_ml"] == 0
    with run_service(KnownPredictor(liver_alone)) as running, running.client as other:
        mine = upload(other, scan).json()
        answer = send(other, mine, write_mask_file(tmp_path / "b.nii.gz", liver_alone)).json()
        assert of_region(answer, "tumor") == {
            "region": "tumor",
            "dice": None,
            "own_ml": 0,
            "second_ml": 0,
            "both_ml": 0,
        }


def test_what_a_model_does_not_look_for_is_not_compared(scan: Path, tmp_path: Path) -> None:
    liver_alone = np.minimum(own_labels(), 1)
    with run_service(KnownPredictor(liver_alone, regions=("liver",))) as running, running.client as client:
        told = upload(client, scan).json()
        answer = send(client, told, write_mask_file(tmp_path / "a.nii.gz", second_labels())).json()
    assert [one["region"] for one in answer["regions"]] == ["liver"]
    assert answer["regions"][0]["dice"] == pytest.approx(0.95)
    assert answer["differing_pixels_per_slice"] == [0, 20, 20, 20, 20, 0]


def test_another_one_takes_its_place_and_all_go_with_the_result(
    running: Running, client: httpx.Client, told: dict[str, Any], tmp_path: Path
) -> None:
    def kept() -> list[Path]:
        return [path for folder in running.kept() for path in folder.glob("second-*")]

    before = set(kept())
    paths = [
        write_mask_file(tmp_path / f"{name}.nii.gz", labels)
        for name, labels in (("a", second_labels()), ("b", own_labels()))
    ]
    for path in paths:
        send(client, told, path)
        (file,) = set(kept()) - before
    write_labels(tmp_path / "expected", own_labels())
    assert file.read_bytes() == (tmp_path / "expected").read_bytes()
    assert client.get(told["links"]["self"]).json()["second"]["name"] == "b.nii.gz"
    assert client.delete(told["links"]["second"]).status_code == 204
    assert set(kept()) == before
    assert client.get(told["links"]["self"]).json() == told
    assert client.delete(told["links"]["second"]).status_code == 204  # none is there, as was asked
    send(client, told, paths[0])
    client.delete(told["links"]["self"])
    assert set(kept()) == before
    assert client.delete(told["links"]["second"]).status_code == 404


def other_shape(path: Path) -> Path:
    return write_mask_file(path, own_labels()[:, :-1])


def shifted(path: Path) -> Path:
    affine = np.diag([*SPACING_MM, 1.0])
    affine[0, 3] = SPACING_MM[0]
    nib.save(nib.Nifti1Image(own_labels().transpose(2, 1, 0), affine), path)
    return path


def other_labels(path: Path) -> Path:
    labels = own_labels()
    labels[0, 0, 0] = 5
    return write_mask_file(path, labels)


def no_volume(path: Path) -> Path:
    path.write_bytes(b"not a mask")
    return path


@pytest.mark.parametrize(
    ("make", "name", "expected"),
    [
        (other_shape, "m.nii", "m.nii: the mask's shape must be its image's: mask 32x31x6 voxels"),
        (other_shape, "m.nii", "; resample it to the scan, or send another"),
        (shifted, "m.nii", "m.nii: the mask's corners must lie within 0.1 voxels of its image's, got 1: "),
        (other_labels, "m.nii", "m.nii: labels must be among [0, 1, 2], got 5"),
        (no_volume, "m.nii", "m.nii: "),
        (no_volume, "m.dcm", "m.dcm: cannot be read as a DICOM SEG: "),
        (no_volume, "m.zip", "m.zip: must be a .nii, .nii.gz, .nrrd or .mha file, or a .dcm of a DICOM SEG"),
        (no_volume, "m.mhd", "m.mhd: is a header alone; save it as one file, such as .nii.gz"),
    ],
)
def test_what_is_no_mask_of_the_scan_is_refused_and_nothing_is_lost(
    running: Running,
    client: httpx.Client,
    told: dict[str, Any],
    tmp_path: Path,
    make: Any,
    name: str,
    expected: str,
) -> None:
    first = send(client, told, write_mask_file(tmp_path / "first.nii.gz", second_labels())).json()
    answer = send(client, told, make(tmp_path / "m.nii"), name=name)
    assert answer.status_code == 422
    assert expected in answer.json()["detail"]
    assert str(running.root) not in answer.text
    assert client.get(told["links"]["self"]).json()["second"] == first


def test_a_mask_needs_its_field_and_its_result(
    running: Running, client: httpx.Client, told: dict[str, Any], tmp_path: Path
) -> None:
    path = write_mask_file(tmp_path / "a.nii.gz", second_labels())
    answer = client.post(told["links"]["second"], files={"scan": (path.name, path.read_bytes())})
    assert answer.json() == {"detail": "the upload has no file in its field 'mask'"}
    for id_ in ("x", "a" * 64):
        answer = client.post(f"/scans/{id_}/second", files={"mask": (path.name, path.read_bytes())})
        assert answer.status_code == 404
        assert set(answer.json()) == {"detail"}
    answer = send(client, told, path, headers={"Origin": "http://elsewhere.example"})
    assert answer.status_code == 403


def test_a_result_that_goes_while_its_second_mask_is_read_is_told(
    running: Running,
    client: httpx.Client,
    told: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def write_and_lose(path: Path, labels: Any) -> None:
        write_labels(path, labels)
        running.service.results.remove(told["id"])

    monkeypatch.setattr("lts.service.second_mask.write_labels", write_and_lose)
    answer = send(client, told, write_mask_file(tmp_path / "a.nii.gz", second_labels()))
    assert answer.status_code == 404
    assert answer.json() == {"detail": "there is no such result, or it is no longer kept"}


def test_a_full_disk_is_not_the_senders_fault(
    client: httpx.Client, told: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    path = write_mask_file(tmp_path / "a.nii.gz", second_labels())
    with monkeypatch.context() as change:
        change.setattr("lts.service.second_mask.write_labels", full)
        assert send(client, told, path).status_code == 507
    assert send(client, told, path).status_code == 201


def test_masks_are_read_by_no_thread_of_a_model_and_are_no_scans_in_the_counts(
    running: Running, client: httpx.Client, told: dict[str, Any], tmp_path: Path
) -> None:
    counted, expected_s = _segmented(client), running.service.jobs.expected_s
    send(client, told, write_mask_file(tmp_path / "reference-3.nii.gz", second_labels()))
    assert _segmented(client) == counted
    assert running.service.jobs.expected_s == expected_s
    assert running.lines[-1].startswith("reference-3: done in ")


def _segmented(client: httpx.Client) -> float:
    line = next(
        line for line in client.get("/metrics").text.splitlines() if line.startswith("lts_scan_seconds_count")
    )
    return float(line.split()[-1])
