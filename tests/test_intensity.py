"""Intensity maps against hand-worked values, numpy, OpenCV, SciPy and scikit-learn."""

import copy
import pickle
from pathlib import Path

import cv2
import nibabel
import numpy as np
import pytest
import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf
from scipy import stats
from sklearn.preprocessing import QuantileTransformer
from torch import nn

from lts.base import CheckpointError, ConfigError, LtsError
from lts.intensity import (
    Channels,
    FittedWindow,
    HistogramEqualization,
    Intensity,
    MRPercentiles,
    Window,
    apply_with_context,
    hu_percentile,
    window,
)
from lts.slices import count_hu

CONF = Path(__file__).parents[1] / "conf" / "intensity"


def as_slice(values):
    """A `(1, 1, 1, n)` slice of the values."""
    return torch.tensor(values).reshape(1, 1, 1, -1)


def counts_of(values):
    return torch.from_numpy(count_hu(np.asarray(values, dtype=np.int16)))


def tissue(shape, *, seed=0):
    """Fat, soft tissue and liver as three bell curves, whole HU."""
    rng = np.random.default_rng(seed)
    means, stds = np.array([-100, 40, 110]), np.array([25, 30, 20])
    kind = rng.integers(0, 3, shape)
    return np.rint(rng.normal(means[kind], stds[kind])).astype(np.int16)


def fitted_equalization(values, *, low_hu=-200, high_hu=300):
    equalization = HistogramEqualization(low_hu=low_hu, high_hu=high_hu)
    equalization.fit(counts_of(values))
    return equalization


def fitted_window(values=None, *, liver, tumor=(), **arguments):
    """Fitted to a scan of these voxels, by default of all HU, with these in its regions."""
    fitted = FittedWindow(**arguments)
    values = np.arange(-1024, 3072) if values is None else values
    fitted.fit(counts_of(values), {"liver": counts_of(liver), "tumor": counts_of(tumor)})
    return fitted


def all_maps():
    return Channels(
        [
            Window(level_hu=30, width_hu=150),
            fitted_equalization(tissue(5000)),
            MRPercentiles(lower_percent=1, upper_percent=99),
            fitted_window(liver=tissue(500)),
        ]
    )


def test_the_window_maps_its_lower_end_center_and_upper_end():
    hu = as_slice([-1024, -45, -44, 30, 105, 106, 3000])
    expected = as_slice([0.0, 0.0, 1 / 150, 0.5, 1.0, 1.0, 1.0])
    torch.testing.assert_close(window(hu, level_hu=30, width_hu=150), expected)
    torch.testing.assert_close(Window(level_hu=30, width_hu=150)(hu), expected)


@pytest.mark.parametrize("width_hu", [0, -3, float("nan"), float("inf")])
def test_a_window_without_positive_width_is_refused(width_hu):
    with pytest.raises(ConfigError, match=f"^width_hu: must be > 0 and at most 1000000 HU, got {width_hu}$"):
        Window(level_hu=0, width_hu=width_hu)
    with pytest.raises(ConfigError, match="width_hu"):
        window(as_slice([0.0]), level_hu=0, width_hu=width_hu)


def test_a_window_without_finite_level_is_refused():
    with pytest.raises(ConfigError, match="^level_hu: must be from -1000000 to 1000000 HU, got nan$"):
        Window(level_hu=float("nan"), width_hu=100)


def test_equalization_follows_the_cumulative_share_worked_by_hand():
    # Above 0 and up to 3 lie one voxel of 1, none of 2, three of 3; no other counts.
    equalization = fitted_equalization([-7, 0, 0, 0, 1, 3, 3, 3, 4, 900], low_hu=0, high_hu=3)
    hu = as_slice([-50.0, 0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 99.0])
    expected = as_slice([0.0, 0.0, 0.125, 0.25, 0.25, 0.25, 0.625, 1.0, 1.0])
    torch.testing.assert_close(equalization(hu), expected)


def test_equalized_training_voxels_are_uniform():
    values = tissue(200_000)
    inside = values[(values > -200) & (values <= 300)]
    equalized = fitted_equalization(values)(as_slice(inside))
    assert stats.kstest(inside, stats.uniform(-200, 500).cdf).statistic > 0.1
    assert stats.kstest(equalized.flatten(), "uniform").statistic < 0.01


def test_equalization_agrees_with_the_quantile_transformer():
    values = tissue(100_000).clip(-200, 300)
    reference = QuantileTransformer(n_quantiles=1000, subsample=None).fit(values[:, None].astype(float))
    expected = reference.transform(values[:, None].astype(float)).ravel()
    equalized = fitted_equalization(values)(as_slice(values)).flatten()
    np.testing.assert_allclose(equalized, expected, atol=0.01)


