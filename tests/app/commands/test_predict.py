"""Masks of new scans by the command, and what it says of scans that cannot be predicted."""

import gzip
import json
import shutil
import zipfile
from pathlib import Path

import nibabel as nib
import numpy as np
import pydicom
import pytest
import SimpleITK
from pydicom import Dataset, dcmread
from settings_kit import compose

from lts.app.commands.open_model import series_choice
from lts.base import ConfigError
from lts.cohort import SeriesChoice
from lts.volume import write_volume


def write_scan(path: Path, *, shift: int = 0) -> np.ndarray:
    """A liver of 100 HU, 20 x 12 x 4 voxels, with a tumor of 200 HU; returns the labels, `(X, Y, Z)`."""
    hu, labels = np.full((32, 32, 6), -1000, np.int16), np.zeros((32, 32, 6), np.uint8)
    hu[2:30, 4:28], labels[4:24, 10:22, 1:5] = 30, 1
    labels[8 + shift : 12 + shift, 12:16, 2:4] = 2
    hu[labels == 1], hu[labels == 2] = 100, 200
    write_volume(path, hu, affine=[[-1.5, 0, 0, 9], [0, -1.5, 0, 8], [0, 0, 4, 700], [0, 0, 0, 1]])
    return labels


def predictions(folder: Path) -> dict:
    return json.loads((folder / "predictions.json").read_text())


def labels_in(path: Path) -> np.ndarray:
    return np.asarray(nib.load(path).dataobj)


def test_a_folder_of_scans_becomes_a_folder_of_masks(make_checkpoint, succeed, tmp_path: Path) -> None:
    ckpt, scans = make_checkpoint(), tmp_path / "scans"
    scans.mkdir()
    truth = {case: write_scan(scans / f"{case}_0000.nii.gz", shift=n) for n, case in enumerate(("a", "b"))}
    printed = succeed("predict", f"ckpt={ckpt}", "input=scans", "output=masks", cwd=tmp_path)
    assert {path.name for path in (tmp_path / "masks").iterdir()} == {
        "a_mask.nii.gz",
        "b_mask.nii.gz",
        "predictions.json",
    }
    for case, labels in truth.items():
        np.testing.assert_array_equal(labels_in(tmp_path / "masks" / f"{case}_mask.nii.gz"), labels)
    told = predictions(tmp_path / "masks")
    first = told["cases"][0]
    assert (first["case"], first["mask"]) == ("a", "a_mask.nii.gz")
    assert first["liver_ml"] == pytest.approx(20 * 12 * 4 * 0.009)
    assert first["tumor_ml"] == pytest.approx(4 * 4 * 2 * 0.009)
    assert first["tumor_burden"] == pytest.approx(32 / 960)
    assert (first["lesion_count"], first["lesions"][0]["slice_from_feet"]) == (1, 2)
    assert (first["shape"], first["axes"]) == ([32, 32, 6], "LPS")
    assert set(first["seconds"]) == {"read", "predict", "measure", "write"}
    assert first["warnings"] == ["The liver has 9 ml, of adults 500 to 4000 ml are likely."]
    assert told["failed"] == []
    (origin,) = told["checkpoints"]
    assert (origin["path"], len(origin["sha256"])) == (str(ckpt), 64)
    assert told["versions"]["torch"]
    assert "[1/2] a: 6/6" in printed
    assert "lesion_count" in printed
    # The masks are found again under the names of their cases.
    shutil.copytree(tmp_path / "masks", tmp_path / "references")
    arguments = ("predictions=masks", "references=references", "paths.output_dir=scores")
    succeed("evaluate", *arguments, cwd=tmp_path)


