from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf

from lts.base import ConfigError
from lts.data import Augmentation, SliceDataModule, SliceDataset
from lts.intensity import Channels, FittedWindow, HistogramEqualization, MRPercentiles, Window
from lts.slices import Recipe, build_store, hu_counts_of

RECIPE = Recipe(image_size=32, pixel_mm=None, modality="ct")
DEFAULT_AUGMENTATION = OmegaConf.load(Path(__file__).parents[2] / "conf" / "augment" / "default.yaml")


@pytest.fixture
def cases(make_case):
    return [make_case(f"volume-{n}", seed=n, depth=5 + n) for n in range(4)]


def intensity() -> Channels:
    return Channels([Window(level_hu=50, width_hu=200), HistogramEqualization(low_hu=-200, high_hu=300)])


def data_module(four_cases, folder: Path, **changes) -> SliceDataModule:
    settings = {
        "cases": {"train": four_cases[:2], "val": four_cases[2:3], "test": four_cases[3:]},
        "recipe": RECIPE,
        "store_dir": folder / "store",
        "intensity": intensity(),
        "augment": instantiate(DEFAULT_AUGMENTATION),
        "regions": ("liver", "tumor"),
        "context": 0,
        "batch_size": 4,
        "num_workers": 0,
        "region_share": 0.5,
        "slices_per_epoch": None,
        "seed": 0,
    }
    return SliceDataModule(**{**settings, **changes})


def ready(data: SliceDataModule, loader) -> list[dict[str, torch.Tensor]]:
    return [data.on_after_batch_transfer(batch, 0) for batch in loader]


def test_a_batch_is_channels_and_regions_of_the_stored_slices(cases, tmp_path: Path) -> None:
    data = data_module(cases, tmp_path)
    data.setup("fit")
    raw = next(iter(data.val_dataloader()))
    assert raw["image"].dtype == torch.int16
    batch = data.on_after_batch_transfer(raw, 0)
    (stored,) = data.stored("val")
    assert batch["image"].shape == (4, 2, 32, 32)
    assert batch["image"].dtype == torch.float32
    assert 0 <= batch["image"].min() <= batch["image"].max() <= 1
    np.testing.assert_array_equal(batch["hu"], stored.open_image()[:4])
    labels = stored.open_labels()[:4]
    np.testing.assert_array_equal(batch["mask"], np.stack([labels >= 1, labels == 2], 1))
    assert batch["slice"].tolist() == [0, 1, 2, 3]
    assert batch["pixel_mm"].tolist() == [1.5] * 4
    assert batch["case"].tolist() == [0, 0, 0, 0]


def test_intensity_is_fitted_on_the_training_cases_alone(cases, tmp_path: Path) -> None:
    data = data_module(cases, tmp_path)
    data.setup("fit")
    expected = intensity()
    expected.fit(torch.from_numpy(hu_counts_of(data.stored("train"))))
    fitted = data.intensity.state_dict()
    assert fitted.keys() == expected.state_dict().keys()
    for name, value in expected.state_dict().items():
        assert torch.equal(fitted[name], value)
    on_all = intensity()
    everything = build_store(cases, RECIPE, store_dir=tmp_path / "store", workers=1)
    on_all.fit(torch.from_numpy(hu_counts_of(everything)))
    assert any(not torch.equal(fitted[name], value) for name, value in on_all.state_dict().items())


def test_a_window_is_fitted_within_the_regions_of_the_training_cases_alone(make_case, tmp_path: Path) -> None:
    # The tumor of 20 HU is in the case that is not trained on.
    healthy, ill = make_case("volume-0", tumor=False), make_case("volume-1", seed=1)
    both = Channels([FittedWindow(margin_hu=0), HistogramEqualization()])
    cases = {"train": [healthy], "val": [ill], "test": [ill]}
    data = data_module([], tmp_path, cases=cases, intensity=both)
    data.setup("fit")
    labels, hu = data.stored("train")[0].open_labels(), data.stored("train")[0].open_image()
    low, high = np.percentile(hu[labels == 1], (0.5, 99.5))
    assert both.maps[0].window_hu == (np.floor(low), np.ceil(high))
    assert low > 90
    assert both.maps[1].curve[-1] == 1
    everyone = FittedWindow(margin_hu=0)
    data_module([], tmp_path, cases={"train": [healthy, ill]}, intensity=everyone).setup("fit")
    assert everyone.window_hu[0] < 30