def test_equalization_of_bytes_agrees_with_opencv():
    image = (tissue((64, 64)) - tissue((64, 64)).min()).clip(0, 255).astype(np.uint8)
    equalized = fitted_equalization(image, low_hu=0, high_hu=255)(torch.from_numpy(image)[None, None])
    np.testing.assert_allclose(255 * equalized[0, 0], cv2.equalizeHist(image), atol=0.5 + 1e-4)


def test_equalization_never_falls_and_stays_in_range():
    hu = torch.linspace(-260, 360, 20_001).reshape(1, 1, 1, -1)
    equalized = fitted_equalization(tissue(300)).forward(hu).flatten()
    assert equalized.diff().min() > -1e-6
    assert equalized.min() == 0
    assert equalized.max() == 1


def test_equalization_of_a_real_scan_is_uniform(real_data):
    scan = nibabel.load(next((real_data / "lits_real").rglob("volume-1.nii*")))
    hu = np.asanyarray(scan.dataobj).astype(np.int16)
    inside = hu[(hu > -200) & (hu <= 300)]
    equalized = fitted_equalization(hu)(as_slice(inside))
    assert stats.kstest(equalized.flatten(), "uniform").statistic < 0.02


def test_equalization_before_fit_is_refused():
    with pytest.raises(CheckpointError, match="HistogramEqualization was neither fitted") as caught:
        HistogramEqualization(low_hu=0, high_hu=10)(as_slice([1.0]))
    assert isinstance(caught.value, LtsError)


def test_a_fitted_state_survives_the_checkpoint(tmp_path):
    fitted = all_maps()
    torch.save({"intensity": fitted.state_dict()}, tmp_path / "any.ckpt")
    window_map, equalization = (
        Window(level_hu=30, width_hu=150),
        HistogramEqualization(low_hu=-200, high_hu=300),
    )
    percentiles = MRPercentiles(lower_percent=1, upper_percent=99)
    fresh = Channels([window_map, equalization, percentiles, FittedWindow()])
    fresh.load_state_dict(torch.load(tmp_path / "any.ckpt", weights_only=True)["intensity"], strict=True)
    hu = torch.from_numpy(tissue((2, 1, 8, 8)))
    assert torch.equal(fresh(hu), fitted(hu))


def test_a_fitted_state_survives_inside_a_larger_module_and_copies():
    larger = nn.Sequential(fitted_equalization(tissue(500)), nn.Identity())
    fresh = nn.Sequential(HistogramEqualization(low_hu=-200, high_hu=300), nn.Identity())
    fresh.load_state_dict(larger.state_dict())
    hu = torch.from_numpy(tissue((2, 1, 8, 8)))
    for twin in (fresh, copy.deepcopy(larger), pickle.loads(pickle.dumps(larger))):
        assert torch.equal(twin(hu), larger(hu))


def test_an_unfitted_state_leaves_the_equalization_unfitted():
    equalization = fitted_equalization(tissue(500))
    equalization.load_state_dict(HistogramEqualization(low_hu=-200, high_hu=300).state_dict())
    with pytest.raises(CheckpointError, match="neither fitted"):
        equalization(as_slice([1.0]))


def test_fitting_leaves_the_counts_alone():
    counts = counts_of(tissue(500))
    before = counts.clone()
    HistogramEqualization(low_hu=0, high_hu=50).fit(counts)
    assert torch.equal(counts, before)


def test_equalization_without_training_voxels_in_range_is_refused():
    with pytest.raises(ConfigError, match="no training voxel above low_hu=0 and up to high_hu=10"):
        fitted_equalization([-5, 0, 11], low_hu=0, high_hu=10)


@pytest.mark.parametrize(
    ("low_hu", "high_hu"), [(10, 10), (20, 10), (-1025, 10), (0, 3072), (0.5, 10), (0, 9.5)]
)
def test_equalization_outside_the_counted_range_is_refused(low_hu, high_hu):
    with pytest.raises(
        ConfigError, match=f"^low_hu and high_hu: must be .* <= 3071, got {low_hu} and {high_hu}$"
    ):
        HistogramEqualization(low_hu=low_hu, high_hu=high_hu)


def test_equalization_may_span_the_whole_counted_range():
    equalized = fitted_equalization([-1024, 0, 3071], low_hu=-1024, high_hu=3071)(as_slice([-1024, 0, 3071]))
    assert equalized.flatten().tolist() == [0.0, 0.5, 1.0]


