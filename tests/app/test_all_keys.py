"""Every key of every command, given values of every wrong type: one line each, and nothing is written."""

import copy
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import hydra
import pytest
from omegaconf import OmegaConf

from lts.app.commands import check, evaluate, export, predict, serve, store, train
from lts.app.commands.training import rehearsal
from lts.app.config.arguments import check_arguments
from lts.app.config.composed import settings_of
from lts.app.config.groups import CONF
from lts.app.config.settings import SETTINGS
from lts.app.run.failures import failure_of

DELETED = object()
WRONG: tuple[Any, ...] = (
    *(None, True, 0, -1, 1.5, 1e300, float("nan"), float("inf"), 2**40, 10**30),
    *("", "word", "a\0b", "???", "${nope.key}", "x" * 5000),
    *([], ["word"], {"a": 1}, {"_target_": "os.getcwd"}),
    DELETED,
)
SHARE = 1 if "LTS_ALL_VALUES" in os.environ else 4
"""Each key of `train` is given each so many-th value, the next key those after them; all take minutes."""
LONGEST_LINE = 1000
"""Without the value that it repeats."""

RUNS: dict[str, Callable[[Any], object]] = {
    "train": train.train,
    "store": store.store,
    "evaluate": evaluate.evaluate,
    "predict": predict.predict,
    "check": check.check,
    "export": export.export,
    "serve": serve.serve,
}
TINY = ("trainer=cpu", "model.width=4", "model.depth=2", "data.image_size=16", "compile=false")
SMALL = ("model.weights=null", "model.decoder_width=4", "trainer=cpu", "data.image_size=32")
LINES: dict[str, tuple[tuple[str, ...], ...]] = {
    "train": (
        TINY,
        ("model=attention_unet", *TINY, "loss=tversky", "scheduler=cosine", "pruning=median", "logger=[csv]"),
        ("model=resnet50", *SMALL, "loss=focal_dice", "optimizer=adamw", "data=mri", "data.root=x"),
        (*TINY, "trainer=ddp", "trainer.sync_batchnorm=false", "intensity=ct_plain", "augment=none"),
        (*TINY, "locator=coarse", "locator.model.width=4", "locator.model.depth=2", "augment=none"),
    ),
    "store": (TINY,),
    "evaluate": (
        ("ckpt=model.ckpt",),
        ("ckpt=model.ckpt", "data=lits", "data.root=x"),
        ("predictions=p", "references=r"),
        ("compare=[a,b]",),
        ("folds=f",),
    ),
    "predict": (("ckpt=model.ckpt", "input=scans", "output=masks"),),
    "check": ((), ("data=pairs", "data.root=x")),
    "export": (("ckpt=model.ckpt", "format=torchscript", "output=model.pt"),),
    "serve": (("ckpt=model.ckpt", "port=0"),),
}


class ReachedError(Exception):
    """A command came to its cases: all settings were right, or none of them is looked at again."""


def _reach(*_args: Any, **_kwargs: Any) -> None:
    raise ReachedError


def _once(check_answer: Callable[..., None]) -> Callable[..., None]:
    """The check of a network's answer, which takes longest, once for networks that are alike."""
    right: set[tuple[Any, ...]] = set()

    def check(network: Any, **sizes: Any) -> None:
        tried = str(network), *sizes.values()
        if tried not in right:
            check_answer(network, **sizes)
            right.add(tried)

    return check


def compose(name: str, *overrides: str) -> Any:
    with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
        return hydra.compose(name, overrides=list(overrides))


Place = tuple[str | int, ...]


def places(settings: Any, within: Place = ()) -> Iterator[Place]:
    """Where every key of a config stands, those of sections and of lists of sections too."""
    items = settings.items() if isinstance(settings, dict) else enumerate(settings)
    for name, value in items:
        yield (*within, name)
        if isinstance(value, dict | list):
            yield from places(value, (*within, name))


def changed(settings: Any, place: Place, value: Any) -> Any:
    """The settings with one of them replaced or deleted."""
    *within, name = place
    whole = section = copy.deepcopy(settings)
    for step in within:
        section = section[step]
    if value is DELETED:
        del section[name]
    else:
        section[name] = copy.deepcopy(value)
    return whole


