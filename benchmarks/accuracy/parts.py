"""The parts of the benchmark: which patients are for training, and which for testing."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from lts.cohort import Case, Split, find_cases, split_by_patient, split_into_folds
from lts.phantom import make_phantom_cohort

ROOT = Path(__file__).parents[2]
LIVER, LIVER_AND_TUMOR = ("liver",), ("liver", "tumor")
FOLDS, PHANTOMS, MATRIX, SEED = 5, 40, 128, 0
_LIVER_RECIPE, _TUMOR_RECIPE, _PHANTOM_RECIPE = "liver_cpu", "liver_closely", "phantom_cpu"


@dataclass(frozen=True, kw_only=True)
class Fold:
    """One division of the patients of a part; `recipe` is the `experiment` of lts for it."""

    part: str
    number: int
    recipe: str
    regions: tuple[str, ...]
    train: tuple[Case, ...]
    test: tuple[Case, ...]


@dataclass(frozen=True, kw_only=True)
class Part:
    """A part of the bench.

    Attributes:
        name: As on the command line.
        label: As on the page and its chart.
        title: Heading on the page, after the label.
        data: Subfolders of the real scans that it needs.
        folds: Makes its folds, given the folder for phantoms and the folder of real scans.
        minutes: Length of a training unless the command line gives another.
        recipe: The `experiment` of lts that README names for such scans.
        about: What a reader must know to weigh its figures.
    """

    name: str
    label: str
    title: str
    data: tuple[str, ...]
    folds: Callable[[Path, Path], list[Fold]]
    minutes: float
    recipe: str
    about: str

    def absent(self, real: Path) -> str | None:
        """Why it cannot run, None if it can."""
        missing = [str(real / name) for name in self.data if not (real / name).is_dir()]
        return f"no scans at {', '.join(missing)}; LTS_REAL_DATA names their folder" if missing else None


def real_data() -> Path:
    """The folder of real scans; it may not exist."""
    return Path(os.environ.get("LTS_REAL_DATA", ROOT.parent / "shared" / "data"))


def _liver_slices(_made: Path, real: Path) -> list[Fold]:
    cases = find_cases(real / "liver_slices", layout="lits").cases
    splits = [
        split_into_folds(cases, folds=FOLDS, fold=fold, val_share=0, seed=SEED) for fold in range(FOLDS)
    ]
    return [
        fold_of(cases, split, part="a", number=number, recipe=_LIVER_RECIPE, regions=LIVER)
        for number, split in enumerate(splits)
    ]


def _tumors(_made: Path, real: Path) -> list[Fold]:
    """Leave one patient with tumors out; healthy ones are always for training."""
    found = {name: find_cases(real / name, layout="lits") for name in ("lits_real", "lits_more")}
    sick = [
        found["lits_real"].case("volume-0"),
        found["lits_real"].case("volume-1"),
        found["lits_more"].case("volume-117"),
    ]
    healthy = [found["lits_real"].case("volume-2"), found["lits_real"].case("volume-3")]
    return [
        Fold(
            part="b",
            number=number,
            recipe=_TUMOR_RECIPE,
            regions=LIVER_AND_TUMOR,
            train=(*(case for case in sick if case is not left_out), *healthy),
            test=(left_out,),
        )
        for number, left_out in enumerate(sick)
    ]


def _phantoms(made: Path, _real: Path) -> list[Fold]:
    root = make_phantom_cohort(made / "phantoms", cases=PHANTOMS, matrix=MATRIX, seed=SEED)
    cases = find_cases(root, layout="lits").cases
    split = split_by_patient(cases, val_share=0, test_share=0.25, seed=SEED)
    return [fold_of(cases, split, part="c", number=0, recipe=_PHANTOM_RECIPE, regions=LIVER_AND_TUMOR)]


def fold_of(
    cases: Sequence[Case],
    split: Split,
    *,
    part: str,
    number: int,
    recipe: str,
    regions: tuple[str, ...],
) -> Fold:
    """A fold of the training and test cases of a split."""
    by_id = {case.id: case for case in cases}
    train, test = (tuple(by_id[name] for name in ids) for ids in (split.train, split.test))
    return Fold(part=part, number=number, recipe=recipe, regions=regions, train=train, test=test)


PARTS = {
    part.name: part
    for part in (
        Part(
            name="a",
            label="Part a",
            title=f"Liver in single slices of 80 patients, {FOLDS} folds by patient",
            data=("liver_slices",),
            folds=_liver_slices,
            minutes=8,
            recipe=_LIVER_RECIPE,
            about=(
                "The scans are single axial slices of MSD Task03, with values cut to 0 to 255 HU. The "
                "recipe of lts was chosen on folds of the same patients ([recipes](recipes.md)), those of "
                "the other systems were not."
            ),
        ),
        Part(
            name="b",
            label="Part b",
            title="Liver and tumors of three patients, each left out once; two healthy ones in training",
            data=("lits_real", "lits_more"),
            folds=_tumors,
            minutes=12,
            recipe=_TUMOR_RECIPE,
            about=(
                "The recipe of lts was chosen on these same three patients ([recipes](recipes.md)), those "
                "of the other systems were not: so its figures are what the recipe gave on the scans that "
                "it was chosen for, not what to expect of others. Three patients are too few for a test of "
                "significance."
            ),
        ),
        Part(
            name="c",
            label="Part c",
            title=f"Liver and tumors of {PHANTOMS} phantoms made by lts, a quarter of them for testing",
            data=(),
            folds=_phantoms,
            minutes=8,
            recipe=_PHANTOM_RECIPE,
            about="The phantoms, and the recipe that was chosen on others like them, are made by lts.",
        ),
    )
}