def test_a_bad_scan_does_not_stop_the_others(make_checkpoint, run, tmp_path: Path) -> None:
    scans = tmp_path / "scans"
    scans.mkdir()
    for case in ("a", "c"):
        write_scan(scans / f"{case}.nii.gz")
    (scans / "b.nii.gz").write_bytes((scans / "a.nii.gz").read_bytes()[:200])
    done = run("predict", f"ckpt={make_checkpoint()}", "input=scans", "output=masks", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith("predict: 1 of 3 scans could not be predicted: scans/b.nii.gz: truncated")
    assert done.stderr.count("\n") == 1
    told = predictions(tmp_path / "masks")
    assert [row["case"] for row in told["cases"]] == ["a", "c"]
    assert told["failed"][0]["case"] == "b"
    assert "truncated" in told["failed"][0]["reason"]
    assert {path.name for path in (tmp_path / "masks").glob("*.gz")} == {"a_mask.nii.gz", "c_mask.nii.gz"}


def test_masks_that_are_there_are_kept_unless_told_otherwise(
    make_checkpoint, run, succeed, tmp_path: Path
) -> None:
    ckpt = make_checkpoint()
    labels = write_scan(tmp_path / "a.nii.gz")
    (tmp_path / "masks").mkdir()
    by_hand = tmp_path / "masks" / "a_mask.nii.gz"
    by_hand.write_bytes(gzip.compress(b"drawn by hand"))
    before = by_hand.read_bytes()
    arguments = (f"ckpt={ckpt}", "input=a.nii.gz", "output=masks")
    refused = run("predict", *arguments, cwd=tmp_path)
    assert refused.returncode == 2
    assert "a_mask.nii.gz is there already; choose another folder, or overwrite=true" in refused.stderr
    assert by_hand.read_bytes() == before
    succeed("predict", *arguments, "overwrite=true", cwd=tmp_path)
    np.testing.assert_array_equal(labels_in(by_hand), labels)


def test_a_scan_in_an_archive_is_named_by_the_archive(make_checkpoint, succeed, tmp_path: Path) -> None:
    labels = write_scan(tmp_path / "x.nii.gz")
    with zipfile.ZipFile(tmp_path / "anna.zip", "w") as archive:
        archive.write(tmp_path / "x.nii.gz", "deep/below/x.nii.gz")
    succeed("predict", f"ckpt={make_checkpoint()}", "input=anna.zip", "output=masks", cwd=tmp_path)
    np.testing.assert_array_equal(labels_in(tmp_path / "masks" / "anna_mask.nii.gz"), labels)


def test_masks_are_drawn_and_laid_on_one_sheet(make_checkpoint, succeed, tmp_path: Path) -> None:
    ckpt, scans = make_checkpoint(), tmp_path / "scans"
    scans.mkdir()
    write_scan(scans / "a.nii.gz")
    asked = ("predict", f"ckpt={ckpt}", "input=scans", "output=masks", "overlays=true")
    printed = succeed(*asked, cwd=tmp_path)
    assert f"{Path('masks')}/overlays.png shows 1 mask\n" in printed
    (row,) = predictions(tmp_path / "masks")["cases"]
    assert row["overlay"] == "overlays/a.png"
    assert set(row["files_sha256"]) == {"a_mask.nii.gz", "overlays/a.png"}
    alone = (tmp_path / "masks" / "overlays.png").read_bytes()
    write_scan(scans / "b.nii.gz", shift=2)
    assert "overlays.png shows 2 masks" in succeed(*asked, cwd=tmp_path)  # that of the first was kept
    assert (tmp_path / "masks" / "overlays.png").read_bytes() != alone


def test_all_settings_reach_the_mask(make_checkpoint, succeed, tmp_path: Path) -> None:
    ckpt, other = make_checkpoint(), make_checkpoint("other.ckpt")
    labels = write_scan(tmp_path / "a.nii.gz")
    succeed(
        "predict",
        f"ckpt=[{ckpt},{other}]",
        "input=a.nii.gz",
        "output=masks",
        "flips=[left_right,front_back]",
        "temperature=[2,2]",
        "postprocess.min_lesion_ml=5",
        "postprocess.largest_liver=true",
        "batch_size=2",
        "probabilities=true",
        "precision=float32",
        cwd=tmp_path,
    )
    np.testing.assert_array_equal(labels_in(tmp_path / "masks" / "a_mask.nii.gz"), np.minimum(labels, 1))
    told = predictions(tmp_path / "masks")
    assert told["settings"] == {
        "precision": "float32",
        "batch_size": 2,
        "output_format": "nii.gz",
        "mask_suffix": "_mask",
        "flips": ["left_right", "front_back"],
        "temperature": [2, 2],
        "postprocess": {
            "largest_liver": True,
            "tumor_within_liver": False,
            "min_lesion_ml": 5,
            "min_lesion_probability": 0,
        },
    }
    assert len(told["checkpoints"]) == 2
    (row,) = told["cases"]
    assert row["probabilities"] == {
        "liver": "probabilities/a_liver.nii.gz",
        "tumor": "probabilities/a_tumor.nii.gz",
    }
    probs = nib.load(tmp_path / "masks" / row["probabilities"]["tumor"])
    np.testing.assert_array_equal(probs.get_fdata() > 0.5, labels == 2)
    np.testing.assert_array_equal(probs.affine, nib.load(tmp_path / "a.nii.gz").affine)
    # Who scores the folder finds masks in it and nothing else.
    shutil.copytree(tmp_path / "masks", tmp_path / "references")
    scored = ("predictions=masks", "references=references", "paths.output_dir=scores", "overlays=true")
    printed = succeed("evaluate", *scored, cwd=tmp_path)
    assert "scores/overlays.png shows 1 case, the worst first\n" in printed
    assert (tmp_path / "scores" / "overlays.png").stat().st_size > 1000
    assert 'href="viewer/a.html' in (tmp_path / "scores" / "report.html").read_text()
    assert (tmp_path / "scores" / "viewer" / "a.html").is_file()


def test_a_training_scan_and_a_scan_without_liver_are_told(make_checkpoint, succeed, tmp_path: Path) -> None:
    write_volume(tmp_path / "fat.nii.gz", np.full((16, 16, 2), -90, np.int16), affine=np.diag([2, 2, 4, 1]))
    ckpt = make_checkpoint(trained_on=[tmp_path / "fat.nii.gz"])
    printed = succeed("predict", f"ckpt={ckpt}", "input=fat.nii.gz", "output=masks", cwd=tmp_path)
    (row,) = predictions(tmp_path / "masks")["cases"]
    assert row["warnings"] == [
        "Its values are -90 to -90, none of air (below -500 HU): that they are HU is doubtful.",
        "No liver was found.",
        "The model was trained on this scan: its mask says little about others.",
    ]
    assert row["tumor_burden"] is None
    assert "fat: No liver was found." in printed


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("ckpt=model.ckpt", "input=a.nii.gz"), "output"),
        (("ckpt=no.ckpt", "input=a.nii.gz", "output=masks"), "no.ckpt: no such file"),
        (("ckpt=[]", "input=a.nii.gz", "output=masks"), "ckpt: must name a checkpoint file"),
        (("ckpt=model.ckpt", "input=no.nii.gz", "output=masks"), "no.nii.gz: no such file or folder"),
        (("ckpt=model.ckpt", "input=.", "output=."), "output: must not be the folder of the scans"),
        (("ckpt=model.ckpt", "input=a.nii.gz", "output=a.nii.gz/x"), "output: "),
        (
            ("ckpt=model.ckpt", "input=a.nii.gz", "output=masks", "flips=[up]"),
            "flips: must be a list of left_right or front_back, got ['up']",
        ),
        (("ckpt=model.ckpt", "input=a.nii.gz", "output=masks", "postproces.x=1"), "Did you mean postprocess"),
        (
            ("ckpt=model.ckpt", "input=a.nii.gz", "output=masks", "dicom_seg=true", "dicom_seg_layout=x"),
            "dicom_seg_layout: must be one of nested, disjoint, labelmap, got 'x'",
        ),
        (
            ("ckpt=model.ckpt", "input=a.nii.gz", "output=masks", "dicom_sr=true"),
            "dicom_sr: refers to the segments of a DICOM SEG, and needs dicom_seg=true",
        ),
    ],
)
def test_what_cannot_be_done_is_told_in_one_line_and_nothing_is_written(
    arguments: tuple[str, ...], message: str, make_checkpoint, run, tmp_path: Path
) -> None:
    make_checkpoint()
    write_scan(tmp_path / "a.nii.gz")
    before = sorted(tmp_path.rglob("*"))
    refused = run("predict", *arguments, cwd=tmp_path)
    assert refused.returncode == 2, refused.stderr
    assert message in refused.stderr
    assert refused.stderr.count("\n") == 1
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.slow
def test_odd_files_are_predicted_or_refused_each_for_its_own_reason(
    make_checkpoint, run, real_data: Path, tmp_path: Path
) -> None:
    done = run("predict", f"ckpt={make_checkpoint()}", f"input={real_data}/odd", "output=masks", cwd=tmp_path)
    assert (done.returncode, "Traceback" in done.stderr) == (2, False)
    told = predictions(tmp_path / "masks")
    assert {row["case"] for row in told["cases"]} == {
        *("CT_pitch", "anatomical", "draw", "low_res", "reoriented_anat_moved", "standard"),
    }
    for row in told["cases"]:
        scan = nib.load(row["input"])
        mask = nib.load(tmp_path / "masks" / row["mask"])
        np.testing.assert_array_equal(mask.affine, scan.affine)
        assert mask.shape == scan.shape