def test_an_intensity_that_is_fitted_stays_as_it_is(cases, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("lts.data.datamodule.fingerprint_cases", lambda *_a, **_k: pytest.fail("was read"))
    fitted = FittedWindow()
    fitted.fit(torch.ones(4096, dtype=torch.int64), {"liver": torch.ones(4096, dtype=torch.int64)})
    before = fitted.window_hu
    data = data_module(cases, tmp_path, intensity=fitted, intensity_is_fitted=True)
    data.setup("fit")
    assert data.intensity.window_hu == before


def test_a_window_of_hounsfield_units_is_refused_for_mr() -> None:
    mr = Recipe(modality="mr")
    for intensity in (FittedWindow(), Channels([Window(), FittedWindow()])):
        with pytest.raises(ConfigError, match="^intensity: must not be fitted to Hounsfield units .* in MR"):
            SliceDataModule(cases={}, store_dir="nowhere", recipe=mr, intensity=intensity)
    SliceDataModule(cases={}, store_dir="nowhere", recipe=mr, intensity=Channels())


def test_results_do_not_depend_on_the_number_of_workers(cases, tmp_path: Path) -> None:
    epochs = []
    for num_workers in (0, 2):
        data = data_module(cases, tmp_path, num_workers=num_workers)
        data.setup("fit")
        loader = data.train_dataloader()
        loader.sampler.set_epoch(3)
        epochs.append(ready(data, loader))
    assert len(epochs[0]) == len(epochs[1]) > 1
    for one, other in zip(*epochs, strict=True):
        for name, value in one.items():
            assert torch.equal(value, other[name]), name


def test_augmentation_changes_from_epoch_to_epoch_and_never_in_validation(cases, tmp_path: Path) -> None:
    data = data_module(cases, tmp_path, region_share=0.0)
    data.setup("fit")
    loader = data.train_dataloader()
    seen = []
    for epoch in (0, 1):
        loader.sampler.set_epoch(epoch)
        slices = {
            (int(c), int(z)): hu
            for b in loader
            for c, z, hu in zip(b["case"], b["slice"], b["image"], strict=True)
        }
        seen.append(slices)
    both = seen[0].keys() & seen[1].keys()
    assert any(not torch.equal(seen[0][key], seen[1][key]) for key in both)
    first, second = ([b["image"] for b in data.val_dataloader()] for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def test_neighbors_come_as_channels_and_the_ends_repeat(cases, tmp_path: Path) -> None:
    (stored,) = build_store(cases[:1], RECIPE, store_dir=tmp_path / "store", workers=1)
    dataset = SliceDataset([stored], context=1)
    stack = stored.open_image()
    np.testing.assert_array_equal(dataset[0]["image"], stack[[0, 0, 1]])
    np.testing.assert_array_equal(dataset[2]["image"], stack[[1, 2, 3]])
    last = len(stack) - 1
    np.testing.assert_array_equal(dataset[last]["image"], stack[[last - 1, last, last]])
    data = data_module(cases, tmp_path, context=1)
    data.setup("fit")
    batch = next(iter(ready(data, data.val_dataloader())))
    assert batch["image"].shape[1] == data.channels == 3 * 2
    own = data.intensity(batch["hu"][:, None])
    assert torch.equal(batch["image"][:, 2:4], own)


def test_neighbors_never_come_from_another_case(cases, tmp_path: Path) -> None:
    stored = build_store(cases[:2], RECIPE, store_dir=tmp_path / "store", workers=1)
    dataset = SliceDataset(stored, context=1)
    first_of_second = stored[0].shape[0]
    np.testing.assert_array_equal(dataset[first_of_second]["image"], stored[1].open_image()[[0, 0, 1]])


def test_every_slice_of_a_subset_comes_once(cases, tmp_path: Path) -> None:
    data = data_module(cases, tmp_path)
    for stage, loader in (("test", data.test_dataloader), ("validate", data.val_dataloader)):
        data.setup(stage)
        seen = [(int(c), int(z)) for b in loader() for c, z in zip(b["case"], b["slice"], strict=True)]
        subset = "test" if stage == "test" else "val"
        depth = data.stored(subset)[0].shape[0]
        assert seen == [(0, z) for z in range(depth)]


def test_the_cases_that_hold_a_region_are_counted_and_a_subset_may_be_empty(
    make_case, tmp_path: Path
) -> None:
    cases = [make_case(f"volume-{n}", tumor=n != 1) for n in range(3)]
    data = data_module(cases, tmp_path, cases={"train": cases, "val": [], "test": []})
    data.setup("fit")
    assert [data.holders("train", region) for region in ("liver", "tumor")] == [3, 2]
    assert (data.stored("val"), data.holders("val", "tumor")) == ((), 0)


def test_cases_to_predict_need_no_mask(cases, tmp_path: Path) -> None:
    without = [replace(cases[0], mask=None)]
    data = data_module(
        cases, tmp_path, cases={"predict": without}, intensity=Window(level_hu=50, width_hu=200)
    )
    data.setup("predict")
    batches = ready(data, data.predict_dataloader())
    assert "mask" not in batches[0]
    assert sum(len(batch["image"]) for batch in batches) == 5


def test_cases_and_a_folder_are_all_that_must_be_said(cases, tmp_path: Path) -> None:
    data = SliceDataModule(cases={"train": cases[:2], "val": cases[2:]}, store_dir=tmp_path / "store")
    data.setup("fit")
    batch = ready(data, data.val_dataloader())[0]
    assert batch["image"].shape == (7 + 8, 3, 256, 256)
    assert batch["mask"].shape == (7 + 8, 2, 256, 256)
    of_mr = SliceDataModule(cases={}, store_dir="nowhere", recipe=Recipe(modality="mr"))
    assert isinstance(of_mr.intensity, MRPercentiles)


def test_one_region_is_a_binary_task(cases, tmp_path: Path) -> None:
    data = data_module(cases, tmp_path, regions=("tumor",))
    data.setup("fit")
    batch = next(iter(ready(data, data.val_dataloader())))
    assert batch["mask"].shape[1] == 1
    np.testing.assert_array_equal(batch["mask"][:, 0], data.stored("val")[0].open_labels()[:4] == 2)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"batch_size": 0}, "^batch_size: must be at least 1, got 0"),
        ({"num_workers": -1}, "^num_workers: must be from 0 to 256, got -1"),
    ],
)
def test_impossible_settings_are_refused(cases, tmp_path: Path, changes: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        data_module(cases, tmp_path, **changes)


def test_a_negative_context_is_refused() -> None:
    with pytest.raises(ConfigError, match="^context: must be 0 or more neighboring slices, got -1"):
        SliceDataset([], context=-1, augment=None)


def test_the_default_augmentation_is_the_one_the_config_names() -> None:
    assert isinstance(instantiate(DEFAULT_AUGMENTATION), Augmentation)
