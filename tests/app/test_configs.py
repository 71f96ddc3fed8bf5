"""Every choice of every group composes, and what it names can be built."""

import inspect
from pathlib import Path

import hydra
import pytest
import pytorch_lightning as pl
import torch
from omegaconf import DictConfig, OmegaConf

from lts.app.commands.training.network import build_network
from lts.app.commands.training.parts import make_callbacks, make_loggers, make_scheduler
from lts.app.commands.training.trainer_factory import make_trainer
from lts.app.config.making import make
from lts.app.config.settings import check_settings
from lts.base import ConfigError
from lts.data import Augmentation
from lts.inference import check_buildable
from lts.inference.building import find_class
from lts.intensity import Intensity

CONF = Path(__file__).parents[2] / "conf"


def compose(*overrides: str, name: str = "train") -> DictConfig:
    with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
        return hydra.compose(name, overrides=list(overrides))


def choices(group: str) -> list[str]:
    return sorted(path.stem for path in (CONF / group).glob("*.yaml"))


@pytest.mark.parametrize(
    "choice",
    [f"{group}={name}" for group in ("loss", "intensity", "augment") for name in choices(group)],
)
def test_a_part_is_built_from_plain_types(choice: str) -> None:
    group = choice.split("=", maxsplit=1)[0]
    kinds = {"loss": torch.nn.Module, "intensity": Intensity, "augment": Augmentation}
    assert isinstance(make(compose(choice)[group], key=group, kind=object), kinds[group])


@pytest.mark.parametrize(
    ("choice", "kinds"),
    [
        ("tensorboard", [pl.loggers.TensorBoardLogger]),
        ("csv", [pl.loggers.CSVLogger]),
        ("[tensorboard,csv]", [pl.loggers.TensorBoardLogger, pl.loggers.CSVLogger]),
        ("none", []),
    ],
)
def test_loggers_go_together_or_not_at_all(choice: str, kinds: list[type]) -> None:
    config = compose(f"logger={choice}", "callbacks.best.monitor=val/loss", "callbacks.best.mode=min")
    loggers = make_loggers(config)
    assert [type(logger) for logger in loggers] == kinds
    # The rate is logged where there is something to log it to.
    assert ("learning_rate" in make_callbacks(config, loggers)) == bool(kinds)


@pytest.mark.parametrize("model", choices("model"))
def test_a_network_maps_channels_to_regions_and_can_be_named_by_a_checkpoint(model: str) -> None:
    shrink = {
        "monai_basicunet": "model.features=[4,4,4,4,4,4]",
        "resnet50": "model.weights=null",
        "smp_unet": "model.encoder_name=resnet18",
    }
    config = compose(f"model={model}", shrink.get(model, "model.width=4"))
    network, spec = build_network(config, in_channels=3, out_channels=2)
    check_buildable(spec)
    assert network(torch.zeros(2, 3, 60, 70)).shape == (2, 2, 60, 70)
    has_encoder = isinstance(getattr(network, "encoder", None), torch.nn.Module)
    assert has_encoder == (model != "monai_basicunet")


@pytest.mark.parametrize(("model", "kind"), [("monai_basicunet", "BasicUNet"), ("smp_unet", "Unet")])
def test_a_network_of_a_library_is_set_as_it_is_by_default(model: str, kind: str) -> None:
    settings = OmegaConf.to_container(compose(f"model={model}").model)
    made = find_class(settings["_target_"])
    assert made.__name__ == kind
    # Not what lts is for, or what it would fetch.
    other = {"spatial_dims", "in_channels", "encoder_weights"}
    for name, parameter in inspect.signature(made).parameters.items():
        if name in settings.keys() - other:
            default = parameter.default
            assert settings[name] == (as_lists(default) if isinstance(default, tuple) else default), name


def as_lists(value: object) -> object:
    """Tuples as YAML holds them, in the writing that both libraries take for the same."""
    if isinstance(value, tuple):
        return [as_lists(item) for item in value]
    return dict(value) if isinstance(value, dict) else value


