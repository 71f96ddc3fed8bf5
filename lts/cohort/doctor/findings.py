"""The defects of a cohort: codes, severities and corrections."""

from dataclasses import asdict, dataclass
from typing import Any, Literal

from lts.volume import kinds_in_words, suffixes_in_words

Severity = Literal["error", "warning", "note"]
"""`error`: the case cannot be used. `warning`: so rare that somebody should look. `note`: corrected, or worth
knowing."""


@dataclass(frozen=True)
class Check:
    """A check for a defect.

    Attributes:
        severity: Its severity, unless a finding says otherwise.
        remedy: The setting or action that corrects it.
        of_split: Whether it is a defect of a split, not of cases.
        ct_only: Whether it needs Hounsfield units.
    """

    severity: Severity
    remedy: str
    of_split: bool = False
    ct_only: bool = False


@dataclass(frozen=True)
class Finding:
    """A defect that was found.

    Attributes:
        case: Id of the case; None for the folder or split.
        code: The defect, a key of `CHECKS`.
        severity: How bad it is.
        message: What was found.
        remedy: The setting or action that corrects it.
    """

    case: str | None
    code: str
    severity: Severity
    message: str
    remedy: str

    def to_dict(self) -> dict[str, Any]:
        """Plain types for JSON."""
        return asdict(self)

    def line(self) -> str:
        """The finding as one line of text."""
        where = f"{self.case}: " if self.case else ""
        return f"{where}{self.severity} {self.code}: {self.message} ({self.remedy})"


_UNUSED = 'list it under "unused" in split.file'
_AGAIN = "copy, download or unpack it again"
_HU = "convert it anew from DICOM, with rescale slope and intercept"
_AFFINE = f"correct the affine in both headers, or {_UNUSED}"
_DRAWN = f"compare image and mask in a viewer; correct the mask, or {_UNUSED}"
_NONE = "nothing needs to be done"

CHECKS: dict[str, Check] = {
    "cohort-incomplete": Check("error", "put the files beside each other as data=... asks for"),
    "files-unused": Check("note", "name them in dataset.json if they are to be used"),
    "unreadable": Check("error", _AGAIN),
    "not-nifti": Check("error", f"convert it to one {kinds_in_words()} file, {suffixes_in_words()}"),
    "truncated": Check("error", _AGAIN),
    "wrong-dimensions": Check("error", f"write one volume of 3 dimensions, or {_UNUSED}"),
    "refused": Check("error", f"correct what the message says, or {_UNUSED}"),
    "not-finite": Check("error", "write air, -1024 HU, where no value is known"),
    "grids-differ": Check("error", "resample the mask to the image's grid, or pair it with its own image"),
    "grid-corrected": Check("note", _NONE),
    "orientation-unproven": Check("note", f"write the true affine into both headers, or {_UNUSED}"),
    "sform-empty": Check("note", _NONE),
    "transforms-disagree": Check("warning", "see which is right, and write it into sform and qform"),
    "spacing-disagrees": Check("warning", "see which is right, and write it into pixdim and sform"),
    "sheared": Check("warning", "resample image and mask to straight axes for programs that need them"),
    "unit-implausible": Check("error", "set the unit to mm (xyzt_units 2) in both headers"),
    "spacing-implausible": Check("error", "write the spacing in mm into both headers"),
    "field-of-view": Check("warning", "see whether the spacing is right, and whether it is one scan"),
    "content-repeats": Check("warning", "write each phase into a file of its own", ct_only=True),
    "labels-unknown": Check(
        "error", "name them by data.labels, or write labels 0 background, 1 liver, 2 tumor alone"
    ),
    "labels-rounded": Check("note", _NONE),
    "empty-mask": Check("warning", f"pair the image with its mask, or {_UNUSED}"),
    "no-liver": Check(
        "warning",
        "label the liver 1, or name its label by data.labels; data.regions=[tumor] trains on tumors alone",
    ),
    "no-tumor": Check("note", _NONE),
    "tumor-outside-liver": Check("warning", _DRAWN),
    "liver-volume": Check("warning", _DRAWN),
    "tumor-burden": Check("warning", f"see whether labels 1 and 2 are swapped; or {_UNUSED}"),
    "hu-rounded": Check("note", _NONE, ct_only=True),
    "hu-unit-range": Check("error", _HU, ct_only=True),
    "hu-8-bit": Check("error", _HU, ct_only=True),
    "hu-offset": Check("error", "correct scl_inter in the header by the offset, mostly 1024", ct_only=True),
    "hu-no-air": Check("warning", f"{_HU}; if it is MR, use data=mri", ct_only=True),
    "mask-misplaced": Check(
        "error", f"mirror, turn or move the mask so, and leave the image as it is, or {_UNUSED}", ct_only=True
    ),
    "image-misplaced": Check(
        "error", f"correct the affine of the image, and leave the mask as it is, or {_UNUSED}", ct_only=True
    ),
    "mirrored": Check("error", f"{_AFFINE}; in situs inversus nothing is wrong", ct_only=True),
    "upside-down": Check("error", _AFFINE, ct_only=True),
    "back-to-front": Check("error", _AFFINE, ct_only=True),
    "duplicate": Check("error", f"give both the same patient by data=pairs, or {_UNUSED}"),
    "split-refused": Check("error", "correct split.file", of_split=True),
    "split-shares-patient": Check("error", "put all cases of the patient into one part", of_split=True),
    "split-shares-content": Check("error", "put both into one part, or one under unused", of_split=True),
}
"""All defects by their code."""


def found(code: str, case: str | None, message: str, *, severity: Severity | None = None) -> Finding:
    """A finding with the remedy of its check, and by default its severity."""
    check = CHECKS[code]
    return Finding(case, code, severity or check.severity, message, check.remedy)
