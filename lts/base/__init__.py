"""What every floor shares: labels, regions, axes, errors, and how files are read and written."""

from lts.base._errors import (
    CheckpointError,
    CohortError,
    ConfigError,
    DivergedError,
    LtsError,
    StorageError,
    VolumeError,
    causes_of,
)
from lts.base._labels import (
    AIR_HU,
    BACKGROUND,
    CANONICAL_AXES,
    DESCRIPTION_KEY,
    HU_BINS,
    LABELS,
    LIVER,
    MASK_THRESHOLD,
    REGION_MIN_LABEL,
    TUMOR,
    Modality,
    check_regions,
    region_min_labels,
)
from lts.base._processors import processors_of_affinity, usable_processors
from lts.base._reading import read_csv_rows, read_json_object
from lts.base._text import one_line, printable, shortened, shown
from lts.base._writing import clear_left_over, storage_error, sync_folder, written_whole

__all__ = [
    "AIR_HU",
    "BACKGROUND",
    "CANONICAL_AXES",
    "DESCRIPTION_KEY",
    "HU_BINS",
    "LABELS",
    "LIVER",
    "MASK_THRESHOLD",
    "REGION_MIN_LABEL",
    "TUMOR",
    "CheckpointError",
    "CohortError",
    "ConfigError",
    "DivergedError",
    "LtsError",
    "Modality",
    "StorageError",
    "VolumeError",
    "causes_of",
    "check_regions",
    "clear_left_over",
    "one_line",
    "printable",
    "processors_of_affinity",
    "read_csv_rows",
    "read_json_object",
    "region_min_labels",
    "shortened",
    "shown",
    "storage_error",
    "sync_folder",
    "usable_processors",
    "written_whole",
]
