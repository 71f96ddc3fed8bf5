"""DICOM series written from arrays whose place in the patient is known."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from pydicom import Dataset, dcmread
from pydicom.dataset import FileMetaDataset
from pydicom.uid import (
    CTImageStorage,
    EnhancedCTImageStorage,
    EnhancedMRImageStorage,
    ExplicitVRLittleEndian,
    MRImageStorage,
    generate_uid,
)
from scipy.spatial import cKDTree

from lts.volume import DicomSeries, find_dicom, read_dicom

AXIAL = (1, 0, 0, 0, 1, 0)
SPACING_MM = (0.75, 0.5)
"""Between rows, between columns."""
GAP_MM = 2.5
ORIGIN_MM = (-11.5, -23.25, 40.0)

Change = Callable[[Dataset, int], None]

read_dicom_ct = partial(read_dicom, modality="ct")
read_dicom_mr = partial(read_dicom, modality="mr")


def find_dicom_series(folder: Path) -> tuple[DicomSeries, ...]:
    """The series of a folder and of those in it."""
    return find_dicom(folder).series


class Phantoms:
    """Writes DICOM series of a few voxels, and knows where each voxel lies."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @staticmethod
    def stored(shape: Sequence[int] = (6, 5, 4), *, seed: int = 0) -> npt.NDArray[np.int16]:
        """`(columns, rows, slices)`, numbers 1 to 3999 without any symmetry."""
        return np.random.default_rng(seed).integers(1, 4000, shape, np.int16)

    @staticmethod
    def lps(
        shape: Sequence[int] = (6, 5, 4), *, directions: Sequence[float] = AXIAL, along: float = 1.0
    ) -> npt.NDArray[np.float64]:
        """`(columns, rows, slices, 3)` mm: where each pixel of a phantom lies (PS3.3 C.7.6.2.1.1)."""
        row, column = np.array(directions, float).reshape(2, 3)
        x, y, z = (index[..., None] for index in np.indices(shape))
        in_plane = x * SPACING_MM[1] * row + y * SPACING_MM[0] * column
        return np.array(ORIGIN_MM) + in_plane + z * GAP_MM * along * np.cross(row, column)

    @staticmethod
    def at(
        lps: npt.NDArray[np.float64], voxels: npt.NDArray[Any], affine_ras: npt.ArrayLike
    ) -> npt.NDArray[Any]:
        """The voxels of a volume at `(..., 3)` places, each the place of one voxel and of no other."""
        affine = np.diag([-1.0, -1.0, 1.0, 1.0]) @ np.asarray(affine_ras)
        places = np.indices(voxels.shape).reshape(3, -1).T @ affine[:3, :3].T + affine[:3, 3]
        distances, indices = cKDTree(places).query(lps.reshape(-1, 3))
        assert distances.max() < 1e-3
        assert len(set(indices)) == voxels.size
        return voxels.ravel()[indices].reshape(lps.shape[:-1])

    def series(
        self,
        stored: npt.NDArray[np.int16],
        *,
        name: str = "scan",
        modality: str = "CT",
        directions: Sequence[float] = AXIAL,
        along: float = 1.0,
        syntax: str = ExplicitVRLittleEndian,
        change: Change = lambda dataset, index: None,
    ) -> Path:
        """Write one file a slice, named in no order of the patient.

        `change(dataset, index)` alters a slice before it is written; `syntax` compresses it.
        """
        folder = self.folder / name
        folder.mkdir(exist_ok=True)
        lps = self.lps(stored.shape, directions=directions, along=along)
        root = generate_uid()[:40].rstrip(".")
        shuffled = np.random.default_rng(1).permutation(stored.shape[2])
        sop_class = CTImageStorage if modality == "CT" else MRImageStorage
        for index in range(stored.shape[2]):
            dataset = _dataset(stored[..., index].T, modality=modality, sop_class=sop_class, root=root)
            dataset.ImagePositionPatient = [float(x) for x in lps[0, 0, index]]
            dataset.ImageOrientationPatient = [float(x) for x in directions]
            dataset.PixelSpacing = list(SPACING_MM)
            if modality == "CT":
                dataset.RescaleSlope, dataset.RescaleIntercept, dataset.RescaleType = 1, -1024, "HU"
            if syntax != ExplicitVRLittleEndian:
                dataset.compress(syntax, generate_instance_uid=False)
            change(dataset, index)
            dataset.save_as(folder / f"im{shuffled[index]}.dcm", enforce_file_format=True)
        return folder

    def enhanced(
        self,
        stored: npt.NDArray[np.int16],
        *,
        name: str = "enhanced",
        modality: str = "CT",
        change: Change = lambda dataset, index: None,
    ) -> Path:
        """Write one file of many frames, in no order of the patient, each with an intercept of its own.

        Frame `i` of the patient has the intercept `i - 1024`; `change(dataset, 0)` alters the file.
        """
        folder = self.folder / name
        folder.mkdir(exist_ok=True)
        order = np.random.default_rng(1).permutation(stored.shape[2]).tolist()
        lps = self.lps(stored.shape)
        dataset = _dataset(
            stored.transpose(2, 1, 0)[order],
            modality=modality,
            sop_class=EnhancedCTImageStorage if modality == "CT" else EnhancedMRImageStorage,
            root=generate_uid()[:40].rstrip("."),
        )
        dataset.NumberOfFrames = len(order)
        shared = Dataset()
        shared.PixelMeasuresSequence = [_item(PixelSpacing=list(SPACING_MM), SliceThickness=3)]
        shared.PlaneOrientationSequence = [_item(ImageOrientationPatient=list(AXIAL))]
        dataset.SharedFunctionalGroupsSequence = [shared]
        groups = []
        for index in order:
            group = Dataset()
            group.PlanePositionSequence = [_item(ImagePositionPatient=[float(x) for x in lps[0, 0, index]])]
            group.PixelValueTransformationSequence = [
                _item(RescaleSlope=1, RescaleIntercept=index - 1024, RescaleType="HU")
            ]
            groups.append(group)
        dataset.PerFrameFunctionalGroupsSequence = groups
        change(dataset, 0)
        dataset.save_as(folder / "enhanced.dcm", enforce_file_format=True)
        return folder

    @staticmethod
    def sop_uids(folder: Path) -> dict[tuple[float, ...], str]:
        """The instance UID at each position of a series."""
        headers = [dcmread(path, stop_before_pixels=True) for path in folder.iterdir()]
        return {tuple(map(float, h.ImagePositionPatient)): str(h.SOPInstanceUID) for h in headers}


def _item(**values: Any) -> Dataset:
    item = Dataset()
    for keyword, value in values.items():
        setattr(item, keyword, value)
    return item


def _dataset(frames: npt.NDArray[Any], *, modality: str, sop_class: str, root: str) -> Dataset:
    """`(rows, columns)` or `(frames, rows, columns)` as an image of a patient, uncompressed."""
    dataset = _item(
        StudyInstanceUID=f"{root}.1",
        SeriesInstanceUID=f"{root}.2",
        FrameOfReferenceUID=f"{root}.3",
        SOPClassUID=sop_class,
        SOPInstanceUID=generate_uid(),
        PatientName="Phantom",
        PatientID="P1",
        StudyDate="",
        SeriesDescription="portal venous",
        Modality=modality,
        ImageType=["ORIGINAL", "PRIMARY", "AXIAL"],
        Rows=frames.shape[-2],
        Columns=frames.shape[-1],
        SamplesPerPixel=1,
        PhotometricInterpretation="MONOCHROME2",
        BitsAllocated=16,
        BitsStored=16,
        HighBit=15,
        PixelRepresentation=1,
        PixelData=np.ascontiguousarray(frames).tobytes(),
    )
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    return dataset
