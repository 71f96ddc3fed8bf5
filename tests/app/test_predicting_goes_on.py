"""A folder of masks: gone on with, added to, and never replaced unasked."""

import json
import os
import shutil
import signal
import zipfile
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import kill_kit
import nibabel as nib
import numpy as np
import pytest
import SimpleITK
from filelock import FileLock

from lts.app.commands import predict as predict_module
from lts.app.commands import scan_job
from lts.app.commands.mask_pairs import masks_in
from lts.app.commands.predict import _NOT_OF_THE_MASK, predict
from lts.app.commands.predictions import CaseRequest
from lts.app.config.serialization import settings_from_dict
from lts.app.config.settings import PredictSettings
from lts.app.run.records import LOCK_FILE
from lts.app.run.signals import Interrupted
from lts.base import CohortError, ConfigError, StorageError
from lts.cohort import ArchiveLimits, find_scans
from lts.volume import write_volume

Predict = Callable[..., dict[str, Any]]


def write_scan(path: Path, *, shift: int = 0) -> None:
    """A liver of 100 HU with a tumor of 200 HU; those of another shift differ."""
    hu = np.full((32, 32, 6), -1000, np.int16)
    hu[2:30, 4:28], hu[4:24, 10:22, 1:5], hu[8 + shift : 12 + shift, 12:16, 2:4] = 30, 100, 200
    write_volume(path, hu, affine=np.diag([1.5, 1.5, 4, 1]))


