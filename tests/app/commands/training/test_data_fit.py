"""Settings that are fitted to the training cases, against numpy on the raw files."""

from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import settings_kit
import torch
from run_kit import ON_CPU

from lts.app.commands.cases import open_cohort, split_cohort
from lts.app.commands.training import data_fit
from lts.app.commands.training.data_fit import fit_to_data, load_fitted, with_fit_of
from lts.app.commands.training.locator import recipe_of
from lts.app.commands.training.parts import set_up_data
from lts.app.config.settings import TrainSettings
from lts.base import CheckpointError, ConfigError
from lts.cohort import Cohort, Split
from lts.intensity import Channels, FittedWindow, HistogramEqualization, Window
from lts.slices import CaseFingerprint, Recipe, SourceFile

OPEN = ("data.pixel_mm=auto", "data.image_size=auto", "intensity=ct_fitted")

Parts = tuple[TrainSettings, Cohort, Split]


def compose(home: Path, *overrides: str) -> TrainSettings:
    folders = (f"paths.output_dir={home}/run", f"paths.data_dir={home}/data")
    return settings_kit.compose("train", *ON_CPU, *folders, *overrides)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def parts(home: Path) -> Parts:
    """Open settings, and five phantoms, three of them to train on."""
    settings = compose(home, *OPEN)
    cohort = open_cohort(settings.data)
    return settings, cohort, split_cohort(cohort, settings.split)


def raw(cohort: Cohort, ids: tuple[str, ...]) -> list[tuple[np.ndarray, np.ndarray, float, float]]:
    """Of each case HU, labels, spacing and field of view, as nibabel reads them."""
    found = []
    for case in map(cohort.case, ids):
        scan, mask = (nib.as_closest_canonical(nib.load(path)) for path in (case.image, case.mask))
        spacing = scan.header.get_zooms()[:2]
        view_mm = max(n * step for n, step in zip(scan.shape[:2], spacing, strict=True))
        hu, labels = np.asanyarray(scan.dataobj), np.asanyarray(mask.dataobj)
        found.append((hu, labels, float(np.mean(spacing)), float(view_mm)))
    return found


def test_what_is_open_follows_from_the_training_cases_alone(
    parts: Parts, capsys: pytest.CaptureFixture[str]
) -> None:
    settings, cohort, split = parts
    fitted = fit_to_data(settings, cohort, split)
    assert fitted
    cases = raw(cohort, split.train)
    assert len(cases) == 3
    assert len(cohort.cases) == 5
    measured = (Path(settings.paths.store_dir) / "fingerprints-ct-1").glob("*.json")
    assert {path.name.rpartition("-")[0] for path in measured} == set(split.train)
    spacing, view_mm = ([case[place] for case in cases] for place in (2, 3))
    data = fitted.settings.data
    assert data.pixel_mm == pytest.approx(np.median(spacing), rel=0.05)
    assert max(view_mm) <= data.image_size * data.pixel_mm < max(view_mm) + 32 * data.pixel_mm
    assert fitted.facts["spacing_mm"] == pytest.approx(
        {"low": min(spacing), "median": np.median(spacing), "high": max(spacing)}
    )
    assert fitted.facts["field_of_view_mm"]["high"] == pytest.approx(max(view_mm))
    everyone = raw(cohort, tuple(case.id for case in cohort.cases))
    assert np.median([case[2] for case in everyone]) != pytest.approx(np.median(spacing))
    ends = []
    for region, label in (("liver", 1), ("tumor", 2)):
        voxels = np.concatenate([hu[labels >= label] for hu, labels, *_ in cases])
        low, median, high = np.percentile(voxels, (0.5, 50, 99.5))
        assert fitted.facts["hu"][region] == pytest.approx({"low": low, "median": median, "high": high})
        ends.append((low, high))
    expected = [np.floor(min(low for low, _ in ends) - 100), np.ceil(max(high for _, high in ends) + 100)]
    assert fitted.facts["windows_hu"] == [expected]
    assert fitted.facts["n_cases"] == 3
    assert settings.data.pixel_mm == "auto"  # nothing is changed in place
    fitted.print()
    printed = capsys.readouterr().out
    assert "fingerprint of 3 training cases" in printed
    assert f"{np.median(spacing):.2f}" in printed
    for line in fitted.lines:
        assert f"\n{line}\n" in printed
    assert any(
        "the field of view of 3 of 3 training cases and all of each liver" in line for line in fitted.lines
    )


