"""Every choice of every group composes, and what it names can be built."""

import inspect
from dataclasses import fields, replace
from pathlib import Path

import pytest
import pytorch_lightning as pl
import settings_kit
import torch
from omegaconf import OmegaConf

from lts.app.commands.training.network import build_network
from lts.app.commands.training.parts import make_callbacks, make_loggers, make_scheduler
from lts.app.commands.training.trainer_factory import make_trainer
from lts.app.config.component import OPEN, Component
from lts.app.config.instantiate import build_component
from lts.app.config.serialization import settings_to_dict
from lts.app.config.settings import LocatorSettings, TrainSettings
from lts.base import ConfigError
from lts.data import Augmentation
from lts.inference import check_buildable
from lts.inference.building import find_class
from lts.intensity import Intensity

CONF = Path(__file__).parents[2] / "conf"


def compose(*overrides: str) -> TrainSettings:
    return settings_kit.compose("train", *overrides)


def choices(group: str) -> list[str]:
    return sorted(path.stem for path in (CONF / group).glob("*.yaml"))


@pytest.mark.parametrize(
    "choice",
    [f"{group}={name}" for group in ("loss", "intensity", "augment") for name in choices(group)],
)
def test_a_part_is_built_from_plain_types(choice: str) -> None:
    group = choice.split("=", maxsplit=1)[0]
    kinds = {"loss": torch.nn.Module, "intensity": Intensity, "augment": Augmentation}
    assert isinstance(build_component(getattr(compose(choice), group), key=group, kind=object), kinds[group])


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
    settings = compose(f"logger={choice}", "callbacks.best.monitor=val/loss", "callbacks.best.mode=min")
    loggers = make_loggers(settings)
    assert [type(logger) for logger in loggers] == kinds
    # The rate is logged where there is something to log it to.
    assert ("learning_rate" in make_callbacks(settings, loggers)) == bool(kinds)


@pytest.mark.parametrize("model", choices("model"))
def test_a_network_maps_channels_to_regions_and_can_be_named_by_a_checkpoint(model: str) -> None:
    shrink = {
        "monai_basicunet": "model.features=[4,4,4,4,4,4]",
        "resnet50": "model.weights=null",
        "smp_unet": "model.encoder_name=resnet18",
    }
    settings = compose(f"model={model}", shrink.get(model, "model.width=4"))
    network, spec = build_network(settings, in_channels=3, out_channels=2)
    check_buildable(spec)
    assert network(torch.zeros(2, 3, 60, 70)).shape == (2, 2, 60, 70)
    has_encoder = isinstance(getattr(network, "encoder", None), torch.nn.Module)
    assert has_encoder == (model != "monai_basicunet")


@pytest.mark.parametrize(("model", "kind"), [("monai_basicunet", "BasicUNet"), ("smp_unet", "Unet")])
def test_a_network_of_a_library_is_set_as_it_is_by_default(model: str, kind: str) -> None:
    settings = compose(f"model={model}").model.to_dict()
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
    settings = compose(f"optimizer={optimizer}", f"scheduler={scheduler}")
    made = build_component(settings.optimizer, key="optimizer", kind=torch.optim.Optimizer, partial=True)
    built = made([{"params": [torch.nn.Parameter(torch.zeros(1))]}])
    assert built.param_groups[0]["lr"] == 1e-4
    of_scheduler = make_scheduler(settings)
    assert (of_scheduler is None) == (scheduler == "none")
    if of_scheduler:
        of_scheduler(built)


@pytest.mark.parametrize("trainer", [name for name in choices("trainer") if name not in ("gpu", "slurm")])
def test_a_trainer_is_built(trainer: str, tmp_path: Path) -> None:
    on_cpus = ["trainer.accelerator=cpu", "trainer.devices=1", "trainer.sync_batchnorm=false"]
    settings = compose(f"trainer={trainer}", *on_cpus, f"paths.output_dir={tmp_path}")
    built = make_trainer(settings, callbacks=[], loggers=[])
    assert built.max_epochs == 50
    assert built.gradient_clip_val == 1.0


@pytest.mark.parametrize("callbacks", choices("callbacks"))
def test_callbacks_are_built(callbacks: str) -> None:
    best = ("callbacks.best.monitor=val/tumor/dice_per_case", "callbacks.best.mode=max")
    settings = compose(f"callbacks={callbacks}", *best)
    loggers = make_loggers(settings)
    made = make_callbacks(settings, loggers)
    assert made.keys() == settings.callbacks.keys()
    assert all(isinstance(each, pl.Callback) for each in made.values())