@pytest.mark.parametrize("optimizer", choices("optimizer"))
@pytest.mark.parametrize("scheduler", choices("scheduler"))
def test_optimizers_and_schedulers_go_together(optimizer: str, scheduler: str) -> None:
    config = compose(f"optimizer={optimizer}", f"scheduler={scheduler}")
    made = make(config.optimizer, key="optimizer", kind=torch.optim.Optimizer, partial=True)
    built = made([{"params": [torch.nn.Parameter(torch.zeros(1))]}])
    assert built.param_groups[0]["lr"] == 1e-4
    of_scheduler = make_scheduler(config)
    assert (of_scheduler is None) == (scheduler == "none")
    if of_scheduler:
        of_scheduler(built)


@pytest.mark.parametrize("trainer", [name for name in choices("trainer") if name not in ("gpu", "slurm")])
def test_a_trainer_is_built(trainer: str, tmp_path: Path) -> None:
    on_cpus = ["trainer.accelerator=cpu", "trainer.devices=1", "trainer.sync_batchnorm=false"]
    config = compose(f"trainer={trainer}", *on_cpus, f"paths.output_dir={tmp_path}")
    built = make_trainer(config, callbacks=[], loggers=[])
    assert built.max_epochs == 50
    assert built.gradient_clip_val == 1.0


@pytest.mark.parametrize("callbacks", choices("callbacks"))
def test_callbacks_are_built(callbacks: str) -> None:
    best = ("callbacks.best.monitor=val/tumor/dice_per_case", "callbacks.best.mode=max")
    config = compose(f"callbacks={callbacks}", *best)
    loggers = make_loggers(config)
    made = make_callbacks(config, loggers)
    assert made.keys() == config.callbacks.keys()
    assert all(isinstance(each, pl.Callback) for each in made.values())


@pytest.mark.parametrize("data", [name for name in choices("data") if name not in ("base", "checkpoint")])
def test_data_sets_say_all_that_a_run_needs(data: str) -> None:
    config = compose(f"data={data}", "data.root=X")
    base = OmegaConf.load(CONF / "data" / "base.yaml")
    assert set(base) <= set(config.data)
    assert config.data.batch_size == 16
    assert (config.intensity["_target_"] == "lts.intensity.MRPercentiles") == (data == "mri")
    assert config.augment.air_hu == (0 if data == "mri" else -1024)


def test_a_frozen_encoder_that_learns_slowly_comes_with_resnet50_alone() -> None:
    resnet, unet = compose("model=resnet50"), compose("model=unet")
    assert "freeze_encoder" in resnet.callbacks
    assert "freeze_encoder" not in unet.callbacks
    assert (resnet.task.encoder_lr_scale, unet.task.encoder_lr_scale) == (0.1, 1.0)


def test_an_experiment_wins_over_the_defaults_and_the_command_line_over_both() -> None:
    preset = compose("experiment=phantom_cpu")
    assert (preset.optimizer.lr, preset.model.width, preset.data.batch_size) == (2e-3, 16, 8)
    assert compose("experiment=phantom_cpu", "model.width=8").model.width == 8


def test_a_network_of_elsewhere_is_refused() -> None:
    config = compose("model._target_=torch.nn.Conv2d")
    with pytest.raises(ConfigError, match="model._target_: must be one of .*, got 'torch.nn.Conv2d'"):
        build_network(config, in_channels=3, out_channels=2)


def test_no_key_has_two_defaults() -> None:
    # What a YAML file states no constructor repeats: leaving out any key of a leaf must fail.
    for choice in ("loss=bce_dice", "loss=focal_dice", "loss=tversky", "intensity=mri", "augment=default"):
        group = choice.split("=")[0]
        leaf = OmegaConf.to_container(compose(choice)[group])
        for key in [key for key in leaf if key != "_target_"]:
            less = {name: value for name, value in leaf.items() if name != key}
            with pytest.raises(ConfigError, match=f"{group}.{key}: must be given"):
                make(OmegaConf.create(less), key=group, kind=object)


def test_what_refers_to_an_open_setting_is_open_and_to_none_is_refused() -> None:
    check_settings("train", compose("pruning=median"))
    with pytest.raises(ConfigError, match=r"^seed: cannot be worked out: .*nothing\.here"):
        check_settings("train", compose("pruning=median", "seed=${nothing.here}"))
