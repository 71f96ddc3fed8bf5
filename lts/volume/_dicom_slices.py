"""The slices of a DICOM series by their headers: what each one is, and where it lies."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lts.base import VolumeError
from lts.volume._dicom_calls import parsing, read_header
from lts.volume._dicom_files import DicomSeries
from lts.volume._dicom_image import is_localizer

_GROUPS = ("PerFrameFunctionalGroupsSequence", "SharedFunctionalGroupsSequence")

_TAGS = [
    *("Modality", "ImageType", "Rows", "Columns", "NumberOfFrames", "FrameOfReferenceUID"),
    *("SamplesPerPixel", "PhotometricInterpretation", "ModalityLUTSequence", "BitsStored", "HighBit"),
    *("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing"),
    *("RescaleSlope", "RescaleIntercept", "RescaleType", *_GROUPS),
    *("PatientID", "StudyInstanceUID", "SeriesNumber", "SOPInstanceUID", "ImagesInAcquisition"),
    *("AcquisitionNumber", "TemporalPositionIdentifier", "ConvolutionKernel", "ContrastBolusAgent"),
    *("KVP", "EchoTime", "DiffusionBValue", "NominalPercentageOfCardiacPhase"),
    *("AcquisitionTime", "AcquisitionDateTime", "ContentTime"),
]

_FACTS = {
    "SeriesNumber": ("", "SeriesNumber"),
    "AcquisitionNumber": ("FrameContentSequence", "AcquisitionNumber", "FrameAcquisitionNumber"),
    "TemporalPosition": ("FrameContentSequence", "TemporalPositionIdentifier", "TemporalPositionIndex"),
    "CardiacPhase": ("CardiacSynchronizationSequence", "NominalPercentageOfCardiacPhase"),
    "ContrastBolusAgent": ("ContrastBolusUsageSequence", "ContrastBolusAgent"),
    "ConvolutionKernel": ("CTReconstructionSequence", "ConvolutionKernel"),
    "KVP": ("CTXRayDetailsSequence", "KVP"),
    "EchoTime": ("MREchoSequence", "EchoTime", "EffectiveEchoTime"),
    "DiffusionBValue": ("MRDiffusionSequence", "DiffusionBValue"),
    "ImageType": ("CTImageFrameTypeSequence", "ImageType", "FrameType"),
}
"""What all slices of one acquisition share: where a frame tells it, and its names there and in a file."""

_TIMES = ("AcquisitionTime", "AcquisitionDateTime", "ContentTime")
"""When a slice was taken; what a file tells first is the best."""

_GRAY = ("MONOCHROME1", "MONOCHROME2")

UNSPECIFIED = "US"
"""The RescaleType of values without a unit, which converters write for HU as well."""

_HU_TYPES = ("", "HU", UNSPECIFIED)


@dataclass(frozen=True)
class Slice:
    """One image of a series: a file, or a frame of one.

    Attributes:
        path: The file.
        frame: Counted from 0; None where the file holds this one image.
        name: The file's place in the folder of its series, and the frame, for messages.
        shape: Rows and columns.
        position_mm: The center of the first pixel, LPS.
        directions: `(6,)`, where a row runs (with growing column), then where a column runs, LPS.
        spacing_mm: Between rows, then between columns, as DICOM orders them.
        slope: What a stored number is multiplied by.
        intercept: What is added then.
        rescale_type: The unit that these two lead to, as the header says, or "".
        frame_of_reference: Its UID or "".
        transfer_syntax: Its UID or "".
        patient: PatientID or "".
        study: StudyInstanceUID or "".
        facts: What slices of one acquisition share, by DICOM's names, as text; "" for what is not told.
        time: When it was taken, as DICOM writes it, or "".
        instance: SOPInstanceUID of its file or "".
        n_taken: How many images its acquisition has, as the header says; 0 where it does not.
    """

    path: Path
    frame: int | None
    name: str
    shape: tuple[int, int]
    position_mm: tuple[float, ...]
    directions: tuple[float, ...]
    spacing_mm: tuple[float, ...]
    slope: float
    intercept: float
    rescale_type: str
    frame_of_reference: str
    transfer_syntax: str
    patient: str
    study: str
    facts: Mapping[str, str] = field(default_factory=dict)
    time: str = ""
    instance: str = ""
    n_taken: int = 0


def read_slices(series: DicomSeries, *, modality: str) -> list[Slice]:
    """Read the headers of a series.

    Returns:
        Every image, in the order of the files.

    Raises:
        VolumeError: A file cannot be read, is not of the modality, is a localizer, is in color, or lacks what
            a voxel's place or value follows from.
    """
    if series.broken:
        raise VolumeError(series.broken)
    if series.modality != modality:
        raise VolumeError(f"{series.folder}: modality must be {modality}, got {series.modality!r}")
    return [each for path in series.files for each in _slices_of(path, series=series, modality=modality)]


def _slices_of(path: Path, *, series: DicomSeries, modality: str) -> Iterator[Slice]:
    with parsing(path):
        header = read_header(path, tags=_TAGS)
        _check_kind(path, header, modality=modality)
        name = path.relative_to(series.folder).as_posix()
        n_frames = int(header.get("NumberOfFrames") or 1)
        shared = _items(header, "SharedFunctionalGroupsSequence")[:1]
        per_frame = _items(header, "PerFrameFunctionalGroupsSequence")
        if not per_frame and n_frames == 1:
            groups: list[tuple[int | None, list[Any]]] = [(None, [header])]
        elif len(per_frame) == n_frames:
            groups = [(index, [group, *shared]) for index, group in enumerate(per_frame)]
        else:
            raise VolumeError(
                f"{path}: each of its {n_frames} frames must have a position, got {len(per_frame)}"
            )
        slices = [
            _slice(path, header, frame=frame, name=name, groups=group, modality=modality)
            for frame, group in groups
        ]
    yield from slices


def _slice(
    path: Path, header: Any, *, frame: int | None, name: str, groups: list[Any], modality: str
) -> Slice:
    where = str(path) if frame is None else f"{path}: frame {frame + 1}"
    spacing = _numbers(where, groups, "PixelMeasuresSequence", "PixelSpacing", count=2)
    if min(spacing) <= 0:
        raise VolumeError(f"{where}: PixelSpacing must be > 0 mm, got {list(spacing)}")
    slope, intercept, rescale_type = _rescale(where, groups, modality=modality)
    return Slice(
        path=path,
        frame=frame,
        name=name if frame is None else f"{name} frame {frame + 1}",
        shape=(int(header.Rows), int(header.Columns)),
        position_mm=_numbers(where, groups, "PlanePositionSequence", "ImagePositionPatient", count=3),
        directions=_numbers(where, groups, "PlaneOrientationSequence", "ImageOrientationPatient", count=6),
        spacing_mm=spacing,
        slope=slope,
        intercept=intercept,
        rescale_type=rescale_type,
        frame_of_reference=str(header.get("FrameOfReferenceUID") or ""),
        transfer_syntax=str(header.file_meta.get("TransferSyntaxUID") or ""),
        patient=_text([header], "", ["PatientID"]),
        study=_text([header], "", ["StudyInstanceUID"]),
        facts={name: _text(groups, macro, keywords) for name, (macro, *keywords) in _FACTS.items()},
        time=next((time for name in _TIMES if (time := _text([header], "", [name]))), ""),
        instance=_text([header], "", ["SOPInstanceUID"]),
        n_taken=_count(header, "ImagesInAcquisition"),
    )


def _check_kind(path: Path, header: Any, *, modality: str) -> None:
    found = str(header.get("Modality") or "")
    if found != modality:
        raise VolumeError(f"{path}: modality must be {modality}, got {found!r}")
    samples = int(header.get("SamplesPerPixel") or 1)
    photometric = str(header.get("PhotometricInterpretation") or "")
    if samples != 1 or photometric not in _GRAY:
        raise VolumeError(
            f"{path}: pixels must be gray ({' or '.join(_GRAY)}), got {photometric!r} "
            f"with {samples} samples a pixel"
        )
    bits, high = header.get("BitsStored"), header.get("HighBit")
    if bits is not None and high is not None and high != bits - 1:  # decoders take the lowest bits
        raise VolumeError(f"{path}: HighBit must be {bits - 1} where BitsStored is {bits}, got {high}")
    if is_localizer(header):
        raise VolumeError(
            f"{path}: a localizer is not a slice of a volume, got ImageType {header.get('ImageType')!r}"
        )
    if header.get("ModalityLUTSequence"):
        raise VolumeError(f"{path}: values must follow from a slope and an intercept, got a Modality LUT")


def _rescale(where: str, groups: list[Any], *, modality: str) -> tuple[float, float, str]:
    """Slope, intercept and unit. CT must state them, as HU depend on them; an MR has a scale of its own."""
    macro = "PixelValueTransformationSequence"
    unit = str(find_value(groups, macro, "RescaleType") or "")
    if modality == "CT" and unit not in _HU_TYPES:
        raise VolumeError(f"{where}: values must be HU, got RescaleType {unit!r}")
    values = {}
    for keyword, default in (("RescaleSlope", 1.0), ("RescaleIntercept", 0.0)):
        if modality != "CT" and find_value(groups, macro, keyword) is None:
            values[keyword] = default
        else:
            (values[keyword],) = _numbers(where, groups, macro, keyword, count=1)
    if values["RescaleSlope"] == 0:
        raise VolumeError(f"{where}: RescaleSlope must not be 0")
    return values["RescaleSlope"], values["RescaleIntercept"], unit


def _items(dataset: Any, keyword: str) -> list[Any]:
    return list(dataset.get(keyword) or ())


def find_value(groups: Sequence[Any], macro: str, keyword: str) -> Any:
    """A value from the first of the groups that holds it: within a functional group's macro, or by itself."""
    for group in groups:
        for holder in (*_items(group, macro)[:1], group):
            value = holder.get(keyword)
            if value is not None and value != "":
                return value
    return None


