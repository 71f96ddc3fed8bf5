import json
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from lts.base import CheckpointError, ConfigError, LtsError, StorageError
from lts.inference import (
    Checkpoint,
    Exported,
    Predictor,
    ServingModel,
    describe,
    export_model,
    find_format,
    formats,
    load_checkpoint,
    save_checkpoint,
)
from lts.inference import Model as ServedModel
from lts.inference.agreement import measure_agreement
from lts.intensity import apply_with_context
from lts.phantom import make_phantom
from lts.slices import Recipe, fit_plane, lay_on_plane
from lts.volume import read_ct

UNET = {"_target_": "lts.networks.UNet", "width": 4, "depth": 3, "dropout": 0.1}
ATTENTION_UNET = {**UNET, "_target_": "lts.networks.AttentionUNet"}
RESNET50 = {"_target_": "lts.networks.ResNet50Segmenter", "weights": None, "decoder_width": 2}

WINDOW = {"_target_": "lts.intensity.Window", "level_hu": 40, "width_hu": 400}
EQUALIZATION = {"_target_": "lts.intensity.HistogramEqualization", "low_hu": -200, "high_hu": 300}
FITTED = {"_target_": "lts.intensity.FittedWindow", "lower_percent": 26, "upper_percent": 29, "margin_hu": 50}
PERCENTILES = {"_target_": "lts.intensity.MRPercentiles", "lower_percent": 1, "upper_percent": 99}
CHANNELS = {"_target_": "lts.intensity.Channels", "channels": [WINDOW, EQUALIZATION]}


@dataclass(frozen=True)
class Model:
    network: dict[str, Any]
    intensity: dict[str, Any]
    context: int
    modality: str = "ct"
    regions: tuple[str, ...] = ("liver", "tumor")


# Each network, normalization, intensity and context at least once.
MODELS = {
    "unet": Model({**UNET, "norm": "batch"}, CHANNELS, 1),
    "mr": Model({**ATTENTION_UNET, "norm": "group"}, PERCENTILES, 2, "mr"),
    "instance": Model({**UNET, "norm": "instance"}, EQUALIZATION, 0, regions=("tumor",)),
    "attention": Model({**ATTENTION_UNET, "norm": "none"}, FITTED, 1),
    "resnet50": Model(RESNET50, CHANNELS, 0),
}
FORMATS = ("onnx", "torchscript")

Export = Callable[[str, str], tuple[Checkpoint, Exported]]


@pytest.fixture(scope="session")
def slices() -> torch.Tensor:
    """`(Z, 32, 32)` HU of a phantom."""
    return torch.from_numpy(make_phantom(seed=1, matrix=32).hu[::8])


@pytest.fixture(scope="session")
def make_checkpoint(make_content, tmp_path_factory) -> Callable[[str], Checkpoint]:
    def make(name: str) -> Checkpoint:
        model = MODELS[name]
        per_slice = 2 if model.intensity is CHANNELS else 1
        network = {
            **model.network,
            "in_channels": (1 + 2 * model.context) * per_slice,
            "out_channels": len(model.regions),
        }
        described = {
            "regions": list(model.regions),
            "context": model.context,
            "recipe": {"image_size": 32, "pixel_mm": None, "modality": model.modality},
        }
        content = make_content(described, network=network, intensity=model.intensity)
        content["state_dict"]["network.head.bias"].zero_()  # probabilities around one half say the most
        path = tmp_path_factory.mktemp(name) / "model.ckpt"
        torch.save(content, path)
        return load_checkpoint(path)

    return make


@pytest.fixture(scope="module")
def export(make_checkpoint, slices: torch.Tensor, tmp_path_factory) -> Export:
    """Exports a model by name once."""
    made: dict[tuple[str, str], tuple[Checkpoint, Exported]] = {}

    def make(name: str, format_name: str) -> tuple[Checkpoint, Exported]:
        if (name, format_name) not in made:
            checkpoint = make_checkpoint(name)
            output = tmp_path_factory.mktemp("exported") / name
            exported = export_model(
                checkpoint, output, format_name=format_name, slices=slices, overwrite=False
            )
            made[name, format_name] = checkpoint, exported
        return made[name, format_name]

    return make


