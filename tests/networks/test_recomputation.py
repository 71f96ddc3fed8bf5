import weakref
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import numpy as np
import pytest
import torch
from packaging.version import Version
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks
from torch.func import functional_call
from torch.nn import functional as F

from lts.networks import AttentionUNet, ResNet50Segmenter, UNet, blocks, recomputation
from lts.networks.recomputation import norm_relu, recomputable, recomputing


@pytest.fixture(autouse=True)
def _however_small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recomputation, "_LEAST_BYTES", 0)


def network(kind: type[nn.Module] = UNet, *, norm: str = "batch") -> nn.Module:
    torch.manual_seed(0)
    if kind is ResNet50Segmenter:
        return kind(in_channels=2, out_channels=2, weights=None, decoder_width=4)
    return kind(in_channels=2, out_channels=2, width=8, depth=3, norm=norm, dropout=0.0)


def step(net: nn.Module, precision: torch.dtype | None = None) -> dict[str, Tensor]:
    """Gradients and buffers after one step."""
    image = torch.rand(2, 2, 48, 48, generator=torch.Generator().manual_seed(1))
    with torch.autocast("cpu", dtype=precision) if precision else nullcontext():
        loss = net(image).float().square().mean()
    loss.backward()
    gradients = {name: parameter.grad for name, parameter in net.named_parameters()}
    return {**gradients, **dict(net.named_buffers())}


def keep_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (recomputation, blocks):
        monkeypatch.setattr(module, "recomputable", lambda *_, **__: None)


def kept_bytes(net: nn.Module, monkeypatch: pytest.MonkeyPatch) -> int:
    """Memory of all that the forward pass keeps for backward, weights aside."""
    storages: dict[int, int] = {}

    def count(kept: Any) -> None:
        if isinstance(kept, Tensor):
            storages[kept.untyped_storage().data_ptr()] = kept.untyped_storage().nbytes()
        else:
            for source in kept.sources:
                count(source)

    def counted(pack: Callable[..., Any], unpack: Callable[..., Any]) -> saved_tensors_hooks:
        def pack_and_count(tensor: Tensor) -> Any:
            kept = pack(tensor)
            count(kept)
            return kept

        return saved_tensors_hooks(pack_and_count, unpack)

    with monkeypatch.context() as patch:
        patch.setattr(recomputation, "saved_tensors_hooks", counted)
        graph = net(torch.rand(2, 2, 48, 48))  # alive to the end, so that no address is used twice
    for parameter in net.parameters():
        storages.pop(parameter.untyped_storage().data_ptr(), None)
    assert graph.requires_grad
    return sum(storages.values())


