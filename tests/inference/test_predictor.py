from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from lts.inference import Checkpoint, Predictor
from lts.intensity import Window
from lts.slices import Recipe, build_store
from lts.volume import read_ct, read_mask


class FirstChannels(nn.Module):
    """Logits that cross zero where a channel is at `threshold`: a network whose answer is known."""

    def __init__(self, threshold: float, channels: tuple[int, ...] = (0, 0)) -> None:
        super().__init__()
        self.threshold, self.channels = threshold, channels

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return (image[:, self.channels] - self.threshold) * 100


def predictor(network: nn.Module, *, recipe: Recipe, context: int = 0, batch_size: int = 4) -> Predictor:
    checkpoint = Checkpoint(
        path=Path("none"),
        network=network,
        intensity=Window(level_hu=0, width_hu=400),
        regions=("liver", "tumor"),
        recipe=recipe,
        context=context,
        split={},
        config={},
        versions={},
    )
    return Predictor([checkpoint], device=torch.device("cpu"), batch_size=batch_size)


def whole(one: Predictor, scan) -> torch.Tensor:
    return torch.cat([slab.probs for slab in one.slabs(scan)])


RECIPE = Recipe(image_size=32, pixel_mm=None, modality="ct")


def test_probabilities_lie_on_the_scans_own_grid(make_case) -> None:
    scan = read_ct(make_case().image)
    probs = whole(predictor(FirstChannels(0.6), recipe=RECIPE), scan)
    assert probs.shape == (len(scan.voxels), 2, 32, 32)
    # Threshold 0.6 of a window from -200 to 200 is 40 HU: body and liver, without the tumor.
    np.testing.assert_array_equal((probs[:, 0] > 0.5).numpy(), scan.voxels > 40)


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


def test_the_network_sees_in_serving_what_it_saw_in_training(make_case, tmp_path: Path) -> None:
    case = make_case(side=50)
    recipe = replace(RECIPE, image_size=40)
    (stored,) = build_store([case], recipe, store_dir=tmp_path, workers=1)
    seen = []

    class Watch(nn.Module):
        def forward(self, image: torch.Tensor) -> torch.Tensor:
            seen.append(image.clone())
            return image.repeat(1, 2, 1, 1)

    whole(predictor(Watch(), recipe=recipe), read_ct(case.image))
    trained_on = Window(level_hu=0, width_hu=400)(torch.from_numpy(np.array(stored.open_image()))[:, None])
    assert torch.equal(torch.cat(seen), trained_on)