def test_callbacks_go_together() -> None:
    names = compose("callbacks=[early_stopping,weight_averaging,freeze_encoder]").callbacks.keys()
    own = compose("callbacks=default").callbacks.keys()
    assert names == {*own, "early_stopping", "weight_averaging", "freeze_encoder"}


@pytest.mark.parametrize("data", [name for name in choices("data") if name not in ("base", "checkpoint")])
def test_data_sets_say_all_that_a_run_needs(data: str) -> None:
    settings = compose(f"data={data}", "data.root=X")
    base = OmegaConf.load(CONF / "data" / "base.yaml")
    assert set(base) == {field.name for field in fields(settings.data)}
    assert settings.data.batch_size == 16
    assert (settings.intensity.target == "lts.intensity.MRPercentiles") == (data == "mri")
    assert settings.augment.arguments["air_hu"] == (0 if data == "mri" else -1024)


def test_a_frozen_encoder_that_learns_slowly_comes_with_resnet50_alone() -> None:
    resnet, unet = compose("model=resnet50"), compose("model=unet")
    assert "freeze_encoder" in resnet.callbacks
    assert "freeze_encoder" not in unet.callbacks
    assert (resnet.task.encoder_lr_scale, unet.task.encoder_lr_scale) == (0.1, 1.0)


def test_an_experiment_wins_over_the_defaults_and_the_command_line_over_both() -> None:
    preset = compose("experiment=phantom_cpu")
    assert (preset.optimizer.arguments["lr"], preset.model.arguments["width"]) == (2e-3, 16)
    assert preset.data.batch_size == 8
    assert compose("experiment=phantom_cpu", "model.width=8").model.arguments["width"] == 8


@pytest.mark.parametrize("experiment", ["phantom_cpu", "liver_cpu", "liver_closely"])
@pytest.mark.parametrize("data", ["phantom", "pairs"])
def test_a_recipe_for_few_cores_has_128_pixels_a_side_on_any_data(experiment: str, data: str) -> None:
    settings = compose(f"experiment={experiment}", f"data={data}", "data.root=cases.csv")
    assert settings.data.image_size == 128


@pytest.mark.parametrize("debug", choices("debug"))
def test_a_try_is_small_whatever_the_experiment(debug: str) -> None:
    settings = compose(f"debug={debug}", "experiment=liver_closely", "budget_minutes=60", "data.batch_size=3")
    assert settings.split.limit <= 3
    assert settings.data.slices_per_epoch * settings.max_epochs <= 64 * 50
    assert str(settings.paths.output_dir).startswith("debug/")
    assert settings.compile is False
    assert compose(f"debug={debug}", "trainer.max_epochs=2").max_epochs == 2


@pytest.mark.parametrize(("model", "epochs", "batch"), [("unet", 50, 16), ("resnet50", 10, 4)])
def test_the_recipe_of_the_keras_project_stays_as_it_was(model: str, epochs: int, batch: int) -> None:
    settings = compose("experiment=keras", f"model={model}")
    assert (settings.max_epochs, settings.data.batch_size) == (epochs, batch)
    assert settings.optimizer.target == "torch.optim.Adam"
    assert settings.optimizer.arguments["lr"] == 1e-4
    assert settings.scheduler.target == "torch.optim.lr_scheduler.ReduceLROnPlateau"
    assert settings.loss.target == "lts.losses.BCEDiceLoss"
    assert settings.split.val_share == 0.2
    views = [view["_target_"] for view in settings.intensity.arguments["channels"]]
    assert views == ["lts.intensity.Window", "lts.intensity.Window", "lts.intensity.HistogramEqualization"]
    augment = settings.augment.arguments
    assert augment["flip_left_right"] == 0.5
    assert augment["rotate_deg"] == [-15, 15]
    assert augment["intensity_probability"] == 0.5


def test_the_recipe_for_patients_clips_no_liver_and_mirrors_none() -> None:
    settings = compose("experiment=liver_cpu")
    intensity = build_component(settings.intensity, key="intensity", kind=Intensity)
    fat_to_liver = intensity(torch.tensor([[[[-100, 0, 110, 150, 200, 250]]]]))
    assert fat_to_liver.flatten().diff().min() > 0.1
    assert settings.augment.arguments["flip_left_right"] == 0
    assert settings.model.arguments["norm"] == "instance"


