from functools import partial

import numpy as np
import pytest
import torch
from sklearn.metrics import f1_score, jaccard_score, roc_auc_score
from torch import nn

from lts.base import CheckpointError, ConfigError
from lts.losses import BCEDiceLoss
from lts.networks import ResNet50Segmenter, UNet
from lts.task import SegmentationTask, parameter_groups

REGIONS = ("liver", "tumor")


class Identity(nn.Module):
    """Gives its input as logits, so that every prediction is chosen by the test."""

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return image


def loss() -> BCEDiceLoss:
    return BCEDiceLoss(region_weights=None, pos_weight=None, dice_weight=0.5, smooth=1.0)


def task(network: nn.Module, **changes) -> SegmentationTask:
    settings = {
        "loss": loss(),
        "optimizer": partial(torch.optim.Adam, lr=1e-3, weight_decay=0.1),
        "scheduler": None,
        "regions": REGIONS,
        "val_cases": 2,
        "encoder_lr_scale": 1.0,
    }
    return SegmentationTask(network=network, **{**settings, **changes})


def unet() -> UNet:
    return UNet(in_channels=1, out_channels=2, width=4, depth=2, norm="batch", dropout=0.0)


def test_weight_decay_is_for_the_weights_of_convolutions_alone() -> None:
    network = unet()
    groups = {group["name"]: group for group in parameter_groups(network, split_encoder=False)}
    assert set(groups) == {"network/kernels", "network/rest"}
    assert all(parameter.ndim == 4 for parameter in groups["network/kernels"]["params"])
    assert all(parameter.ndim == 1 for parameter in groups["network/rest"]["params"])
    assert "weight_decay" not in groups["network/kernels"]
    assert groups["network/rest"]["weight_decay"] == 0.0
    assert sum(len(group["params"]) for group in groups.values()) == len(list(network.parameters()))


def test_with_a_zero_gradient_only_convolution_weights_shrink() -> None:
    network = unet()
    optimizer = task(network).configure_optimizers()
    before = {name: parameter.detach().clone() for name, parameter in network.named_parameters()}
    for parameter in network.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    for name, parameter in network.named_parameters():
        changed = not torch.equal(parameter, before[name])
        assert changed == (parameter.ndim == 4 and bool(before[name].any())), name


def test_the_encoder_learns_at_a_rate_of_its_own() -> None:
    network = ResNet50Segmenter(in_channels=1, out_channels=2, weights=None, decoder_width=4)
    optimizer = task(network, encoder_lr_scale=0.1).configure_optimizers()
    rates = {group["name"]: group["lr"] for group in optimizer.param_groups}
    assert rates == pytest.approx(
        {"encoder/kernels": 1e-4, "encoder/rest": 1e-4, "network/kernels": 1e-3, "network/rest": 1e-3}
    )
    in_encoder = sum(p.numel() for g in optimizer.param_groups if "encoder" in g["name"] for p in g["params"])
    assert in_encoder == sum(parameter.numel() for parameter in network.encoder.parameters())


def test_a_plateau_follows_the_validation_loss() -> None:
    plateau = partial(torch.optim.lr_scheduler.ReduceLROnPlateau, patience=1)
    configured = task(unet(), scheduler=plateau).configure_optimizers()
    assert configured["lr_scheduler"]["monitor"] == "val/loss"
    assert isinstance(configured["lr_scheduler"]["scheduler"], torch.optim.lr_scheduler.ReduceLROnPlateau)


def test_without_validation_a_plateau_follows_the_training_loss() -> None:
    plateau = partial(torch.optim.lr_scheduler.ReduceLROnPlateau, patience=1)
    configured = task(unet(), scheduler=plateau, val_cases=0).configure_optimizers()
    assert configured["lr_scheduler"]["monitor"] == "train/loss"


def test_a_task_needs_a_network_and_a_loss_alone() -> None:
    bare = SegmentationTask(network=unet(), loss=loss())
    configured = bare.configure_optimizers()
    optimizer, plateau = configured["optimizer"], configured["lr_scheduler"]["scheduler"]
    assert isinstance(optimizer, torch.optim.Adam)
    assert [group["lr"] for group in optimizer.param_groups] == [1e-4, 1e-4]
    assert [group["weight_decay"] for group in optimizer.param_groups] == [1e-5, 0.0]
    assert (plateau.factor, plateau.patience, plateau.min_lrs) == (0.5, 5, [1e-6, 1e-6])
    assert configured["lr_scheduler"]["monitor"] == "train/loss"
    assert bare.regions == REGIONS


