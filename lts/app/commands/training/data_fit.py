"""Settings that are fitted to the training cases: size and pixels of slices, and a window."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from lts.app.config.instantiate import build_component, keys_in_errors
from lts.app.config.settings import TrainSettings
from lts.app.config.values import shown
from lts.app.run.console import ShowProgress, print_line, print_table
from lts.app.run.distributed import is_first_process
from lts.app.run.resume_settings import settings_expected
from lts.base import DESCRIPTION_KEY, CheckpointError, ConfigError
from lts.cohort import Cohort, Split
from lts.data import fit_intensity
from lts.inference import read_checkpoint
from lts.intensity import FittedWindow, Intensity, hu_percentile
from lts.slices import (
    CaseFingerprint,
    FittedSquare,
    Recipe,
    fingerprint_cases,
    fit_square,
    region_hu_counts_of,
)

_KEYS = ("pixel_mm", "image_size")
"""Of `data`, that may be `auto`."""
_PERCENTS = {"low": 0.5, "median": 50.0, "high": 99.5}
"""Of HU, in the table and the record; of cases, lowest, median and highest are meant."""
_IN_THE_TABLE = {
    "spacing_mm": "spacing in plane, mm",
    "field_of_view_mm": "field of view, longer side, mm",
    "liver_mm": "liver in plane, longer side, mm",
    "liver_reach_mm": "liver, farthest from the middle of the slice, mm",
}


@dataclass(frozen=True, kw_only=True)
class DataFit:
    """Settings that fit the training cases of a run.

    Attributes:
        settings: Those of the run, with size and pixels of slices chosen.
        facts: The fingerprint and what was chosen, as plain types, for record and checkpoints.
        lines: What is said of each choice.
    """

    settings: TrainSettings
    facts: dict[str, Any]
    lines: Sequence[str]

    def print(self) -> None:
        """Print the table of the fingerprint, and a line for each choice."""
        facts = self.facts
        rows = [
            {"in the training cases": title, **{name: facts[key][name] for name in _PERCENTS}}
            for key, title in _IN_THE_TABLE.items()
            if facts[key]
        ]
        rows += [
            {"in the training cases": f"HU of {region} voxels (0.5 %, median, 99.5 %)", **percentiles}
            for region, percentiles in facts["hu"].items()
            if percentiles
        ]
        print_table(
            f"fingerprint of {facts['n_cases']} training cases", rows, decimals=dict.fromkeys(_PERCENTS, 2)
        )
        for line in self.lines:
            print_line(line)


def is_fitted_to_data(settings: TrainSettings) -> bool:
    """Whether a setting follows from the training cases.

    Raises:
        ConfigError: There is no such intensity.
    """
    intensity: Intensity = build_component(settings.intensity, key="intensity", kind=Intensity)
    return bool(_opened(settings)) or intensity.reads_regions


def fit_to_data(settings: TrainSettings, cohort: Cohort, split: Split) -> DataFit | None:
    """Choose what is `auto`, by the training cases alone; None where nothing is fitted to them.

    What is chosen are ordinary settings: a run with these is the same run.

    Raises:
        ConfigError: The cases do not hold what a setting is fitted to, or lead to one beyond its limits.
        VolumeError: A scan or mask cannot be read.
        StorageError: The folder of stores cannot be written to.
    """
    if not is_fitted_to_data(settings):
        return None
    intensity: Intensity = build_component(settings.intensity, key="intensity", kind=Intensity)
    data, opened = settings.data, _opened(settings)
    cases = fingerprint_cases(
        [cohort.case(case) for case in split.train],
        modality=data.modality,
        store_dir=Path(settings.paths.store_dir),
        progress=ShowProgress("measuring training cases")
        if is_first_process()
        else lambda _done, _total: None,
    )
    with keys_in_errors("data", fit_square):
        square = fit_square(
            cases,
            image_size=data.image_size,
            pixel_mm=data.pixel_mm,
            margin_mm=settings.locator.margin_mm if settings.locator else None,
        )
    if intensity.reads_regions:
        hu_counts = torch.tensor([case.hu_counts for case in cases]).sum(0)
        fit_intensity(intensity, hu_counts=hu_counts, cases=cases)
    windows = [each for each in intensity.modules() if isinstance(each, FittedWindow)]
    return DataFit(
        settings=replace(
            settings, data=replace(data, image_size=square.image_size, pixel_mm=square.pixel_mm)
        ),
        facts={
            **_measures(cases),
            "chosen": {f"data.{key}": getattr(square, key) for key in opened},
            "windows_hu": [list(window.window_hu or ()) for window in windows],
        },
        lines=[
            *_lines(square, cases, opened=opened, is_around_liver=settings.locator is not None),
            *map(_window_line, windows),
        ],
    )


def with_fit_of(settings: TrainSettings, path: Path | None) -> TrainSettings:
    """The settings with those of the run that they go on with in place of `auto`.

    Args:
        settings: Those of the run.
        path: The checkpoint that it goes on from; None leaves all open.

    Raises:
        ConfigError: That run was given what is `auto` here.
        CheckpointError: The checkpoint cannot be read, or lacks its settings.
    """
    opened = _opened(settings)
    if path is None or not opened:
        return settings
    described = read_checkpoint(path)[DESCRIPTION_KEY]
    with settings_expected(path):
        chosen = described.get("fingerprint", {}).get("chosen", {})
        saved = {key: described["config"]["data"][key] for key in opened}
    for key in opened:
        if f"data.{key}" not in chosen:
            raise ConfigError(f"data.{key}: must be {shown(saved[key])} as in {path}, got auto")
    return replace(settings, data=replace(settings.data, **saved))


def _opened(settings: TrainSettings) -> list[str]:
    """The keys of `data` that are left to the training cases."""
    return [key for key in _KEYS if getattr(settings.data, key) == "auto"]


def load_fitted(intensity: Intensity, path: Path) -> None:
    """Give an intensity the state that it was fitted to in a checkpoint.

    Raises:
        CheckpointError: The checkpoint cannot be read, or its state is of another intensity.
    """
    try:
        intensity.load_state_dict(read_checkpoint(path)[DESCRIPTION_KEY]["intensity_state"])
    except (AttributeError, KeyError, RuntimeError, TypeError) as error:
        raise CheckpointError(f"{path}: must hold the state of the intensity: {error}") from error


def _measures(cases: Sequence[CaseFingerprint]) -> dict[str, Any]:
    livers = [case for case in cases if case.liver_hw_mm and case.liver_reach_mm]
    hu = region_hu_counts_of(cases) if cases[0].hu_counts else {}
    return {
        "n_cases": len(cases),
        "spacing_mm": _spread([case.spacing_mm for case in cases]),
        "field_of_view_mm": _spread([case.field_of_view_mm for case in cases]),
        "liver_mm": _spread([max(case.liver_hw_mm or ()) for case in livers]),
        "liver_reach_mm": _spread([case.liver_reach_mm or 0.0 for case in livers]),
        "hu": {region: _percentiles(torch.from_numpy(counts)) for region, counts in hu.items()},
    }


def _spread(values: Sequence[float]) -> dict[str, float] | None:
    """The lowest, the median and the highest value; None without one."""
    if not values:
        return None
    low, median, high = np.percentile(values, (0, 50, 100)).tolist()
    return {"low": low, "median": median, "high": high}


def _percentiles(hu_counts: torch.Tensor) -> dict[str, float] | None:
    if not hu_counts.any():
        return None
    return {name: hu_percentile(hu_counts, percent) for name, percent in _PERCENTS.items()}


def _lines(
    square: FittedSquare, cases: Sequence[CaseFingerprint], *, opened: Sequence[str], is_around_liver: bool
) -> Iterator[str]:
    size, pixel_mm = square.image_size, square.pixel_mm
    if "pixel_mm" in opened:
        assert pixel_mm is not None
        is_median = pixel_mm < 1.001 * square.median_spacing_mm  # but for rounding
        why = "" if is_median else f"; {size} of them show {square.needed_mm:.0f} mm"
        yield f"data.pixel_mm={pixel_mm:g}: the median spacing is {square.median_spacing_mm:.4g} mm{why}"
    if "image_size" not in opened:
        return
    cost = f"{(size / Recipe().image_size) ** 2:.2g} times the pixels of {Recipe().image_size}"
    if pixel_mm is None:
        of_what = "liver with its margins" if is_around_liver else "slice"
        yield f"data.image_size={size}: the median side of a {of_what} in steps of 32; {cost}"
        return
    side_mm = size * pixel_mm
    held = sum(case.field_of_view_mm <= side_mm + pixel_mm / 2 for case in cases)
    views = (
        "each liver of the training cases with its margins"
        if is_around_liver
        else f"the field of view of {held} of {len(cases)} training cases and all of each liver"
    )
    yield f"data.image_size={size}: shows {side_mm:.0f} mm, {views}; {cost}"


def _window_line(window: FittedWindow) -> str:
    assert window.window_hu
    low_hu, high_hu = window.window_hu
    return f"intensity: a window from {low_hu} to {high_hu} HU"
