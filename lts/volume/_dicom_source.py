"""The headers of a series as SEG, RTSTRUCT and SR refer to them: slices by name and place."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lts.base import VolumeError
from lts.volume._dicom_attributes import COPIED, CopiedAttributes, copy_attributes
from lts.volume._dicom_calls import parsing, read_header, require
from lts.volume._dicom_files import DicomSeries
from lts.volume._dicom_slices import Slice, find_value
from lts.volume._dicom_stack import Stack

_UIDS = ("StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID", "SOPClassUID", "SOPInstanceUID")

_LONGEST_UID = 64

_PLACES = ("SliceThickness", "SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence")


@dataclass(frozen=True)
class Source:
    """What a segmentation is made of beside its masks.

    Attributes:
        headers: pydicom datasets in the order of the stack, one a slice or one of many frames. They hold
            UIDs, the grid of the stack, which highdicom wants equal to the last digit, and the first of them
            what is taken over of the series.
        charset: The SpecificCharacterSet that their text fits; "" for ASCII.
        notes: What is not as it was in the series, or breaks DICOM's rules, one sentence each.
    """

    headers: tuple[Any, ...]
    charset: str
    notes: tuple[str, ...]


def read_source(series: DicomSeries, stack: Stack) -> Source:
    """Read the headers of a series.

    Raises:
        VolumeError: A UID is missing that a DICOM result refers to, two slices have the same one, slices are
            of several studies, or the frames of the volume lie in several files.
    """
    by_path: dict[Path, list[Slice]] = {}
    for each in stack.slices:
        by_path.setdefault(each.path, []).append(each)
    n_frames = sum(each.frame is not None for each in stack.slices)
    if n_frames and len(by_path) > 1:
        raise VolumeError(
            f"{series.folder}: a DICOM result refers to files of one slice or to one file of many, "
            f"got {len(by_path)} files with {n_frames} frames"
        )
    first, *others = by_path
    header, taken = _read_first(first)
    thickness_mm, thickness_notes = _thickness_mm(first, stack)
    _state_grid(header, by_path[first], stack=stack, thickness_mm=thickness_mm)
    headers = [header]
    for path in others:
        header = require("pydicom").Dataset()
        with parsing(path):
            _state_uids(header, read_header(path, tags=list(_UIDS)), path=path)
        _state_grid(header, by_path[path], stack=stack, thickness_mm=stack.gap_mm)
        headers.append(header)
    with parsing(series.folder):
        _check_uids(series, list(by_path), headers)
        notes = (*taken.notes, *thickness_notes, *_broken_uids(headers))
    return Source(tuple(headers), taken.charset, notes)


def _read_first(path: Path) -> tuple[Any, CopiedAttributes]:
    with parsing(path):
        original = read_header(path, tags=[*_UIDS, *COPIED])
        taken = copy_attributes(original)
        _state_uids(taken.dataset, original, path=path)
    return taken.dataset, taken


def _state_uids(header: Any, original: Any, *, path: Path) -> None:
    """State the UIDs of a file, to be called while `parsing`.

    Raises:
        VolumeError: One is missing.
    """
    for keyword in _UIDS:
        uid = original.get(keyword) or original.file_meta.get(f"MediaStorage{keyword}")
        if not uid:
            raise VolumeError(f"{path}: a DICOM result refers to its {keyword}, which is missing")
        setattr(header, keyword, str(uid))


def _check_uids(series: DicomSeries, paths: Sequence[Path], headers: Sequence[Any]) -> None:
    uid_of = require("pydicom.uid").UID
    seen: dict[str, Path] = {}
    for path, header in zip(paths, headers, strict=True):
        if uid_of(header.SOPClassUID).type != "SOP Class":
            raise VolumeError(
                f"{path}: a DICOM result refers to images of a SOPClassUID that DICOM knows, "
                f"got {str(header.SOPClassUID)[:_LONGEST_UID]!r}"
            )
        if other := seen.get(header.SOPInstanceUID):
            raise VolumeError(
                f"{series.folder}: a DICOM result refers to slices by their SOPInstanceUIDs, "
                f"got the same in {other.name} and {path.name}"
            )
        seen[header.SOPInstanceUID] = path


def _broken_uids(headers: Sequence[Any]) -> tuple[str, ...]:
    """What is to be said of UIDs that break their rule: they are kept, as other files know them by these."""
    uid_of = require("pydicom.uid").UID
    broken = [
        keyword for keyword in _UIDS if not all(uid_of(header[keyword].value).is_valid for header in headers)
    ]
    if not broken:
        return ()
    return (f"DICOM output: kept, though the series breaks DICOM's rules for UIDs: {', '.join(broken)}.",)


def _thickness_mm(path: Path, stack: Stack) -> tuple[float, tuple[str, ...]]:
    """What the first slice says of its thickness, else the gap; with a note where it is no thickness."""
    with parsing(path):
        original = read_header(path, tags=list(_PLACES))
        groups = [original]
        if (frame := stack.slices[0].frame) is not None:
            shared = list(original.get("SharedFunctionalGroupsSequence") or ())[:1]
            groups = [original.PerFrameFunctionalGroupsSequence[frame], *shared]
        try:
            if (found := find_value(groups, "PixelMeasuresSequence", "SliceThickness")) is None:
                return stack.gap_mm, ()
            thickness_mm = float(found)
        except (TypeError, ValueError):
            thickness_mm = math.nan
    if math.isfinite(thickness_mm) and thickness_mm > 0:
        return thickness_mm, ()
    return stack.gap_mm, ("DICOM output: mended, as the series breaks DICOM's rules: SliceThickness.",)


def _state_grid(header: Any, slices: Sequence[Slice], *, stack: Stack, thickness_mm: float) -> None:
    """State where the slices of a file lie on the grid of the stack.

    All get the spacing and orientation of the first slice, in functional groups where the file has frames.
    """
    new, first = require("pydicom").Dataset, stack.slices[0]
    header.Rows, header.Columns = first.shape
    measures, orientation = header, header
    if first.frame is None:
        header.ImagePositionPatient = _decimals(slices[0].position_mm)
    else:
        measures, orientation, shared = new(), new(), new()
        shared.PixelMeasuresSequence, shared.PlaneOrientationSequence = [measures], [orientation]
        frames = [new() for _ in slices]
        for each in slices:
            assert each.frame is not None
            position = new()
            position.ImagePositionPatient = _decimals(each.position_mm)
            frames[each.frame].PlanePositionSequence = [position]
        header.SharedFunctionalGroupsSequence = [shared]
        header.PerFrameFunctionalGroupsSequence = frames
        header.NumberOfFrames = len(frames)
    measures.PixelSpacing = _decimals(first.spacing_mm)
    (measures.SpacingBetweenSlices, measures.SliceThickness) = _decimals((stack.gap_mm, thickness_mm))
    orientation.ImageOrientationPatient = _decimals(first.directions)


def _decimals(numbers: Sequence[float]) -> list[Any]:
    """Numbers in DICOM's 16 characters."""
    decimal = require("pydicom.valuerep").DSfloat
    return [decimal(number, auto_format=True) for number in numbers]