def test_weights_of_other_shapes_are_refused() -> None:
    wide = UNet(in_channels=1, out_channels=2, width=8, depth=2, norm="batch", dropout=0.0)
    module, saved = task(unet()), {"state_dict": task(wide).state_dict()}
    with pytest.raises(
        CheckpointError, match=r"^checkpoint: network\..* must be of shape \(.*4.*\) for this network, got"
    ):
        module.on_load_checkpoint(saved)
    module.on_load_checkpoint({"state_dict": module.state_dict()})


@pytest.mark.parametrize("scale", [0.0, -1.0])
def test_an_encoder_that_cannot_learn_is_refused(scale: float) -> None:
    with pytest.raises(ConfigError, match="^encoder_lr_scale: must be > 0"):
        task(unet(), encoder_lr_scale=scale)


def test_validation_scores_are_those_of_scikit_learn() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(6, 2, 8, 8, generator=generator)
    mask = torch.rand(6, 2, 8, 8, generator=generator) < 0.4
    case = torch.tensor([0, 1, 0, 1, 1, 0])
    module = task(Identity())
    logged: dict[str, float] = {}
    module.log = lambda name, value, **_: logged.update({name: float(value)})
    module.log_dict = lambda values, **_: logged.update(
        {name: float(value) for name, value in values.items()}
    )
    for start in (0, 2, 4):
        part = slice(start, start + 2)
        module.validation_step({"image": logits[part], "mask": mask[part], "case": case[part]}, 0)
    module.on_validation_epoch_end()
    predicted = (logits > 0).numpy()
    for channel, region in enumerate(REGIONS):
        reference, found = mask[:, channel].numpy(), predicted[:, channel]
        per_case = [f1_score(reference[case == c].ravel(), found[case == c].ravel()) for c in (0, 1)]
        assert logged[f"val/{region}/dice_per_case"] == pytest.approx(np.mean(per_case), abs=1e-6)
        assert logged[f"val/{region}/dice_global"] == pytest.approx(
            f1_score(reference.ravel(), found.ravel())
        )
        assert logged[f"val/{region}/iou_global"] == pytest.approx(
            jaccard_score(reference.ravel(), found.ravel())
        )
        exact = roc_auc_score(reference.ravel(), torch.sigmoid(logits[:, channel]).numpy().ravel())
        assert logged[f"val/{region}/auroc"] == pytest.approx(exact, abs=1e-3)
    assert logged["val/accuracy"] == pytest.approx((predicted == mask.numpy()).mean())
    assert logged["val/loss"] == pytest.approx(float(loss()(logits[4:], mask[4:])))


def test_scores_of_one_epoch_do_not_leak_into_the_next() -> None:
    module = task(Identity())
    logged: dict[str, float] = {}
    module.log = lambda *_a, **_k: None
    module.log_dict = lambda values, **_: logged.update(
        {name: float(value) for name, value in values.items()}
    )
    mask = torch.ones(2, 2, 4, 4, dtype=torch.bool)
    for sign, expected in ((-1.0, 0.0), (1.0, 1.0)):
        module.validation_step(
            {"image": sign * torch.ones(2, 2, 4, 4), "mask": mask, "case": torch.tensor([0, 1])}, 0
        )
        module.on_validation_epoch_end()
        assert logged["val/tumor/dice_per_case"] == expected


def test_training_accuracy_is_the_share_of_right_voxels() -> None:
    module = task(Identity())
    logged: dict[str, float] = {}
    module.log_dict = lambda values, **_: logged.update(
        {name: float(value) for name, value in values.items()}
    )
    mask = torch.zeros(1, 2, 4, 4, dtype=torch.bool)
    mask[..., :1] = True
    module.training_step({"image": -torch.ones(1, 2, 4, 4), "mask": mask}, 0)
    assert logged["train/accuracy"] == 0.75
    ignored = torch.zeros(1, 4, 4, dtype=torch.bool)
    for first, expected in ((2, 0.5), (0, 1.0)):  # half a slice, and a whole one
        ignored[..., first:] = True
        module.training_step({"image": -torch.ones(1, 2, 4, 4), "mask": mask, "ignored": ignored}, 0)
        assert logged["train/accuracy"] == expected


def test_each_coarser_level_weighs_half_of_the_one_before_it() -> None:
    torch.manual_seed(0)
    network = UNet(in_channels=1, out_channels=2, width=4, depth=4, norm="none", deep_supervision=2)
    batch = {"image": torch.rand(2, 1, 16, 16), "mask": torch.rand(2, 2, 16, 16) > 0.5}
    module = task(network)
    module.log_dict = lambda *_args, **_kwargs: None
    found = module.training_step(batch, 0)
    first, second, third = (loss()(logits, batch["mask"]) for logits in network.every_level(batch["image"]))
    assert found.item() == pytest.approx((4 * first + 2 * second + third).item() / 7)
    found.backward()
    idle = [name for name, parameter in network.named_parameters() if not parameter.grad.abs().sum() > 0]
    assert idle == []