def test_the_run_is_fitted_as_was_said(parts: Parts) -> None:
    settings, cohort, split = parts
    fitted = fit_to_data(settings, cohort, split)
    assert fitted
    data = set_up_data(fitted.settings, cohort, split)
    assert list(data.intensity.window_hu) == fitted.facts["windows_hu"][0]
    assert data.stored("train")[0].pixel_mm == fitted.settings.data.pixel_mm
    assert data.stored("train")[0].shape[1] == fitted.settings.data.image_size


def test_the_command_line_wins_over_what_is_chosen(parts: Parts, home: Path) -> None:
    _, cohort, split = parts
    fitted = fit_to_data(compose(home, *OPEN, "data.pixel_mm=3.5"), cohort, split)
    assert fitted
    assert fitted.settings.data.pixel_mm == 3.5
    assert list(fitted.facts["chosen"]) == ["data.image_size"]
    assert not [line for line in fitted.lines if line.startswith("data.pixel_mm")]
    fitted = fit_to_data(compose(home, *OPEN, "data.image_size=40"), cohort, split)
    assert fitted
    assert fitted.facts["chosen"] == {"data.pixel_mm": fitted.settings.data.pixel_mm}
    view_mm = max(case[3] for case in raw(cohort, split.train))
    assert fitted.settings.data.pixel_mm == pytest.approx(view_mm / 40, rel=1e-3)
    assert fitted.lines[0].endswith(f"; 40 of them show {view_mm:.0f} mm")
    each = fit_to_data(compose(home, *OPEN, "data.pixel_mm=null"), cohort, split)
    assert each
    assert (each.settings.data.image_size, each.settings.data.pixel_mm) == (64, None)  # slices have 48


