"""Two networks, one after the other: the first finds the liver, the second looks at what holds it."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy import ndimage
from torch import nn

from lts.base import AIR_HU, CheckpointError, ConfigError
from lts.inference import Located, Model, Predictor, load_checkpoint, save_checkpoint
from lts.intensity import Window
from lts.networks import UNet
from lts.slices import Box, Recipe, build_store, view_of
from lts.volume import Geometry, Volume, read_ct, read_mask

CPU = torch.device("cpu")
COARSE = Recipe(image_size=24, pixel_mm=None, modality="ct")
CLOSE = Recipe(image_size=32, pixel_mm=None, modality="ct", focus="liver", margin_mm=6)
SPACING_MM = (5.0, 2.0, 1.5)


class AboveHU(nn.Module):
    """Logits of the middle channel of a window of -1000 to 1000 HU, 0 where a region's least HU is."""

    def __init__(self, *least_hu: float, channel: int = 0) -> None:
        super().__init__()
        self.channel = channel
        self.register_buffer("least", torch.tensor(least_hu)[:, None, None] / 2000 + 0.5)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return (image[:, [self.channel]] - self.least) * 1000


def model(network: nn.Module, **changes: Any) -> Model:
    parts = {
        "network": network,
        "intensity": Window(level_hu=0, width_hu=2000),
        "regions": ("liver", "tumor"),
        "recipe": COARSE,
    }
    return Model(**{**parts, **changes})


def cascade(network: nn.Module, *, locator: Model | None = None, **changes: Any) -> Model:
    first = locator or model(AboveHU(75), regions=("liver",))
    return model(network, **{"recipe": CLOSE, "locator": first, **changes})


def predictor(*models: Model, **settings: Any) -> Predictor:
    return Predictor(models, device=CPU, batch_size=4, **settings)


def volume(voxels: np.ndarray, spacing_mm: tuple[float, float, float] = SPACING_MM) -> Volume:
    depth, height, width = voxels.shape
    depth_mm, row_mm, column_mm = spacing_mm
    affine = np.diag([-column_mm, -row_mm, depth_mm, 1.0])
    return Volume(voxels, Geometry.from_affine(affine, shape=(width, height, depth)))


def body(shape: tuple[int, int, int] = (14, 60, 90)) -> np.ndarray:
    """A scan of soft tissue in air, without a liver."""
    hu = np.full(shape, AIR_HU, np.int16)
    hu[:, 4:-3, 5:-2] = 40
    return hu


def with_liver(place: tuple[slice, slice, slice] = np.s_[3:9, 14:38, 50:80]) -> tuple[np.ndarray, np.ndarray]:
    """The same with a liver of 100 HU and a tumor of 200 HU that is off its middle, and the labels."""
    hu = body()
    labels = np.zeros(hu.shape, np.uint8)
    hu[place], labels[place] = 100, 1
    z, y, x = place
    tumor = (
        slice(z.start + 1, z.stop - 1),
        slice(y.start + 2, y.start + 9),
        slice(x.start + 4, x.start + 10),
    )
    hu[tumor], labels[tumor] = 200, 2
    return hu, labels


PLACES = [
    np.s_[3:9, 14:38, 50:80],
    np.s_[0:4, 14:38, 50:80],  # cut at the feet
    np.s_[10:14, 0:20, 60:90],  # at the head, the front and the left
    np.s_[2:5, 40:60, 0:24],  # at the back and the right
]


