import http.client
import io
import pickle
import socket
from collections.abc import Callable
from email.message import Message
from pathlib import Path
from typing import Any
from urllib.error import URLError

import pytest
import torch
from torch import Tensor, nn
from torchvision.models import ResNet50_Weights, resnet50
from torchvision.models.feature_extraction import create_feature_extractor

from lts.base import ConfigError
from lts.networks import ResNet50Segmenter
from lts.networks.resnet50 import (
    DOWNLOAD_TIMEOUT_S,
    ResNet50Encoder,
    adapt_kernels,
    load_encoder,
    socket_timeout,
)

SETTINGS: dict[str, Any] = {"in_channels": 3, "out_channels": 2, "weights": None, "decoder_width": 2}


def make(**changes: Any) -> ResNet50Segmenter:
    torch.manual_seed(0)
    return ResNet50Segmenter(**{**SETTINGS, **changes})


@pytest.fixture(scope="module")
def reference() -> nn.Module:
    """torchvision's network in use: running statistics away from their start values."""
    torch.manual_seed(7)
    net = resnet50(weights=None)
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(std=0.1)
            module.running_var.uniform_(0.5, 1.5)
    return net.eval()


@pytest.fixture(scope="module")
def weights_file(reference: nn.Module, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "resnet50.pth"
    torch.save(reference.state_dict(), path)
    return path


@pytest.fixture(scope="module")
def network() -> ResNet50Segmenter:
    return make()


@pytest.fixture(scope="module")
def encoder() -> ResNet50Encoder:
    return ResNet50Encoder(3)


@torch.no_grad()
def test_features_are_those_of_torchvision_on_images_in_its_own_scale(
    reference: nn.Module, weights_file: Path
) -> None:
    ours = make(weights=weights_file).encoder.eval()
    nodes = {"relu": "0", "layer1": "1", "layer2": "2", "layer3": "3", "layer4": "4"}
    theirs = create_feature_extractor(reference, nodes)
    preset = ResNet50_Weights.IMAGENET1K_V2.transforms()
    image = torch.rand(2, 3, 64, 96)
    mean, std = (torch.tensor(values).reshape(3, 1, 1) for values in (preset.mean, preset.std))
    expected = list(theirs((image - mean) / std).values())
    features = ours(image)
    assert [f.shape[1] for f in features] == [64, 256, 512, 1024, 2048]
    assert [f.shape[3] for f in features] == [48, 24, 12, 6, 3]
    for feature, wanted in zip(features, expected, strict=True):
        assert torch.allclose(feature, wanted, rtol=1e-4, atol=1e-4 * wanted.abs().max().item())


@torch.no_grad()
@pytest.mark.parametrize("channels", [1, 2, 4, 6])
def test_spread_kernels_answer_equal_channels_like_the_original(reference: nn.Module, channels: int) -> None:
    gray = torch.randn(2, 1, 32, 32)
    kernels = adapt_kernels(reference.conv1.weight, channels)
    assert kernels.shape == (64, channels, 7, 7)
    answer = nn.functional.conv2d(gray.expand(-1, channels, -1, -1), kernels, stride=2, padding=3)
    assert torch.allclose(answer, reference.conv1(gray.expand(-1, 3, -1, -1)), atol=1e-5)


def test_kernels_for_three_channels_stay_as_they_are(reference: nn.Module) -> None:
    assert adapt_kernels(reference.conv1.weight, 3) is reference.conv1.weight


@torch.no_grad()
def test_weights_are_spread_when_a_file_meets_other_channels(
    reference: nn.Module, weights_file: Path
) -> None:
    net = make(in_channels=5, weights=weights_file)
    assert torch.equal(net.encoder.conv1.weight, adapt_kernels(reference.conv1.weight, 5))
    assert torch.equal(net.encoder.layer4[2].conv3.weight, reference.layer4[2].conv3.weight)
    assert net(torch.rand(2, 5, 33, 40)).shape == (2, 2, 33, 40)


def test_gray_channels_are_standardized_with_the_mean_over_the_colors() -> None:
    encoder = ResNet50Encoder(1)
    assert encoder.mean.flatten().tolist() == pytest.approx([(0.485 + 0.456 + 0.406) / 3])
    assert encoder.std.flatten().tolist() == pytest.approx([(0.229 + 0.224 + 0.225) / 3])


@torch.no_grad()
def test_a_network_rebuilt_without_weights_and_filled_from_a_checkpoint_is_the_same(
    weights_file: Path,
) -> None:
    trained = make(weights=weights_file).eval()
    rebuilt = make(weights=None).eval()
    image = torch.rand(1, 3, 40, 40)
    assert not torch.allclose(rebuilt(image), trained(image))
    rebuilt.load_state_dict(trained.state_dict())
    assert torch.equal(rebuilt(image), trained(image))


@pytest.mark.parametrize("train", [True, False])
def test_logits_have_the_size_of_any_image(network: ResNet50Segmenter, train: bool) -> None:
    network.train(train)
    for height, width in [(1, 1), (3, 70), (64, 64), (65, 33)]:
        logits = network(torch.rand(1, 3, height, width))
        assert logits.shape == (1, 2, height, width)
        assert logits.isfinite().all()


def test_parameters_number_what_a_hand_count_gives() -> None:
    net = make(decoder_width=1)
    sizes = {
        name: sum(p.numel() for p in getattr(net, name).parameters())
        for name in ("encoder", "decoder", "head")
    }
    # torchvision documents 25,557,032 for the whole, 2048 * 1000 + 1000 of them in its head.
    # A decoder level: deep*out + (skip+out)*out*9 + out*out*9 + 4*out, for 2048-1024-16 down to 2-3-1.
    levels = [32768 + 149760 + 2304 + 64, 128 + 37440 + 576 + 32, 32 + 9360 + 144 + 16, 8 + 1188 + 36 + 8]
    assert sizes == {
        "encoder": 25_557_032 - 2_049_000,
        "decoder": sum(levels) + 2 + 36 + 9 + 4,
        "head": 2 + 2,
    }


def test_a_gradient_reaches_every_parameter_and_a_frozen_encoder_gets_none() -> None:
    net = make()
    net(torch.rand(2, 3, 64, 64)).square().mean().backward()
    assert [name for name, p in net.named_parameters() if not p.grad.abs().sum() > 0] == []
    net.zero_grad(set_to_none=True)
    net.encoder.requires_grad_(False)
    net(torch.rand(2, 3, 64, 64)).mean().backward()
    for name, parameter in net.named_parameters():
        assert (parameter.grad is None) == name.startswith("encoder."), name


@torch.no_grad()
def test_channels_last_computes_the_same(weights_file: Path) -> None:
    net = make(weights=weights_file).eval()
    image = torch.rand(2, 3, 45, 64)
    expected = net(image)
    out = net.to(memory_format=torch.channels_last)(image.to(memory_format=torch.channels_last))
    assert torch.allclose(out, expected, atol=1e-4 * expected.abs().max().item())


@torch.no_grad()
@pytest.mark.filterwarnings(
    "ignore:.*torch.jit.trace.*:DeprecationWarning", "ignore:.*torch.jit.trace.*:FutureWarning"
)
def test_a_trace_holds_for_other_sizes(network: ResNet50Segmenter) -> None:
    network.eval()
    traced = torch.jit.trace(network, torch.rand(1, 3, 64, 64), check_trace=False)
    image = torch.rand(2, 3, 37, 100)
    assert torch.allclose(traced(image), network(image), rtol=1e-4, atol=1e-4)


def test_the_decoder_sees_the_image_at_full_size(network: ResNet50Segmenter) -> None:
    network.eval()
    seen = []
    handle = network.decoder.register_forward_pre_hook(lambda _, args: seen.extend(args[0]))
    image = torch.rand(1, 3, 64, 64)
    network(image)
    handle.remove()
    assert torch.equal(seen[0], image)
    assert [feature.shape[-1] for feature in seen] == [64, 32, 16, 8, 4, 2]


def test_a_seed_decides_a_random_start(network: ResNet50Segmenter) -> None:
    assert all(torch.equal(a, b) for a, b in zip(network.parameters(), make().parameters(), strict=True))


@pytest.mark.parametrize("key", ["in_channels", "out_channels", "decoder_width"])
def test_a_bad_setting_is_named(key: str) -> None:
    with pytest.raises(ConfigError, match=rf"^{key}: must be a whole number >= 1, got 0$"):
        make(**{key: 0})


# Files of weights


def test_a_file_without_batch_counters_is_taken(
    encoder: ResNet50Encoder, reference: nn.Module, tmp_path: Path
) -> None:
    state = {k: v for k, v in reference.state_dict().items() if not k.endswith("num_batches_tracked")}
    torch.save(state, tmp_path / "old.pth")
    load_encoder(encoder, tmp_path / "old.pth")
    assert torch.equal(encoder.layer3[0].conv2.weight, reference.layer3[0].conv2.weight)


def drop(state: dict[str, Tensor]) -> None:
    for name in ("layer1.0.conv1.weight", "bn1.bias", "layer2.0.bn1.weight", "layer4.0.bn1.weight"):
        del state[name]


def add(state: dict[str, Tensor]) -> None:
    state["layer5.weight"] = torch.zeros(1)


def shrink(state: dict[str, Tensor]) -> None:
    state["layer1.0.conv1.weight"] = torch.zeros(64, 32, 1, 1)


def five_colors(state: dict[str, Tensor]) -> None:
    state["conv1.weight"] = torch.zeros(64, 5, 7, 7)


def flatten(state: dict[str, Tensor]) -> None:
    state["conv1.weight"] = torch.zeros(64)


@pytest.mark.parametrize(
    ("spoil", "problem"),
    [
        (drop, r"lacks bn1\.bias, layer1\.0\.conv1\.weight, layer2\.0\.bn1\.weight and 1 more"),
        (add, r"has unknown layer5\.weight"),
        (shrink, r"has misshapen layer1\.0\.conv1\.weight \(64, 32, 1, 1\) instead of \(64, 64, 1, 1\)"),
        (five_colors, r"has misshapen conv1\.weight \(64, 5, 7, 7\) instead of \(64, 3, 7, 7\)"),
        (flatten, r"has misshapen conv1\.weight \(64,\) instead of \(64, 3, 7, 7\)"),
    ],
)
def test_weights_of_another_network_are_refused_by_name(
    encoder: ResNet50Encoder,
    reference: nn.Module,
    tmp_path: Path,
    spoil: Callable[[dict[str, Tensor]], None],
    problem: str,
) -> None:
    state = dict(reference.state_dict())
    spoil(state)
    torch.save(state, tmp_path / "other.pth")
    before = encoder.bn1.bias.clone()
    rule = r"must be a state dict of torchvision's resnet50, but it"
    with pytest.raises(ConfigError, match=rf"^weights: .*other\.pth {rule} {problem}$"):
        load_encoder(encoder, tmp_path / "other.pth")
    assert torch.equal(encoder.bn1.bias, before)


@pytest.mark.parametrize("weights", ["nowhere.pth", "", "imagnet", 3, True])
def test_weights_that_are_no_file_are_refused(encoder: ResNet50Encoder, weights: object) -> None:
    with pytest.raises(ConfigError, match=rf'^weights: must be null, "imagenet" or .*; no file {weights}$'):
        load_encoder(encoder, weights)


@pytest.mark.parametrize("content", [b"", b"not weights", b"PK\x03\x04 broken archive"])
def test_a_file_of_another_kind_is_refused(encoder: ResNet50Encoder, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "weights.pth").write_bytes(content)
    with pytest.raises(ConfigError, match=r"^weights: .*weights\.pth must be a file of torch\.save .*$"):
        load_encoder(encoder, tmp_path / "weights.pth")


@pytest.mark.parametrize("content", [[1, 2], {"epoch": 3}, {5: torch.zeros(1)}])
def test_a_file_of_other_things_is_refused(encoder: ResNet50Encoder, tmp_path: Path, content: object) -> None:
    torch.save(content, tmp_path / "things.pth")
    with pytest.raises(ConfigError, match=r"things\.pth must hold a dict from names to tensors$"):
        load_encoder(encoder, tmp_path / "things.pth")


class Intruder:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.path,))


