"""From the data and split settings to cases."""

from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from lts.app.run.console import ShowProgress
from lts.base import ConfigError
from lts.cohort import (
    Cohort,
    Split,
    check_draw,
    find_cases,
    read_split,
    split_by_patient,
    split_into_folds,
)
from lts.phantom import make_phantom_cohort


def open_cohort(data: DictConfig) -> Cohort:
    """Find the cases of a data set; make them first where it is one of phantoms.

    Raises:
        CohortError: The folder holds no sound cases.
    """
    make_phantoms(data)
    return find_cases(Path(data.root), layout=data.layout)


def make_phantoms(data: DictConfig) -> None:
    """Make the cases of a data set of phantoms where they are missing; of others, nothing.

    Raises:
        CohortError: The folder holds something else.
    """
    if data.phantom is not None:
        settings: Any = OmegaConf.to_container(data.phantom)
        make_phantom_cohort(data.root, progress=ShowProgress("making phantom scans"), **settings)


def check_split(settings: DictConfig) -> None:
    """Check the settings of `split` as far as that can be done without cases.

    Raises:
        ConfigError: Settings that exclude each other, or break their rule.
    """
    if settings.file is not None and (settings.fold is not None or settings.folds is not None):
        raise ConfigError("split.file: excludes split.fold and split.folds")
    if (settings.fold is None) != (settings.folds is None):
        raise ConfigError(
            f"split.fold and split.folds: go together, got {settings.fold} and {settings.folds}"
        )
    if settings.file is None:
        drawn = {"val_share": settings.val_share, "seed": settings.seed}
        if settings.folds is None:
            check_draw(test_share=settings.test_share, **drawn)
        else:
            check_draw(folds=settings.folds, fold=settings.fold, **drawn)


def split_cohort(cohort: Cohort, settings: DictConfig) -> Split:
    """Divide a cohort as the settings of `split` say.

    Raises:
        ConfigError: Settings that exclude each other, or break their rule.
        CohortError: Too few patients, or a split file that does not fit.
    """
    check_split(settings)
    if settings.file is not None:
        return read_split(Path(settings.file), cases=cohort.cases)
    if settings.folds is None:
        return split_by_patient(
            cohort.cases, val_share=settings.val_share, test_share=settings.test_share, seed=settings.seed
        )
    return split_into_folds(
        cohort.cases,
        folds=settings.folds,
        fold=settings.fold,
        val_share=settings.val_share,
        seed=settings.seed,
    )