def test_where_nothing_is_open_no_case_is_measured(
    parts: Parts, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, cohort, split = parts
    monkeypatch.setattr(data_fit, "fingerprint_cases", lambda *_a, **_k: pytest.fail("was measured"))
    for intensity in ("ct_windows", "ct_plain", "mri"):
        assert fit_to_data(compose(home, f"intensity={intensity}"), cohort, split) is None


def test_a_window_among_other_channels_is_said_too(parts: Parts, home: Path) -> None:
    _, cohort, split = parts
    part = "{_target_:lts.intensity.FittedWindow,margin_hu:0}"
    other = "{_target_:lts.intensity.FittedWindow,margin_hu:10}"
    own = ("intensity._target_=lts.intensity.Channels", f"+intensity.channels=[{part},{other}]")
    settings = compose(home, *own, "intensity=mri", "~intensity.lower_percent", "~intensity.upper_percent")
    fitted = fit_to_data(settings, cohort, split)
    assert fitted
    (low_hu, high_hu), wider = fitted.facts["windows_hu"]
    assert wider == [low_hu - 10, high_hu + 10]
    assert len(fitted.lines) == 2
    assert fitted.facts["chosen"] == {}


def of_case(**facts: object) -> CaseFingerprint:
    nowhere = SourceFile("nowhere", 0, 0, "")
    regions = {"liver": [0] * 4096, "tumor": [0] * 4096}
    case = CaseFingerprint("a", nowhere, nowhere, (64, 64), (1.0, 1.0), None, None, [1] * 4096, regions)
    return replace(case, **facts)


@pytest.mark.parametrize(
    ("overrides", "facts", "told"),
    [
        ((), {}, "intensity: FittedWindow needs voxels of liver or tumor in the training cases, their masks"),
        (("data.pixel_mm=0.01",), {}, "data.image_size: must be from 16 to 4096 pixels, auto makes it 6400"),
        (
            ("data.image_size=16",),
            {"spacing_hw_mm": (900.0, 900.0)},
            r"data.pixel_mm: must be from 0.01 to 100.0 mm, auto makes it 3600",
        ),
    ],
)
def test_what_no_case_allows_is_told_by_its_key(
    parts: Parts, home: Path, monkeypatch: pytest.MonkeyPatch, overrides: tuple, facts: dict, told: str
) -> None:
    _, cohort, split = parts
    monkeypatch.setattr(data_fit, "fingerprint_cases", lambda *_a, **_k: (of_case(**facts),))
    with pytest.raises(ConfigError, match=f"^{told}"):
        fit_to_data(compose(home, *OPEN, *overrides), cohort, split)


def test_cases_without_liver_have_a_size_and_a_table(
    parts: Parts, home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _, cohort, split = parts
    monkeypatch.setattr(data_fit, "fingerprint_cases", lambda *_a, **_k: (of_case(),))
    fitted = fit_to_data(compose(home, *OPEN[:2]), cohort, split)
    assert fitted
    assert recipe_of(fitted.settings) == Recipe(image_size=64, pixel_mm=1.0)
    fitted.print()
    printed = capsys.readouterr().out
    assert "field of view" in printed
    assert "liver" not in printed.partition("data.")[0]


def test_with_a_locator_each_liver_is_shown_with_its_margins(parts: Parts, home: Path) -> None:
    _, cohort, split = parts
    settings = compose(home, *OPEN[:2], "locator=coarse", "locator.margin_mm=15")
    fitted = fit_to_data(settings, cohort, split)
    assert fitted
    livers_mm = []
    for case in map(cohort.case, split.train):
        mask = nib.as_closest_canonical(nib.load(case.mask))
        held = np.nonzero((np.asanyarray(mask.dataobj) > 0).any(axis=2))
        sides = zip(held, mask.header.get_zooms()[:2], strict=True)
        livers_mm.append(max((max(side) - min(side) + 1) * step for side, step in sides))
    data = fitted.settings.data
    needed_mm = max(livers_mm) + 2 * 15
    assert needed_mm - 1e-3 <= data.image_size * data.pixel_mm < needed_mm + 32 * data.pixel_mm
    assert "each liver of the training cases with its margins" in fitted.lines[-1]
    whole = fit_to_data(compose(home, *OPEN[:2]), cohort, split)
    assert whole
    assert whole.settings.data.image_size > data.image_size


def write(path: Path, **described: object) -> Path:
    torch.save({"state_dict": {}, "lts": {"format": 1, **described}}, path)
    return path


def test_a_run_that_goes_on_takes_what_its_checkpoint_chose(home: Path, tmp_path: Path) -> None:
    settings = compose(home, *OPEN)
    assert with_fit_of(settings, None) is settings
    config = {"data": {"pixel_mm": 1.25, "image_size": 96}}
    chosen = {"data.pixel_mm": 1.25, "data.image_size": 96}
    path = write(tmp_path / "a.ckpt", config=config, fingerprint={"chosen": chosen})
    found = with_fit_of(settings, path)
    assert found == replace(settings, data=replace(settings.data, pixel_mm=1.25, image_size=96))
    given = compose(home, *OPEN, "data.pixel_mm=7")
    assert with_fit_of(given, path).data.pixel_mm == 7
    assert with_fit_of(given, path).data.image_size == 96
    nothing_open = compose(home)
    assert with_fit_of(nothing_open, tmp_path / "nowhere") is nothing_open


@pytest.mark.parametrize("fingerprint", [{}, {"fingerprint": {}}, {"fingerprint": {"chosen": {}}}])
def test_a_run_that_was_given_its_size_does_not_go_on_as_open(
    home: Path, tmp_path: Path, fingerprint: dict
) -> None:
    path = write(tmp_path / "a.ckpt", config={"data": {"pixel_mm": None, "image_size": 96}}, **fingerprint)
    with pytest.raises(ConfigError, match=f"^data.pixel_mm: must be null as in {path}, got auto$"):
        with_fit_of(compose(home, *OPEN), path)


@pytest.mark.parametrize("described", [{}, {"config": None}, {"config": {"data": {}}}, {"fingerprint": 3}])
def test_a_checkpoint_without_its_settings_is_refused(home: Path, tmp_path: Path, described: dict) -> None:
    path = write(tmp_path / "a.ckpt", **described)
    with pytest.raises(CheckpointError, match=f"^{path}: must hold the settings of a training to go on from"):
        with_fit_of(compose(home, *OPEN), path)


def test_an_intensity_takes_the_state_of_a_checkpoint(tmp_path: Path) -> None:
    fitted = Channels([FittedWindow(), HistogramEqualization()])
    fitted.fit(torch.arange(4096), {"liver": torch.ones(4096, dtype=torch.int64)})
    path = write(tmp_path / "a.ckpt", intensity_state=fitted.state_dict())
    fresh = Channels([FittedWindow(), HistogramEqualization()])
    load_fitted(fresh, path)
    assert fresh.maps[0].window_hu == fitted.maps[0].window_hu
    assert torch.equal(fresh.maps[1].curve, fitted.maps[1].curve)
    for other in (Window(), FittedWindow()):
        with pytest.raises(CheckpointError, match=f"^{path}: must hold the state of the intensity: "):
            load_fitted(other, path)
    with pytest.raises(CheckpointError, match="must hold the state of the intensity: 'intensity_state'"):
        load_fitted(fresh, write(tmp_path / "b.ckpt"))


def test_a_resumed_run_fits_nothing_anew(parts: Parts, home: Path, tmp_path: Path) -> None:
    _, cohort, split = parts
    state = {"ends_hu": torch.tensor([-7.0, 77.0])}
    path = write(tmp_path / "a.ckpt", intensity_state=state)
    data = set_up_data(compose(home, "intensity=ct_fitted"), cohort, split, resumed_from=path)
    assert data.intensity.window_hu == (-7, 77)