def _text(groups: Sequence[Any], macro: str, keywords: Sequence[str]) -> str:
    """The first of some values that is told, as text that compares; what cannot be read tells nothing."""
    for keyword in keywords:
        try:
            value = find_value(groups, macro, keyword)
        except ValueError:
            continue
        if value is not None:
            parts = [value] if isinstance(value, str) or not isinstance(value, Sequence) else value
            return "/".join(f"{part:g}" if isinstance(part, float) else str(part) for part in parts)
    return ""


def _count(header: Any, keyword: str) -> int:
    text = _text([header], "", [keyword])
    return int(text) if text.isdecimal() else 0


def _numbers(where: str, groups: Sequence[Any], macro: str, keyword: str, *, count: int) -> tuple[float, ...]:
    try:
        value = find_value(groups, macro, keyword)
        if value is None:
            raise VolumeError(f"{where}: {keyword} is missing")
        numbers = tuple(float(number) for number in (value if isinstance(value, Sequence) else [value]))
    except (TypeError, ValueError) as error:
        if isinstance(error, VolumeError):
            raise
        raise VolumeError(f"{where}: {keyword} must be {count} numbers: {error}") from error
    if len(numbers) != count or not all(math.isfinite(number) for number in numbers):
        raise VolumeError(f"{where}: {keyword} must be {count} finite numbers, got {list(numbers)}")
    return numbers