def test_series_become_masks_and_segmentations_and_a_broken_one_stops_no_other(
    make_checkpoint, phantoms, run, tmp_path: Path
) -> None:
    def change(dataset: Dataset, index: int) -> None:
        dataset.PatientSex = "f"  # for `F`

    def without_study(dataset: Dataset, index: int) -> None:
        del dataset.StudyInstanceUID

    (phantoms.folder / "in").mkdir()
    stored = np.full((16, 12, 5), 1000, np.int16)  # -24 HU
    stored[3:9, 2:8, 1:4], stored[4:6, 3:5, 2] = 1124, 1224  # liver of 100 HU, tumor of 200 HU
    for name, changed in {"a": change, "b": change, "c": without_study}.items():
        with pydicom.config.disable_value_validation():
            phantoms.series(stored, name=f"in/{name}", change=changed)
    broken = phantoms.folder / "in" / "b" / "im0.dcm"
    broken.write_bytes(broken.read_bytes()[:300])
    ckpt = make_checkpoint(recipe={"image_size": 16, "pixel_mm": 0.5, "modality": "ct"})
    arguments = ("output=masks", "dicom_seg=true", "dicom_seg_layout=disjoint", "dicom_rtstruct=true")
    done = run("predict", f"ckpt={ckpt}", "input=in", *arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert "predict: 1 of 3 scans could not be predicted: in/b/im0.dcm: " in done.stderr
    told = predictions(tmp_path / "masks")
    assert [row["case"] for row in told["cases"]] == ["a", "c"]
    first, second = told["cases"]
    assert first["dicom_seg"] == "a_mask.dcm"
    segmentation, header = (
        dcmread(tmp_path / "masks" / "a_mask.dcm"),
        dcmread(next(broken.parent.parent.glob("a/*"))),
    )
    assert first["series_uid"] == header.SeriesInstanceUID
    assert segmentation.ReferencedSeriesSequence[0].SeriesInstanceUID == header.SeriesInstanceUID
    assert (segmentation.PatientSex, segmentation.SegmentsOverlap) == ("F", "NO")
    structures = dcmread(tmp_path / "masks" / first["dicom_rtstruct"])
    assert [len(roi.ContourSequence) for roi in structures.ROIContourSequence] == [3, 1]
    (note,) = (warning for warning in first["warnings"] if "output" in warning)
    assert note == "DICOM output: mended, as the series breaks DICOM's rules: PatientSex."
    assert f"a: {note}" in done.stdout
    # a series that nothing can refer to has its mask, and was told before the network ran
    reason = "a DICOM result refers to its StudyInstanceUID, which is missing"
    for kind in ("dicom_seg", "dicom_rtstruct"):
        assert second[kind] is None
        assert second[f"{kind}_refused"].endswith(reason)
    assert done.stdout.index("c: no DICOM SEG or RTSTRUCT: in/c/im") < done.stdout.index("[3/3] c, s")
    assert "; 1 of 2 masks are written, but not as DICOM SEG or RTSTRUCT: in/c/im" in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "masks" / "c_mask.dcm").exists()
    for case in ("a", "c"):
        mask = nib.load(tmp_path / "masks" / f"{case}_mask.nii.gz")
        ras = mask.affine @ [4, 3, 2, 1]
        expected = phantoms.lps(stored.shape)[4, 3, 2] * (-1, -1, 1)
        np.testing.assert_allclose(ras[:3], expected, atol=1e-4)
        assert mask.dataobj[4, 3, 2] == 2


