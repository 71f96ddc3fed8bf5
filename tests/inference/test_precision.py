"""Networks that compute in bfloat16 where that is asked for, possible and harmless."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from lts.base import ConfigError
from lts.inference import Model, Predictor, precision
from lts.inference.precision import share_changed
from lts.intensity import Window
from lts.slices import Recipe
from lts.volume import read_ct

CPU = torch.device("cpu")


@pytest.fixture
def able(monkeypatch: pytest.MonkeyPatch) -> None:
    """A processor without the instructions computes the same, more slowly."""
    monkeypatch.setattr(precision, "computes_bf16", lambda _: True)


def threshold_at(hu: float) -> Model:
    """Liver above a value, by a network of one number: 400 times the share of a window of 400 HU."""
    network = nn.Conv2d(1, 1, 1)
    with torch.no_grad():
        network.weight.fill_(400)
        network.bias.fill_(-hu)
    return Model(
        network=network.eval(),
        intensity=Window(level_hu=200, width_hu=400),
        regions=("liver",),
        recipe=Recipe(image_size=64, pixel_mm=None, modality="ct"),
    )


def test_bfloat16_is_taken_unasked_where_there_is_some(make_checkpoint: Any, able: None) -> None:
    assert Predictor.from_checkpoint(make_checkpoint(), device="cpu").precision == "bfloat16"


def test_bfloat16_rounds_the_network_and_hardly_the_mask(
    make_case: Any, make_checkpoint: Any, able: None
) -> None:
    case, path = make_case("a"), make_checkpoint()
    scan = read_ct(case.image)
    plain = Predictor.from_checkpoint(path, device="cpu", precision="float32")(scan)
    for asked in ("auto", "bfloat16"):
        predictor = Predictor.from_checkpoint(path, device="cpu", precision=asked)
        assert predictor.precision == "bfloat16"
        found = predictor(scan)
        assert found.probs.dtype == torch.float32
        assert (found.mask != plain.mask).mean() < 1e-3
        assert not torch.equal(found.probs, plain.probs)
        assert all(parameter.dtype == torch.float32 for parameter in predictor.models[0].network.parameters())


def test_without_instructions_auto_is_float32_and_bfloat16_refused(
    make_checkpoint: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(precision, "computes_bf16", lambda _: False)
    path = make_checkpoint()
    assert Predictor.from_checkpoint(path, device="cpu", precision="auto").precision == "float32"
    with pytest.raises(ConfigError, match=r"^precision: bfloat16 needs instructions that cpu does not have"):
        Predictor.from_checkpoint(path, device="cpu", precision="bfloat16")
    with pytest.raises(ConfigError, match=r"^precision: must be auto, float32 or bfloat16, got 'half'"):
        Predictor.from_checkpoint(path, device="cpu", precision="half")


def test_a_model_that_bfloat16_changes_is_not_run_in_it(able: None) -> None:
    # A step of bfloat16 is 0.8 HU of an image here, 0.5 HU of the threshold: 110 is above it, and was below.
    far, near = threshold_at(300), threshold_at(110.1)
    assert share_changed(far, CPU) == 0
    changed = share_changed(near, CPU)
    assert changed > 1e-3
    told = f"bfloat16 changes {changed:.2%} of the pixels of a probe by "
    with pytest.raises(ConfigError, match=rf"^precision: {told}.*, at most 0\.1% may; use float32"):
        Predictor([far, near], device=CPU, precision="bfloat16")
    assert Predictor([far, near], device=CPU, precision="auto").precision == "float32"
    assert Predictor([far], device=CPU, precision="auto").precision == "bfloat16"


def test_a_probe_holds_what_a_scan_does() -> None:
    hu = precision._probe(64, 3)
    assert hu.shape == (1, 3, 64, 64)
    values, counts = np.unique((hu[0, 0].numpy() / 50).round() * 50, return_counts=True)
    assert {-1000, 50, 100} <= set(values[counts > 40].tolist())
    assert not torch.equal(hu[0, 0], hu[0, 1])  # neighbors have noise of their own