def test_the_views_of_enhanced_ct_clip_neither_liver_nor_tumor() -> None:
    *windows, equalization = compose("intensity=ct_enhanced").intensity.arguments["channels"]
    for window in windows:
        half = window["width_hu"] / 2
        assert window["level_hu"] - half <= 0
        assert window["level_hu"] + half >= 220
    assert (equalization["low_hu"], equalization["high_hu"]) == (-200, 300)


@pytest.mark.parametrize("intensity", choices("intensity"))
def test_the_recipe_for_patients_takes_any_intensity(intensity: str) -> None:
    settings = compose("experiment=liver_cpu", f"intensity={intensity}")
    assert settings.intensity == compose(f"intensity={intensity}").intensity
    build_component(settings.intensity, key="intensity", kind=Intensity)


def test_the_recipe_of_two_looks_is_that_of_one_but_for_what_tumors_were_found_with() -> None:
    one, two = (
        compose(f"experiment={name}", "paths.output_dir=x") for name in ("liver_cpu", "liver_closely")
    )
    assert two.locator == LocatorSettings(model=two.locator.model)
    assert two.model.arguments["norm"] == "batch"
    assert two.intensity == compose("intensity=ct_enhanced").intensity
    assert two.data.batch_size == 8
    assert two.augment == one.augment.with_arguments(hu_shift=[-60, 60], tumor_probability=0.3)
    own = {name: getattr(two, name) for name in ("augment", "data", "intensity", "locator", "model")}
    assert two == replace(one, **own)
    assert compose("experiment=liver_closely", "locator=none").locator is None


@pytest.mark.parametrize("locator", choices("locator"))
def test_a_locator_is_one_of_the_settings_or_none(locator: str) -> None:
    settings = compose(f"locator={locator}")
    assert (settings.locator is None) == (locator == "none")
    assert settings_to_dict(settings)["locator"] == (settings.locator and settings_to_dict(settings.locator))


def test_a_network_of_elsewhere_is_refused() -> None:
    settings = compose("model._target_=torch.nn.Conv2d")
    with pytest.raises(ConfigError, match="model._target_: must be one of .*, got 'torch.nn.Conv2d'"):
        build_network(settings, in_channels=3, out_channels=2)


HU = torch.linspace(-1100, 500, 64 * 64).reshape(1, 1, 64, 64)
MASK = torch.zeros(1, 2, 64, 64).index_fill_(2, torch.arange(20, 40), 1)
COUNTS = torch.ones(4096, dtype=torch.int64)


def what_it_does(part: torch.nn.Module | Augmentation) -> torch.Tensor:
    """What a loss, an intensity or an augmentation makes of one slice."""
    if isinstance(part, Augmentation):
        image, _ = part(HU[0].short().numpy(), MASK[0, 0].byte().numpy(), seed=3)
        return torch.from_numpy(image)
    if isinstance(part, Intensity):
        part.fit(COUNTS, {"liver": COUNTS})
        return part(HU)
    return part(HU.expand(1, 2, -1, -1) / 300, MASK)


@pytest.mark.parametrize(
    "choice",
    [
        *(f"loss={name}" for name in choices("loss")),
        # The others are choices of values.
        *(f"intensity={name}" for name in choices("intensity") if name not in ("ct_enhanced", "ct_liver")),
        "augment=default",
    ],
)
def test_what_a_choice_leaves_out_its_class_knows(choice: str) -> None:
    group = choice.split("=", maxsplit=1)[0]
    leaf = getattr(compose(choice), group)
    whole = build_component(leaf, key=group, kind=object)
    bare = build_component(Component(leaf.target), key=group, kind=object)
    torch.testing.assert_close(what_it_does(bare), what_it_does(whole), rtol=0, atol=0)


def test_what_refers_to_an_open_setting_is_open_and_to_none_is_refused() -> None:
    assert compose("pruning=median").callbacks["prune"].arguments["monitor"] == OPEN
    with pytest.raises(ConfigError, match=r"^seed: cannot be worked out: .*nothing\.here"):
        compose("pruning=median", "seed=${nothing.here}")