@pytest.mark.parametrize("percent", [0, 0.5, 33.3, 50, 66.6, 99.5, 100])
@pytest.mark.parametrize("size", [1, 2, 7, 1000, 100_003])
def test_percentiles_of_counted_voxels_are_those_of_numpy(percent, size):
    values = tissue(size, seed=size)
    assert hu_percentile(counts_of(values), percent) == pytest.approx(np.percentile(values, percent))


def test_percentiles_of_the_counted_ends_are_right():
    assert hu_percentile(counts_of([-1024]), 99) == -1024
    assert hu_percentile(counts_of([3071, -1024]), 100) == 3071


def test_a_fitted_window_is_worked_by_hand():
    # Liver at 50 to 150 HU, one voxel each: percentiles 10 and 90 are 60 and 140. Tumor 10 at 20: 20 and 20.
    liver, tumor = np.arange(50, 151), [20] * 10
    fitted = fitted_window(liver=liver, tumor=tumor, lower_percent=10, upper_percent=90, margin_hu=30)
    assert fitted.window_hu == (20 - 30, 140 + 30)
    hu = as_slice([-1024.0, -10.0, -1.0, 80.0, 170.0, 900.0])
    torch.testing.assert_close(fitted(hu), as_slice([0.0, 0.0, 0.05, 0.5, 1.0, 1.0]))
    healthy = fitted_window(liver=liver, lower_percent=10, upper_percent=90, margin_hu=30)
    assert healthy.window_hu == (30, 170)


def test_a_small_tumor_darker_than_the_liver_is_within_the_fitted_window():
    rng = np.random.default_rng(0)
    tumor = np.rint(rng.normal(-150, 5, 50)).astype(np.int16)
    liver = np.concatenate([np.rint(rng.normal(100, 10, 100_000)).astype(np.int16), tumor])
    low_hu, high_hu = fitted_window(liver=liver, tumor=tumor, margin_hu=0).window_hu
    assert low_hu <= np.percentile(tumor, 0.5) < np.percentile(liver, 0.5) - 100
    assert high_hu == np.ceil(np.percentile(liver, 99.5))


def test_the_ends_of_a_fitted_window_are_rounded_outward():
    # Of 20 and 21 the percentiles 25 and 75 are 20.25 and 20.75.
    assert fitted_window(liver=[20, 21], lower_percent=25, upper_percent=75, margin_hu=0).window_hu == (
        20,
        21,
    )
    assert fitted_window(liver=[20, 20], margin_hu=0.5).window_hu == (19, 21)


def test_a_fitted_window_ends_where_the_training_scans_do():
    # Cut to 0 to 255 HU: without a margin beyond that, for a scan that was not cut is to look the same.
    cut = tissue(5000).clip(0, 255)
    liver = [60, 200]
    assert fitted_window(cut, liver=liver).window_hu == (0, cut.max())
    assert fitted_window([-50, 90, 240], liver=liver, margin_hu=20).window_hu == (40, 220)
    fat = fitted_window(cut, liver=liver)(as_slice([-100, 0]))
    assert fat.flatten().tolist() == [0.0, 0.0]


def test_a_fitted_window_shows_fat_and_vessels_beside_the_liver():
    fitted = fitted_window(liver=np.arange(30, 181))
    fat, liver, vessel = fitted(as_slice([-60, 100, 270])).flatten().tolist()
    assert 0 < fat < liver < vessel < 1


def test_a_fitted_window_before_fit_is_refused():
    unfitted = FittedWindow()
    assert unfitted.window_hu is None
    assert unfitted.state_dict()["ends_hu"].isnan().all()
    with pytest.raises(CheckpointError, match="FittedWindow was neither fitted"):
        unfitted(as_slice([1.0]))
    fitted = fitted_window(liver=[100])
    fitted.load_state_dict(unfitted.state_dict())
    with pytest.raises(CheckpointError, match="FittedWindow was neither fitted"):
        fitted(as_slice([1.0]))


@pytest.mark.parametrize(
    ("regions", "message"),
    [
        ({"liver": [], "tumor": []}, "FittedWindow needs voxels of liver or tumor .* their masks hold 0"),
        ({"liver": [70]}, "FittedWindow must have a width > 0, the training cases give 70 to 70 HU"),
    ],
)
def test_a_window_of_nothing_or_of_one_value_is_refused(regions, message):
    with pytest.raises(ConfigError, match=message):
        FittedWindow(margin_hu=0).fit(
            counts_of([0, 70]), {name: counts_of(values) for name, values in regions.items()}
        )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"lower_percent": 60, "upper_percent": 40},
            "^lower_percent and upper_percent: must be .* got 60 and 40",
        ),
        ({"upper_percent": 101}, "got 0.5 and 101"),
        ({"lower_percent": -1}, "got -1 and 99.5"),
        ({"lower_percent": float("nan")}, "got nan and 99.5"),
        ({"margin_hu": -1}, "^margin_hu: must be from 0 to 4095 HU, got -1"),
        ({"margin_hu": 4096}, "got 4096"),
        ({"margin_hu": float("nan")}, "got nan"),
    ],
)
def test_a_fitted_window_out_of_range_is_refused(arguments, message):
    with pytest.raises(ConfigError, match=message):
        FittedWindow(**arguments)