def content(folder: Path) -> dict[str, tuple[bytes, int]]:
    """Bytes and times of all files."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)): (path.read_bytes(), path.stat().st_mtime_ns) for path in files}


@pytest.fixture
def scans(tmp_path: Path) -> Path:
    """Scans a, b and c."""
    (tmp_path / "scans").mkdir()
    for shift, case in enumerate("abc"):
        write_scan(tmp_path / "scans" / f"{case}.nii.gz", shift=shift)
    return tmp_path / "scans"


@pytest.fixture
def again(make_checkpoint, scans: Path, tmp_path: Path) -> Predict:
    """Predicts the scans into `masks` with the given changes of settings; returns `predictions.json`."""
    ckpt = str(make_checkpoint())

    def again(**changes: object) -> dict[str, Any]:
        given = {"ckpt": ckpt, "input": str(scans), "output": str(tmp_path / "masks"), "device": "cpu"}
        predict(settings_from_dict(PredictSettings, {**given, **changes}))
        return json.loads((tmp_path / "masks" / "predictions.json").read_text())

    return again


@pytest.fixture
def masks(tmp_path: Path) -> Path:
    return tmp_path / "masks"


def refused(again: Predict, masks: Path, message: str, **changes: object) -> None:
    """Hold that a run is refused in one line and leaves every byte as it was."""
    before = content(masks)
    with pytest.raises(ConfigError, match=message) as told:
        again(**changes)
    assert "\n" not in str(told.value)
    assert content(masks) == before


def test_what_is_unchanged_is_kept_to_the_byte_and_said(again, masks, capsys) -> None:
    again()
    before = content(masks)
    capsys.readouterr()
    again()
    again(overwrite=True, batch_size=3)
    assert content(masks) == before
    printed = capsys.readouterr().out
    assert printed.startswith("kept 3 masks of unchanged scans, models and settings\nmasks in ")
    assert "6/6" not in printed


def test_scans_may_be_added_one_by_one_and_earlier_rows_stay_in_their_order(again, scans, masks) -> None:
    for case in ("c", "a"):
        told = again(input=str(scans / f"{case}.nii.gz"))
    assert [row["case"] for row in told["cases"]] == ["c", "a"]
    assert told["passed_over"] == []
    rows, before = told["cases"], (masks / "c_mask.nii.gz").stat().st_mtime_ns
    (scans / "a.txt").touch()
    told = again()
    assert "a.txt" in told["passed_over"][0]  # of the last run
    assert [row["case"] for row in told["cases"]] == ["c", "a", "b"]
    assert told["cases"][:2] == rows
    assert (masks / "c_mask.nii.gz").stat().st_mtime_ns == before


def test_a_scan_is_known_by_its_content_and_not_by_its_place(again, scans, masks, tmp_path: Path) -> None:
    again()
    before = content(masks)
    moved = scans.rename(tmp_path / "moved")
    again(input=str(moved))
    assert content(masks) == before


def test_another_scan_of_the_same_name_is_refused_and_replaced_in_its_place_on_demand(
    again, scans, masks
) -> None:
    rows = again()["cases"]
    write_scan(scans / "b.nii.gz", shift=7)
    refused(
        again, masks, r"output: .*masks holds the mask of another scan as b, of .*b.nii.gz; .*overwrite=true"
    )
    told = again(overwrite=True)
    assert [row["case"] for row in told["cases"]] == ["a", "b", "c"]
    assert (told["cases"][0], told["cases"][2]) == (rows[0], rows[2])
    assert told["cases"][1]["scan_sha256"] != rows[1]["scan_sha256"]
    assert np.asarray(nib.load(masks / "b_mask.nii.gz").dataobj)[17, 13, 2] == 2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"flips": ["left_right"]}, r"flips=\[\], now \[\"left_right\"\]"),
        ({"temperature": [2, 1]}, r"temperature=null, now \[2, 1\]"),
        ({"postprocess": {"min_lesion_ml": 1}}, "postprocess.min_lesion_ml=0, now 1"),
        ({"ckpt": "other.ckpt"}, "ckpt=.*model.ckpt, now .*other.ckpt"),
        ({"ckpt": ["model.ckpt", "other.ckpt"]}, r"ckpt=.*model.ckpt, now \[.*model.ckpt,.*other.ckpt\]"),
    ],
)
def test_masks_of_other_settings_are_refused_by_name_and_made_anew_on_demand(
    change: dict[str, Any], message: str, again, masks, make_checkpoint, scans, tmp_path: Path
) -> None:
    make_checkpoint("other.ckpt", trained_on=[scans / "a.nii.gz"])
    if "ckpt" in change:
        named = [change["ckpt"]] if isinstance(change["ckpt"], str) else change["ckpt"]
        change = {"ckpt": [str(tmp_path / name) for name in named]}
    before = again()
    refused(again, masks, f"output: .*masks holds masks made with {message}; .*overwrite=true", **change)
    only_one = {"input": str(scans / "a.nii.gz"), "overwrite": True}
    refused(
        again, masks, "holds masks of other scans than the input's, b, c, made with", **change, **only_one
    )
    told = again(**change, overwrite=True)
    assert [row["case"] for row in told["cases"]] == ["a", "b", "c"]
    assert (told["settings"], told["checkpoints"]) != (before["settings"], before["checkpoints"])


def test_a_checkpoint_that_changed_under_its_name_is_told(again, masks, make_checkpoint, scans) -> None:
    again()
    make_checkpoint(trained_on=[scans / "a.nii.gz"])
    refused(again, masks, "made with ckpt=.*model.ckpt, whose content has changed since; ")


def test_more_files_of_a_case_than_there_are_are_refused_and_fewer_are_not(again, masks) -> None:
    again()
    refused(again, masks, "masks holds a made with probabilities=false, now true; ", probabilities=True)
    told = again(probabilities=True, overwrite=True)
    before = content(masks)
    assert told["cases"][0]["files_sha256"].keys() == {
        "a_mask.nii.gz",
        "probabilities/a_liver.nii.gz",
        "probabilities/a_tumor.nii.gz",
    }
    again()
    assert content(masks) == before
    (masks / "a_mask.nii.gz").unlink()  # what was written beside it is no stranger's
    again(probabilities=True)
    assert content(masks).keys() == before.keys()


def test_a_record_without_a_setting_that_came_later_is_gone_on_with(again, masks) -> None:
    before = again()
    del before["settings"]["output_format"], before["settings"]["mask_suffix"]
    (masks / "predictions.json").write_text(json.dumps(before))
    times = {path: path.stat().st_mtime_ns for path in masks.glob("*.nii.gz")}
    again()
    assert times == {path: path.stat().st_mtime_ns for path in masks.glob("*.nii.gz")}
    refused(again, masks, 'made with output_format="nii.gz", now "nrrd"', output_format="nrrd")


def test_a_mask_of_other_settings_that_could_not_be_replaced_is_told(again, scans, masks) -> None:
    again()
    (scans / "b.nii.gz").write_bytes(b"broken")
    left = "not a NIfTI file; .*b_mask.nii.gz is still the one made with flips=.*, now "
    with pytest.raises(CohortError, match=left):
        again(flips=["left_right"], overwrite=True)
    (row,) = json.loads((masks / "predictions.json").read_text())["failed"]
    assert row["reason"].endswith('now ["left_right"]')
    (masks / "b_mask.nii.gz").unlink()
    with pytest.raises(CohortError, match="not a NIfTI file$"):
        again(flips=["left_right"])


def test_of_a_mask_of_other_settings_that_is_gone_nothing_is_told(again, scans, masks) -> None:
    again()
    (scans / "b.nii.gz").write_bytes(b"broken")
    (masks / "b_mask.nii.gz").unlink()
    with pytest.raises(CohortError, match="not a NIfTI file$"):
        again(flips=["left_right"], overwrite=True)


def test_a_folder_without_a_mask_is_of_no_settings(again, scans, masks, tmp_path: Path) -> None:
    (tmp_path / "broken.nii.gz").write_bytes(b"broken")
    with pytest.raises(CohortError, match="broken.nii.gz"):
        again(input=str(tmp_path / "broken.nii.gz"))
    told = again(input=str(scans / "a.nii.gz"), flips=["left_right"])
    assert told["settings"]["flips"] == ["left_right"]
    assert [row["case"] for row in told["failed"]] == ["broken"]


def test_the_order_of_models_and_settings_of_other_versions_are_no_difference_and_one(
    again, masks, make_checkpoint, scans, tmp_path: Path
) -> None:
    make_checkpoint("other.ckpt", trained_on=[scans / "a.nii.gz"])
    ckpts = [str(tmp_path / name) for name in ("model.ckpt", "other.ckpt")]
    told = again(ckpt=ckpts, precision="float32")
    masked = content(masks)["a_mask.nii.gz"]
    again(ckpt=ckpts[::-1], precision="float32")
    assert content(masks)["a_mask.nii.gz"] == masked
    for settings, difference in (
        ({**told["settings"], "sharpen": True}, "sharpen=true, now null"),
        ({key: told["settings"][key] for key in ("temperature", "postprocess")}, r"flips=null, now \[\]"),
    ):
        (masks / "predictions.json").write_text(json.dumps({**told, "settings": settings}))
        refused(again, masks, f"made with {difference}", ckpt=ckpts, precision="float32")


def test_a_record_of_before_a_setting_goes_on_as_what_held_then(again, masks) -> None:
    told = again(precision="float32")
    masked = content(masks)["a_mask.nii.gz"]
    settings = {**told["settings"], "postprocess": {**told["settings"]["postprocess"]}}
    for section, key in ((settings, "precision"), (settings["postprocess"], "min_lesion_probability")):
        del section[key]
    (masks / "predictions.json").write_text(json.dumps({**told, "settings": settings}))
    again(precision="float32")
    assert content(masks)["a_mask.nii.gz"] == masked
    told = r"made with postprocess.min_lesion_probability=0, now 0.9"
    surer = {"min_lesion_probability": 0.9}
    refused(again, masks, told, postprocess=surer, precision="float32")


def test_a_mask_that_was_corrected_by_hand_is_refused_and_one_that_is_gone_is_made_anew(again, masks) -> None:
    rows = again()["cases"]
    mask = masks / "b_mask.nii.gz"
    written = mask.read_bytes()
    mask.write_bytes(b"drawn by hand")
    refused(again, masks, r"output: .*b_mask.nii.gz has changed since it was written; .*overwrite=true")
    mask.unlink()
    told = again()
    assert mask.read_bytes() == written
    assert [{**row, "seconds": 0} for row in told["cases"]] == [{**row, "seconds": 0} for row in rows]


def test_a_file_of_nobody_beside_a_mask_that_is_gone_is_refused(again, masks) -> None:
    again()
    (masks / "b_mask.nii.gz").unlink()
    (masks / "probabilities").mkdir()
    (masks / "probabilities" / "b_liver.nii.gz").write_bytes(b"mine")
    told = json.loads((masks / "predictions.json").read_text())
    for row in told["cases"]:
        row["outputs"] = {"probabilities": True}
    (masks / "predictions.json").write_text(json.dumps(told))
    refused(again, masks, "probabilities/b_liver.nii.gz is there already", probabilities=True)


def test_what_failed_is_tried_again_and_leaves_the_list(again, scans, masks) -> None:
    sound = (scans / "b.nii.gz").read_bytes()
    (scans / "b.nii.gz").write_bytes(sound[:200])
    with pytest.raises(CohortError, match="1 of 3 scans could not be predicted: .*b.nii.gz: truncated"):
        again()
    with pytest.raises(CohortError, match="1 of 3 scans could not be predicted"):
        again()
    told = json.loads((masks / "predictions.json").read_text())
    assert [row["case"] for row in told["failed"]] == ["b"]
    assert "in_progress" not in told
    assert again(input=str(scans / "a.nii.gz"))["failed"] == told["failed"]  # and is no failure of this run
    (scans / "b.nii.gz").write_bytes(sound)
    told = again()
    assert ([row["case"] for row in told["cases"]], told["failed"]) == (["a", "c", "b"], [])
    (scans / "b.nii.gz").write_bytes(sound[:200])
    with pytest.raises(CohortError, match="1 of 3 scans could not be predicted"):
        again(overwrite=True)
    (scans / "b.nii.gz").write_bytes(sound)
    assert again()["failed"] == []  # its mask is still there


def test_a_scan_of_which_a_file_is_gone_stops_no_other(again, scans, masks) -> None:
    image = SimpleITK.ReadImage(str(scans / "a.nii.gz"))
    for key in image.GetMetaDataKeys():
        image.EraseMetaData(key)
    SimpleITK.WriteImage(image, str(scans / "d.nhdr"))
    again()
    (voxels,) = scans.glob("d.raw*")
    voxels.unlink()
    write_scan(scans / "e.nii.gz", shift=4)
    with pytest.raises(
        CohortError, match=r"1 of 5 scans could not be predicted: .*d.nhdr: its voxels must be"
    ):
        again()
    told = json.loads((masks / "predictions.json").read_text())
    assert [row["case"] for row in told["failed"]] == ["d"]
    assert "e" in [row["case"] for row in told["cases"]]


@pytest.mark.parametrize("overwrite", [False, True])
def test_no_scan_is_replaced_by_its_mask(again, scans: Path, masks: Path, overwrite: bool) -> None:
    before = content(scans)
    scan = scans / "a.nii.gz"
    with pytest.raises(
        ConfigError, match=r"output: .*a\.nii\.gz is a scan of the input and would be replaced"
    ):
        again(input=str(scan), output=str(scans), mask_suffix="", overwrite=overwrite)
    assert content(scans) == before


OURS = {
    "cases": [],
    "failed": [],
    "regions": [],
    "checkpoints": [],
    "settings": {},
    "device": "",
    "versions": {},
}
ROW = {"case": "x", "scan_sha256": "0", "files_sha256": {}, "outputs": {}}


@pytest.mark.parametrize(
    "found",
    [
        '{"cases": [',
        "[]",
        "{}",
        b"\xff\xfe",
        json.dumps({**OURS, "cases": [{"name": "x"}]}),
        json.dumps({**OURS, "cases": {}}),
        json.dumps({**OURS, "cases": [ROW, ROW]}),
        json.dumps({**OURS, "cases": [{**ROW, "files_sha256": []}]}),
        json.dumps({**OURS, "cases": [{**ROW, "outputs": None}]}),
        json.dumps({**OURS, "cases": [{**ROW, "versions": 1}]}),
        json.dumps({**OURS, "failed": [1]}),
        json.dumps({**OURS, "checkpoints": [{"path": "x"}]}),
        json.dumps({**OURS, "settings": []}),
        json.dumps({**OURS, "versions": None}),
        json.dumps({name: value for name, value in OURS.items() if name != "device"}),
        json.dumps({**OURS, "versions": {"lts": {}}}),
        json.dumps({**OURS, "in_progress": 1}),
        json.dumps({**OURS, "in_progress": [3]}),
        json.dumps({**OURS, "cases": [{**ROW, "warnings": 5}]}),
        json.dumps({**OURS, "cases": [{**ROW, "warnings": [None]}]}),
        json.dumps({**OURS, "cases": [{**ROW, "files_sha256": {"x_mask.nii.gz": 1}}]}),
    ],
)
@pytest.mark.parametrize("overwrite", [False, True])
def test_a_record_that_is_damaged_or_another_programs_is_refused(
    found: str | bytes, overwrite: bool, again, masks
) -> None:
    masks.mkdir()
    (masks / "predictions.json").write_bytes(found if isinstance(found, bytes) else found.encode())
    rule = "output: .*predictions.json: must .*; move it away, or choose another folder"
    refused(again, masks, rule, overwrite=overwrite)


def test_a_record_of_an_earlier_version_is_added_to_but_its_masks_prove_nothing(again, scans, masks) -> None:
    told = again(input=str(scans / "a.nii.gz"))
    (row,) = told["cases"]
    old = {name: row[name] for name in ("case", "mask", "liver_ml", "tumor_ml", "input")}
    (masks / "predictions.json").write_text(json.dumps({**told, "cases": [old], "note": "mine"}))
    refused(again, masks, "masks holds a without the hash of its scan, by an earlier version")
    told = again(input=str(scans / "b.nii.gz"))
    assert (told["cases"][0], told["cases"][1]["case"], told["note"]) == (old, "b", "mine")


def test_a_mask_says_itself_what_made_it_where_that_was_not_what_made_the_first(
    again, scans, masks, monkeypatch, capsys
) -> None:
    told = again(input=str(scans / "a.nii.gz"))
    versions = told["versions"]
    (masks / "predictions.json").write_text(json.dumps({**told, "device": "mps"}))
    monkeypatch.setattr(predict_module, "library_versions", lambda: {**versions, "lts": "99.0"})
    told = again()
    assert (told["versions"], told["device"]) == (versions, "mps")
    assert [row.get("device") for row in told["cases"]] == [None, "cpu", "cpu"]
    assert [row.get("versions", {}).get("lts") for row in told["cases"]] == [None, "99.0", "99.0"]
    assert (
        f"kept 1 mask of unchanged scans, models and settings; made by lts {versions['lts']}, this is 99.0"
        in (capsys.readouterr().out)
    )


def test_each_setting_shapes_masks_or_is_known_not_to() -> None:
    shaping = {"precision", "flips", "temperature", "postprocess", "output_format", "mask_suffix"}
    assert {field.name for field in fields(PredictSettings)} == shaping | set(_NOT_OF_THE_MASK)


def test_a_full_disk_ends_the_run_and_keeps_what_is_written(again, masks, monkeypatch) -> None:
    tried, real = [], scan_job.write_mask

    def write(path: Path, *arguments: Any, **more: Any) -> None:
        tried.append(path.name)
        if len(tried) == 2:
            raise StorageError(f"{path}: cannot be written: No space left on device")
        real(path, *arguments, **more)

    monkeypatch.setattr(scan_job, "write_mask", write)
    with pytest.raises(StorageError, match="b_mask.nii.gz: cannot be written"):
        again()
    assert tried == ["a_mask.nii.gz", "b_mask.nii.gz"]
    told = json.loads((masks / "predictions.json").read_text())
    assert ([row["case"] for row in told["cases"]], told["failed"]) == (["a"], [])
    assert told["in_progress"] == ["b"]
    monkeypatch.undo()
    told = again()
    assert [row["case"] for row in told["cases"]] == ["a", "b", "c"]
    assert "in_progress" not in told


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_leaves_a_true_record_and_says_how_to_go_on(again, masks, monkeypatch, signum: int) -> None:
    real = scan_job.write_mask

    def write(path: Path, *arguments: Any, **more: Any) -> None:
        real(path, *arguments, **more)
        if path.name[0] == "b":
            signal.raise_signal(signum)

    monkeypatch.setattr(scan_job, "write_mask", write)
    with pytest.raises(Interrupted) as told:
        again()
    assert told.value.exit_code == 128 + signum
    assert str(told.value) == "interrupted; 2 scans left, which the same command goes on with"
    record = json.loads((masks / "predictions.json").read_text())
    assert ([row["case"] for row in record["cases"]], record["in_progress"]) == (["a"], ["b"])
    assert not (masks / LOCK_FILE).exists()
    monkeypatch.undo()
    assert [row["case"] for row in again()["cases"]] == ["a", "b", "c"]  # b_mask.nii.gz is its own


def test_a_second_process_is_refused_before_anything_is_opened(again, masks) -> None:
    masks.mkdir()
    with FileLock(masks / LOCK_FILE):
        refused(
            again,
            masks,
            "output: .*masks must be of one run at a time, and one is using it",
            ckpt="gone.ckpt",
        )


def test_a_name_longer_than_a_file_name_may_be_is_refused_before_the_model_runs(
    again, scans, masks, monkeypatch
) -> None:
    (scans / "a.nii.gz").rename(scans / f"{'ä' * 70}.nii.gz")  # 140 bytes, and 12 more of its mask
    monkeypatch.setattr(os, "pathconf", lambda _folder, _name: 151)
    with pytest.raises(
        ConfigError, match=r"output: names of files must have at most 151 bytes, got ä+_mask.nii.gz"
    ):
        again()
    assert not masks.exists()
    monkeypatch.setattr(os, "pathconf", lambda _folder, _name: 152)
    assert (masks / f"{again()['cases'][-1]['case']}_mask.nii.gz").is_file()


def test_the_content_of_an_archive_is_gone_afterwards_whatever_ended_the_run(
    again, scans, masks, monkeypatch, tmp_path: Path
) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    (temporary / "lts-unpacked-left").mkdir()  # by a process that was killed
    (temporary / "lts-unpacked-left" / "patient.nii").touch()
    archive = tmp_path / "study.zip"
    with zipfile.ZipFile(archive, "w") as packed:
        packed.write(scans / "a.nii.gz", "below/a.nii.gz")
        packed.writestr("below/broken.nii.gz", b"no scan")
    with pytest.raises(CohortError, match=r"study.zip/below/broken.nii.gz: "):
        again(input=str(archive))
    assert not list(temporary.iterdir())
    told = json.loads((masks / "predictions.json").read_text())
    assert told["cases"][0]["input"] == f"{archive}/below/a.nii.gz"
    assert told["failed"][0]["reason"].startswith(f"{archive}/below/broken.nii.gz: ")
    before = content(masks)["study_below_a_mask.nii.gz"]
    with pytest.raises(CohortError):
        again(input=str(archive))
    assert content(masks)["study_below_a_mask.nii.gz"] == before
    monkeypatch.setattr(predict_module, "find_scans", lambda *_, **__: signal.raise_signal(signal.SIGTERM))
    with pytest.raises(Interrupted, match="nothing was begun"):
        again(input=str(archive))
    assert not list(temporary.iterdir())


def test_a_series_is_known_by_all_its_files_in_any_order(again, masks, make_checkpoint, phantoms) -> None:
    stored = np.full((16, 12, 5), 1000, np.int16)
    stored[3:9, 2:8, 1:4] = 1124
    folder = phantoms.series(stored, name="a")
    ckpt = str(make_checkpoint(recipe={"image_size": 16, "pixel_mm": 0.5, "modality": "ct"}))
    settings = {"ckpt": ckpt, "input": str(folder), "dicom_seg": True}
    told = again(**settings)
    assert told["cases"][0]["files_sha256"].keys() == {"a_mask.nii.gz", "a_mask.dcm"}
    before = content(masks)
    for number, path in enumerate(sorted(folder.iterdir(), reverse=True)):
        path.rename(folder / f"renamed{number}.dcm")
    again(**settings)
    assert content(masks) == before
    other = {**settings, "dicom_seg_layout": "labelmap"}
    refused(again, masks, 'masks holds a made with dicom_seg="nested", now "labelmap"', **other)
    last = folder / "renamed0.dcm"
    last.write_bytes(last.read_bytes()[:-2] + b"\x01\x00")
    refused(again, masks, "holds the mask of another scan as a", **settings)
    (whole,) = find_scans(folder, unpack_to=masks, limits=ArchiveLimits(max_bytes=1, max_files=1)).sources
    chosen = replace(whole, series=replace(whole.series, acquisition="2"))
    hashes = {CaseRequest(source=one, input="", files=()).scan_sha256 for one in (whole, chosen)}
    assert len(hashes) == 2


def test_a_segmentation_that_was_refused_costs_no_second_prediction(again, masks, capsys) -> None:
    refusal = "3 of 3 masks are written, but not as DICOM SEG: "
    with pytest.raises(CohortError, match=refusal):
        again(dicom_seg=True)
    before = content(masks)
    with pytest.raises(CohortError, match=refusal):
        again(dicom_seg=True)
    assert content(masks) == before
    assert "kept 3 masks" in capsys.readouterr().out


def test_files_that_are_being_written_are_no_masks_to_who_scores_the_folder(again, masks) -> None:
    again()
    (masks / LOCK_FILE).touch()
    shutil.copy(masks / "a_mask.nii.gz", masks / ".lts-unfinished-0")
    assert masks_in(masks).keys() == {"a", "b", "c"}


@pytest.mark.slow
def test_a_prediction_killed_at_any_moment_ends_as_one_left_alone(
    run, make_checkpoint, tmp_path: Path
) -> None:
    (tmp_path / "scans").mkdir()
    for shift, case in enumerate("ab"):
        write_scan(tmp_path / "scans" / f"{case}.nii.gz", shift=shift)
    settings = {"ckpt": make_checkpoint(), "input": tmp_path / "scans", "output": tmp_path / "masks"}
    steps = (
        3 * (1 + 4) + 1
    )  # the record; mask, two probabilities and the record again; and into the next case
    arguments = {
        "settings": {**{key: str(path) for key, path in settings.items()}, "probabilities": True},
        "at_random": 2,
        "steps": [1, steps + 1],
        "seed": 0,
    }
    done = run(Path(kill_kit.__file__), json.dumps(arguments), cwd=tmp_path)
    lines = [line for line in done.stdout.splitlines() if "| killed " in line]
    assert len(lines) == 2 + steps, done.stderr
    assert all(line.startswith("equal |") for line in lines), "\n".join(lines)
    assert all("(-9)" in line for line in lines[2:])  # each step is one that there is
