"""YAML and classes say the same: what `conf/` sets is the default of what it is given to, or is listed here.

So a notebook, which has no YAML, works with what the commands work with.
"""

import inspect
from collections.abc import Callable, Iterator
from fnmatch import fnmatch
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hydra.utils import instantiate
from omegaconf import OmegaConf

from lts.app.config.settings import LocatorSettings
from lts.cohort import split_by_patient, split_into_folds
from lts.data import Augmentation, SliceDataModule
from lts.evaluation import Bootstrap, ScoringRules
from lts.inference import Postprocess, Predictor
from lts.intensity import Channels
from lts.slices import Recipe
from lts.task import CompileNetwork, LogOverlays, SeedEpochs, SegmentationTask

CONF = Path(__file__).parents[3] / "conf"
FILES = [
    *(
        path
        for group in (
            "augment",
            "callbacks",
            "data",
            "intensity",
            "locator",
            "loss",
            "model",
            "prediction",
            "pruning",
            "scoring",
        )
        for path in sorted((CONF / group).glob("*.yaml"))
    ),
    CONF / "train.yaml",
]

GIVEN_TO: dict[str, tuple[Callable[..., Any], ...]] = {
    "": (Predictor.from_checkpoint,),
    "augment": (Augmentation,),
    "data": (SliceDataModule, Recipe),
    "locator": (LocatorSettings,),
    "postprocess": (Postprocess,),
    "scoring": (ScoringRules, Bootstrap),
    "split": (split_by_patient, split_into_folds),
    "task": (SegmentationTask,),
}
"""What takes the settings of sections that do not name their class."""

GIVEN_AS: dict[str, tuple[Callable[..., Any], str]] = {
    "compile": (CompileNetwork, "when"),
    "data.display_hu": (LogOverlays, "window_hu"),
    "seed": (SeedEpochs, "seed"),
}
"""Settings that go to an argument of another name."""

OTHERWISE = {
    "augment/light *": "a choice beside the default",
    "augment/none *": "a choice beside the default",
    "augment/strong *": "a choice beside the default",
    "data/mri data.display_hu": "MR has no Hounsfield units",
    "data/mri data.modality": "MR is no CT",
    "data/mri augment.air_hu": "air is 0 in MR",
    "data/phantom data.image_size": "phantoms have 128 pixels a side",
    "intensity/ct_enhanced *": "a choice beside the default",
    "intensity/ct_liver *": "a choice beside the default",
    "intensity/ct_windows intensity.channels.?.*": "the windows of the choice, compared as a whole below",
    "locator/coarse locator.model.width": "a coarse network is a narrow one",
    "model/resnet50 data.batch_size": "the recipe of this model",
    "model/resnet50 task.encoder_lr_scale": "the recipe of this model: its encoder was trained before",
}
"""Values that are no defaults, and why."""

FOR_NO_CLASS = {
    "data.labels": "what masks hold, no class can know",
    "data.layout": "which data there is, no class can know",
    "data.phantom*": "how many phantoms there are, is the choice of a command",
    "data.root": "where data lies, no class can know",
    "scoring.workers": "null is one a processor, which the command counts",
    "split.file": "null is a split that is drawn",
    "split.fold": "null is a split by shares",
    "split.folds": "null is a split by shares",
    "split.limit": "null is a split of all cases",
    "trainer.max_epochs": "of Lightning's trainer",
    "budget_minutes": "the command's own",
    "init": "the command's own",
    "ckpt": "the command's own",
    "sweep.stop_on_failure": "the command's own",
}


class Setting(NamedTuple):
    """A value of a YAML file, and the functions and classes that may take it."""

    file: str
    key: str
    value: Any
    takers: tuple[Callable[..., Any], ...]

    def defaults(self) -> list[Any]:
        """Its default at each that takes it."""
        if self.key in GIVEN_AS:
            takers, name = (GIVEN_AS[self.key][0],), GIVEN_AS[self.key][1]
        else:
            takers, name = self.takers, self.key.rsplit(".", 1)[-1]
        parameters = [inspect.signature(taker).parameters for taker in takers]
        found = [those[name].default for those in parameters if name in those]
        return [default for default in found if default is not inspect.Parameter.empty]

    def listed(self, names: dict[str, str]) -> list[str]:
        """The patterns that it is listed under."""
        return [
            each for each in names if fnmatch(f"{self.file} {self.key}" if " " in each else self.key, each)
        ]