def test_whoever_reads_regions_says_so_and_others_are_fitted_without():
    both = Channels([FittedWindow(), HistogramEqualization()])
    assert both.reads_regions
    assert not Channels([Window(), HistogramEqualization(), MRPercentiles()]).reads_regions
    both.fit(counts_of(tissue(500)), {"liver": counts_of([100])})
    assert both.maps[0].window_hu == (0, min(200, tissue(500).max()))
    assert torch.equal(both.maps[1].curve, fitted_equalization(tissue(500)).curve)
    assert "margin_hu=100" in repr(both)


@pytest.mark.parametrize(("lower", "upper"), [(1, 99), (0, 100), (0.5, 99.5), (33.3, 66.6), (0, 50)])
@pytest.mark.parametrize("shape", [(7, 9), (16, 16), (1, 2)])
def test_percentiles_agree_with_numpy_slice_by_slice(lower, upper, shape):
    raw = np.random.default_rng(1).gamma(2.0, 200.0, (4, 1, *shape)).astype(np.float32)
    low, high = np.percentile(raw.astype(np.float64), [lower, upper], axis=(1, 2, 3), keepdims=True)
    scaled = MRPercentiles(lower_percent=lower, upper_percent=upper)(torch.from_numpy(raw))
    np.testing.assert_allclose(scaled, np.clip((raw - low) / (high - low), 0, 1), atol=1e-5)


@pytest.mark.parametrize(("factor", "offset"), [(3.7, 120.0), (0.01, -5.0)])
def test_percentiles_ignore_the_scale_of_the_scan(factor, offset):
    raw = torch.from_numpy(tissue((3, 1, 20, 20))).float()
    mr = MRPercentiles(lower_percent=1, upper_percent=99)
    torch.testing.assert_close(mr(raw * factor + offset), mr(raw), atol=1e-4, rtol=0)


@pytest.mark.parametrize("value", [-1024, 0, 7])
def test_a_constant_slice_is_zero_beside_one_that_is_not(value):
    raw = torch.full((2, 1, 6, 6), value, dtype=torch.int16)
    raw[1, 0] = torch.arange(36).reshape(6, 6)
    scaled = MRPercentiles(lower_percent=1, upper_percent=99)(raw)
    assert scaled[0].unique().tolist() == [0.0]
    assert scaled[1].max() == 1


def test_a_slice_of_one_pixel_is_zero():
    assert MRPercentiles(lower_percent=1, upper_percent=99)(as_slice([5.0])).item() == 0


def test_where_both_percentiles_meet_only_what_lies_above_is_one():
    raw = torch.zeros(1, 1, 20, 20)
    raw[..., 0, :3] = torch.tensor([-2.0, 0.25, 90.0])
    scaled = MRPercentiles(lower_percent=1, upper_percent=99)(raw)
    assert scaled[0, 0, 0, :4].tolist() == [0.0, 1.0, 1.0, 0.0]


def test_percentiles_take_more_than_sixteen_million_values():
    raw = torch.arange(2.0**20).reshape(1, 1, 1024, 1024).expand(17, 1, 1024, 1024)
    scaled = MRPercentiles(lower_percent=25, upper_percent=75)(raw)
    assert scaled[16, 0, 512, 0].item() == pytest.approx(0.5, abs=1e-5)


@pytest.mark.parametrize(("lower", "upper"), [(-1, 99), (1, 101), (50, 50), (99, 1), (float("nan"), 99)])
def test_percentiles_out_of_order_are_refused(lower, upper):
    with pytest.raises(ConfigError, match=f"^lower_percent and upper_percent: .* got {lower} and {upper}$"):
        MRPercentiles(lower_percent=lower, upper_percent=upper)


def test_channels_are_in_the_order_given_and_fitted_each():
    first, second = Window(level_hu=0, width_hu=10), HistogramEqualization(low_hu=-200, high_hu=300)
    both = Channels([first, second])
    both.fit(counts_of(tissue(500)))
    hu = torch.from_numpy(tissue((3, 1, 5, 6)))
    assert both.channels == 2
    assert torch.equal(both(hu)[:, :1], first(hu))
    assert torch.equal(both(hu)[:, 1:], second(hu))
    assert Channels([both, first]).channels == 3


