"""A dataset of slices, as any loader of PyTorch takes it."""

import resource
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from lts.data import Augmentation, SliceDataset, SliceDraw, SliceSampler
from lts.data.dataset import most_open_cases
from lts.slices import Recipe, StoredCase, build_store


@pytest.fixture
def stored(make_case, tmp_path: Path) -> tuple[StoredCase, ...]:
    cases = [make_case(f"volume-{n}", seed=n, depth=5 + n) for n in range(2)]
    return build_store(cases, Recipe(image_size=32), store_dir=tmp_path / "store")


def test_a_sample_is_one_slice_with_its_labels(stored: tuple[StoredCase, ...]) -> None:
    dataset = SliceDataset(stored)
    assert len(dataset) == 5 + 6
    sample = dataset[5 + 2]
    assert (sample["image"].dtype, sample["labels"].dtype) == (np.int16, np.uint8)
    np.testing.assert_array_equal(sample["image"], stored[1].open_image()[2:3])
    np.testing.assert_array_equal(sample["labels"], stored[1].open_labels()[2])
    assert [int(sample[name]) for name in ("case", "slice")] == [1, 2]
    assert float(sample["pixel_mm"]) == 1.5
    np.testing.assert_array_equal(dataset[-1]["image"], stored[1].open_image()[5:6])
    np.testing.assert_array_equal(dataset[np.int64(3)]["image"], stored[0].open_image()[3:4])
    for beyond in (11, -12):
        with pytest.raises(IndexError):
            dataset[beyond]


def test_it_can_be_gone_through(stored: tuple[StoredCase, ...]) -> None:
    seen = [(int(sample["case"]), int(sample["slice"])) for sample in SliceDataset(stored)]
    assert seen == [(0, z) for z in range(5)] + [(1, z) for z in range(6)]


@pytest.mark.parametrize("num_workers", [0, 1])
def test_a_plain_loader_makes_the_batches_that_are_read_at_once(
    stored: tuple[StoredCase, ...], num_workers: int
) -> None:
    dataset = SliceDataset(stored, context=1)
    batches = list(DataLoader(dataset, batch_size=4, num_workers=num_workers))
    assert [len(batch["image"]) for batch in batches] == [4, 4, 3]
    at_once = dataset.read([SliceDraw(position, 0) for position in range(len(dataset))])
    for name, values in at_once.items():
        together = torch.cat([batch[name] for batch in batches])
        assert together.dtype == torch.from_numpy(values).dtype
        np.testing.assert_array_equal(together, values)


def test_a_plain_loader_shuffles(stored: tuple[StoredCase, ...]) -> None:
    order = torch.Generator().manual_seed(1)
    loader = DataLoader(SliceDataset(stored), batch_size=4, shuffle=True, generator=order)
    first, second = (
        [
            (int(case), int(z))
            for batch in loader
            for case, z in zip(batch["case"], batch["slice"], strict=True)
        ]
        for _ in range(2)
    )
    assert first != second
    assert sorted(first) == sorted(second) == [(0, z) for z in range(5)] + [(1, z) for z in range(6)]


def test_a_sampler_of_draws_goes_with_a_plain_loader(stored: tuple[StoredCase, ...]) -> None:
    dataset = SliceDataset(stored, augment=Augmentation())
    sampler = SliceSampler(dataset.holds("tumor"), seed=4)
    batches = list(DataLoader(dataset, batch_size=4, sampler=sampler))
    at_once = dataset.read(list(sampler))
    np.testing.assert_array_equal(torch.cat([batch["image"] for batch in batches]), at_once["image"])
    np.testing.assert_array_equal(torch.cat([batch["labels"] for batch in batches]), at_once["labels"])


def test_augmentation_is_drawn_anew_at_each_look_from_the_random_numbers_of_torch(
    stored: tuple[StoredCase, ...],
) -> None:
    dataset = SliceDataset(stored, augment=Augmentation(affine_probability=1.0))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        first, second = dataset[2]["image"], dataset[2]["image"]
        assert not np.array_equal(first, second)
        torch.manual_seed(0)
        np.testing.assert_array_equal(dataset[2]["image"], first)


@pytest.mark.parametrize(("allowed", "cases"), [(1024, 128), (7, 1), (resource.RLIM_INFINITY, sys.maxsize)])
def test_as_many_cases_stay_open_as_the_system_allows(
    monkeypatch: pytest.MonkeyPatch, allowed: int, cases: int
) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (allowed, allowed))
    assert most_open_cases() == cases


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="the system does not list open files")
def test_a_cohort_of_more_cases_than_may_be_open_is_read_alike(
    make_case, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    cases = [make_case(f"volume-{n}", seed=n, depth=4) for n in range(3)]
    stored = build_store(cases, Recipe(image_size=32), store_dir=tmp_path / "store")
    drawn = [SliceDraw(position, 0) for position in (0, 4, 8, 1, 5, 9)]  # a case after the other, twice
    expected = SliceDataset(stored).read(drawn)
    monkeypatch.setattr("lts.data.dataset.most_open_cases", lambda: 2)
    dataset = SliceDataset(stored)
    found = dataset.read(drawn)
    for name, values in expected.items():
        np.testing.assert_array_equal(found[name], values)
    kept = {path.parent.name for path in open_files() if path.is_relative_to(tmp_path)}
    assert kept == {stored[1].folder.name, stored[2].folder.name}


def open_files() -> list[Path]:
    return [path.readlink() for path in Path("/proc/self/fd").iterdir() if path.is_symlink()]