def test_code_in_a_file_of_weights_does_not_run(encoder: ResNet50Encoder, tmp_path: Path) -> None:
    torch.save({"conv1.weight": Intruder(tmp_path / "ran")}, tmp_path / "evil.pth")
    with pytest.raises(
        ConfigError, match=r"evil\.pth must be a file of torch\.save that holds tensors alone"
    ):
        load_encoder(encoder, tmp_path / "evil.pth")
    assert not (tmp_path / "ran").exists()


# ImageNet weights: no test reaches the network


class Response(io.BytesIO):
    """What `urlopen` returns, as far as torch.hub looks at it."""

    def info(self) -> Message:
        return Message()


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """torch.hub's folder for downloads, empty."""
    monkeypatch.setattr(torch.hub, "_hub_dir", str(tmp_path / "hub"))
    return tmp_path / "hub" / "checkpoints"


def answer_with(monkeypatch: pytest.MonkeyPatch, answer: Callable[[], Any]) -> list[float | None]:
    """Let every download give `answer`; returns the socket timeouts it was asked under."""
    timeouts: list[float | None] = []

    def urlopen(*args: Any, **kwargs: Any) -> Any:
        timeouts.append(socket.getdefaulttimeout())
        return answer()

    monkeypatch.setattr(torch.hub, "urlopen", urlopen)
    return timeouts


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (URLError("no route to host"), "no route to host"),
        (TimeoutError(), "TimeoutError"),
        (http.client.IncompleteRead(b"half"), "IncompleteRead"),
    ],
)
def test_a_failed_download_says_how_to_go_on(
    monkeypatch: pytest.MonkeyPatch, encoder: ResNet50Encoder, hub: Path, error: Exception, reason: str
) -> None:
    def fail() -> None:
        raise error

    timeouts = answer_with(monkeypatch, fail)
    before = encoder.conv1.weight.clone()
    with pytest.raises(ConfigError) as caught:
        load_encoder(encoder, "imagenet")
    message = str(caught.value)
    assert "\n" not in message
    for part in (
        f'weights: "imagenet" must be at {hub / "resnet50-11ad3fa6.pth"} or come from https://',
        reason,
        "weights=FILE",
        "weights=null for a random start",
    ):
        assert part in message
    assert timeouts == [DOWNLOAD_TIMEOUT_S]
    assert socket.getdefaulttimeout() is None
    assert torch.equal(encoder.conv1.weight, before)


