"""Reading and writing of scans and masks, and the only place where axes are converted."""

from lts.volume._counts import count_values
from lts.volume._dicom_files import (
    DicomFolder,
    DicomSeries,
    describe_series,
    find_dicom,
)
from lts.volume._dicom_identity import DicomIdentity, read_identity
from lts.volume._dicom_referred import refer_to
from lts.volume._dicom_report import DicomReportWriter, ReportedLesion
from lts.volume._dicom_rtstruct import DicomRtstructWriter
from lts.volume._dicom_seg import DicomSegWriter, SegLayout, WrittenSeg, check_dicom_seg
from lts.volume._dicom_seg_read import read_dicom_seg
from lts.volume._formats import (
    MASK_SUFFIX,
    Format,
    conversion_advice,
    format_of,
    header_suffixes,
    inputs_in_words,
    is_unread,
    kinds_in_words,
    scan_stem,
    scan_suffixes,
    source_files,
    suffix_pattern,
    suffixes_in_words,
)
from lts.volume._geometry import Geometry
from lts.volume._mask import match_mask_grid, read_mask, read_mask_geometry
from lts.volume._notes import Note, grid_notes
from lts.volume._read import (
    Volume,
    read_ct,
    read_dicom,
    read_geometry,
    read_image,
    read_mr,
)
from lts.volume._voxel import Voxel
from lts.volume._write import PROBABILITY_STEPS, write_mask, write_probabilities, write_volume

__all__ = [
    "MASK_SUFFIX",
    "PROBABILITY_STEPS",
    "DicomFolder",
    "DicomIdentity",
    "DicomReportWriter",
    "DicomRtstructWriter",
    "DicomSegWriter",
    "DicomSeries",
    "Format",
    "Geometry",
    "Note",
    "ReportedLesion",
    "SegLayout",
    "Volume",
    "Voxel",
    "WrittenSeg",
    "check_dicom_seg",
    "conversion_advice",
    "count_values",
    "describe_series",
    "find_dicom",
    "format_of",
    "grid_notes",
    "header_suffixes",
    "inputs_in_words",
    "is_unread",
    "kinds_in_words",
    "match_mask_grid",
    "read_ct",
    "read_dicom",
    "read_dicom_seg",
    "read_geometry",
    "read_identity",
    "read_image",
    "read_mask",
    "read_mask_geometry",
    "read_mr",
    "refer_to",
    "scan_stem",
    "scan_suffixes",
    "source_files",
    "suffix_pattern",
    "suffixes_in_words",
    "write_mask",
    "write_probabilities",
    "write_volume",
]
