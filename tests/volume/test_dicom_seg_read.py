"""DICOM segmentations as masks: each voxel where the scan has it, or one line that says why not."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from dicom_kit import find_dicom_series, read_dicom_ct
from pydicom import Dataset, dcmread
from pydicom.pixels import pack_bits
from pydicom.uid import RLELossless

from lts.base import VolumeError
from lts.volume import DicomSegWriter, Geometry, Volume, read_dicom_seg

SHAPE = (7, 5, 6)
OBLIQUE = (0.8, 0.6, 0, -0.36, 0.48, 0.8)
LAYOUTS = ("nested", "disjoint", "labelmap")

Made = tuple[Path, npt.NDArray[np.uint8], Volume]


@pytest.fixture
def make(phantoms: Any) -> Callable[..., Made]:
    """Writes the segmentation of a series, whose first and last slice have no voxel in it."""

    def make(
        *,
        layout: str = "nested",
        directions: tuple[float, ...] = OBLIQUE,
        planes: tuple[int, ...] = (1, 2, 3, 4),
        shape: tuple[int, int, int] = SHAPE,
        change: Callable[[Dataset], None] | None = None,
    ) -> Made:
        (series,) = find_dicom_series(phantoms.series(phantoms.stored(shape), directions=directions))
        scan = read_dicom_ct(series)
        on_disk = np.zeros(shape, np.uint8)
        drawn = np.random.default_rng(0).integers(0, 3, shape).astype(np.uint8)
        on_disk[..., list(planes)] = drawn[..., list(planes)]
        labels = np.ascontiguousarray(scan.geometry.to_canonical(on_disk))
        path = phantoms.folder / "seg.dcm"
        DicomSegWriter(series, layout=layout).write(path, labels, geometry=scan.geometry)  # type: ignore[arg-type]
        if change is not None:
            dataset = dcmread(path)
            change(dataset)
            dataset.save_as(path)
        return path, labels, scan

    return make


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(
    "directions", [(1, 0, 0, 0, 1, 0), (1, 0, 0, 0, 0, -1), (0, 1, 0, 0, 0, -1), OBLIQUE]
)
def test_a_mask_comes_back_voxel_for_voxel(make: Any, layout: str, directions: tuple[float, ...]) -> None:
    path, labels, scan = make(layout=layout, directions=directions)
    assert {0, 1, 2} <= set(labels.ravel().tolist())
    mask = read_dicom_seg(path, image=scan.geometry)
    np.testing.assert_array_equal(mask.voxels, labels)
    assert (mask.voxels.dtype, mask.notes) == (np.uint8, ())


@pytest.mark.parametrize("planes", [(2,), (1, 4)])
def test_slices_that_have_no_frame_are_background(make: Any, planes: tuple[int, ...]) -> None:
    path, labels, scan = make(planes=planes)
    frames = dcmread(path).PerFrameFunctionalGroupsSequence
    assert len(frames) == 2 * len(planes)  # of two segments
    np.testing.assert_array_equal(read_dicom_seg(path, image=scan.geometry).voxels, labels)


def as_others_write_it(dataset: Dataset) -> None:
    """Frames from the last slice to the first, the spacing between slices not told, and older codes."""
    groups = dataset.PerFrameFunctionalGroupsSequence
    stored = dataset.pixel_array.reshape(-1, dataset.Rows, dataset.Columns)
    dataset.PerFrameFunctionalGroupsSequence = list(groups)[::-1]
    packs = dataset.BitsAllocated == 1
    dataset.PixelData = (
        pack_bits(stored[::-1]) if packs else stored[::-1].tobytes() + b"\0" * (stored.size % 2)
    )
    shared = dataset.SharedFunctionalGroupsSequence[0]
    del shared.PixelMeasuresSequence[0].SpacingBetweenSlices
    for segment in dataset.SegmentSequence:
        kind = segment.SegmentedPropertyTypeCodeSequence[0]
        if kind.CodeMeaning == "Liver":
            kind.CodeValue, kind.CodingSchemeDesignator = "T-62000", "SRT"
            segment.SegmentLabel = "Organ"


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(
    ("planes", "shape"), [((0, 2, 5), SHAPE), ((0, 2, 5), (8, 5, 6)), ((1, 3), SHAPE), ((3,), SHAPE)]
)
def test_frames_lie_where_they_say_whichever_are_there_in_any_order(
    make: Any, layout: str, planes: tuple[int, ...], shape: tuple[int, int, int]
) -> None:
    path, labels, scan = make(layout=layout, planes=planes, shape=shape, change=as_others_write_it)
    assert dcmread(path).NumberOfFrames == len(planes) * (1 if layout == "labelmap" else 2)
    np.testing.assert_array_equal(read_dicom_seg(path, image=scan.geometry).voxels, labels)


def place_of(dataset: Dataset, index: int) -> Dataset:
    place: Dataset = dataset.PerFrameFunctionalGroupsSequence[index].PlanePositionSequence[0]
    return place


def between_slices(dataset: Dataset) -> None:
    place = place_of(dataset, 1)
    place.ImagePositionPatient = [
        (one + other) / 2
        for one, other in zip(
            place.ImagePositionPatient, place_of(dataset, 2).ImagePositionPatient, strict=True
        )
    ]


def twice_in_one_place(dataset: Dataset) -> None:
    place_of(dataset, 1).ImagePositionPatient = place_of(dataset, 0).ImagePositionPatient


def nowhere(dataset: Dataset) -> None:
    del dataset.PerFrameFunctionalGroupsSequence[1].PlanePositionSequence


def infinitely_far(dataset: Dataset) -> None:
    place_of(dataset, 1).ImagePositionPatient = ["0", "0", "1e300"]


def one_place_too_few(dataset: Dataset) -> None:
    del dataset.PerFrameFunctionalGroupsSequence[-1]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (
            between_slices,
            r"a mask's voxels must be voxels of its image, .* those of frame 2 are not: frame 7x",
        ),
        (twice_in_one_place, r"must have one frame of a segment in one place, got frames 1 and 2$"),
        (nowhere, r"frame 2 must have a PlanePositionSequence, has none$"),
        (infinitely_far, r"frame 2: affine must be finite, in mm, got "),
        (one_place_too_few, r"must say of each of its 8 frames where it lies, got 7$"),
    ],
)
def test_a_frame_that_lies_on_no_slice_of_its_own_is_refused(make: Any, change: Any, told: str) -> None:
    path, _, scan = make(change=change)
    with pytest.raises(VolumeError, match=rf"seg\.dcm: {told}"):
        read_dicom_seg(path, image=scan.geometry)


def renamed(*names: str) -> Callable[[Dataset], None]:
    """Segments as a tool writes them that knows names alone."""

    def change(dataset: Dataset) -> None:
        for segment, name in zip(dataset.SegmentSequence, names, strict=True):
            segment.SegmentLabel = name
            kind = segment.SegmentedPropertyTypeCodeSequence[0]
            kind.CodeValue, kind.CodeMeaning = "85756007", "Tissue"

    return change


@pytest.mark.parametrize(
    ("liver", "tumor"), [("liver", "Liver_Tumour_1"), ("Whole Liver", "hepatic lesions")]
)
def test_segments_without_a_known_code_are_told_by_their_labels(make: Any, liver: str, tumor: str) -> None:
    path, labels, scan = make(change=renamed(liver, tumor))
    np.testing.assert_array_equal(read_dicom_seg(path, image=scan.geometry).voxels, labels)


def test_other_segments_are_left_out_and_told(make: Any) -> None:
    path, labels, scan = make(change=renamed("liver vessels", "tumor"))
    mask = read_dicom_seg(path, image=scan.geometry)
    np.testing.assert_array_equal(mask.voxels, np.where(labels == 2, 2, 0))
    assert mask.notes == ("Segments that are neither liver nor tumor were left out: 'liver vessels'.",)


def in_fractions(dataset: Dataset) -> None:
    """Inside 51 %, outside 49 %."""
    bits = np.unpackbits(np.frombuffer(dataset.PixelData, np.uint8), bitorder="little")
    n_pixels = int(dataset.NumberOfFrames) * dataset.Rows * dataset.Columns
    shares = np.where(bits[:n_pixels], 51, 49).astype(np.uint8)
    dataset.SegmentationType, dataset.SegmentationFractionalType = "FRACTIONAL", "PROBABILITY"
    dataset.MaximumFractionalValue = 100
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 8, 8, 7
    dataset.PixelData = shares.tobytes() + b"\0" * (n_pixels % 2)


def test_of_fractions_half_is_inside(make: Any) -> None:
    path, labels, scan = make(change=in_fractions)
    np.testing.assert_array_equal(read_dicom_seg(path, image=scan.geometry).voxels, labels)


def moved(grid: Geometry, *, by: float) -> Geometry:
    affine = grid.affine.copy()
    affine[:3, 3] += by * affine[:3, 0]
    return Geometry.from_affine(affine, shape=grid.shape)


@pytest.mark.parametrize(
    "other",
    [
        lambda grid: moved(grid, by=0.5),
        lambda grid: moved(grid, by=2),  # voxels on voxels, and some beyond the scan
        lambda grid: moved(grid, by=-2),
        lambda grid: Geometry.from_affine(grid.affine, shape=(SHAPE[0], SHAPE[1], 3)),
        lambda grid: Geometry.from_affine(grid.affine @ np.diag([1.2, 1, 1, 1]), shape=grid.shape),
    ],
)
def test_a_mask_of_another_grid_is_refused(make: Any, other: Callable[[Geometry], Geometry]) -> None:
    path, _, scan = make()
    with pytest.raises(VolumeError, match=r"seg\.dcm: a mask's voxels must be voxels of its image") as error:
        read_dicom_seg(path, image=other(scan.geometry))
    assert error.value.code == "grids-differ"


def test_a_grid_as_another_format_rounds_it_is_the_same(make: Any) -> None:
    path, labels, scan = make()
    np.testing.assert_array_equal(read_dicom_seg(path, image=moved(scan.geometry, by=0.01)).voxels, labels)


def test_a_file_that_is_no_such_segmentation_is_refused(make: Any, phantoms: Any) -> None:
    whole, _, scan = make()
    (phantoms.folder / "cut.dcm").write_bytes(whole.read_bytes()[:-3])
    (phantoms.folder / "text.dcm").write_text("not DICOM at all")
    packed, _, _ = make(
        layout="labelmap", change=lambda one: one.compress(RLELossless, encoding_plugin="pydicom")
    )
    bad = {
        packed: "must not be compressed to be read as a mask, got RLE Lossless",
        next((phantoms.folder / "scan").iterdir()): "must be a DICOM SEG, got CT Image Storage",
        phantoms.folder / "text.dcm": "cannot be read as a DICOM SEG: ",
        phantoms.folder / "cut.dcm": "cannot be read as a DICOM SEG: ",
    }
    for file, told in bad.items():
        with pytest.raises(VolumeError, match=f"{file.name}: {told}"):
            read_dicom_seg(file, image=scan.geometry)


def test_without_liver_and_tumor_the_segments_are_named(make: Any) -> None:
    path, _, scan = make(change=renamed("Spleen", "kidney_left"))
    told = r"must have a segment of the liver or of a tumor, got 'Spleen', 'kidney_left'$"
    with pytest.raises(VolumeError, match=told):
        read_dicom_seg(path, image=scan.geometry)
