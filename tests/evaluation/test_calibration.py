import pickle
from typing import Any

import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from sklearn.calibration import calibration_curve
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import brier_score_loss, log_loss
from torchmetrics.classification import BinaryCalibrationError

from lts.base import ConfigError
from lts.evaluation.calibration import (
    CalibrationCounts,
    ReliabilityCurve,
    brier_score,
    expected_calibration_error,
    fit_temperature,
    negative_log_likelihood,
    reliability,
)

REGIONS = ("liver", "tumor")


def scan(seed: int, *, mean: float, true_temperature: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits as a network makes them, and a reference that follows them once divided by a temperature."""
    generator = torch.Generator().manual_seed(seed)
    logits = (mean + 4 * torch.randn(6, 2, 64, 64, generator=generator)).clamp(max=16)
    truth = (logits / true_temperature).sigmoid()
    return logits, torch.rand(logits.shape, generator=generator) < truth


def counted(probs: torch.Tensor, reference: torch.Tensor) -> CalibrationCounts:
    counts = CalibrationCounts(REGIONS)
    counts.update(probs, reference)
    return counts


def tumor(values: list[float], reference: list[bool]) -> CalibrationCounts:
    counts = CalibrationCounts(("tumor",))
    counts.update(torch.tensor(values)[:, None, None, None], torch.tensor(reference)[:, None, None, None])
    return counts


SCANS = {
    "spread": scan(0, mean=0, true_temperature=1.7),
    "mostly background": scan(1, mean=-9, true_temperature=1.4),
    "too careful": scan(2, mean=-2, true_temperature=0.6),
}


@pytest.fixture(params=SCANS)
def logits_and_reference(request: pytest.FixtureRequest) -> tuple[torch.Tensor, torch.Tensor]:
    return SCANS[request.param]


def test_the_error_is_that_of_torchmetrics(logits_and_reference) -> None:
    logits, reference = logits_and_reference
    probs = logits.sigmoid()
    counts = counted(probs, reference)
    for channel, region in enumerate(REGIONS):
        # torchmetrics gives a probability of exactly 1 a bin of its own: here it has none.
        assert probs[:, channel].max() < 1
        theirs = BinaryCalibrationError(n_bins=15, norm="l1")(
            probs[:, channel].flatten().double(), reference[:, channel].flatten().int()
        )
        found = expected_calibration_error(reliability(counts, region, uncertain=False))
        assert found == pytest.approx(float(theirs), abs=1e-6)


def test_the_curve_is_that_of_scikit_learn(logits_and_reference) -> None:
    logits, reference = logits_and_reference
    probs = logits.sigmoid()
    counts = counted(probs, reference)
    for channel, region in enumerate(REGIONS):
        flat, truth = probs[:, channel].flatten().double().numpy(), reference[:, channel].flatten().numpy()
        for uncertain in (False, True):
            # The edges as float32, which the probabilities are.
            low, high = np.float32(0.01), np.float32(0.99)
            kept = (flat >= low) & (flat < high) if uncertain else np.ones_like(truth)
            observed, predicted = calibration_curve(truth[kept], flat[kept], n_bins=15)
            curve = reliability(counts, region, uncertain=uncertain)
            assert curve.observed == pytest.approx(observed, abs=1e-12)
            assert curve.mean_probability == pytest.approx(predicted, abs=1e-12)
            assert sum(curve.count) == kept.sum()
            bins = np.histogram(flat[kept], np.linspace(0, 1, 16, dtype=np.float32))[0]
            assert curve.count == tuple(bins[bins > 0])


def test_scores_of_probabilities_are_those_of_scikit_learn(logits_and_reference) -> None:
    logits, reference = logits_and_reference
    counts = counted(logits.sigmoid(), reference)
    for channel, region in enumerate(REGIONS):
        truth = reference[:, channel].flatten().numpy()
        raw = logits[:, channel].flatten().double()
        assert brier_score(counts, region) == pytest.approx(brier_score_loss(truth, raw.sigmoid()), abs=2e-6)
        for temperature in (0.5, 1.0, 2.5):
            theirs = log_loss(truth, (raw / temperature).sigmoid())
            found = negative_log_likelihood(counts, region, temperature=temperature)
            assert found == pytest.approx(theirs, rel=1e-4)


def test_the_temperature_is_that_of_a_logistic_regression_on_the_logits(logits_and_reference) -> None:
    logits, reference = logits_and_reference
    counts = counted(logits.sigmoid(), reference)
    for channel, region in enumerate(REGIONS):
        raw = logits[:, channel].reshape(-1, 1).double().numpy()
        fit = LogisticRegression(fit_intercept=False, C=1e12, tol=1e-10).fit(
            raw, reference[:, channel].flatten().numpy()
        )
        assert fit_temperature(counts, region) == pytest.approx(1 / fit.coef_[0, 0], rel=1e-3)


def test_the_temperature_is_that_of_a_direct_fit_where_logits_lie_far_out() -> None:
    # Nearly all at -20 and beyond, as a network trained long sees background; a few of these are foreground.
    generator = torch.Generator().manual_seed(4)
    logits = torch.cat(
        [-20 + 8 * torch.randn(40_000, generator=generator), 10 * torch.randn(800, generator=generator)]
    )
    logits = logits.clamp(max=14)[:, None, None, None]
    reference = torch.rand(logits.shape, generator=generator) < (logits / 3).sigmoid()
    counts = CalibrationCounts(("tumor",))
    counts.update(logits.sigmoid(), reference)
    raw, against = logits.flatten().double(), torch.where(reference, -1.0, 1.0).flatten().double()

    def loss(parameters: np.ndarray) -> float:
        return float(torch.nn.functional.softplus(against * raw / float(np.exp(parameters[0]))).sum())

    direct = np.exp(minimize(loss, [0.0], method="Nelder-Mead", options={"xatol": 1e-6, "fatol": 1e-6}).x[0])
    assert direct == pytest.approx(3, rel=0.1)
    assert fit_temperature(counts, "tumor") == pytest.approx(direct, rel=1e-3)


def test_the_temperature_mends_what_it_was_fitted_to() -> None:
    logits, reference = SCANS["spread"]
    before = counted(logits.sigmoid(), reference)
    temperature = fit_temperature(before, "tumor")
    assert temperature == pytest.approx(1.7, rel=0.03)
    after = counted((logits / temperature).sigmoid(), reference)
    ece = [expected_calibration_error(reliability(one, "tumor", uncertain=False)) for one in (before, after)]
    assert ece[1] < 0.2 * ece[0]
    assert fit_temperature(after, "tumor") == pytest.approx(1, abs=1e-3)
    # What was counted before says what the loss would be after.
    foreseen = negative_log_likelihood(before, "tumor", temperature=temperature)
    assert negative_log_likelihood(after, "tumor", temperature=1.0) == pytest.approx(foreseen, rel=1e-4)


def test_bins_by_hand() -> None:
    counts = tumor([0.5, 0.52, 0.53, 0.9, 0.9], [True, False, True, True, False])
    curve = reliability(counts, "tumor", uncertain=False)
    assert curve.mean_probability == pytest.approx(((0.5 + 0.52 + 0.53) / 3, 0.9))
    assert curve.observed == pytest.approx((2 / 3, 1 / 2))
    assert curve.count == (3, 2)
    expected = (3 * (2 / 3 - 1.55 / 3) + 2 * 0.4) / 5
    assert expected_calibration_error(curve) == pytest.approx(expected)
    assert brier_score(counts, "tumor") == pytest.approx(
        (0.25 + 0.52**2 + 0.47**2 + 0.1**2 + 0.9**2) / 5, abs=2e-6
    )


def test_a_bin_is_closed_below_and_the_last_on_both_sides() -> None:
    edges = [float(np.float32(k / 15)) for k in range(16)]
    below = [float(np.nextafter(np.float32(edge), np.float32(0))) for edge in edges[1:]]
    assert reliability(tumor(edges, [False] * 16), "tumor", uncertain=False).count == (*[1] * 14, 2)
    assert reliability(tumor(below, [False] * 15), "tumor", uncertain=False).count == (1,) * 15


def test_certain_voxels_do_not_drown_the_uncertain_ones() -> None:
    low, high = np.float32(0.01), np.float32(0.99)
    inside = [low, 0.3, np.nextafter(high, np.float32(0))]
    outside = [0.0, np.nextafter(low, np.float32(0)), high, 1.0]
    counts = tumor([float(value) for value in (*inside, *outside)], [False] * 7)
    curve = reliability(counts, "tumor", uncertain=True)
    assert curve.count == (1, 1, 1)
    assert curve.mean_probability == pytest.approx((0.01, 0.3, 0.99))
    assert expected_calibration_error(curve) == pytest.approx(1.3 / 3)
    flooded = tumor([0.3] * 10 + [1e-5] * 990, [False] * 1000)
    ece, ece_uncertain = (
        expected_calibration_error(reliability(flooded, "tumor", uncertain=only)) for only in (False, True)
    )
    assert ece == pytest.approx(0.003, rel=0.01)
    assert ece_uncertain == pytest.approx(0.3)


def test_a_model_that_is_right_about_its_doubts_is_right_where_it_is_uncertain() -> None:
    logits, _ = SCANS["mostly background"]
    probs = logits.sigmoid()
    reference = torch.rand(probs.shape, generator=torch.Generator().manual_seed(9)) < probs
    curve = reliability(counted(probs, reference), "liver", uncertain=True)
    assert expected_calibration_error(curve) < 0.02
    assert fit_temperature(counted(probs, reference), "liver") == pytest.approx(1, rel=0.05)


def test_without_voxels_nothing_is_defined() -> None:
    counts = CalibrationCounts(REGIONS)
    curve = reliability(counts, "liver", uncertain=False)
    assert curve == ReliabilityCurve(mean_probability=(), observed=(), count=())
    assert expected_calibration_error(curve) is None
    assert brier_score(counts, "liver") is None
    assert negative_log_likelihood(counts, "liver", temperature=1.0) is None
    assert fit_temperature(counts, "liver") is None


@pytest.mark.parametrize(
    ("values", "reference"),
    [
        ([0.9, 0.2, 1e-30, 1.0, 0.0], [True, False, False, True, False]),
        ([0.9, 0.2], [False, True]),
        ([0.5, 0.5, 0.5], [True, False, False]),
        ([0.8, 0.8], [True, False]),
    ],
    ids=["all right", "all wrong", "no opinion", "no better than chance"],
)
def test_where_no_temperature_fits_there_is_none(values: list[float], reference: list[bool]) -> None:
    assert fit_temperature(tumor(values, reference), "tumor") is None


def test_probabilities_at_the_ends_count_as_the_farthest_logits() -> None:
    counts = tumor([0.0, 1.0, 1.0, 0.7], [False, True, False, True])
    ends = negative_log_likelihood(counts, "tumor", temperature=2.0)
    one = 25 * np.log(2)
    seven = np.log(0.7 / 0.3)
    assert ends == pytest.approx(np.mean(np.logaddexp(0, np.array([-88.0, -one, one, -seven]) / 2)), rel=1e-6)
    # Nine of ten are right: so sure should the model be of them all.
    nine_of_ten = tumor([1.0] * 10, [True] * 9 + [False])
    assert fit_temperature(nine_of_ten, "tumor") == pytest.approx(one / np.log(9))


def test_the_order_and_size_of_updates_and_merging_change_nothing() -> None:
    logits, reference = SCANS["spread"]
    probs = logits.sigmoid()
    whole = counted(probs, reference)
    parts = counted(probs[4:], reference[4:])
    other = counted(probs[1:4], reference[1:4])
    other.update(probs[:1], reference[:1])
    parts.merge(pickle.loads(pickle.dumps(other)))
    assert np.array_equal(whole.voxels, parts.voxels)
    assert np.allclose(whole.prob_sums, parts.prob_sums, rtol=1e-12)
    assert whole.voxels.sum() == probs.numel()
    assert whole.voxels[:, 1].sum() == reference.sum()
    assert whole.prob_sums.sum() == pytest.approx(float(probs.double().sum()))


def test_regions_are_counted_apart() -> None:
    probs, reference = torch.full((1, 2, 4, 4), 0.25), torch.zeros(1, 2, 4, 4, dtype=torch.bool)
    probs[:, 1], reference[:, 1] = 0.75, True
    counts = counted(probs, reference)
    for region, mean, share in (("liver", 0.25, 0.0), ("tumor", 0.75, 1.0)):
        assert reliability(counts, region, uncertain=True) == ReliabilityCurve((mean,), (share,), (16,))


def test_other_precisions_count_as_float32() -> None:
    # As float32, 0.99 is what certainty starts at; as float64 it lies a little below.
    exact = torch.full((1, 2, 2, 2), 0.99, dtype=torch.float64)
    assert reliability(counted(exact, exact > 0), "liver", uncertain=True).count == ()
    probs, reference = (
        torch.full((1, 2, 2, 2), 0.3, dtype=torch.bfloat16),
        torch.ones(1, 2, 2, 2, dtype=torch.bool),
    )
    curve = reliability(counted(probs, reference), "liver", uncertain=False)
    assert curve.mean_probability == (float(probs[0, 0, 0, 0]),)


@pytest.mark.parametrize("temperature", [0.0, -1.0, float("nan"), float("inf")])
def test_a_temperature_that_is_no_divisor_is_refused(temperature: float) -> None:
    with pytest.raises(ConfigError, match="temperature: must be a finite number > 0"):
        negative_log_likelihood(tumor([0.5], [True]), "tumor", temperature=temperature)


@pytest.mark.parametrize("value", [-0.1, 1.1, float("nan")])
def test_values_that_are_no_probabilities_are_refused(value: float) -> None:
    with pytest.raises(ValueError, match=r"probs: must lie in \[0, 1\]"):
        tumor([0.5, value], [True, False])


def test_input_of_another_kind_is_refused() -> None:
    probs, reference = torch.rand(1, 2, 4, 4), torch.ones(1, 2, 4, 4, dtype=torch.bool)
    counts = CalibrationCounts(REGIONS)
    wrong: list[tuple[Any, Any, str]] = [
        (probs[:, :1], reference[:, :1], r"probs: must be \(B, 2, \.\.\.\)"),
        (probs, reference.float(), "target: must be bool"),
        (probs, reference[:, :, :2], "target: must be"),
    ]
    for one, other, message in wrong:
        with pytest.raises(ValueError, match=message):
            counts.update(one, other)
    with pytest.raises(ConfigError, match="regions"):
        CalibrationCounts(("liver", "liver"))
    with pytest.raises(ValueError, match=r"other: must count \['liver', 'tumor'\], got \['tumor'\]"):
        counts.merge(CalibrationCounts(("tumor",)))
    with pytest.raises(ValueError, match=r"region: must be one of \['tumor'\], got 'liver'"):
        reliability(CalibrationCounts(("tumor",)), "liver", uncertain=True)
