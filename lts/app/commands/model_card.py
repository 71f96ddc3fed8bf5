"""A model card: what a model is for, was trained on and scored, for those who did not train it."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import nn

from lts.app.run.records import METRICS_FILE, RUN_FILE
from lts.base import ConfigError, counted, read_json_object
from lts.inference import Checkpoint, Model, describe
from lts.slices import content_hash

_SCORES = {
    "dice_per_case": "Dice per case",
    "dice_global": "Dice of pooled voxels",
    "hd95_mm": "HD95 in mm",
    "lesion_any_recall": "share of lesions touched",
    "lesion_any_precision": "share of predicted lesions that touch one",
}
_SIGNS = 3
_SETTINGS = ("optimizer", "loss", "scheduler", "augment")


def model_card(checkpoint: Checkpoint, *, title: str, evaluations: Sequence[Path] = ()) -> str:
    """Write down what a checkpoint says of its model, and what was measured of it.

    Args:
        checkpoint: The model.
        title: What it is called.
        evaluations: Folders that `evaluate.py ckpt=...` wrote of this checkpoint.

    Returns:
        Markdown.

    Raises:
        ConfigError: A folder holds no evaluation, or one of another model.
    """
    sha256 = content_hash(checkpoint.path)
    measured = [_evaluation(folder, sha256) for folder in evaluations]
    parts = (
        [f"# {title}", ""],
        _what_it_is(checkpoint),
        _input(checkpoint),
        _training(checkpoint),
        _scores(checkpoint, measured),
        _limits(checkpoint),
        _provenance(checkpoint, sha256),
    )
    return "\n".join(line for part in parts for line in part).rstrip() + "\n"


def _what_it_is(checkpoint: Checkpoint) -> Iterator[str]:
    regions = " and ".join(checkpoint.regions)
    scans = "CT" if checkpoint.recipe.modality == "ct" else "MR"
    yield f"Segments {regions} in {scans} of the abdomen. Made by lts; for research, not a medical device."
    yield ""
    yield from _table(("part", "network", "parameters"), _networks(checkpoint))


def _networks(checkpoint: Checkpoint) -> Iterator[tuple[str, str, str]]:
    if checkpoint.locator:
        yield "finds the liver on whole slices", *_network(checkpoint.locator)
        yield "segments what was found", *_network(checkpoint)
    else:
        yield "segments whole slices", *_network(checkpoint)


def _network(model: Model) -> tuple[str, str]:
    network: nn.Module = model.network
    return type(network).__name__, f"{sum(weight.numel() for weight in network.parameters()):,}"


def _input(checkpoint: Checkpoint) -> Iterator[str]:
    told = describe(checkpoint, locator="locator" if checkpoint.locator else None)
    steps, threshold = told["preprocessing"], told["threshold"]
    yield from ("## What it takes and gives", "")
    yield f"- Scans: {steps['values']}."
    yield f"- Arrays: {steps['axes']}."
    size, context = told["image_size"], told["context"]
    yield f"- Each slice is seen on {size} x {size} pixels, with {context} neighbors on each side."
    regions = ", ".join(told["regions"])
    yield f"- It gives a probability for each of {regions}; a voxel belongs to it above {threshold}."
    yield from ("", "The metadata of the exported file has every step in words.", "")


def _training(checkpoint: Checkpoint) -> Iterator[str]:
    config, split = checkpoint.config, checkpoint.split
    yield from ("## Training", "")
    cases = {
        "training": split["train"],
        "choosing the epoch": split["val"],
        "held out for testing": split["test"],
        "training of the weights that it began with": checkpoint.start_cases,
    }
    rows = [
        (use, str(len(members)), str(len({member["patient"] for member in members})))
        for use, members in cases.items()
        if members
    ]
    yield from _table(("cases for", "cases", "patients"), rows)
    if checkpoint.chosen:
        chosen = ", ".join(f"`{key}={value}`" for key, value in checkpoint.chosen.items())
        yield from (f"Fitted to the training cases: {chosen}.", "")
    settings = [(f"`{name}`", _component(config[name])) for name in _SETTINGS if config.get(name)]
    if "trainer" in config:  # not in weights that were made elsewhere
        settings += [("epochs", str(config["trainer"]["max_epochs"])), ("seed", str(config["seed"]))]
    if settings:
        yield from _table(("setting", "value"), settings)


def _component(settings: Mapping[str, Any]) -> str:
    """A component of settings in one line."""
    arguments = ", ".join(
        f"{name}={value}"
        for name, value in settings.items()
        if not name.startswith("_") and value is not None
    )
    return f"{settings['_target_'].rpartition('.')[2]}({arguments})"


def _evaluation(folder: Path, sha256: str) -> Mapping[str, Any]:
    for name in (RUN_FILE, METRICS_FILE):
        if not (folder / name).is_file():
            raise ConfigError(f"scores: must be folders that evaluate.py wrote, got {folder} without {name}")
    models = read_json_object(folder / RUN_FILE).get("checkpoints") or []
    if [model["sha256"] for model in models] != [sha256]:
        raise ConfigError(f"scores: must be of this checkpoint alone, got {folder} of another")
    return {"name": folder.resolve().name, **read_json_object(folder / METRICS_FILE)}


def _scores(checkpoint: Checkpoint, measured: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    yield from ("## Scores", "")
    if not measured:
        yield from ("None were given for this card. What it does on your scans is for you to measure.", "")
    for one in measured:
        yield from (f"`{one['name']}`, {counted(one['n_cases'], 'case')}, subset {one['subset']}:", "")
        rows = [
            (region, label, _with_interval(one, region, score))
            for region in checkpoint.regions
            for score, label in _SCORES.items()
            if score in one["regions"][region]
        ]
        level = f"{100 * one['intervals_level']:g} % " if "intervals_level" in one else ""
        yield from _table(("region", "score", f"value, {level}interval over cases"), rows)


def _with_interval(metrics: Mapping[str, Any], region: str, score: str) -> str:
    value = metrics["regions"][region][score]
    if value is None:
        return "not defined"
    interval = metrics["intervals"].get(region, {}).get(score)
    between = f" ({interval[0]:.{_SIGNS}f} to {interval[1]:.{_SIGNS}f})" if interval else ""
    return f"{value:.{_SIGNS}f}{between}"


def _limits(checkpoint: Checkpoint) -> Iterator[str]:
    yield from ("## Limits", "")
    if checkpoint.recipe.modality == "ct":
        yield "- Scans must be in Hounsfield units."
    yield "- How it does on scanners, contrast phases or diseases that training lacked, only scores tell."
    yield "- A lesion that it does not find is not excluded, and one that it finds is no diagnosis."
    yield ""


def _provenance(checkpoint: Checkpoint, sha256: str) -> Iterator[str]:
    yield from ("## Provenance", "")
    versions = ", ".join(f"{name} {version}" for name, version in checkpoint.versions.items())
    yield from _table(("", ""), [("SHA-256 of the checkpoint", f"`{sha256}`"), ("trained with", versions)])


def _table(head: Sequence[str], rows: Sequence[Sequence[str]] | Iterator[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield f"|{' --- |' * len(head)}"
    for row in rows:
        yield f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |"
    yield ""
