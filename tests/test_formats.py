"""A format that the table of `lts.volume` gains is known to every floor, and what the table lacks is told."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import command_kit
import numpy as np
import pytest
import toy_kit
from toy_kit import save_toy

from lts.base import CohortError, VolumeError
from lts.cohort import ArchiveLimits, Case, find_cases, find_scans
from lts.cohort.doctor import CHECKS, check_headers, examine_case
from lts.slices import Recipe, build_store, content_hash
from lts.volume import (
    Geometry,
    read_ct,
    read_geometry,
    read_mask,
    read_mr,
    scan_stem,
    scan_suffixes,
    source_files,
    suffixes_in_words,
    write_mask,
    write_probabilities,
)

ROOT = Path(__file__).parents[1]
LIMITS = ArchiveLimits(max_bytes=2**20, max_files=10)

ToToy = Callable[[Path, Path], Path]


@pytest.fixture(autouse=True)
def toy_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lts.volume._formats.FORMATS", toy_kit.WITH_TOY)


def to_toy(source: Path, target: Path, *, mask_of: Geometry | None = None) -> Path:
    """Write a scan, or the mask of one, anew as `.toy`."""
    volume = read_mask(source, image=mask_of) if mask_of else read_ct(source)
    target.parent.mkdir(parents=True, exist_ok=True)
    save_toy(target, volume.geometry.to_disk(volume.voxels), geometry=volume.geometry)
    return target


@pytest.fixture
def toy(make_case, tmp_path: Path) -> Callable[[str, str], Case]:
    """Writes a case under the names that a layout gives image and mask."""
    case = make_case("source")

    def write(image: str, mask: str) -> Case:
        to_toy(case.image, tmp_path / "toys" / image)
        to_toy(case.mask, tmp_path / "toys" / mask, mask_of=read_geometry(case.image))
        return Case("toy", "toy", tmp_path / "toys" / image, tmp_path / "toys" / mask)

    return write


def lay_out_pairs(root: Path) -> None:
    (root / "cases.csv").write_text("case,patient,image,mask\ntoy,toy,a.toy,b.toy\n")


def lay_out_msd(root: Path) -> None:
    (root / "dataset.json").write_text(json.dumps({"training": [{"image": "a.toy", "label": "b.toy"}]}))


def lay_out_nnunet(root: Path) -> None:
    facts = {"labels": {"background": 0, "liver": 1, "tumor": 2}, "file_ending": ".toy"}
    (root / "dataset.json").write_text(json.dumps(facts))


@pytest.mark.parametrize(
    ("layout", "image", "mask", "lay_out", "case_id"),
    [
        ("pairs", "a.toy", "b.toy", lay_out_pairs, "toy"),
        ("lits", "volume-3.toy", "sub/segmentation-3.TOY", lambda _root: None, "volume-3"),
        ("msd", "a.toy", "b.toy", lay_out_msd, "a"),
        ("nnunet", "imagesTr/x_0000.toy", "labelsTr/x.toy", lay_out_nnunet, "x"),
    ],
)
def test_every_layout_finds_its_cases(toy, layout, image, mask, lay_out, case_id, tmp_path: Path) -> None:
    written = toy(image, mask)
    lay_out(tmp_path / "toys")
    (case,) = find_cases(tmp_path / "toys", layout=layout).cases
    assert (case.id, case.image, case.mask) == (case_id, written.image, written.mask)


def test_it_is_read_as_the_nifti_file_that_it_was_made_of(toy, make_case) -> None:
    case, source = toy("a.toy", "b.toy"), make_case("source")
    scan, expected = read_ct(case.image), read_ct(source.image)
    np.testing.assert_array_equal(scan.voxels, expected.voxels)
    np.testing.assert_allclose(scan.geometry.affine, expected.geometry.affine)
    np.testing.assert_array_equal(read_mr(case.image).voxels, read_mr(source.image).voxels)
    mask = read_mask(case.mask, image=scan.geometry)
    np.testing.assert_array_equal(mask.voxels, read_mask(source.mask, image=expected.geometry).voxels)


def test_it_is_written_as_a_mask_and_as_probabilities(toy, tmp_path: Path) -> None:
    scan = read_ct(toy("a.toy", "b.toy").image)
    labels = (scan.voxels > 60).astype(np.uint8)
    write_mask(tmp_path / "m.toy", labels, geometry=scan.geometry)
    np.testing.assert_array_equal(read_mask(tmp_path / "m.toy", image=scan.geometry).voxels, labels)
    write_probabilities(tmp_path / "p.toy", np.full(labels.shape, 13107, np.uint16), geometry=scan.geometry)
    np.testing.assert_allclose(read_mr(tmp_path / "p.toy").voxels, 0.2)
    with pytest.raises(VolumeError, match=r"m\.png: must end in \.nii, \.nii\.gz, \.nrrd, \.mha or \.toy"):
        write_mask(tmp_path / "m.png", labels, geometry=scan.geometry)


def test_the_store_is_built_of_it(toy, make_case, tmp_path: Path) -> None:
    recipe = Recipe(image_size=32, pixel_mm=None, modality="ct")
    cases = [toy("a.toy", "b.toy"), make_case("source")]
    stored, of_nifti = build_store(cases, recipe, store_dir=tmp_path / "store", workers=1)
    np.testing.assert_array_equal(stored.open_image(), of_nifti.open_image())
    np.testing.assert_array_equal(stored.open_labels(), of_nifti.open_labels())
    assert stored.image.sha256 == content_hash(cases[0].image) != of_nifti.image.sha256


def test_checks_read_it(toy) -> None:
    case = toy("a.toy", "b.toy")
    assert check_headers(case) == ()
    report = examine_case(case, modality="ct")
    assert report.content is not None
    assert "not-nifti" not in {finding.code for finding in report.findings}


def test_a_folder_and_a_file_of_it_are_scans_to_predict(toy, tmp_path: Path) -> None:
    case = toy("a.toy", "segmentation/b.toy")
    for path in (case.image, tmp_path / "toys"):
        found = find_scans(path, unpack_to=tmp_path / "unpacked", limits=LIMITS)
        (source,) = found.sources
        assert (source.case, source.path, source.files) == ("a", case.image, (case.image,))
        assert source.n_voxels() == 32 * 32 * 6
    assert found.passed_over == (
        "1 toy file in a folder below, which is to be named itself (segmentation/b.toy)",
    )


def run(command: str, *arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """A command as a user runs it, of an lts whose table has the format."""
    return command_kit.run(Path(toy_kit.__file__), str(ROOT / f"{command}.py"), *arguments, cwd=cwd)


def test_the_commands_read_it(toy, make_checkpoint, tmp_path: Path) -> None:
    toy("scans/a.toy", "masks/a.toy")
    ckpt, root = make_checkpoint(), tmp_path / "toys"
    done = run("predict", f"ckpt={ckpt}", "input=scans", "output=predicted", "device=cpu", cwd=root)
    assert done.returncode == 0, done.stderr
    (row,) = json.loads((root / "predicted/predictions.json").read_text())["cases"]
    assert (row["case"], row["mask"]) == ("a", "a_mask.nii.gz")
    line = ["predictions=predicted", "references=masks", "scoring.workers=1", "paths.output_dir=scored"]
    done = run("evaluate", *line, cwd=root)
    assert done.returncode == 0, done.stderr
    assert json.loads((root / "scored/metrics.json").read_text())["n_cases"] == 1
    (root / "cases.csv").write_text("case,patient,image,mask\na,a,scans/a.toy,masks/a.toy\n")
    done = run("check", "data=pairs", f"data.root={root}", "paths.output_dir=checked", cwd=root)
    told = json.loads((root / "checked/doctor.json").read_text())
    assert told["n_cases"] == 1
    assert {finding["code"] for finding in told["findings"]} <= {"liver-volume", "tumor-burden"}, done.stderr


def test_the_service_takes_it_and_its_page_offers_it(toy, make_checkpoint) -> None:
    pytest.importorskip("fastapi", reason="the extra `serve` is not installed")
    from service_kit import run_service

    from lts.inference import Predictor

    case = toy("a.toy", "b.toy")
    predictor = Predictor.from_checkpoint(make_checkpoint(), device="cpu")
    with run_service(predictor) as running, running.client as client:
        page = client.get("/").text
        assert 'accept=".gz,.mha,.nii,.nrrd,.toy,.zip"' in page
        words = ".nii, .nii.gz, .nrrd, .mha or .toy file, or a .zip of one scan, such as a DICOM series"
        assert f"A {words}" in page
        answer = client.post("/predict", files={"scan": ("a.toy", case.image.read_bytes())})
        assert answer.status_code == 200, answer.text
        refused = client.post("/predict", files={"scan": ("a.mgz", b"")}).json()["detail"]
        assert refused == f"a.mgz: must be a {words}"


def test_words_are_those_of_the_table() -> None:
    assert scan_suffixes() == (".nii", ".nii.gz", ".nrrd", ".nhdr", ".mha", ".mhd", ".toy")
    assert suffixes_in_words() == ".nii, .nii.gz, .nrrd, .nhdr, .mha, .mhd or .toy"
    assert scan_stem(Path("sub/A.TOY")) == "A"
    assert scan_stem(Path("a.toy.gz")) is None  # it may not be gzipped
    assert scan_stem(Path("a.mgz")) is None


@pytest.mark.parametrize("name", ["a.mnc", "a.MGZ", "a.nii.xz", "a.tar.gz"])
def test_what_the_table_lacks_is_told_until_an_entry_reads_it(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / name
    path.write_bytes(b"some scan")
    told = rf"{name}: must be NIfTI, NRRD, MetaImage, DICOM, toy or a zip archive of these; convert a scan to"
    with pytest.raises(CohortError, match=told):
        find_scans(path, unpack_to=tmp_path / "unpacked", limits=LIMITS)
    with pytest.raises(CohortError, match=r"1 file of another format \(a\..*; convert a scan to \.nii\.gz"):
        find_scans(tmp_path, unpack_to=tmp_path / "unpacked", limits=LIMITS)
    other = toy_kit.TOY.__class__(**{**vars(toy_kit.TOY), "suffixes": ("." + name.split(".", 1)[1].lower(),)})
    monkeypatch.setattr("lts.volume._formats.FORMATS", (*toy_kit.WITH_TOY, other))
    (source,) = find_scans(path, unpack_to=tmp_path / "unpacked", limits=LIMITS).sources
    assert source.path == path


def test_a_file_of_another_format_in_a_list_of_cases_is_refused_as_no_scan(tmp_path: Path) -> None:
    (tmp_path / "a.mgz").write_bytes(b"some scan")
    with pytest.raises(VolumeError, match=r"a\.mgz: not a NIfTI file") as told:
        read_ct(tmp_path / "a.mgz")
    assert CHECKS[told.value.code].remedy == (
        "convert it to one NIfTI, NRRD or MetaImage file, .nii, .nii.gz, .nrrd, .nhdr, .mha or .mhd"
    )


def test_a_file_is_its_own_source(toy) -> None:
    path: Any = toy("a.toy", "b.toy").image
    assert source_files(path) == (path,)