def test_of_a_study_the_volume_is_predicted_and_of_its_phases_the_one_that_is_chosen(
    make_checkpoint, phantoms, run, succeed, tmp_path: Path
) -> None:
    stored = np.full((16, 12, 10), 1000, np.int16)  # -24 HU
    stored[3:9, 2:8, 2:8], stored[4:6, 3:5, 5] = 1124, 1224  # the tumor is in the second phase alone

    def phases(dataset: Dataset, index: int) -> None:
        dataset.AcquisitionNumber = 1 + index % 2

    def scout(dataset: Dataset, index: int) -> None:
        dataset.ImageType = ["ORIGINAL", "PRIMARY", "LOCALIZER"]

    (phantoms.folder / "in").mkdir()
    ct = phantoms.series(stored, name="in/ct", change=phases)
    phantoms.series(stored[..., :1], name="in/scout", change=scout)
    for path in sorted(ct.iterdir())[:4]:
        path.write_bytes(path.read_bytes()[132:])  # as archives write it
    ckpt = make_checkpoint(recipe={"image_size": 16, "pixel_mm": 0.5, "modality": "ct"})
    dicom = ("dicom_seg=true", "dicom_sr=true")
    arguments = (f"ckpt={ckpt}", "input=in", "output=masks", *dicom, "overwrite=true")
    refused = run("predict", *arguments, cwd=tmp_path)
    assert refused.returncode == 2
    assert refused.stderr == (
        "predict: in/ct: must hold one acquisition, got 2 that lie within each other: 1 (5 images: "
        "AcquisitionNumber 1), 2 (5 images: AcquisitionNumber 2); acquisition=1 chooses one, "
        "acquisition=all takes all as one volume\n"
    )
    printed = succeed("predict", *arguments, "acquisition=2", cwd=tmp_path)
    left_out = "1 series that is no volume: series 'portal venous' in scout, 1 localizer"
    assert f"passed over: {left_out}" in printed
    assert "[1/1] ct, series 'portal venous', 10 files: 5/5\n" in printed
    told = predictions(tmp_path / "masks")
    assert (told["passed_over"], told["failed"]) == ([left_out], [])
    (row,) = told["cases"]
    assert (row["case"], row["shape"], row["spacing_mm"][2]) == ("ct", [16, 12, 5], 5)
    labels = labels_in(tmp_path / "masks" / row["mask"])
    expected = ((stored > 1100).astype(int) + (stored > 1200))[..., 1::2]
    np.testing.assert_array_equal(labels, expected)
    segmentation, report = (dcmread(tmp_path / "masks" / row[kind]) for kind in ("dicom_seg", "dicom_sr"))
    assert (segmentation.Modality, report.Modality) == ("SEG", "SR")
    values = [str(element.value) for element in report.iterall()]
    assert segmentation.SOPInstanceUID in values
    assert f"checkpoint {ckpt.name}, SHA-256 {told['checkpoints'][0]['sha256']}" in values
    assert row["lesions"][0]["longest_axial_mm"] == pytest.approx(np.hypot(2 * 0.5, 2 * 0.75))