def values(*shape: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(3)
    return torch.rand(shape, generator=generator) * 700 - 350


@pytest.mark.parametrize(
    ("name", "format_name"),
    [
        pytest.param(name, each, marks=pytest.mark.slow if each == "onnx" or name == "resnet50" else ())
        for name in MODELS
        for each in FORMATS
    ],
)
def test_the_file_computes_what_the_network_does_at_any_size(
    export: Export, slices: torch.Tensor, name: str, format_name: str
) -> None:
    checkpoint, exported = export(name, format_name)
    run = find_format(format_name).open(exported.path)
    n = 1 + 2 * checkpoint.context
    for shape in [(1, n, 33, 47), (3, n, 64, 50), (2, n, 1, 90), (7, n, 16, 5), (1, n, 96, 64)]:
        hu = values(*shape)
        with torch.no_grad():
            expected = checkpoint.network(apply_with_context(checkpoint.intensity, hu)).sigmoid()
        probs = run(hu)
        assert probs.dtype == torch.float32
        assert probs.shape == (shape[0], len(checkpoint.regions), *shape[2:])
        assert probs.is_contiguous()
        assert probs.std() > 0.01
        torch.testing.assert_close(probs, expected, rtol=0, atol=1e-4)
    assert exported.agreement.slices == len(slices)
    assert exported.agreement.largest_difference < 1e-4
    assert exported.agreement.torch_ms_per_slice > 0
    assert exported.agreement.runtime_ms_per_slice > 0
    assert exported.size_bytes == exported.path.stat().st_size


@pytest.mark.slow
def test_the_graph_names_what_it_takes_and_gives_and_fixes_no_size(export: Export) -> None:
    import onnxruntime

    _, exported = export("unet", "onnx")
    session = onnxruntime.InferenceSession(str(exported.path), providers=["CPUExecutionProvider"])
    (taken,), (given,) = session.get_inputs(), session.get_outputs()
    assert (taken.name, taken.type, taken.shape) == ("hu", "tensor(float)", ["batch", 3, "height", "width"])
    assert (given.name, given.type, given.shape) == (
        "probs",
        "tensor(float)",
        ["batch", 2, "height", "width"],
    )


@pytest.mark.slow
def test_the_graph_is_whole_and_tells_nothing_of_the_machine_that_made_it(export: Export) -> None:
    import onnx

    _, exported = export("unet", "onnx")
    model = onnx.load(exported.path, load_external_data=False)
    onnx.checker.check_model(model, full_check=True)
    assert [entry.version for entry in model.opset_import if entry.domain == ""] == [18]
    content = exported.path.read_bytes()
    for trace in (str(Path(__file__).parents[2]), sys.prefix, "site-packages", ".py"):
        assert trace.encode() not in content


def stored_metadata(path: Path, format_name: str) -> dict[str, Any]:
    if format_name == "onnx":
        import onnx

        (entry,) = onnx.load(path).metadata_props
        assert entry.key == "lts"
        return json.loads(entry.value)
    files = {"lts.json": ""}
    with pytest.warns((FutureWarning, DeprecationWarning), match="torch.jit.load"):
        torch.jit.load(path, _extra_files=files)
    return json.loads(files["lts.json"])


@pytest.mark.parametrize("format_name", [pytest.param("onnx", marks=pytest.mark.slow), "torchscript"])
def test_the_file_says_how_it_is_to_be_used(export: Export, format_name: str) -> None:
    checkpoint, exported = export("unet", format_name)
    metadata = stored_metadata(exported.path, format_name)
    assert metadata == exported.metadata
    words = metadata.pop("preprocessing")
    versions = metadata.pop("versions")
    assert metadata == {
        "format": 1,
        "regions": ["liver", "tumor"],
        "threshold": 0.5,
        "context": 1,
        "modality": "ct",
        "lowest": -1024,
        "fill": -1024,
        "image_size": 32,
        "pixel_mm": None,
        "checkpoint_sha256": sha256(checkpoint.path.read_bytes()).hexdigest(),
    }
    assert versions == {"lts": "0.1.0", "torch": torch.__version__.split("+")[0]}
    assert words["axes"] == (
        "slices from foot to head, rows from front to back, columns from the patient's right to left"
    )
    assert "the longer side of the field of view divided by 32" in words["resize"]
    assert "whole HU" in words["resize"]
    assert "32 x 32 with -1024" in words["pad"]
    assert "3 slices" in words["neighbors"]


def test_metadata_of_mr_keep_the_scans_own_scale_and_its_pixel(make_checkpoint) -> None:
    checkpoint = make_checkpoint("mr")
    metadata = describe(replace(checkpoint, recipe=replace(checkpoint.recipe, pixel_mm=1.25)))
    assert (metadata["modality"], metadata["lowest"], metadata["fill"]) == ("mr", None, 0)
    assert (metadata["context"], metadata["pixel_mm"]) == (2, 1.25)
    words = metadata["preprocessing"]
    assert words["values"] == "the scan's own scale"
    assert "pixels of 1.25 mm" in words["resize"]
    assert "HU" not in " ".join(words.values())


@pytest.mark.parametrize("format_name", [pytest.param("onnx", marks=pytest.mark.slow), "torchscript"])
def test_its_probabilities_are_those_of_the_predictor(make_case, export: Export, format_name: str) -> None:
    checkpoint, exported = export("unet", format_name)
    scan = read_ct(make_case(depth=7).image)  # 32 x 32 pixels, as the model's slices
    predictor = Predictor([checkpoint], device=torch.device("cpu"), batch_size=4)
    expected = torch.cat([slab.probs for slab in predictor.slabs(scan)])
    numbers = [[max(z - 1, 0), z, min(z + 1, 6)] for z in range(7)]
    probs = find_format(format_name).open(exported.path)(torch.from_numpy(scan.voxels[numbers]).float())
    torch.testing.assert_close(probs, expected, rtol=0, atol=1e-5)


@pytest.mark.slow
def test_real_slices_agree(export: Export, real_data: Path) -> None:
    checkpoint, exported = export("unet", "onnx")
    scan = read_ct(real_data / "full_size" / "volume-1.nii.gz")
    height, width = scan.voxels.shape[1:]
    plane = fit_plane((height, width), scan.geometry.spacing_mm[1:], image_size=128, pixel_mm=None)
    laid = lay_on_plane(scan.voxels[::8], plane, fill=-1024)
    run = find_format("onnx").open(exported.path)
    found = measure_agreement(ServingModel(checkpoint), run, laid, context=1, name="real")
    assert found.slices == len(laid) >= 10
    assert found.largest_difference < 1e-4


class Spoilt(nn.Module):
    """A model whose answer is off."""

    def __init__(self, model: nn.Module, spoil: Callable[[torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        self.model, self.spoil = model, spoil

    def forward(self, hu: torch.Tensor) -> torch.Tensor:
        return self.spoil(self.model(hu))


def write_spoilt(monkeypatch, spoil: Callable[[torch.Tensor], torch.Tensor]) -> None:
    sound = formats.FORMATS["torchscript"]

    def make(model: nn.Module, *rest: Any) -> bytes | memoryview:
        return sound.make(Spoilt(model, spoil), *rest)

    monkeypatch.setitem(formats.FORMATS, "torchscript", replace(sound, make=make))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda probs: probs + 2e-4, r"may differ from PyTorch's by 0.0001, got 0.0002 on 1 x 3 slices of "),
        (lambda probs: probs * torch.nan, "got nan on"),
        (lambda probs: probs[:, :1], r"must be of shape \(1, 2, 29, 37\), got \(1, 1, 29, 37\)"),
        (lambda probs: probs.reshape(2, 2, 64, 96), "it cannot be run on 1 x 3 slices of 29 x 37 pixels: "),
    ],
)
def test_a_file_that_computes_something_else_is_not_written(
    make_checkpoint, tmp_path: Path, monkeypatch, spoil, message: str
) -> None:
    write_spoilt(monkeypatch, spoil)
    output = tmp_path / "model.pt"
    output.write_bytes(b"what was there")
    with pytest.raises(CheckpointError, match=message) as caught:
        export_model(
            make_checkpoint("unet"),
            output,
            format_name="torchscript",
            slices=torch.zeros(1, 32, 32),
            overwrite=True,
        )
    assert "\n" not in str(caught.value)
    assert "model.ckpt: as torchscript it" in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["model.pt"]
    assert output.read_bytes() == b"what was there"


def test_a_difference_within_the_tolerance_is_told(
    make_checkpoint, slices: torch.Tensor, tmp_path: Path, monkeypatch
) -> None:
    write_spoilt(monkeypatch, lambda probs: probs + 5e-5)
    exported = export_model(
        make_checkpoint("unet"),
        tmp_path / "m",
        format_name="torchscript",
        slices=slices,
        overwrite=False,
    )
    assert exported.agreement.largest_difference == pytest.approx(5e-5, rel=0.01)


def test_every_slice_is_compared_between_its_neighbors_and_other_sizes_beside() -> None:
    seen: list[torch.Tensor] = []

    def run(hu: torch.Tensor) -> torch.Tensor:
        seen.append(hu)
        return hu[:, :1]

    numbered = torch.arange(6, dtype=torch.int16)[:, None, None].expand(6, 24, 24)
    told: list[tuple[int, int]] = []
    measure_agreement(
        Spoilt(nn.Identity(), lambda hu: hu[:, :1]),
        run,
        numbered,
        context=1,
        name="numbers",
        progress=lambda done, total: told.append((done, total)),
    )
    whole = torch.cat([hu for hu in seen if hu.shape[2:] == (24, 24)][1:])  # the first warms up
    assert whole[:, :, 0, 0].tolist() == [[0, 0, 1], [0, 1, 2], [1, 2, 3], [2, 3, 4], [3, 4, 5], [4, 5, 5]]
    assert told == [(4, 6), (6, 6)]
    others = [tuple(hu.shape) for hu in seen if hu.shape[2:] != (24, 24)]
    assert len({shape[0] for shape in others}) >= 3
    assert any(height % 2 and width % 2 and height != width for _, _, height, width in others)
    assert all(shape[2:] != formats._TRACED_SHAPE[1:] for shape in others)
    assert all(hu.dtype == torch.float32 for hu in seen)


def test_a_difference_on_the_last_slice_alone_is_found() -> None:
    numbered = torch.arange(9.0)[:, None, None].expand(9, 24, 24)
    whole = nn.Identity()

    def run(hu: torch.Tensor) -> torch.Tensor:
        return torch.where((hu == 8) & (torch.tensor(hu.shape[-1]) == 24), hu + 1, hu)

    with pytest.raises(
        CheckpointError, match="last its probabilities may differ from PyTorch's by 0.0001, got 1 on 1 x"
    ):
        measure_agreement(whole, run, numbered, context=0, name="last")


def refuse(
    checkpoint: Checkpoint,
    output: Path,
    message: str,
    error: type[LtsError] = ConfigError,
    **changes: Any,
) -> None:
    settings = {"format_name": "torchscript", "slices": torch.zeros(1, 32, 32), "overwrite": False}
    with pytest.raises(error, match=message) as caught:
        export_model(checkpoint, output, **{**settings, **changes})
    assert "\n" not in str(caught.value)


def test_what_exists_is_replaced_on_demand_alone(make_checkpoint, tmp_path: Path) -> None:
    checkpoint, output = make_checkpoint("unet"), tmp_path / "model.pt"
    output.write_bytes(b"mine")
    refuse(checkpoint, output, "model.pt exists; overwrite=true replaces it")
    assert output.read_bytes() == b"mine"
    export_model(checkpoint, output, format_name="torchscript", slices=torch.zeros(1, 32, 32), overwrite=True)
    assert output.stat().st_size > 10_000
    assert [path.name for path in tmp_path.iterdir()] == ["model.pt"]


def test_an_output_that_cannot_be_is_refused(make_checkpoint, tmp_path: Path, monkeypatch) -> None:
    checkpoint = make_checkpoint("unet")
    refuse(checkpoint, tmp_path / "no" / "m.pt", "output: must lie in a folder that exists, got .*no/m.pt")
    refuse(checkpoint, tmp_path, "output: must be a file, but .* is a folder", overwrite=True)
    (tmp_path / "alias.pt").symlink_to(checkpoint.path)
    before = checkpoint.path.read_bytes()
    refuse(checkpoint, tmp_path / "alias.pt", "output: must not be a file that is read", overwrite=True)
    assert checkpoint.path.read_bytes() == before

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    refuse(checkpoint, tmp_path / "m.pt", "m.pt: cannot be written: No space left on device", StorageError)


def test_a_file_that_another_wrote_meanwhile_is_kept(make_checkpoint, tmp_path: Path, monkeypatch) -> None:
    output, sound = tmp_path / "m.pt", formats.FORMATS["torchscript"]

    def make(*given: Any) -> bytes | memoryview:
        output.write_bytes(b"another export's")
        return sound.make(*given)

    monkeypatch.setitem(formats.FORMATS, "torchscript", replace(sound, make=make))
    refuse(make_checkpoint("unet"), output, "m.pt exists; overwrite=true replaces it")
    assert output.read_bytes() == b"another export's"
    assert [path.name for path in tmp_path.iterdir()] == ["m.pt"]


def test_an_unknown_format_is_refused(make_checkpoint, tmp_path: Path) -> None:
    message = "format: must be one of onnx, torchscript, got 'tensorrt'"
    refuse(make_checkpoint("unet"), tmp_path / "m", message, format_name="tensorrt")


@pytest.mark.parametrize("package", ["onnx", "onnxruntime", "onnxscript"])
def test_a_missing_package_is_named_with_its_remedy(
    make_checkpoint, tmp_path: Path, monkeypatch, package: str
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    message = rf'format: onnx needs the package {package}, .*; pip install "\.\[export\]"'
    refuse(make_checkpoint("unet"), tmp_path / "m", message, format_name="onnx")
    assert find_format("torchscript").runtime == "TorchScript"
    assert not list(tmp_path.iterdir())


def test_what_one_onnx_file_cannot_hold_is_refused(make_checkpoint, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(formats, "ONNX_MOST_BYTES", 1000)
    message = "a file of onnx holds at most 1000 bytes of weights, got .*; torchscript holds more"
    refuse(make_checkpoint("unet"), tmp_path / "m", message, format_name="onnx")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("format_name", [pytest.param("onnx", marks=pytest.mark.slow), "torchscript"])
def test_exporters_keep_their_talk_to_themselves(
    make_checkpoint, tmp_path: Path, capfd, caplog, format_name: str
) -> None:
    checkpoint = make_checkpoint("instance")
    with caplog.at_level("INFO"):
        export_model(
            checkpoint,
            tmp_path / "m",
            format_name=format_name,
            slices=torch.zeros(1, 32, 32),
            overwrite=False,
        )
    assert capfd.readouterr() == ("", "")
    assert not caplog.records


def test_a_slice_without_any_contrast_has_probabilities(make_checkpoint) -> None:
    model = ServingModel(make_checkpoint("mr"))
    with torch.no_grad():
        probs = model(torch.full((1, 5, 32, 32), 7.0)).numpy()
    assert np.isfinite(probs).all()


@pytest.fixture
def both(make_checkpoint, tmp_path: Path) -> Checkpoint:
    """Two networks of different inputs and outputs."""
    locator, network = make_checkpoint("instance"), make_checkpoint("attention")
    first = ServedModel(
        network=locator.network, intensity=locator.intensity, regions=("liver",), recipe=locator.recipe
    )
    save_checkpoint(
        tmp_path / "both.ckpt",
        network.network,
        intensity=network.intensity,
        regions=network.regions,
        recipe=Recipe(image_size=48, focus="liver", margin_mm=12.5),
        context=network.context,
        locator=first,
    )
    return load_checkpoint(tmp_path / "both.ckpt")


def export_both(checkpoint: Checkpoint, output: Path, slices: torch.Tensor, **settings: Any) -> Exported:
    close = torch.nn.functional.interpolate(slices[:, None].float(), (48, 48))[:, 0]
    given = {"format_name": "torchscript", "slices": close, "locator_slices": slices, "overwrite": False}
    return export_model(checkpoint, output, **{**given, **settings})


def test_of_two_networks_both_are_written_and_how_they_go_together(
    both: Checkpoint, slices: torch.Tensor, tmp_path: Path
) -> None:
    (tmp_path / "out").mkdir()
    exported = export_both(both, tmp_path / "out" / "liver.pt", slices)
    assert exported.locator is not None
    assert [path.name for path in sorted((tmp_path / "out").iterdir())] == [
        "liver.pt",
        "liver.pt.json",
        "liver_locator.pt",
    ]
    for one, model, size in ((exported, both, 48), (exported.locator, both.locator, 32)):
        run = find_format("torchscript").open(one.path)
        hu = values(2, 1 + 2 * model.context, size, size)
        with torch.no_grad():
            torch.testing.assert_close(run(hu), ServingModel(model).eval()(hu), atol=1e-5, rtol=0)
        assert one.size_bytes == one.path.stat().st_size
        assert one.agreement.slices == len(slices)
        assert one.metadata["image_size"] == size
    told = json.loads((tmp_path / "out" / "liver.pt.json").read_text())
    assert told == {"liver.pt": exported.metadata, "liver_locator.pt": exported.locator.metadata}
    of_network = exported.metadata
    assert (of_network["format"], exported.locator.metadata["format"]) == (2, 1)
    assert (of_network["focus"], of_network["margin_mm"]) == ("liver", 12.5)
    assert of_network["locator"] == "liver_locator.pt"
    assert "ceil(12.5 mm / slice spacing)" in of_network["preprocessing"]["slices"]
    assert not {"focus", "margin_mm", "locator"} & exported.locator.metadata.keys()


def test_of_two_networks_all_files_are_written_or_none(
    both: Checkpoint, slices: torch.Tensor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    for name in ("liver_locator.pt", "liver.pt.json"):
        (out / name).write_text("kept")
        with pytest.raises(ConfigError, match=rf"^output: .*{name} exists; overwrite=true replaces it$"):
            export_both(both, out / "liver.pt", slices)
        (out / name).unlink()
    whole = ServingModel.forward

    def spoilt(self: ServingModel, hu: torch.Tensor) -> torch.Tensor:
        probs = whole(self, hu)
        return probs if torch.jit.is_tracing() or probs.shape[1] > 1 else 1 - probs

    monkeypatch.setattr(ServingModel, "forward", spoilt)  # of the locator, another answer than in its file
    with pytest.raises(CheckpointError, match="its locator as torchscript its probabilities may differ"):
        export_both(both, out / "liver.pt", slices)
    assert not list(out.iterdir())
