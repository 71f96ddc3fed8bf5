"""Results are bounded by number and by age, and their files go with them."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from service_kit import LIMITS

from lts.base import ConfigError
from lts.service import Limits
from lts.service.folder import PrivateFolder
from lts.service.results import Results


class Clock:
    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def keep(results: Results, folder: Path, name: str) -> str:
    files = folder / name
    files.mkdir()
    (files / "mask").write_text(name)
    id_: str = results.keep(files, lambda id_: {"id": id_, "name": name})["id"]
    return id_


@pytest.fixture
def kept() -> Iterator[PrivateFolder]:
    folder = PrivateFolder(log=print)
    yield folder
    folder.close()


def test_a_result_is_kept_until_its_time_is_over(tmp_path: Path, kept: PrivateFolder) -> None:
    clock = Clock()
    results = Results(kept, most=9, keep_s=60, clock=clock)
    first = keep(results, tmp_path, "first")
    clock.now_s += 30
    second = keep(results, tmp_path, "second")
    clock.now_s += 29.9
    assert results.get(first).answer["name"] == "first"
    clock.now_s += 0.1
    assert results.get(first) is None  # even before its files are removed
    results.expire()
    assert list(kept.path.iterdir()) == [results.get(second).folder]
    assert (results.get(second).folder / "mask").read_text() == "second"


def test_only_so_many_are_kept(tmp_path: Path, kept: PrivateFolder) -> None:
    results = Results(kept, most=2, keep_s=60)
    ids = [keep(results, tmp_path, str(number)) for number in range(4)]
    assert [results.get(id_) is not None for id_ in ids] == [False, False, True, True]
    assert set(kept.path.iterdir()) == {results.get(id_).folder for id_ in ids[2:]}


def test_ids_are_long_and_never_the_same(tmp_path: Path, kept: PrivateFolder) -> None:
    results = Results(kept, most=50, keep_s=60)
    ids = {keep(results, tmp_path, str(number)) for number in range(50)}
    assert len(ids) == 50
    assert {len(id_) for id_ in ids} == {32}


@pytest.mark.parametrize("name", sorted(LIMITS))
@pytest.mark.parametrize("value", [0, -1, "many", True])
def test_bounds_must_be_positive_numbers(name: str, value: object) -> None:
    with pytest.raises(ConfigError, match=f"^{name}: must be a number > 0, got {value!r}$"):
        Limits(**{**LIMITS, name: value})
