"""The line that says what a run takes, counted by hand."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from lts.app.commands.training.footprint import footprint_line

MIB = 2**20


def stored(folder: Path, *, file_mib: float, side: int = 1024) -> Any:
    folder.mkdir()
    for name, share in (("image.npy", 0.75), ("labels.npy", 0.25)):
        with (folder / name).open("wb") as file:
            file.truncate(int(file_mib * share * MIB))
    return SimpleNamespace(folder=folder, shape=(3, side, side))


def line(cases: list[Any], folder: Path, **changes: int) -> str:
    settings = {"batch_size": 2, "context": 0, "num_workers": 1}
    return footprint_line(cases, store_dir=folder, **{**settings, **changes})


def test_the_store_is_the_sum_of_its_files(tmp_path: Path) -> None:
    cases = [stored(tmp_path / "a", file_mib=8), stored(tmp_path / "b", file_mib=4)]
    assert line(cases, tmp_path).startswith(f"store 12 MiB for 2 cases in {tmp_path}; ")


@pytest.mark.parametrize(
    ("changes", "mib"),
    [
        # 20 MiB, and three batches of slices of 1 Mi pixels: 2 bytes of image a channel, 1 of label.
        ({}, 20 + 3 * 2 * 3),
        ({"batch_size": 5}, 20 + 3 * 5 * 3),
        ({"context": 1}, 20 + 3 * 2 * (2 * 3 + 1)),
        ({"context": 2}, 20 + 3 * 2 * (2 * 5 + 1)),
    ],
)
def test_a_worker_holds_three_batches(changes: dict[str, int], mib: int, tmp_path: Path) -> None:
    told = line([stored(tmp_path / "a", file_mib=1)], tmp_path, **changes)
    assert told.endswith(f"; loader workers 1, each with about {mib} MiB of memory")


def test_large_sizes_are_told_in_gib(tmp_path: Path) -> None:
    assert "store 999 MiB for" in line([stored(tmp_path / "a", file_mib=999)], tmp_path)
    assert "store 1.0 GiB for" in line([stored(tmp_path / "b", file_mib=1000)], tmp_path)
    assert "store 2.5 GiB for" in line([stored(tmp_path / "c", file_mib=2560)], tmp_path)


def test_without_workers_none_are_planned(tmp_path: Path) -> None:
    told = line([stored(tmp_path / "a", file_mib=1)], tmp_path, num_workers=0)
    assert told.endswith("; no loader workers")
