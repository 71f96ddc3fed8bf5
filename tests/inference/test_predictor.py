from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from lts.base import CheckpointError, ConfigError
from lts.inference import Checkpoint, Postprocess, Predictor, find_device
from lts.intensity import Window
from lts.networks import UNet
from lts.slices import Recipe, build_store
from lts.volume import read_ct, read_mask

CPU = torch.device("cpu")
RECIPE = Recipe(image_size=32, pixel_mm=None, modality="ct")


class FirstChannels(nn.Module):
    """Logits that cross zero where a channel is at `threshold`: a network whose answer is known."""

    def __init__(self, threshold: float, channels: tuple[int, ...] = (0, 0)) -> None:
        super().__init__()
        self.threshold, self.channels = threshold, channels

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return (image[:, self.channels] - self.threshold) * 100


def model(network: nn.Module, **changes: Any) -> Checkpoint:
    parts = {
        "path": Path("none"),
        "network": network,
        "intensity": Window(level_hu=0, width_hu=400),
        "regions": ("liver", "tumor"),
        "recipe": RECIPE,
        "context": 0,
        "split": {},
        "config": {"data": {"batch_size": 3}},
        "versions": {},
    }
    return Checkpoint(**{**parts, **changes})


def predictor(network: nn.Module, *, recipe: Recipe, context: int = 0, batch_size: int = 4) -> Predictor:
    checkpoint = model(network, recipe=recipe, context=context)
    return Predictor([checkpoint], device=CPU, batch_size=batch_size)


def whole(one: Predictor, scan) -> torch.Tensor:
    return torch.cat([slab.probs for slab in one.slabs(scan)])


def test_probabilities_lie_on_the_scans_own_grid(make_case) -> None:
    scan = read_ct(make_case().image)
    probs = whole(predictor(FirstChannels(0.6), recipe=RECIPE), scan)
    assert probs.shape == (len(scan.voxels), 2, 32, 32)
    # Threshold 0.6 of a window from -200 to 200 is 40 HU: body and liver, without the tumor.
    np.testing.assert_array_equal((probs[:, 0] > 0.5).numpy(), scan.voxels > 40)


@pytest.mark.parametrize(
    ("image_size", "threads", "expected"),
    [(256, 1, [1] * 7), (128, 1, [4, 3]), (160, 1, [2, 2, 2, 1]), (256, 4, [4, 3]), (512, 2, [1] * 7)],
)
def test_a_cpu_runs_as_many_slices_at_once_as_stay_in_its_cache(
    make_case, monkeypatch: pytest.MonkeyPatch, image_size: int, threads: int, expected: list[int]
) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    runs = []

    class Watch(FirstChannels):
        def forward(self, image: torch.Tensor) -> torch.Tensor:
            assert image.is_contiguous(memory_format=torch.channels_last)
            runs.append(len(image))
            return super().forward(image)

    scan = read_ct(make_case(depth=7).image)
    recipe = replace(RECIPE, image_size=image_size)
    (slab,) = predictor(Watch(0.6), recipe=recipe, batch_size=8).slabs(scan)
    assert runs == expected
    one_by_one = whole(predictor(FirstChannels(0.6), recipe=recipe, batch_size=1), scan)
    assert torch.equal(slab.probs, one_by_one)


def test_a_grid_of_another_size_is_brought_back(make_case) -> None:
    case = make_case(side=48)
    scan = read_ct(case.image)
    mask = read_mask(case.mask, image=scan.geometry).voxels
    probs = whole(predictor(FirstChannels(0.6875), recipe=RECIPE), scan)  # 75 HU: the liver without the tumor
    found = (probs[:, 0] > 0.5).numpy()
    assert found.shape == mask.shape
    overlap = 2 * (found & (mask == 1)).sum() / (found.sum() + (mask == 1).sum())
    assert overlap > 0.9


@pytest.mark.parametrize("context", [0, 1, 2])
def test_the_size_of_batches_changes_nothing(make_case, context: int) -> None:
    scan = read_ct(make_case(depth=7).image)
    last = (2 * context, 2 * context)
    wholes = [
        whole(predictor(FirstChannels(0.6, last), recipe=RECIPE, context=context, batch_size=size), scan)
        for size in (1, 3, 7, 20)
    ]
    assert all(torch.equal(wholes[0], other) for other in wholes[1:])


def test_neighbors_are_those_of_training(make_case, tmp_path: Path) -> None:
    case = make_case(depth=6)
    scan = read_ct(case.image)
    above = whole(predictor(FirstChannels(0.6, (2, 2)), recipe=RECIPE, context=1), scan)[:, 0] > 0.5
    expected = scan.voxels[[1, 2, 3, 4, 5, 5]] > 40
    np.testing.assert_array_equal(above.numpy(), expected)