@pytest.mark.parametrize(
    ("given", "names", "acquisition"),
    [
        ((), (), ""),
        (("series=2", "acquisition=1"), ("2",), "1"),
        (("series=['1.2.3',4]", "acquisition=all"), ("1.2.3", "4"), "all"),
    ],
)
def test_series_are_chosen_by_names_and_numbers(given: tuple, names: tuple, acquisition: str) -> None:
    settings = compose("predict", "ckpt=a", "input=b", "output=c", *given)
    assert series_choice(settings) == SeriesChoice(names=names, acquisition=acquisition)


@pytest.mark.parametrize("value", ["true", "1.5", "''", "{a:1}", "[[1]]", "[null]"])
@pytest.mark.parametrize("key", ["series", "acquisition"])
def test_another_choice_of_series_is_refused_by_its_key(key: str, value: str) -> None:
    with pytest.raises(ConfigError, match=f"^{key}: must be (a name|text) or (a whole )?number"):
        series_choice(compose("predict", "ckpt=a", "input=b", "output=c", f"{key}={value}"))


def test_a_nifti_scan_has_no_series_to_refer_to(make_checkpoint, run, tmp_path: Path) -> None:
    labels = write_scan(tmp_path / "a.nii.gz")
    arguments = (f"ckpt={make_checkpoint()}", "input=a.nii.gz", "output=masks", "dicom_seg=true")
    refused = run("predict", *arguments, cwd=tmp_path)
    assert refused.returncode == 2
    assert refused.stderr == (
        "predict: 1 of 1 masks are written, but not as DICOM SEG: "
        "a.nii.gz: dicom_seg=true needs a DICOM series, got NIfTI\n"
    )
    np.testing.assert_array_equal(labels_in(tmp_path / "masks" / "a_mask.nii.gz"), labels)