@pytest.mark.parametrize("place", PLACES, ids=str)
@pytest.mark.parametrize("pixel_mm", [None, 1.5])
def test_masks_come_back_to_where_the_organ_is(
    place: tuple[slice, slice, slice], pixel_mm: float | None
) -> None:
    hu, labels = with_liver(place)
    recipe = replace(CLOSE, image_size=64, pixel_mm=pixel_mm)
    found = predictor(cascade(AboveHU(75, 150), recipe=recipe))(volume(hu))
    assert found.mask.shape == labels.shape
    for label in (1, 2):
        ours, truth = found.mask >= label, labels >= label
        assert 2 * (ours & truth).sum() / (ours.sum() + truth.sum()) > 0.93
        # A mirrored or shifted mask would have its center elsewhere.
        for one, other in zip(ndimage.center_of_mass(ours), ndimage.center_of_mass(truth), strict=True):
            assert abs(one - other) < 0.7
    (located,) = found.located
    assert located is not None
    assert located.box is not None
    # By a pixel of the coarse grid, 135 mm / 24 = 5.6 mm, in each direction.
    for side, (start, stop), step in zip(
        place, (located.box.slices, located.box.rows, located.box.columns), (5.0, 2.0, 1.5), strict=True
    ):
        off_mm = 0 if step == 5.0 else 5.7
        assert abs(start - side.start) * step <= off_mm
        assert abs(stop - side.stop) * step <= off_mm
    names = (("feet", "head"), ("front", "back"), ("right", "left"))
    ends = [(side.start == 0, side.stop == n) for side, n in zip(place, labels.shape, strict=True)]
    assert located.touches == tuple(
        name
        for pair, ends_of in zip(names, ends, strict=True)
        for name, end in zip(pair, ends_of, strict=True)
        if end
    )


def test_the_first_network_sees_whole_slices_and_the_second_what_holds_the_liver() -> None:
    hu, _ = with_liver()
    seen: dict[str, list[torch.Tensor]] = {"first": [], "second": []}

    class Watch(AboveHU):
        def __init__(self, name: str, *least_hu: float) -> None:
            super().__init__(*least_hu)
            self.name = name

        def forward(self, image: torch.Tensor) -> torch.Tensor:
            seen[self.name].append(image.clone())
            return super().forward(image)

    one = predictor(cascade(Watch("second", 75, 150), locator=model(Watch("first", 75), regions=("liver",))))
    scan = volume(hu)
    (located,) = one.find_liver(scan)
    assert located is not None
    assert not seen["second"]
    one.mask(scan, located=[located])
    assert torch.cat(seen["first"]).shape == (14, 1, 24, 24)  # once
    # 6 mm beyond slices 3 to 8 are two slices; slabs of four are cut there.
    view = view_of(hu.shape, SPACING_MM, CLOSE, box=located.box)
    assert (view.first, view.stop) == (1, 11)
    assert [len(images) for images in seen["second"]] == [3, 4, 3]
    expected = view.plane.apply(torch.from_numpy(hu[1:11]), fill=AIR_HU).round()
    torch.testing.assert_close(torch.cat(seen["second"])[:, 0], ((expected + 1000) / 2000).clamp(0, 1))


def test_outside_of_what_it_sees_probabilities_are_zero() -> None:
    hu, _ = with_liver()
    scan = volume(hu)
    sure = predictor(cascade(AboveHU(-2000, -2000)))  # all it sees is liver and tumor
    found = sure(scan)
    (located,) = found.located
    view = view_of(hu.shape, SPACING_MM, CLOSE, box=located.box)
    inside = np.zeros(hu.shape, bool)
    inside[view.first : view.stop, slice(*view.plane.rows), slice(*view.plane.columns)] = True
    assert not found.probs[:, ~inside].any()
    assert (found.probs[:, ndimage.binary_erosion(inside, iterations=2)] > 0.99).all()
    assert 0.1 < inside.mean() < 0.6


