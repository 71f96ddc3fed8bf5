"""What one DICOM file says of itself and of its series, for those who get files one by one."""

import re
from dataclasses import dataclass
from pathlib import Path

from lts.base import VolumeError, shown
from lts.volume._dicom_calls import parsing, read_header

_UIDS = ("SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID")
_WORDS = ("Modality", "SeriesDescription")
_UID = re.compile(r"[0-9.]{1,64}")


@dataclass(frozen=True, kw_only=True)
class DicomIdentity:
    """Which instance a file is, and of which series.

    Attributes:
        sop_class_uid: What kind of object it is.
        sop_instance_uid: Which one it is.
        series_uid: The SeriesInstanceUID.
        modality: DICOM's, such as "CT"; "" where there is none.
        description: SeriesDescription or "".

    Example:
        >>> ct = "1.2.840.10008.5.1.4.1.1.2"
        >>> scan = {"series_uid": "1.2", "modality": "CT", "description": "portal venous"}
        >>> DicomIdentity(sop_class_uid=ct, sop_instance_uid="1.2.3", **scan).description
        'portal venous'
    """

    sop_class_uid: str
    sop_instance_uid: str
    series_uid: str
    modality: str
    description: str


def read_identity(path: Path) -> DicomIdentity:
    """Read which instance a file is, from its header alone.

    Args:
        path: A DICOM file.

    Raises:
        VolumeError: It is no DICOM file that can be read, or lacks one of the UIDs that every instance has.
        ConfigError: pydicom is not installed.

    Example:
        >>> from pydicom.data import get_testdata_file
        >>> identity = read_identity(Path(get_testdata_file("CT_small.dcm")))
        >>> identity.modality, identity.series_uid
        ('CT', '1.3.6.1.4.1.5962.1.3.1.1.20040119072730.12322')
    """
    with parsing(path):
        header = read_header(path, tags=[*_UIDS, *_WORDS])
        values = {keyword: str(header.get(keyword) or "").strip() for keyword in (*_UIDS, *_WORDS)}
    for keyword in _UIDS:
        if not _UID.fullmatch(values[keyword]):
            raise VolumeError(
                f"{path}: {keyword} must be 1 to 64 digits and dots, got {shown(values[keyword])}"
            )
    return DicomIdentity(
        sop_class_uid=values["SOPClassUID"],
        sop_instance_uid=values["SOPInstanceUID"],
        series_uid=values["SeriesInstanceUID"],
        modality=values["Modality"],
        description=values["SeriesDescription"],
    )
