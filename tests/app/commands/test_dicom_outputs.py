"""The DICOM objects of a scan: what stands in the way of one costs neither the mask nor the others."""

from pathlib import Path

import numpy as np
import pytest
from dicom_kit import find_dicom_series, read_dicom_ct
from pydicom import config, dcmread

from lts.app.commands.dicom_outputs import DicomOutputs, unwritten
from lts.base import StorageError, VolumeError
from lts.cohort import ScanSource
from lts.inference import DicomChoice, measure
from lts.volume import DicomSegWriter


def test_an_object_that_cannot_be_written_is_told_with_its_reason(
    phantoms, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def change(dataset, index: int) -> None:
        dataset.PatientSex = "f"

    with config.disable_value_validation():
        folder = phantoms.series(phantoms.stored(), change=change)
    (series,) = find_dicom_series(folder)
    scan = read_dicom_ct(series)
    mask = np.zeros(scan.voxels.shape, np.uint8)
    findings = measure(mask, geometry=scan.geometry, regions=["liver"])
    source, choice = (
        ScanSource("a", series.folder, series),
        DicomChoice(dicom_seg="nested", dicom_rtstruct=True),
    )
    objects = DicomOutputs(source, ["liver"], choice)
    names = {"dicom_seg": "a_mask.dcm", "dicom_rtstruct": "a_rtstruct.dcm"}
    assert objects.write(phantoms.folder, mask, scan, findings) == names
    modalities = [dcmread(phantoms.folder / name).Modality for name in names.values()]
    assert modalities == ["SEG", "RTSTRUCT"]
    assert capsys.readouterr().out == ""
    note = "DICOM output: mended, as the series breaks DICOM's rules: PatientSex."
    assert objects.notes == (note,)  # once, though both take it over

    def fail(*_: object, **__: object) -> None:
        raise VolumeError(reason)

    monkeypatch.setattr(DicomSegWriter, "write", fail)
    reason = "im0.dcm: a segmentation cannot be made"
    assert objects.write(phantoms.folder, mask, scan, findings) == {
        "dicom_seg": None,
        "dicom_seg_refused": reason,
        "dicom_rtstruct": "a_rtstruct.dcm",
    }
    assert capsys.readouterr().out == f"a: no DICOM SEG: {reason}\n"
    alone = DicomOutputs(source, ["liver"], DicomChoice(dicom_seg="nested"))
    alone.write(phantoms.folder, mask, scan, findings)
    assert alone.notes == ()  # on what is not there

    def full(*_: object, **__: object) -> None:
        raise StorageError("a_mask.dcm: cannot be written: No space left on device")

    # The next scan would meet the same disk.
    monkeypatch.setattr(DicomSegWriter, "write", full)
    with pytest.raises(StorageError):
        DicomOutputs(source, ["liver"], choice).write(phantoms.folder, mask, scan, findings)


def test_what_stands_in_the_way_of_all_is_told_once(capsys: pytest.CaptureFixture[str]) -> None:
    choice = DicomChoice(dicom_seg="nested", dicom_rtstruct=True)
    objects = DicomOutputs(ScanSource("a", Path("a.nii.gz")), ["liver"], choice)
    reason = "a.nii.gz: dicom_seg=true, dicom_rtstruct=true need a DICOM series, got NIfTI"
    assert capsys.readouterr().out == f"a: no DICOM SEG or RTSTRUCT: {reason}\n"
    assert objects.notes == ()
    rows = [
        {"dicom_seg_refused": "x", "dicom_rtstruct_refused": "x"},
        {},
        {"dicom_seg_refused": "y", "dicom_rtstruct_refused": "y"},
    ]
    assert list(unwritten(rows)) == [("DICOM SEG or RTSTRUCT", ["x", "y"])]
    assert list(unwritten([rows[0], {"dicom_seg_refused": "z"}])) == [
        ("DICOM SEG", ["x", "z"]),
        ("RTSTRUCT", ["x"]),
    ]


def test_nothing_is_said_where_no_object_is_asked_for(phantoms, tmp_path: Path) -> None:
    (series,) = find_dicom_series(phantoms.series(phantoms.stored()))
    scan = read_dicom_ct(series)
    mask = np.zeros(scan.voxels.shape, np.uint8)
    findings = measure(mask, geometry=scan.geometry, regions=["liver"])
    objects = DicomOutputs(ScanSource("a", series.folder, series), ["liver"], DicomChoice())
    assert objects.write(tmp_path, mask, scan, findings) == {}
    assert objects.notes == ()
    assert not list(tmp_path.glob("*.dcm"))