@pytest.mark.parametrize("context", [1, 2])
@pytest.mark.parametrize("side", [0, -1])
def test_the_ends_of_what_is_seen_repeat_as_stored_slices_do(
    make_case, tmp_path: Path, context: int, side: int
) -> None:
    case = make_case(depth=12)
    scan = read_ct(case.image)
    labels = read_mask(case.mask, image=scan.geometry).voxels.copy()
    labels[:4] = labels[9:] = 0
    recipe = replace(CLOSE, margin_mm=4)
    located = Located(box=Box.around(labels >= 1))
    from lts.volume import write_mask

    write_mask(case.mask, labels, geometry=scan.geometry)
    (stored,) = build_store([case], recipe, store_dir=tmp_path / "store")
    assert (stored.first_slice, stored.shape[0]) == (3, 7)
    seen = []

    class Watch(nn.Module):
        def forward(self, image: torch.Tensor) -> torch.Tensor:
            seen.append(image.clone())
            return image[:, [0, 0]]

    one = predictor(cascade(Watch(), recipe=recipe, context=context))
    one.mask(scan, located=[located])
    slices = Window(level_hu=0, width_hu=2000)(torch.from_numpy(np.array(stored.open_image()))[:, None])[:, 0]
    around = (np.arange(7)[:, None] + np.arange(-context, context + 1)).clip(0, 6)
    assert torch.equal(torch.cat(seen)[:, side], slices[around[:, side]])
    assert torch.equal(torch.cat(seen), slices[around])


def thin(hu: np.ndarray, times: int = 4) -> Volume:
    """A scan of slices 5 mm apart as one of slices 1.25 mm apart."""
    return volume(np.repeat(hu, times, axis=0), (5.0 / times, *SPACING_MM[1:]))


def looks_at(scan: Volume, **changes: Any) -> tuple[Located, torch.Tensor]:
    """What is found, and the images that the locator was shown."""
    seen: list[torch.Tensor] = []

    class Watch(AboveHU):
        def forward(self, image: torch.Tensor) -> torch.Tensor:
            seen.append(image.clone())
            return super().forward(image)

    first = model(Watch(75, channel=changes.get("context", 0)), regions=("liver",), **changes)
    (located,) = predictor(cascade(AboveHU(75, 150), locator=first)).find_liver(scan)
    assert located is not None
    return located, torch.cat(seen)


@pytest.mark.parametrize(
    ("slice_mm", "expected"),
    [
        (5.0, range(12)),
        (2.6, range(12)),
        (2.5, [0, 2, 4, 6, 8, 10, 11]),
        (1.6, [0, 3, 6, 9, 11]),
        (0.5, [0, 10, 11]),
        (0.1, [0, 11]),
        (9.0, range(12)),
    ],
)
def test_slices_that_are_looked_at_are_5_mm_apart_at_most_and_the_first_and_the_last_are_among_them(
    slice_mm: float, expected: Any
) -> None:
    hu = np.tile(np.arange(12, dtype=np.int16)[:, None, None], (1, 60, 90))
    _, seen = looks_at(volume(hu, (slice_mm, *SPACING_MM[1:])))
    assert ((seen[:, 0, 12, 12] * 2000 - 1000).round()).tolist() == list(expected)


@pytest.mark.parametrize("context", [1, 2])
def test_between_slices_that_are_looked_at_neighbors_are_those_of_the_scan(context: int) -> None:
    hu = np.tile(np.arange(12, dtype=np.int16)[:, None, None], (1, 60, 90))
    _, seen = looks_at(volume(hu, (1.6, *SPACING_MM[1:])), context=context)
    around = np.array([0, 3, 6, 9, 11])[:, None] + np.arange(-context, context + 1)
    found = (seen[:, :, 12, 12] * 2000 - 1000).round()
    np.testing.assert_array_equal(found.numpy(), around.clip(0, 11))


