"""What regions are called in DICOM objects, and the numbers of the series that hold these."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lts.volume._dicom_calls import require

SEG_SERIES, RTSTRUCT_SERIES, REPORT_SERIES = 900, 901, 902
"""Beyond what scanners count to, so that they are listed behind the scans of their study."""

SERIES_DESCRIPTION = "Liver tumor segmentation by lts"


@dataclass(frozen=True)
class Terms:
    """What a region is called.

    Attributes:
        label: Its name.
        category: Keyword of a code of SNOMED CT, as in CID 7150.
        kind: Likewise, as in CID 7159.
        interpreted: Its RTROIInterpretedType.
        color: Red, green and blue, 0 to 255, as lts draws predictions.
    """

    label: str
    category: str
    kind: str
    interpreted: str
    color: tuple[int, int, int]


TERMS: Mapping[str, Terms] = {
    "liver": Terms("Liver", "AnatomicalStructure", "Liver", "ORGAN", (240, 228, 66)),
    "tumor": Terms("Tumor", "MorphologicallyAbnormalStructure", "Neoplasm", "GTV", (255, 106, 19)),
}


def code(keyword: str) -> Any:
    """A code of SNOMED CT by pydicom's keyword."""
    return getattr(require("pydicom.sr.codedict").codes.SCT, keyword)


def algorithm(version: str) -> Any:
    """The AlgorithmIdentificationSequence of lts."""
    return require("highdicom").AlgorithmIdentificationSequence(
        name="lts",
        family=require("pydicom.sr.codedict").codes.DCM.ArtificialIntelligence,
        version=version,
    )


def head(number: int, description: str, *, version: str) -> dict[str, Any]:
    """What highdicom is told of any object: the series that it alone is in, its UIDs, and who made it."""
    new_uid = require("highdicom").UID
    return {
        "series_instance_uid": new_uid(),
        "series_number": number,
        "series_description": description,
        "sop_instance_uid": new_uid(),
        "instance_number": 1,
        "manufacturer": "lts",
        "manufacturer_model_name": "lts",
        "software_versions": version,
        "device_serial_number": version,  # DICOM wants one, and software has none
    }
