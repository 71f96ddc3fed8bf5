"""A made-up format: an affine and an array as numpy saves them, known to lts by one entry of its table."""

import sys
from pathlib import Path
from typing import Any

import numpy as np

from lts.volume import Geometry, _formats
from lts.volume._stored import StoredArray


def save_toy(path: Path, voxels_on_disk: np.ndarray, *, geometry: Geometry, slope: float = 1.0) -> None:
    """Write `(X, Y, Z)` numbers on a grid."""
    with path.open("wb") as file:
        np.save(file, geometry.affine)
        np.save(file, np.asarray(slope))
        np.save(file, voxels_on_disk)


def _read(path: Path) -> StoredArray:
    with path.open("rb") as file:
        affine, slope, voxels = (np.load(file) for _ in range(3))
    return StoredArray(path, Geometry.from_affine(affine, shape=voxels.shape), voxels, slope=float(slope))


TOY = _formats.Format(
    name="toy",
    suffixes=(".toy",),
    read_geometry=lambda path: _read(path).geometry,
    read_image=lambda path, _modality: _read(path),
    read_mask=_read,
    write=save_toy,
)
WITH_TOY = (*_formats.FORMATS, TOY)


def _main(arguments: list[str]) -> Any:
    """Run a command of an interpreter that knows the format: `toy_kit.py predict.py input=...`."""
    import runpy

    _formats.FORMATS = WITH_TOY
    sys.argv = arguments
    sys.path.insert(0, str(Path(arguments[0]).parent))
    return runpy.run_path(arguments[0], run_name="__main__")


if __name__ == "__main__":
    _main(sys.argv[1:])
