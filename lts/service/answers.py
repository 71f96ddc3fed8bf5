"""Answers and forms of the service, for its OpenAPI document."""

from typing import Annotated, Any

from fastapi import Path
from pydantic import BaseModel, Field

from lts.service.uploads import UploadKind

Id = Annotated[str, Path(max_length=64, description="As `POST /scans` answered it.")]


class Problem(BaseModel):
    """Why a request was refused."""

    detail: str = Field(description="One line for the person who asked.")


class Status(BaseModel):
    """Whether the service works."""

    status: str = Field(description="`ok`")


class Ready(Status):
    """What the service accepts."""

    modality: str = Field(description="`ct` or `mr`")
    regions: list[str] = Field(description="What the model segments.")
    max_upload_mib: int


class ModelFile(BaseModel):
    """A checkpoint."""

    file: str
    sha256: str


class Version(BaseModel):
    """What runs."""

    lts: str = Field(description="Version of lts.")
    models: list[ModelFile] = Field(description="The checkpoints, whose mean is taken.")
    device: str = Field(description="`cpu` or `cuda`, with its number.")
    precision: str = Field(description="What networks compute in, `float32` or `bfloat16`.")


class Lesion(BaseModel):
    """One connected piece of tumor."""

    volume_ml: float
    diameter_mm: float = Field(description="Of the sphere of that volume.")
    longest_axial_mm: float = Field(description="The greatest distance within it in one axial slice.")
    center_ras_mm: list[float] = Field(
        description="Center of mass in the world of the scan, as NIfTI counts."
    )
    center_voxel: list[int] = Field(description="The nearest voxel's index in the file, (x, y, z).")
    center_zhw: list[float] = Field(description="The center by slice, row and column as they are served.")
    slice_from_feet: int = Field(description="The slice of the center, from 0.")


class Window(BaseModel):
    """A preset gray window."""

    name: str
    level: float
    width: float


class Scale(BaseModel):
    """From the numbers in slices to the scan's own: `slope * number + intercept`."""

    slope: float
    intercept: float


class RegionComparison(BaseModel):
    """A region in two masks."""

    region: str
    dice: float | None = Field(description="Null where neither mask has the region: it is not defined.")
    own_ml: float = Field(description="Its volume in the model's own mask.")
    second_ml: float = Field(description="Its volume in the second mask.")
    both_ml: float = Field(description="What both have of it.")


class SecondAnswer(BaseModel):
    """A second mask, compared with that of the model region by region."""

    name: str = Field(description="Of the uploaded file.")
    regions: list[RegionComparison] = Field(description="Those that the model segments.")
    differing_pixels_per_slice: list[int] = Field(description="Pixels at which the masks differ.")
    notes: list[str] = Field(description="What of the file was corrected.")
    links: dict[str, str]


class ScanAnswer(BaseModel):
    """What was found. The first slice is the lowest, rows run front to back, columns right to left."""

    id: str = Field(description="Known to who uploaded the scan alone.")
    case: str = Field(description="Name of the uploaded file, made safe.")
    modality: str = Field(description="`ct` or `mr`")
    regions: list[str] = Field(description="What the model segments.")
    shape: list[int] = Field(description="Slices, rows and columns.")
    spacing_mm: list[float] = Field(description="Between neighbors along the same axes.")
    affine_ras_mm: list[list[float]] = Field(
        description="4 x 4: from (slice, row, column, 1), counted from 0, to the world, as NIfTI counts."
    )
    start_zhw: list[int] = Field(
        description="Where to look first: in the largest lesion, else the liver, by slice, row and column."
    )
    liver_ml: float | None = Field(default=None, description="With its tumors.")
    tumor_ml: float | None = None
    tumor_burden: float | None = Field(default=None, description="Share of the liver that is tumor, 0 to 1.")
    lesion_count: int | None = None
    lesions: list[Lesion] | None = Field(description="The largest first; null where the model seeks none.")
    pixels_per_slice: dict[str, list[int]] = Field(description="By region.")
    value_scale: Scale
    windows: list[Window]
    notes: list[str] = Field(description="What could not be proven or was corrected.")
    seconds: float = Field(description="From the start of reading to the end of writing.")
    links: dict[str, str] = Field(
        description="Addresses; `dicom_seg`, `dicom_rtstruct` and `dicom_sr` of a DICOM series alone."
    )
    second: SecondAnswer | None = Field(default=None, description="A mask that lies beside the model's.")


class ProgressAnswer(BaseModel):
    """How far an upload is."""

    phase: str = Field(
        description="`receiving`, `checking`, `waiting`, `predicting`, or `none`: not under way."
    )
    ahead: int = Field(description="Scans that wait before this one.")
    slices_done: int
    slices_total: int


def form_with(kind: UploadKind) -> dict[str, Any]:
    """The form of an upload, for its documentation."""
    file = {"type": "string", "format": "binary", "description": f"A {kind.in_words}."}
    schema = {"type": "object", "required": [kind.field], "properties": {kind.field: file}}
    return {"requestBody": {"required": True, "content": {"multipart/form-data": {"schema": schema}}}}


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The refusals of an operation, for its documentation."""
    return {status: {"model": Problem, "description": _PROBLEMS[status]} for status in statuses}


_PROBLEMS = {
    400: "The request ended before its body did.",
    401: "A key is asked for, and none was given.",
    403: "The request comes from a page of another origin, or names another host.",
    404: "There is no such result, or it is no longer kept.",
    408: "The upload came too slowly.",
    413: "The upload has more bytes, or its scan more voxels, than is allowed.",
    415: "The body is of another media type than the address takes.",
    422: "The upload is not one readable scan or mask, or a parameter is wrong; the line says which.",
    500: "A fault of the service, which goes on.",
    503: "The queue is full (`Retry-After` says when to try again) or the service is shutting down.",
    507: "The service has no room for the scan: its disk is full, or its memory too small.",
}