@pytest.mark.parametrize("pixel_mm", [None, 3.0])  # 3 mm leave a margin, which is filled with air
def test_the_network_sees_in_serving_what_it_saw_in_training(
    make_case, tmp_path: Path, pixel_mm: float | None
) -> None:
    case = make_case(side=50)
    recipe = replace(RECIPE, image_size=40, pixel_mm=pixel_mm)
    (stored,) = build_store([case], recipe, store_dir=tmp_path, workers=1)
    seen = []

    class Watch(nn.Module):
        def forward(self, image: torch.Tensor) -> torch.Tensor:
            seen.append(image.clone())
            return image.repeat(1, 2, 1, 1)

    whole(predictor(Watch(), recipe=recipe), read_ct(case.image))
    trained_on = Window(level_hu=0, width_hu=400)(torch.from_numpy(np.array(stored.open_image()))[:, None])
    assert torch.equal(torch.cat(seen), trained_on)


class Logits(nn.Module):
    """The first channel times `slope` plus `bias`, as logit of both regions."""

    def __init__(self, slope: float = 0.0, bias: float = 0.0) -> None:
        super().__init__()
        self.slope, self.bias = slope, bias

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return image[:, [0, 0]] * self.slope + self.bias


class Ramp(nn.Module):
    """Probabilities that depend on the place in the picture alone, or on a pixel's neighbor."""

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        rows = torch.linspace(-2, 1, image.shape[-2])[:, None].expand(image.shape[-2:])
        columns = torch.linspace(-1, 3, image.shape[-1]).expand(image.shape[-2:])
        return torch.stack([rows, columns])[None] + image[:, [0]]


def test_called_it_gives_probabilities_and_the_mask_of_them(make_case) -> None:
    scan = read_ct(make_case().image)
    one = predictor(FirstChannels(0.6), recipe=RECIPE)
    found = one(scan)
    assert found.regions == ("liver", "tumor")
    assert torch.equal(found.probs.movedim(0, 1), whole(one, scan))
    np.testing.assert_array_equal(found.mask, np.where(scan.voxels > 40, 2, 0))
    assert found.mask.dtype == np.uint8
    assert found.geometry is scan.geometry


def test_what_is_taken_away_is_taken_from_the_mask_alone(make_case) -> None:
    scan = read_ct(make_case().image)
    rules = Postprocess(largest_liver=False, tumor_within_liver=False, min_lesion_ml=1e6)
    bare = Predictor([model(FirstChannels(0.6))], device=CPU)
    cleared = Predictor([model(FirstChannels(0.6))], device=CPU, postprocess=rules)
    assert torch.equal(bare(scan).probs, cleared(scan).probs)
    np.testing.assert_array_equal(cleared(scan).mask, np.minimum(bare(scan).mask, 1))


def test_the_volume_of_a_lesion_is_told_by_the_scans_own_voxels(make_case) -> None:
    scan = read_ct(make_case().image)
    tumor_ml = np.count_nonzero(scan.voxels > 40) * 1.5 * 1.5 * 4 / 1000
    rules = {"largest_liver": False, "tumor_within_liver": False}
    for min_lesion_ml, labels in ((tumor_ml * 0.999, {0, 2}), (tumor_ml * 1.001, {0, 1})):
        keeping = Postprocess(**rules, min_lesion_ml=min_lesion_ml)
        mask = Predictor([model(FirstChannels(0.6))], device=CPU, postprocess=keeping).mask(scan)
        assert set(np.unique(mask)) == labels


def test_slabs_are_told_from_the_feet_up_and_an_exception_ends_the_work(make_case) -> None:
    scan = read_ct(make_case(depth=7).image)
    one = predictor(FirstChannels(0.6), recipe=RECIPE, batch_size=3)
    told = []
    one.mask(scan, on_slab=lambda slab: told.append((slab.slices.start, slab.slices.stop)))
    assert told == [(0, 3), (3, 6), (6, 7)]

    def stop(slab: object) -> None:
        told.append(slab)
        raise TimeoutError

    told.clear()
    with pytest.raises(TimeoutError):
        one.mask(scan, on_slab=stop)
    assert len(told) == 1


def test_an_ensemble_is_the_mean_of_its_members_each_in_its_own_way(make_case) -> None:
    scan = read_ct(make_case(side=40).image)
    members = [
        model(FirstChannels(0.6)),
        model(
            Logits(slope=3.0),
            recipe=replace(RECIPE, image_size=24),
            intensity=Window(level_hu=60, width_hu=90),
        ),
        model(FirstChannels(0.4, (1, 2)), context=1),
    ]
    alone = [whole(Predictor([member], device=CPU), scan) for member in members]
    together = Predictor(members, device=CPU)
    assert together.batch_size == 3
    torch.testing.assert_close(whole(together, scan), sum(alone) / 3, atol=1e-6, rtol=0)
    assert all((one - alone[0]).abs().max() > 0.1 for one in alone[1:])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"regions": ("tumor",)}, r"b: regions must be those of none, \['liver', 'tumor'\], got \['tumor'\]"),
        ({"recipe": replace(RECIPE, modality="mr")}, "b: modality must be those of none, ct, got mr"),
    ],
)
def test_members_that_do_not_fit_together_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(CheckpointError, match=message):
        Predictor([model(Logits()), model(Logits(), path=Path("b"), **changes)], device=CPU)
    with pytest.raises(CheckpointError, match="ckpt: must name one checkpoint or several, got none"):
        Predictor([], device=CPU)


