"""The lesions of a result as a table for a spreadsheet."""

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any

CSV_TYPE = "text/csv; charset=utf-8; header=present"

_COLUMNS = (
    *("lesion", "region", "volume_ml", "diameter_mm"),
    *("x_ras_mm", "y_ras_mm", "z_ras_mm", "slice"),
)


def lesions_csv(lesions: Sequence[Mapping[str, Any]]) -> bytes:
    """Lesions as CSV in UTF-8, a row each under a header; of none, the header alone.

    A lesion has its number on the page; `diameter_mm` is that of the sphere of its volume, `x_ras_mm` and the
    next two are its center of mass in the world of the scan, and `slice` is the axial slice of the center,
    counted from 1 at the feet.

    >>> where = {"center_ras_mm": (34.5, 42.0, -16.0), "slice_from_feet": 4}
    >>> print(lesions_csv([{"volume_ml": 1.5, "diameter_mm": 14.2025, **where}]).decode(), end="")
    lesion,region,volume_ml,diameter_mm,x_ras_mm,y_ras_mm,z_ras_mm,slice
    1,tumor,1.5,14.2025,34.5,42,-16,5

    Args:
        lesions: As the answer of the scan has them, the largest first.
    """
    table = io.StringIO(newline="")
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(_COLUMNS)
    for number, lesion in enumerate(lesions, start=1):
        sizes = (lesion["volume_ml"], lesion["diameter_mm"], *lesion["center_ras_mm"])
        slice_ = lesion["slice_from_feet"] + 1
        writer.writerow([number, "tumor", *(f"{size:.6g}" for size in sizes), slice_])
    return table.getvalue().encode()
