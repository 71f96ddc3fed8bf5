"""What a line says of a key that does not exist."""

import pytest

from lts.app.config.closest import closest
from lts.app.config.suggestions import advice_on

KEYS = (
    "seed",
    "data.root",
    "data.batch_size",
    "data",
    "optimizer",
    "optimizer.lr",
    "split.seed",
    "model.width",
)


@pytest.mark.parametrize(
    ("wrong", "meant"),
    [
        ("lr", "optimizer.lr"),
        ("optimiser.lr", "optimizer.lr"),
        ("optimizer.lrr", "optimizer.lr"),
        ("data.rot", "data.root"),
        ("data.batchsize", "data.batch_size"),
        ("batch_size", "data.batch_size"),
        ("optimiser", "optimizer"),
        ("splt.seed", "split.seed"),
        ("sed", "seed"),
        ("zzz", None),
        ("", None),
        ("model.width", None),  # a key is no suggestion for itself
    ],
)
def test_the_key_that_was_meant_is_found(wrong: str, meant: str | None) -> None:
    assert closest(wrong, KEYS) == meant


@pytest.mark.parametrize(
    ("wrong", "arguments", "advice"),
    [
        ("scheduler.patience", ["scheduler=cosine"], ". It is a key of scheduler=plateau"),
        ("model.width", ["model=resnet50"], ". It is a key of model=attention_unet, model=unet"),
        ("data.phantom.cases", ["data=lits"], ". It is a key of data=phantom"),
        ("callbacks.freeze_encoder.epochs", [], ". It is a key of callbacks=freeze_encoder"),
        ("model.decoder_widht", ["model=resnet50"], ". Did you mean model.decoder_width?"),
        ("lr", [], ". Did you mean optimizer.lr?"),
        ("lr", ["model=nope"], ". Did you mean optimizer.lr?"),
        ("loss.alhpa", ["loss=tversky"], ". Did you mean loss.alpha?"),
        ("qqqq", [], ""),
    ],
)
def test_the_choices_on_the_command_line_decide_what_is_suggested(
    wrong: str, arguments: list[str], advice: str
) -> None:
    assert advice_on(wrong, name="train", arguments=[f"{wrong}=1", *arguments]) == advice
