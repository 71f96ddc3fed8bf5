"""Which instance a file is, as pydicom tells it, and what lacks an identity."""

from pathlib import Path
from typing import Any

import pytest
from pydicom import config, dcmread
from pydicom.uid import RLELossless

from lts.base import VolumeError
from lts.volume import read_identity


@pytest.mark.parametrize("changes", [{}, {"syntax": RLELossless}, {"modality": "MR"}])
def test_an_identity_is_what_the_header_says(phantoms: Any, changes: dict[str, Any]) -> None:
    folder = phantoms.series(phantoms.stored(), **changes)
    for file in folder.iterdir():
        found, header = read_identity(file), dcmread(file, stop_before_pixels=True)
        assert found.sop_class_uid == header.SOPClassUID
        assert found.sop_instance_uid == header.SOPInstanceUID
        assert found.series_uid == header.SeriesInstanceUID
        assert (found.modality, found.description) == (header.Modality, header.SeriesDescription)


@pytest.mark.parametrize("keyword", ["SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID"])
@pytest.mark.parametrize("value", ["", "1.2/../3", "1" * 65])
def test_an_instance_without_its_uids_has_no_identity(
    phantoms: Any, tmp_path: Path, keyword: str, value: str
) -> None:
    file = next(phantoms.series(phantoms.stored()).iterdir())
    with config.disable_value_validation():
        dataset = dcmread(file)
        dataset[keyword].value = value
        dataset.save_as(tmp_path / "changed.dcm")
    with pytest.raises(VolumeError, match=f"changed.dcm: {keyword} must be 1 to 64 digits and dots, got "):
        read_identity(tmp_path / "changed.dcm")


def test_what_is_no_dicom_has_no_identity(tmp_path: Path) -> None:
    (tmp_path / "junk").write_bytes(bytes(1000))
    with pytest.raises(VolumeError, match="junk: "):
        read_identity(tmp_path / "junk")
    with pytest.raises(VolumeError, match="cannot be read"):
        read_identity(tmp_path / "nowhere")