def test_no_channels_are_refused():
    with pytest.raises(ConfigError, match=r"^channels: must name at least one map, got none"):
        Channels([])


def test_neighbors_are_mapped_alone_and_laid_slice_by_slice():
    maps = all_maps()
    hu = torch.from_numpy(tissue((2, 5, 6, 7)))
    mapped = apply_with_context(maps, hu)
    assert mapped.shape == (2, 20, 6, 7)
    for item in range(2):
        for each in range(5):
            alone = maps(hu[item, each][None, None])[0]
            torch.testing.assert_close(mapped[item, 4 * each : 4 * each + 4], alone)


def test_an_empty_batch_stays_empty():
    assert apply_with_context(all_maps(), torch.zeros(0, 3, 8, 8)).shape == (0, 12, 8, 8)


def test_more_than_one_slice_a_channel_is_a_bug():
    for wrong in (torch.zeros(1, 3, 4, 4), torch.zeros(1, 4, 4)):
        with pytest.raises(AssertionError, match=r"hu must be \(B, 1, H, W\)"):
            Window(level_hu=0, width_hu=1)(wrong)


def test_whole_and_float_input_give_the_same_float32():
    hu = torch.from_numpy(tissue((2, 1, 9, 9)))
    maps = all_maps()
    for dtype in (torch.float32, torch.float64, torch.int32):
        assert torch.equal(maps(hu), maps(hu.to(dtype)))
    assert maps(hu).dtype == torch.float32
    assert maps(hu).min() >= 0
    assert maps(hu).max() <= 1


def test_the_ends_of_int16_map_to_the_ends_of_the_range():
    ends = torch.tensor([-(2**15), 2**15 - 1], dtype=torch.int16).reshape(1, 1, 1, 2)
    assert all_maps()(ends)[0, :, 0].tolist() == [[0.0, 1.0]] * 4


def test_forward_reads_no_values_from_the_device():
    # A meta tensor has no values: whatever needs one, as a copy from the device would, fails.
    hu = torch.from_numpy(tissue((2, 3, 9, 9)))
    assert apply_with_context(all_maps().to("meta"), hu.to("meta")).shape == (2, 12, 9, 9)


class WithContext(nn.Module):
    def __init__(self, intensity: Intensity) -> None:
        super().__init__()
        self.intensity = intensity

    def forward(self, hu):
        return apply_with_context(self.intensity, hu)


@pytest.mark.filterwarnings(
    "ignore:.*torch.jit.trace:FutureWarning", "ignore:.*torch.jit.trace:DeprecationWarning"
)
def test_a_traced_map_is_right_for_other_sizes():
    maps = WithContext(all_maps())
    traced = torch.jit.trace(maps, (torch.from_numpy(tissue((2, 3, 9, 9))),))
    other = torch.from_numpy(tissue((3, 3, 14, 21), seed=1))
    assert torch.equal(traced(other), maps(other))


def test_an_exported_map_is_right_for_other_sizes():
    maps, any_size = WithContext(all_maps()), torch.export.Dim.AUTO
    exported = torch.export.export(
        maps,
        (torch.from_numpy(tissue((2, 3, 9, 9))),),
        dynamic_shapes=({0: any_size, 2: any_size, 3: any_size},),
    )
    other = torch.from_numpy(tissue((3, 3, 14, 21), seed=1))
    assert torch.equal(exported.module()(other), maps(other))


@pytest.mark.parametrize(
    ("name", "channels"),
    [("ct_windows", 3), ("ct_plain", 1), ("ct_liver", 1), ("ct_fitted", 1), ("mri", 1)],
)
def test_each_config_makes_a_map_that_works_once_fitted(name, channels):
    intensity = instantiate(OmegaConf.load(CONF / f"{name}.yaml"))
    intensity.fit(counts_of(tissue(500)), {"liver": counts_of(tissue(50))})
    assert intensity.channels == channels
    assert intensity(torch.from_numpy(tissue((2, 1, 8, 8)))).shape == (2, channels, 8, 8)


def test_the_default_config_holds_the_windows_it_says():
    liver, tumor, equalization = instantiate(OmegaConf.load(CONF / "ct_windows.yaml")).maps
    assert (liver.level_hu, liver.width_hu) == (30, 150)
    assert (tumor.level_hu, tumor.width_hu) == (60, 200)
    assert (equalization.low_hu, equalization.high_hu) == (-200, 300)
    assert "low_hu=-200" in repr(equalization)
    assert "width_hu=150" in repr(liver)