def named(target: str) -> Callable[..., Any]:
    module, _, name = target.rpartition(".")
    return getattr(import_module(module), name)


def settings(file: str, key: str, node: Any) -> Iterator[Setting]:
    """The values in a section, but for classes of other libraries and for what a run fills in."""
    if not node.get("_target_", "lts.").startswith("lts."):
        return
    takers = (named(node["_target_"]),) if "_target_" in node else GIVEN_TO.get(key, ())
    for name, value in node.items():
        place = f"{key}.{name}" if key else name
        if name in ("_target_", "defaults", "hydra") or (
            isinstance(value, str) and ("${" in value or value == "???")
        ):
            continue
        if isinstance(value, dict):
            yield from settings(file, place, value)
        elif isinstance(value, list) and value and isinstance(value[0], dict):
            for number, item in enumerate(value):
                yield from settings(file, f"{place}.{number}", item)
        else:
            yield Setting(file, place, value, takers)


def settings_of(path: Path) -> list[Setting]:
    head = path.read_text(encoding="utf-8").partition("\n")[0]
    group = "" if path.parent == CONF else path.parent.name
    package = head.removeprefix("# @package ") if head.startswith("# @package ") else group
    content = OmegaConf.to_container(OmegaConf.load(path))
    file = path.relative_to(CONF).with_suffix("").as_posix()
    return list(settings(file, package.replace("_global_", ""), content))


ALL = [setting for path in FILES for setting in settings_of(path)]


def is_same(value: Any, default: Any) -> bool:
    if isinstance(value, list):
        return isinstance(default, list | tuple) and value == list(default)
    return value == default and isinstance(value, bool) == isinstance(default, bool)


@pytest.mark.parametrize("setting", ALL, ids=lambda setting: f"{setting.file} {setting.key}")
def test_a_value_of_a_file_is_the_default_of_its_class_or_listed(setting: Setting) -> None:
    defaults = setting.defaults()
    if not defaults:
        assert setting.listed(FOR_NO_CLASS), "is no default of what takes it"
    elif all(is_same(setting.value, default) for default in defaults):
        assert not [each for each in setting.listed(OTHERWISE) if "*" not in each], "is listed as another one"
    else:
        assert setting.listed(OTHERWISE), f"is {setting.value} in the file and {defaults} at its class"


def parts(node: Any) -> Iterator[dict[str, Any]]:
    """The sections that name a class of lts, those within others too."""
    if isinstance(node, dict) and str(node.get("_target_")).startswith("lts."):
        yield node
    for each in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        yield from parts(each)


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_a_file_shows_every_argument_of_its_class(path: Path) -> None:
    for part in parts(OmegaConf.to_container(OmegaConf.load(path))):
        of_class = set(inspect.signature(named(part["_target_"])).parameters)
        assert of_class - part.keys() <= {"in_channels", "out_channels"}  # which follow from other settings


def test_what_is_listed_is_there() -> None:
    for names in (OTHERWISE, FOR_NO_CLASS):
        unused = set(names) - {each for setting in ALL for each in setting.listed(names)}
        assert not unused


def test_three_views_of_ct_are_the_default_of_channels_as_of_the_commands() -> None:
    choice = instantiate(OmegaConf.load(CONF / "intensity" / "ct_windows.yaml"), _convert_="all")
    assert repr(Channels()) == repr(choice)
    data = SliceDataModule(cases={}, store_dir="nowhere")
    assert repr(data.intensity) == repr(choice)


def test_a_task_has_optimizer_and_scheduler_of_the_commands() -> None:
    chosen = {
        each["optimizer"] if "optimizer" in each else each["scheduler"]
        for each in OmegaConf.to_container(OmegaConf.load(CONF / "train.yaml"))["defaults"]
        if isinstance(each, dict) and {"optimizer", "scheduler"} & each.keys()
    }
    assert chosen == {"adam", "plateau"}
    parameters = inspect.signature(SegmentationTask).parameters
    for group, choice in (("optimizer", "adam"), ("scheduler", "plateau")):
        content = OmegaConf.to_container(OmegaConf.load(CONF / group / f"{choice}.yaml"))
        default = parameters[group].default
        assert default.func is named(content.pop("_target_"))
        assert content.pop("_partial_") is True
        assert default.keywords == content