@pytest.mark.parametrize("flips", [("left_right",), ("front_back",), ("left_right", "front_back")])
def test_flips_are_the_mean_over_mirrored_slices(make_case, flips: tuple[str, ...]) -> None:
    scan = read_ct(make_case().image)
    axes = {"left_right": 3, "front_back": 2}
    image = Window(level_hu=0, width_hu=400)(torch.from_numpy(scan.voxels)[:, None])
    expected = [Ramp()(image).sigmoid()]
    for flip in flips:
        expected += [Ramp()(image.flip(axes[flip])).sigmoid().flip(axes[flip])]
    if len(flips) == 2:
        expected += [Ramp()(image.flip(2, 3)).sigmoid().flip(2, 3)]
    found = whole(Predictor([model(Ramp())], device=CPU, flips=flips), scan)
    torch.testing.assert_close(found, sum(expected) / len(expected), atol=1e-6, rtol=0)
    assert (found - expected[0]).abs().max() > 0.1


def test_a_temperature_divides_the_logit_of_the_mean_on_the_scans_own_grid(make_case) -> None:
    scan = read_ct(make_case(side=40).image)
    members = [model(Logits(slope=5.0, bias=-2.0)), model(Logits(bias=1.0))]
    plain = whole(Predictor(members, device=CPU), scan)
    cooled = Predictor(members, device=CPU, temperature=[2.0, 0.5])
    factors = torch.tensor([2.0, 0.5]).view(1, 2, 1, 1)
    torch.testing.assert_close(whole(cooled, scan), (plain.logit() / factors).sigmoid())
    np.testing.assert_array_equal(cooled(scan).mask, Predictor(members, device=CPU)(scan).mask)


def test_probabilities_of_zero_and_one_bear_a_temperature(make_case) -> None:
    scan = read_ct(make_case().image)
    sure = Predictor([model(Logits(slope=800.0, bias=-400.0))], device=CPU, temperature=[3, 3])
    probs = whole(sure, scan)
    assert not probs.isnan().any()
    assert (probs.min(), probs.max()) == (0, 1)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"batch_size": 0}, "batch_size: must be >= 1, got 0"),
        ({"flips": ["up_down"]}, r"flips: must be among \['left_right', 'front_back'\], .*got \['up_down'\]"),
        ({"flips": ["left_right"] * 2}, "flips: must be among .*, each once"),
        ({"temperature": [1.0]}, "temperature: must be a number > 0 for each"),
        ({"temperature": [1.0, 0.0]}, "temperature: must be a number > 0 for each"),
    ],
)
def test_a_wrong_setting_is_refused_by_its_key(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Predictor([model(Logits())], device=CPU, **settings)


def test_post_processing_that_the_model_cannot_have_is_refused() -> None:
    rules = Postprocess(largest_liver=True, tumor_within_liver=False, min_lesion_ml=0)
    with pytest.raises(ConfigError, match="^largest_liver: needs a model of"):
        Predictor([model(Logits(), regions=("tumor",))], device=CPU, postprocess=rules)


def test_devices_are_named_or_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    assert find_device("cpu") == CPU
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert find_device("auto") == CPU
    for name in ("meta", "mps", "tpu9", "cuda:", "cuda:-1", "cuda:x", "cpu:1", "", "CUDA", "cuda:1000"):
        with pytest.raises(ConfigError, match=f"^device: must be auto, cpu, cuda or cuda:N, got '{name}'$"):
            find_device(name)


@pytest.mark.parametrize(
    ("count", "name", "there"),
    [
        (0, "cuda", "no CUDA device"),
        (0, "cuda:0", "no CUDA device"),
        (1, "cuda:1", "cuda:0"),
        (2, "cuda:7", "cuda:0 to cuda:1"),
    ],
)
def test_a_device_that_is_absent_is_told_with_those_that_are_there(
    monkeypatch: pytest.MonkeyPatch, count: int, name: str, there: str
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: count > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
    line = f"^device: {name} is not on this machine, which has {there}; use auto or cpu$"
    with pytest.raises(ConfigError, match=line):
        find_device(name)
    if count > 1:
        assert find_device("cuda:1") == torch.device("cuda", 1)


def test_processes_that_say_auto_take_the_gpus_in_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 3)
    taken = [str(find_device("auto", turn=turn)) for turn in range(4)]
    assert taken == ["cuda", "cuda:1", "cuda:2", "cuda"]
    assert str(find_device("cuda:1", turn=2)) == "cuda:1"


@pytest.mark.gpu
def test_a_gpu_gives_the_mask_of_the_cpu(make_case) -> None:
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    scan = read_ct(make_case(side=40).image)
    torch.manual_seed(0)
    network = UNet(in_channels=1, out_channels=2, width=4, depth=3, norm="batch", dropout=0.0).eval()
    masks = [Predictor([model(network)], device=find_device(name)).mask(scan) for name in ("cpu", "cuda")]
    assert (masks[0] != masks[1]).mean() < 1e-3