@pytest.mark.parametrize("precision", [None, torch.bfloat16])
@pytest.mark.parametrize(
    ("kind", "norm"),
    [
        *((UNet, norm) for norm in ("batch", "instance", "group", "none")),
        (AttentionUNet, "batch"),
        (ResNet50Segmenter, "batch"),
    ],
)
def test_gradients_and_running_statistics_are_those_of_keeping_everything_bit_for_bit(
    kind: type[nn.Module], norm: str, precision: torch.dtype | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = step(network(kind, norm=norm), precision)
    keep_everything(monkeypatch)
    kept = step(network(kind, norm=norm), precision)
    assert made.keys() == kept.keys()
    for name, tensor in kept.items():
        assert torch.equal(made[name], tensor), name


@pytest.mark.parametrize("norm", ["batch", "instance", "group"])
def test_a_step_keeps_little_more_than_half(norm: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # Per level: two convolutions down and two up, inputs of their normalizations; before also what follows
    # each of these, and the joined skip, twice as wide.
    made = kept_bytes(network(norm=norm), monkeypatch)
    keep_everything(monkeypatch)
    assert made < 0.62 * kept_bytes(network(norm=norm), monkeypatch)


def test_a_frozen_normalization_is_recomputed_from_its_running_statistics(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = step(network().eval())
    keep_everything(monkeypatch)
    kept = step(network().eval())
    assert all(torch.equal(made[name], tensor) for name, tensor in kept.items())


def test_only_what_was_named_is_recomputed_and_only_within_the_context() -> None:
    calls = []

    def double(kept: Tensor) -> Tensor:
        calls.append(kept.requires_grad)
        return 2 * kept

    x = torch.rand(3, 4, requires_grad=True)
    y = 2 * x
    recomputable(y, double, x)
    y.square().sum().backward()
    assert calls == []

    x.grad = None
    with recomputing():
        y = 2 * x
        recomputable(y, double, x)
        squares, other = y.square().sum(), (3 * x).square().sum()
    del y
    (squares + other).backward()
    assert calls == [False]
    assert x.grad is not None
    assert torch.allclose(x.grad, 26 * x)


@pytest.mark.parametrize(("numbers", "calls"), [(99, 0), (100, 1)])
def test_small_tensors_are_kept(numbers: int, calls: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recomputation, "_LEAST_BYTES", 400)
    made = []

    def double(kept: Tensor) -> Tensor:
        made.append(kept)
        return 2 * kept

    x = torch.rand(numbers, requires_grad=True)
    with recomputing():
        y = 2 * x
        recomputable(y, double, x)
        loss = y.square().sum()
    loss.backward()
    assert len(made) == calls


def test_the_memory_of_a_tensor_that_is_gone_means_nothing() -> None:
    x = torch.ones(1000, requires_grad=True)
    memory = np.full(1000, 2, np.float32)
    with recomputing():
        gone = torch.from_numpy(memory)
        recomputable(gone, lambda kept: 5 * kept, x)
        del gone
        loss = (x * torch.from_numpy(memory)).sum()
    loss.backward()
    assert x.grad is not None
    assert x.grad.tolist() == memory.tolist()


def test_a_source_that_is_recomputed_itself_is_not_held() -> None:
    x = torch.rand(5, requires_grad=True)
    with recomputing():
        y = x + 1
        recomputable(y, lambda kept: kept + 1, x)
        z = F.relu(y)
        recomputable(z, F.relu, y)
        loss = z.square().sum()
    kept = loss.grad_fn.next_functions[0][0]._raw_saved_self.data  # type: ignore[union-attr]
    assert [type(source).__name__ for source in kept.sources] == ["_Recomputation"]
    loss.backward()
    assert torch.allclose(x.grad, 2 * (x + 1))


def test_it_is_recomputed_in_the_precision_of_the_first_time() -> None:
    x, weight = torch.rand(8, 8, requires_grad=True), torch.rand(8, 8)
    with recomputing():
        with torch.autocast("cpu", dtype=torch.bfloat16):
            y = x @ weight
            recomputable(y, lambda kept: kept @ weight, x)
        loss = y.square().sum()
    assert y.dtype == torch.bfloat16
    loss.backward()
    made = x.grad
    x.grad = None
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y = x @ weight
    y.square().sum().backward()
    assert torch.equal(made, x.grad)


def test_nothing_is_held_after_the_context_but_for_what_was_kept() -> None:
    x = torch.rand(5, requires_grad=True)
    memory = np.ones(5, np.float32)
    freed, source = weakref.ref(memory), torch.from_numpy(memory)
    with recomputing():
        y = 2 * x
        recomputable(y, lambda kept: kept, source)
        loss = (3 * x).square().sum()
    del memory, source
    assert freed() is None
    loss.backward()


@pytest.mark.skipif(
    Version(torch.__version__) < Version("2.14"), reason="this torch makes several graphs, which is slower"
)
@pytest.mark.parametrize("kind", [UNet, ResNet50Segmenter])
def test_a_network_compiles_into_one_graph(kind: type[nn.Module]) -> None:
    net = network(kind).eval()
    image = torch.rand(1, 2, 64, 64)
    compiled = torch.compile(net, backend="aot_eager", fullgraph=True)
    assert torch.allclose(compiled(image), net(image), atol=1e-5)


def test_nothing_is_remembered_without_gradients() -> None:
    with torch.no_grad(), recomputing():
        assert recomputation._recomputations.get() is None


def test_nothing_is_remembered_on_a_device_without_autocast() -> None:
    with torch.device("meta"):
        net = network()
        net(torch.rand(2, 2, 48, 48)).sum().backward()
    assert all(parameter.grad.is_meta for parameter in net.parameters())


def test_what_is_changed_in_place_after_it_was_named_is_kept() -> None:
    x = torch.rand(5, requires_grad=True)
    with recomputing():
        y = 2 * x
        recomputable(y, lambda kept: 2 * kept, x)
        y.mul_(3)
        loss = y.square().sum()
    loss.backward()
    assert torch.allclose(x.grad, 72 * x)


def test_a_source_that_was_changed_in_place_stops_backward() -> None:
    x, source = torch.rand(5, requires_grad=True), torch.ones(5)
    with recomputing():
        y = x + source
        recomputable(y, torch.add, x, source)
        loss = y.square().sum()
    source.zero_()
    with pytest.raises(RuntimeError, match="was changed in place between forward and backward"):
        loss.backward()


@pytest.mark.parametrize("norm", ["batch", "instance", "group"])
def test_backward_recomputes_with_the_mode_and_the_weights_of_the_forward_pass(norm: str) -> None:
    net, image = network(norm=norm), torch.rand(2, 2, 48, 48)
    weights = {name: parameter.detach() * 1.5 for name, parameter in net.named_parameters()}
    found = {name: weight.clone().requires_grad_() for name, weight in weights.items()}
    loss = functional_call(net, found, image).square().mean()
    net.eval()
    loss.backward()
    other = network(norm=norm)
    other.load_state_dict(weights, strict=False)
    other(image).square().mean().backward()
    for name, parameter in other.named_parameters():
        assert torch.equal(found[name].grad, parameter.grad), name


class Shifted(nn.BatchNorm2d):
    def forward(self, image: Tensor) -> Tensor:
        return super().forward(image) + 0.5


@pytest.mark.parametrize(
    "norm",
    [
        Shifted(8),
        nn.BatchNorm2d(8, affine=False),
        nn.BatchNorm2d(8, track_running_stats=False).eval(),
        nn.InstanceNorm2d(8, affine=True, track_running_stats=True).eval(),
        nn.Sequential(nn.BatchNorm2d(8), nn.Sigmoid()),  # keeps what it gives
    ],
)
def test_a_normalization_of_another_kind_keeps_its_gradients(norm: nn.Module) -> None:
    for parameter in norm.parameters():
        nn.init.uniform_(parameter)
    image = torch.randn(2, 8, 6, 6, requires_grad=True)
    with recomputing():
        norm_relu(norm, image).square().sum().backward()
    found, image.grad = image.grad, None
    F.relu(norm(image)).square().sum().backward()
    assert torch.equal(found, image.grad)


def test_what_is_joined_is_free_once_it_was_convolved(monkeypatch: pytest.MonkeyPatch) -> None:
    joined: list[weakref.ref[Tensor]] = []
    alive: list[bool] = []
    join = blocks._upsample_beside

    def watched(skip: Tensor, deep: Tensor) -> Tensor:
        out = join(skip, deep)
        joined.append(weakref.ref(out))
        return out

    monkeypatch.setattr(blocks, "_upsample_beside", watched)
    net = network()
    for level in net.decoder.levels:
        level.block.norms[0].register_forward_pre_hook(lambda *_: alive.append(joined[-1]() is not None))
    net(torch.rand(2, 2, 48, 48)).sum().backward()
    assert alive == [False, False]