def test_a_download_with_a_wrong_hash_is_refused(
    monkeypatch: pytest.MonkeyPatch, encoder: ResNet50Encoder, hub: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    answer_with(monkeypatch, lambda: Response(b"something else"))
    with pytest.raises(ConfigError, match=r"^weights: \"imagenet\" must be at .*invalid hash value.*$"):
        load_encoder(encoder, "imagenet")
    assert list(hub.iterdir()) == []


@pytest.mark.parametrize("content", [b"cut short", b"", pickle.dumps(Path("x"), protocol=2)])
def test_a_damaged_file_in_the_cache_is_refused(encoder: ResNet50Encoder, hub: Path, content: bytes) -> None:
    hub.mkdir(parents=True)
    (hub / "resnet50-11ad3fa6.pth").write_bytes(content)
    with pytest.raises(ConfigError, match=r"^weights: \"imagenet\" must be at .*$"):
        load_encoder(encoder, "imagenet")


def test_weights_in_the_cache_need_no_network(
    monkeypatch: pytest.MonkeyPatch, reference: nn.Module, weights_file: Path, hub: Path
) -> None:
    timeouts = answer_with(monkeypatch, lambda: pytest.fail("asked the network"))
    hub.mkdir(parents=True)
    (hub / "resnet50-11ad3fa6.pth").symlink_to(weights_file)
    net = make(weights="imagenet")
    assert torch.equal(net.encoder.layer1[0].bn1.running_var, reference.layer1[0].bn1.running_var)
    assert timeouts == []


def test_two_numbers_make_the_network_of_the_commands(
    monkeypatch: pytest.MonkeyPatch, reference: nn.Module, weights_file: Path, hub: Path
) -> None:
    hub.mkdir(parents=True)
    (hub / "resnet50-11ad3fa6.pth").symlink_to(weights_file)
    net = ResNet50Segmenter(in_channels=3, out_channels=2)
    assert torch.equal(net.encoder.conv1.weight, reference.conv1.weight)
    assert net.head.in_channels == 32


def test_a_host_that_never_answers_is_given_up() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent, socket_timeout(0.05):
        connection = http.client.HTTPConnection(*silent.getsockname())
        connection.request("GET", "/")
        with pytest.raises(TimeoutError):
            connection.getresponse()
        connection.close()
    assert socket.getdefaulttimeout() is None