@pytest.mark.parametrize("first", range(5))
@pytest.mark.parametrize("depth", [1, 9, 14, 30])
def test_a_box_by_some_slices_holds_what_all_of_them_would_find(first: int, depth: int) -> None:
    hu = np.repeat(body()[:1], 40, axis=0)
    hu[first : first + depth, 14:38, 50:80] = 100
    located, seen = looks_at(volume(hu, (1.25, *SPACING_MM[1:])))
    assert len(seen) == 11
    looks = [*range(0, 40, 4), 39]
    holding = [look for look in looks if first <= look < first + depth]
    if not holding:  # between two of them
        assert located.box is None
        return
    assert located.box is not None
    start, stop = located.box.slices
    assert start <= first < start + 4
    assert stop - 4 < first + depth <= stop
    # Only what was seen at the border is told to reach it.
    assert located.touches == (("feet",) if first == 0 else ())
    whole, _ = looks_at(volume(hu[[look for look in looks if look in holding]], (5.0, *SPACING_MM[1:])))
    assert (located.box.rows, located.box.columns) == (whole.box.rows, whole.box.columns)


def test_a_liver_at_the_last_slice_reaches_the_head() -> None:
    hu = np.repeat(body()[:1], 39, axis=0)
    hu[30:, 14:38, 50:80] = 100
    located, _ = looks_at(volume(hu, (1.25, *SPACING_MM[1:])))
    assert located.box.slices == (29, 39)
    assert located.touches == ("head",)
    assert located.share == 1


def test_each_slice_counts_for_those_that_it_is_nearest_to() -> None:
    # Looked at are 0, 4, 8, ..., 36, 38: the last for one and a half slices, the one before for three, the
    # others for four, so that one piece has 2 x 4 and the other 3 + 1.5 of the same area.
    hu = np.repeat(body()[:1], 39, axis=0)
    hu[15:22, 14:38, 50:80] = 100  # at 16 and 20
    hu[33:, 14:38, 10:40] = 100  # at 36 and 38
    located, _ = looks_at(volume(hu, (1.25, *SPACING_MM[1:])))
    assert located.box.slices == (13, 24)
    assert located.share == pytest.approx(8 / 12.5, abs=0.03)  # by columns of the coarse grid
    whole, _ = looks_at(volume(hu, (2.6, *SPACING_MM[1:])))  # slice by slice
    assert whole.share == pytest.approx(7 / 13, abs=0.03)


def test_masks_of_thin_slices_are_those_of_thick_ones() -> None:
    hu, _ = with_liver()
    one = predictor(cascade(AboveHU(75, 150)))
    np.testing.assert_array_equal(one.mask(thin(hu))[2::4], one.mask(volume(hu)))


def test_of_two_organs_the_larger_is_looked_at_and_the_other_told() -> None:
    hu, _ = with_liver()
    hu[10:13, 40:54, 8:34] = 100  # as a false alarm, farther up, at the other side
    found = predictor(cascade(AboveHU(75, 150)))(volume(hu))
    (located,) = found.located
    pieces, _ = ndimage.label(hu > 75, structure=np.ones((3, 3, 3)))
    sizes = np.bincount(pieces.ravel())[1:]
    assert located.share == pytest.approx(sizes.max() / sizes.sum(), abs=0.03)
    assert not (found.mask > 0)[9:].any()
    assert located.warnings() == [
        f"The first network saw liver in several places, {located.share:.0%} of it in the largest piece: "
        "only that was looked at closely."
    ]
    alone = predictor(cascade(AboveHU(75, 150)))(volume(with_liver()[0]))
    np.testing.assert_array_equal(found.mask, alone.mask)
    assert alone.located[0].share == 1
    assert alone.located[0].warnings() == []


def test_without_a_liver_nothing_is_looked_at() -> None:
    class Never(nn.Module):
        def forward(self, image: torch.Tensor) -> torch.Tensor:
            raise AssertionError

    found = predictor(cascade(Never()), temperature=[2, 3])(volume(body()))
    assert not found.mask.any()
    assert not found.probs.any()
    assert found.located == (Located(box=None),)
    assert found.located[0].to_dict() is None
    assert found.located[0].warnings() == ["The first network found no liver, so the second was not run."]


