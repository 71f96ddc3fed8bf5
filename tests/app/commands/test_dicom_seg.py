"""The DICOM SEG of a scan: what stands in its way never costs the mask."""

from pathlib import Path

import numpy as np
import pytest
from dicom_kit import find_dicom_series, read_dicom_ct

from lts.app.commands.dicom_seg import Segmentation
from lts.base import StorageError, VolumeError
from lts.cohort import ScanSource
from lts.volume import DicomSegWriter


def test_a_segmentation_that_cannot_be_written_is_told_with_its_reason(
    phantoms, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (series,) = find_dicom_series(phantoms.series(phantoms.stored()))
    scan = read_dicom_ct(series)
    mask = np.zeros(scan.voxels.shape, np.uint8)
    segmentation = Segmentation(ScanSource("a", series.folder, series), ["liver"], layout="nested")
    assert segmentation.write(phantoms.folder, mask, scan) == {"dicom_seg": "a_mask.dcm"}
    assert (phantoms.folder / "a_mask.dcm").is_file()
    assert capsys.readouterr().out == ""

    def fail(*_: object, **__: object) -> None:
        raise VolumeError(reason)

    monkeypatch.setattr(DicomSegWriter, "write", fail)
    reason, segmentation.notes = (
        "im0.dcm: a segmentation cannot be made",
        ("DICOM SEG: left empty: StudyID.",),
    )
    assert segmentation.write(phantoms.folder, mask, scan) == {"dicom_seg": None, "dicom_seg_refused": reason}
    assert capsys.readouterr().out == f"a: no DICOM SEG: {reason}\n"
    assert segmentation.notes == ()  # on what is not there

    def full(*_: object, **__: object) -> None:
        raise StorageError("a_mask.dcm: cannot be written: No space left on device")

    # The next scan would meet the same disk.
    monkeypatch.setattr(DicomSegWriter, "write", full)
    with pytest.raises(StorageError):
        segmentation.write(phantoms.folder, mask, scan)


def test_nothing_is_said_where_no_segmentation_is_asked_for(phantoms, tmp_path: Path) -> None:
    (series,) = find_dicom_series(phantoms.series(phantoms.stored()))
    scan = read_dicom_ct(series)
    segmentation = Segmentation(ScanSource("a", series.folder, series), ["liver"], layout=None)
    assert segmentation.write(tmp_path, np.zeros(scan.voxels.shape, np.uint8), scan) == {}
    assert segmentation.notes == ()
    assert not (tmp_path / "a_mask.dcm").exists()
