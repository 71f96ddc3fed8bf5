"""From settings to objects: arguments against annotations, and whose error it is where a class says no."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from lts.app.config.component import Component
from lts.app.config.instantiate import as_config_error, build_component, keys_in_errors
from lts.base import CohortError, ConfigError, VolumeError
from lts.intensity import Channels, Intensity, Window


class Ours(nn.Module):
    """A class with a bug."""

    def __init__(self, *, size: int) -> None:
        super().__init__()
        raise RuntimeError(f"ours: {size}")


Ours.__module__ = "lts.networks"
nn.OursForTests = Ours  # a name under which the bug can be had


def made(settings: dict[str, Any], kind: type = object, **more: Any) -> Any:
    return build_component(Component.from_dict(settings), key="part", kind=kind, **more)


WINDOW = {"_target_": "lts.intensity.Window", "level_hu": 40, "width_hu": 400}


def test_settings_within_settings_are_made_too() -> None:
    built = made({"_target_": "lts.intensity.Channels", "channels": [WINDOW, WINDOW]}, Intensity)
    assert isinstance(built, Channels)
    assert [type(each) for each in built.maps] == [Window, Window]


def test_arguments_of_the_program_win_over_settings() -> None:
    layer = made({"_target_": "torch.nn.Linear", "in_features": 2, "out_features": "?"}, out_features=3)
    assert layer.weight.shape == (3, 2)


def test_a_partial_makes_its_object_later() -> None:
    settings = {"_target_": "torch.optim.SGD", "_partial_": True, "lr": 0.5}
    optimizer = made(settings, torch.optim.Optimizer, partial=True)([nn.Parameter(torch.zeros(1))])
    assert optimizer.param_groups[0]["lr"] == 0.5


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"_target_": None}, "part._target_: must name a class, got null"),
        ({"_target_": ""}, "part._target_: must name a class, got ''"),
        ({"_target_": "no.such"}, "part._target_: 'no.such' cannot be had: No module named 'no'"),
        ({"_target_": "lts.intensity.Windw"}, "part._target_: 'lts.intensity.Windw' cannot be had: .*Windw"),
        ({"_target_": "lts.intensity.AIR_HU"}, "part._target_: must name a class, got .*, a int"),
        ({"_partial_": 3}, "part._partial_: must be false, got 3"),
        ({"_partial_": True}, "part._partial_: must be false, got true"),
        ({"widht_hu": 3}, "part.widht_hu: is no setting of Window. Did you mean part.width_hu.$"),
        ({"width_hu": "wide"}, "part.width_hu: must be a number, got 'wide'"),
        ({"width_hu": "???"}, "part.width_hu: must be given"),
        ({"width_hu": {"_target_": "os.getcwd"}}, "part.width_hu: must be a number, got "),
        ({"width_hu": {"_target_": "no.such"}}, "part.width_hu._target_: 'no.such' cannot be had"),
        ({"width_hu": 0}, "part.width_hu: must be > 0 and at most 1000000 HU, got 0"),
    ],
)
def test_wrong_settings_are_told_by_their_key(change: dict[str, Any], line: str) -> None:
    with pytest.raises(ConfigError, match=f"^{line}"):
        made({**WINDOW, **change}, Intensity)


def test_what_is_wrong_within_a_list_is_told_by_its_place() -> None:
    settings = {"_target_": "lts.intensity.Channels", "channels": [WINDOW, {**WINDOW, "level_hu": None}]}
    with pytest.raises(ConfigError, match="^part.channels.1.level_hu: must be a number, got null$"):
        made(settings)


@pytest.mark.parametrize(
    ("settings", "kind", "line"),
    [
        ({"_target_": "torch.nn.Linear", "in_features": 1}, object, "part.out_features: must be given"),
        (WINDOW, torch.optim.Optimizer, "part._target_: must name what makes a kind of Optimizer, got"),
        ({"_target_": "builtins.dict"}, Callable, "part._target_: must name what makes a kind of Callable"),
        (  # written in C: it says itself what it takes
            {"_target_": "builtins.dict", "_args_": [3]},
            dict,
            "part: 'int' object is not iterable",
        ),
        (
            {
                "_target_": "torch.nn.Conv2d",
                "in_channels": 3,
                "out_channels": 4,
                "kernel_size": 1,
                "groups": 2,
            },
            nn.Module,
            "part: in_channels must be divisible by groups",
        ),
    ],
)
def test_what_a_class_of_another_library_refuses_is_the_users_to_hear(
    settings: dict[str, Any], kind: Any, line: str
) -> None:
    with pytest.raises(ConfigError, match=line):
        made(settings, kind)


def test_a_partial_of_another_kind_is_refused() -> None:
    settings = {"_target_": "torch.nn.ReLU", "_partial_": True}
    with pytest.raises(ConfigError, match="must name what makes a kind of Optimizer, got 'torch.nn.ReLU'"):
        made(settings, torch.optim.Optimizer, partial=True)


def test_an_error_of_a_class_of_ours_stays_a_bug() -> None:
    with pytest.raises(RuntimeError, match="ours: 3"):
        made({"_target_": "torch.nn.OursForTests", "size": 3})


LOSS = {
    "_target_": "lts.losses.TverskyLoss",
    "region_weights": None,
    "alpha": 0.3,
    "beta": 0.7,
    "smooth": 1.0,
}


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        ({**LOSS, "smooth": 0}, "part.smooth: must be a number of pixels > 0, got 0"),
        ({**LOSS, "alpha": 0, "beta": 0}, "part.alpha, part.beta: one of them must be > 0, got 0 and 0"),
        ({"_target_": "lts.intensity.Channels", "channels": []}, "part.channels: must name at least one map"),
        (
            {"_target_": "lts.intensity.Channels", "channels": [{**WINDOW, "width_hu": 0}]},
            "part.channels.0.width_hu: must be > 0 and at most",
        ),
        (  # of the app itself, which knows the keys
            {
                "_target_": "lts.app.sweep.pruning.PruneHopeless",
                "folder": "x",
                "monitor": None,
                "mode": "min",
                "warmup_epochs": 0,
                "min_siblings": 1,
            },
            "pruning: compares jobs by callbacks.best.monitor, which must be a score, got null",
        ),
    ],
)
def test_what_our_classes_say_of_arguments_is_told_of_keys(settings: dict[str, Any], line: str) -> None:
    with pytest.raises(ConfigError, match=f"^{line}"):
        made(settings)


def of_two(*, first: int, second: int) -> None:
    """Takes two settings."""


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ConfigError("first: must be 1"), "data.first: must be 1"),
        (ConfigError("first and second: must differ"), "data.first and data.second: must differ"),
        (CohortError("second, first: must differ"), "data.second, data.first: must differ"),
        (ConfigError("first: must be above second: 2"), "data.first: must be above second: 2"),
        (ConfigError("third: must be 1"), "third: must be 1"),
        (ConfigError("first and third: must differ"), "first and third: must differ"),
        (ConfigError("first must be 1"), "first must be 1"),
        (VolumeError("a.nii: is damaged"), "a.nii: is damaged"),
    ],
)
def test_arguments_at_the_head_of_a_line_become_keys(error: Exception, line: str) -> None:
    with pytest.raises(type(error)) as told, keys_in_errors("data", of_two):
        raise error
    assert told.value is error
    assert str(error) == line


def test_what_a_library_says_is_told_under_a_key_and_what_we_say_as_it_is() -> None:
    with pytest.raises(ConfigError, match="^optimizer: two lines$"), as_config_error("optimizer"):
        raise RuntimeError("two\n  lines")
    with pytest.raises(ConfigError, match="^optimizer: KeyError$"), as_config_error("optimizer"):
        raise KeyError
    with pytest.raises(ConfigError, match="^loss.alpha: ours$"), as_config_error("optimizer"):
        raise ConfigError("loss.alpha: ours")