@pytest.mark.slow
def test_a_real_series_and_its_nifti_twin_have_the_same_mask_in_the_world(
    make_checkpoint, succeed, real_data: Path, tmp_path: Path
) -> None:
    ckpt = make_checkpoint(recipe={"image_size": 128, "pixel_mm": None, "modality": "ct"})
    for name in ("ct_series", "ct_series.nii.gz"):
        succeed("predict", f"ckpt={ckpt}", f"input={real_data}/dicom/{name}", f"output={name}", cwd=tmp_path)
    series, twin = (
        nib.as_closest_canonical(nib.load(tmp_path / name / "ct_series_mask.nii.gz"))
        for name in ("ct_series", "ct_series.nii.gz")
    )
    np.testing.assert_allclose(series.affine, twin.affine, atol=1e-4)
    labels = np.asarray(series.dataobj)
    np.testing.assert_array_equal(labels, np.asarray(twin.dataobj))
    assert (labels == 1).any()
    assert (labels == 2).any()


@pytest.mark.parametrize(
    ("scan", "output_format"), [("a.mhd", "mha"), ("a.nrrd", "nii"), ("a.nii.gz", "nrrd")]
)
def test_masks_are_written_in_the_format_that_is_asked_for(
    make_checkpoint, run, scan: str, output_format: str, tmp_path: Path
) -> None:
    (tmp_path / "scans").mkdir()
    write_scan(tmp_path / "source.nii.gz")
    image = SimpleITK.ReadImage(str(tmp_path / "source.nii.gz"))
    SimpleITK.WriteImage(image, str(tmp_path / "scans" / scan))
    SimpleITK.WriteImage(image, str(tmp_path / "scans" / "a.seg.nrrd"))
    ckpt = make_checkpoint()
    line = ("predict", f"ckpt={ckpt}", "device=cpu", "probabilities=true", f"output_format={output_format}")
    done = run(*line, "input=scans", "output=masks", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    record = json.loads((tmp_path / "masks" / "predictions.json").read_text())
    assert record["passed_over"] == ["1 mask beside its volume (a.seg.nrrd)"]
    (row,) = record["cases"]
    assert row["mask"] == f"a_mask.{output_format}"
    assert row["probabilities"] == {
        region: f"probabilities/a_{region}.{output_format}" for region in ("liver", "tumor")
    }
    mask = SimpleITK.ReadImage(str(tmp_path / "masks" / row["mask"]))
    liver = SimpleITK.ReadImage(str(tmp_path / "masks" / row["probabilities"]["liver"]))
    SimpleITK.Mask(image, mask)  # refuses another physical space
    hu, labels, probability = map(SimpleITK.GetArrayFromImage, (image, mask, liver))
    np.testing.assert_array_equal(labels, (hu > 75).astype(int) + (hu > 150))
    np.testing.assert_array_equal(probability > 0.5, hu > 75)
    again = run(*line, "input=scans", "output=masks", cwd=tmp_path)
    assert "kept 1 mask" in again.stdout
    other = run("predict", f"ckpt={ckpt}", "device=cpu", "input=scans", "output=masks", cwd=tmp_path)
    assert other.returncode == 2
    assert f'made with output_format="{output_format}", now "nii.gz"' in other.stderr


@pytest.mark.parametrize("suffix", ["", ".seg", "_lts-1"])
def test_masks_are_named_as_asked(make_checkpoint, succeed, suffix: str, tmp_path: Path) -> None:
    (tmp_path / "scans").mkdir()
    for name in ("a", "b"):
        write_scan(tmp_path / "scans" / f"{name}_0000.nii.gz")
    named = f"mask_suffix='{suffix}'"
    succeed("predict", f"ckpt={make_checkpoint()}", "input=scans", "output=masks", named, cwd=tmp_path)
    assert {path.name for path in (tmp_path / "masks").iterdir()} == {
        f"a{suffix}.nii.gz",
        f"b{suffix}.nii.gz",
        "predictions.json",
    }


@pytest.mark.parametrize("suffix", ["/../x", "a b", "..", "x" * 51, "\u00e4"])
def test_a_suffix_that_is_no_part_of_a_file_name_is_refused(
    make_checkpoint, run, suffix: str, tmp_path: Path
) -> None:
    write_scan(tmp_path / "a.nii.gz")
    line = (f"ckpt={make_checkpoint()}", "input=a.nii.gz", "output=masks", f"mask_suffix='{suffix}'")
    done = run("predict", *line, cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith(
        "predict: mask_suffix: must be at most 50 letters, digits and signs of _.-, got"
    )
    assert not (tmp_path / "masks").exists()


def test_nnunet_evaluates_our_masks_and_we_its_references(make_checkpoint, succeed, tmp_path: Path) -> None:
    metrics = pytest.importorskip(
        "nnunetv2.evaluation.evaluate_predictions", reason="the extra `nnunet` is not installed"
    )
    (tmp_path / "scans").mkdir()
    (tmp_path / "labelsTr").mkdir()
    for number, name in enumerate(("a", "b")):
        labels = write_scan(tmp_path / "scans" / f"{name}_0000.nii.gz", shift=number)
        labels[:, 12 + number :] = 0  # so that scores are neither 0 nor 1
        scan = nib.load(tmp_path / "scans" / f"{name}_0000.nii.gz")
        nib.save(nib.Nifti1Image(labels, scan.affine), tmp_path / "labelsTr" / f"{name}.nii.gz")
    line = (f"ckpt={make_checkpoint()}", "input=scans", "output=masks", "mask_suffix=''")
    succeed("predict", *line, cwd=tmp_path)
    facts = {
        "labels": {"background": 0, "liver": [1, 2], "tumor": 2},
        "regions_class_order": [1, 2],
        "file_ending": ".nii.gz",
    }
    (tmp_path / "dataset.json").write_text(json.dumps(facts))
    (tmp_path / "plans.json").write_text(json.dumps({"image_reader_writer": "SimpleITKIO"}))
    metrics.compute_metrics_on_folder2(
        *(str(tmp_path / name) for name in ("labelsTr", "masks", "dataset.json", "plans.json")),
        output_file=str(tmp_path / "summary.json"),
        num_processes=1,
        chill=True,
    )
    theirs = json.loads((tmp_path / "summary.json").read_text())["mean"]
    scored = ("predictions=masks", "references=labelsTr", "paths.output_dir=scores", "scoring.workers=1")
    succeed("evaluate", *scored, cwd=tmp_path)
    ours = json.loads((tmp_path / "scores" / "metrics.json").read_text())["regions"]
    assert 0 < ours["tumor"]["dice_per_case"] < ours["liver"]["dice_per_case"] < 1
    assert ours["liver"]["dice_per_case"] == pytest.approx(theirs["(1, 2)"]["Dice"])
    assert ours["tumor"]["dice_per_case"] == pytest.approx(theirs["2"]["Dice"])
