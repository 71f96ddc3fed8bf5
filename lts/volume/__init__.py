"""Scans and masks in and out of files, and the one place where axes are converted."""

from lts.volume._dicom import read_dicom, read_dicom_ct, read_dicom_mr
from lts.volume._dicom_files import DicomFolder, DicomSeries, find_dicom, find_dicom_series
from lts.volume._dicom_seg import DicomSegWriter, SegLayout, check_dicom_seg
from lts.volume._geometry import Geometry
from lts.volume._notes import Note, grid_notes
from lts.volume._read import (
    Volume,
    match_mask_grid,
    read_ct,
    read_geometry,
    read_image,
    read_mask,
    read_mr,
)
from lts.volume._voxel import Voxel
from lts.volume._write import PROBABILITY_STEPS, write_mask, write_probabilities, write_volume

__all__ = [
    "PROBABILITY_STEPS",
    "DicomFolder",
    "DicomSegWriter",
    "DicomSeries",
    "Geometry",
    "Note",
    "SegLayout",
    "Volume",
    "Voxel",
    "check_dicom_seg",
    "find_dicom",
    "find_dicom_series",
    "grid_notes",
    "match_mask_grid",
    "read_ct",
    "read_dicom",
    "read_dicom_ct",
    "read_dicom_mr",
    "read_geometry",
    "read_image",
    "read_mask",
    "read_mr",
    "write_mask",
    "write_probabilities",
    "write_volume",
]