def test_air_beside_a_narrow_scan_is_no_liver() -> None:
    """Where a locator fails on the padding of its square, nothing of the scan is there."""
    found = predictor(
        cascade(AboveHU(75), locator=model(AboveHU(-2000), regions=("liver",)), regions=("liver",))
    )
    hu, _ = with_liver()
    (located,) = found.find_liver(volume(hu[:, 20:40]))
    assert located.box == Box(slices=(0, 14), rows=(0, 20), columns=(0, 90))
    assert located.touches == ("feet", "head", "front", "back", "right", "left")


def test_a_scan_of_one_slice_is_looked_at() -> None:
    hu, labels = with_liver()
    found = predictor(cascade(AboveHU(75, 150)))(volume(hu[5:6]))
    overlap = (found.mask == labels[5:6]).mean()
    assert overlap > 0.98
    assert found.located[0].touches == ("feet", "head")


def test_tumor_counts_as_liver_for_a_locator_of_both() -> None:
    hu, _ = with_liver()
    hu[:, 50:54, 50:54] = 160  # bright, and far from the liver: a small piece
    both = predictor(cascade(AboveHU(75, 150), locator=model(AboveHU(500, 75))))
    (located,) = both.find_liver(volume(hu))
    (expected,) = predictor(cascade(AboveHU(75, 150))).find_liver(volume(hu))
    assert located == expected


def test_the_size_of_batches_changes_nothing() -> None:
    hu, _ = with_liver()
    wholes = [
        Predictor([cascade(AboveHU(75, 150), context=1)], device=CPU, batch_size=size)(volume(hu)).probs
        for size in (1, 3, 20)
    ]
    assert all(torch.equal(wholes[0], other) for other in wholes[1:])


def test_each_member_of_an_ensemble_looks_where_its_own_locator_says() -> None:
    hu, _ = with_liver()
    hu[9:12, 40:50, 10:20] = 300
    bone = model(AboveHU(250), regions=("liver",))
    members = [cascade(AboveHU(75, 150)), cascade(AboveHU(75, 150), locator=bone), model(AboveHU(75, 150))]
    scan = volume(hu)
    together = predictor(*members)
    located = together.find_liver(scan)
    assert located[2] is None
    assert located[0].box.slices == (3, 9)
    assert located[1].box.slices == (9, 12)
    alone = [predictor(each)(scan).probs for each in members]
    assert not alone[0][:, 11:].any()
    assert alone[1][:, 11].any()
    torch.testing.assert_close(together(scan).probs, sum(alone) / 3, atol=1e-6, rtol=0)


def test_flips_are_of_the_second_network_alone() -> None:
    hu, _ = with_liver()
    calls = []

    class Count(AboveHU):
        def forward(self, image: torch.Tensor) -> torch.Tensor:
            calls.append(len(image))
            return super().forward(image)

    one = predictor(
        cascade(AboveHU(75, 150), locator=model(Count(75), regions=("liver",))), flips=["left_right"]
    )
    plain = predictor(cascade(AboveHU(75, 150)))
    torch.testing.assert_close(one(volume(hu)).probs, plain(volume(hu)).probs, atol=2e-3, rtol=0)
    assert sum(calls) == 14


def test_what_is_found_is_told_in_plain_types() -> None:
    located = Located(
        box=Box(slices=(3, 9), rows=(0, 38), columns=(50, 80)),
        size_mm=(30.0, 76.0, 45.001),
        touches=("front",),
        share=0.98765,
    )
    assert located.to_dict() == {
        "slices_from_feet": [3, 8],
        "rows": [0, 37],
        "columns": [50, 79],
        "size_mm": [30.0, 76.0, 45.0],
        "touches": ["front"],
        "share": 0.9877,
    }
    assert located.warnings() == ["The liver reaches the scan's border (front): it may be cut there."]