@pytest.fixture(autouse=True)
def commands_end_at_their_cases(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, make_checkpoint) -> None:
    monkeypatch.chdir(tmp_path)
    make_checkpoint(config={"data": {"layout": "phantom", "batch_size": 4, "display_hu": None}})
    (tmp_path / "scans").mkdir()
    for module, name in (
        (train, "open_cohort"),
        (store, "open_cohort"),
        (evaluate, "open_cohort"),
        (evaluate, "pair_masks"),
        (evaluate, "compare_runs"),
        (evaluate, "load_folds"),
        (predict, "find_scans"),
        (check, "make_phantoms"),
        (export, "_phantom_slices"),
        (export, "_scan_slices"),
    ):
        monkeypatch.setattr(module, name, _reach)
    monkeypatch.setattr("lts.service.Server", _reach)
    monkeypatch.setattr(rehearsal, "check_answer", _once(rehearsal.check_answer))


def said_of(name: str, settings: Any) -> str | None:
    """The line that a command says of settings, None where it takes them."""
    try:
        config = OmegaConf.create(settings)
        OmegaConf.set_struct(config, True)
        RUNS[name](settings_of(name, config))
    except ReachedError:
        return None
    except Exception as error:
        failure = failure_of(error, name)
        if failure.is_bug:
            raise
        return failure.reason
    raise AssertionError("went on without its cases")


def files() -> set[Path]:
    return {path for path in Path().rglob("*") if path.is_file()}


@pytest.mark.parametrize("name", SETTINGS)
def test_a_wrong_value_of_any_key_is_one_line_or_changes_nothing(name: str, record_property) -> None:
    tried: set[tuple[Place, str]] = set()
    of_training = set(places(OmegaConf.to_container(compose("train"), resolve=False)))
    tries = refused = expected = 0
    before = files()
    for line in LINES[name]:
        settings = OmegaConf.to_container(compose(name, *line), resolve=False)
        assert said_of(name, settings) is None, line
        for place in places(settings):
            if name == "store" and place in of_training:
                continue  # keys that it hands on
            section = settings
            for step in place[:-1]:
                section = section[step]
            # A key that stands in the same class or section in another line is the same key.
            kind = str(section.get("_target_") if isinstance(section, dict) else "")
            of_line = (
                str(line) if name == "evaluate" and place in {(each,) for each in evaluate.TASKS} else ""
            )
            if (place, kind + of_line) in tried:
                continue
            share = SHARE if name == "train" else 1
            values = WRONG[len(tried) % share :: share]
            expected += len(values)
            tried.add((place, kind + of_line))
            for value in values:
                tries += 1
                try:
                    said = said_of(name, changed(settings, place, value))
                except Exception as error:
                    raise AssertionError(f"{name}: {place} = {value!r:.80}: {error!r}") from error
                if said is not None:
                    refused += 1
                    assert "\n" not in said, (place, value, said)
                    assert len(said) < LONGEST_LINE + len(str(value)), (place, value, said)
    record_property("tries", tries)
    assert files() == before
    assert tries == expected >= len(WRONG) * len(tried) // SHARE
    assert refused > tries / 2


WRONG_CHOICES = ("null", "5", "1.5", "true", "[]", "[null]", "{a:1}", "nope", "''", "[nope]", "/", "../train")


@pytest.mark.parametrize("name", SETTINGS)
def test_a_wrong_choice_of_any_group_is_one_line(name: str) -> None:
    groups = [path.relative_to(CONF) for path in CONF.rglob("*") if path.is_dir()]
    must = [argument for argument in LINES[name][0] if argument.split("=")[0] in ("ckpt", "input", "output")]
    for group in groups:
        for choice in WRONG_CHOICES if name == "train" else ("null", "nope"):
            argument = f"{group}={choice}"
            reason = refusal_of(name, argument, must)
            assert reason, argument
            assert "\n" not in reason


def refusal_of(name: str, argument: str, others: list[str]) -> str:
    """The line that a command says of an argument before anything heavy, "" where it takes it."""
    try:
        check_arguments([argument])
        settings_of(name, compose(name, *others, argument))
    except Exception as error:
        failure = failure_of(error, name)
        if failure.is_bug:
            raise AssertionError(argument) from error
        return failure.reason
    return ""