LOCATOR = model(AboveHU(75), regions=("liver",))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"locator": None}, "locator: must be given where the recipe has a focus, and only there, got none"),
        ({"recipe": COARSE}, "locator: must be given .* got a AboveHU and a recipe without focus"),
        (
            {"locator": model(AboveHU(1), regions=("tumor",))},
            "locator: must find the liver, got one of tumor",
        ),
        ({"recipe": replace(CLOSE, modality="mr")}, "locator: must be for mr, got ct"),
        ({"locator": cascade(AboveHU(75, 150))}, "locator: must look at whole slices, got one with a focus"),
    ],
)
def test_what_does_not_go_together_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=f"^{message}$"):
        model(AboveHU(75, 150), **{"recipe": CLOSE, "locator": LOCATOR, **changes})


def unet(regions: int, *, seed: int) -> UNet:
    torch.manual_seed(seed)
    return UNet(in_channels=1, out_channels=regions, width=4, depth=2)


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    """A checkpoint of a cascade, whose locator was trained on a scan."""
    (tmp_path / "scan").write_bytes(b"scan")
    window = Window(level_hu=0, width_hu=2000)
    save_checkpoint(
        tmp_path / "first.ckpt",
        unet(1, seed=1),
        intensity=window,
        regions=("liver",),
        recipe=COARSE,
        trained_on=[tmp_path / "scan"],
    )
    save_checkpoint(
        tmp_path / "both.ckpt",
        unet(2, seed=2),
        intensity=window,
        regions=("liver", "tumor"),
        recipe=CLOSE,
        locator=load_checkpoint(tmp_path / "first.ckpt"),
    )
    return tmp_path / "both.ckpt"


def test_a_checkpoint_holds_both_networks_and_knows_the_cases_of_both(saved: Path) -> None:
    (saved.parent / "first.ckpt").unlink()
    checkpoint = load_checkpoint(saved)
    assert checkpoint.recipe == CLOSE
    assert checkpoint.locator is not None
    assert (checkpoint.locator.recipe, checkpoint.locator.regions) == (COARSE, ("liver",))
    for network, expected in (
        (checkpoint.locator.network, unet(1, seed=1)),
        (checkpoint.network, unet(2, seed=2)),
    ):
        assert not network.training
        for name, weight in expected.state_dict().items():
            assert torch.equal(network.state_dict()[name], weight)
    from lts.slices import content_hash

    assert checkpoint.was_trained_on(content_hash(saved.parent / "scan"))
    description = torch.load(saved, weights_only=True)["lts"]
    assert set(description["recipe"]) == {"image_size", "pixel_mm", "modality", "focus", "margin_mm"}
    assert set(description["locator"]["recipe"]) == {"image_size", "pixel_mm", "modality"}


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (
            lambda described: described.update(locator=None),
            "locator: must be given where the recipe has a focus",
        ),
        (lambda described: described.update(locator=5), "locator: "),
        (lambda described: described["locator"].pop("weights"), "locator: 'weights'"),
        (lambda described: described["locator"].update(regions=["tumor"]), "locator: must find the liver"),
        (
            lambda described: described["locator"].update(context=1),
            "locator: network.in_channels must be 3, got 1",
        ),
        (
            lambda described: described["locator"]["recipe"].update(focus="liver"),
            "locator: recipe must have ",
        ),
        (
            lambda described: described["locator"]["network"].update(_target_="os.system"),
            "locator: _target_: must be one of",
        ),
        (lambda described: described["locator"]["network"].update(width=10**6), "locator: Error"),
        (lambda described: described["recipe"].pop("margin_mm"), "recipe must have .*margin_mm, got "),
    ],
)
def test_a_wrong_locator_of_a_checkpoint_is_refused_in_one_line(
    saved: Path, spoil: Any, message: str
) -> None:
    content = torch.load(saved, weights_only=True)
    spoil(content["lts"])
    torch.save(content, saved)
    with pytest.raises(
        CheckpointError, match=f"does not describe a model that can be built: {message}"
    ) as caught:
        load_checkpoint(saved)
    assert "\n" not in str(caught.value)
