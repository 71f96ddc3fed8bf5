"""From the data and split settings to cases."""

from pathlib import Path

from lts.app.config.instantiate import keys_in_errors
from lts.app.config.serialization import settings_to_dict
from lts.app.config.settings import CasesSettings, DataSettings, LabelSettings, SplitSettings
from lts.app.run.console import ShowProgress
from lts.base import CohortError, ConfigError, MaskLabels
from lts.cohort import (
    Cohort,
    Split,
    check_draw,
    find_cases,
    limit_split,
    read_split,
    split_by_patient,
    split_into_folds,
)
from lts.phantom import make_phantom_cohort


def open_cohort(data: DataSettings | CasesSettings) -> Cohort:
    """Find the cases of a data set; phantoms are made first.

    Raises:
        CohortError: The folder holds no sound cases.
    """
    make_phantoms(data)
    assert data.root is not None
    assert data.layout is not None
    with keys_in_errors("data", find_cases):
        return find_cases(Path(data.root), layout=data.layout, labels=mask_labels(data.labels))


def mask_labels(settings: LabelSettings | None, *, key: str = "labels") -> MaskLabels | None:
    """What in masks is liver and tumor; None for 1 and 2.

    Args:
        settings: The settings.
        key: Their name, for messages.

    Raises:
        ConfigError: A rule of `MaskLabels` is broken.
    """
    if settings is None:
        return None
    try:
        return MaskLabels(liver=settings.liver, tumor=settings.tumor, ignore=settings.ignore)
    except ConfigError as error:
        raise ConfigError(f"{key}{str(error).removeprefix('labels')}") from error


def make_phantoms(data: DataSettings | CasesSettings) -> None:
    """Make missing cases of a phantom data set; do nothing for other data sets.

    Raises:
        CohortError: The folder holds something else.
    """
    if data.phantom is not None:
        assert data.root is not None
        progress = ShowProgress("making phantom scans")
        with keys_in_errors("data.phantom", make_phantom_cohort):
            make_phantom_cohort(data.root, progress=progress, **settings_to_dict(data.phantom))


def check_split(settings: SplitSettings) -> None:
    """Check the settings of `split` as far as that can be done without cases.

    Raises:
        ConfigError: Settings that exclude each other, or break their rule.
    """
    if settings.limit is not None and settings.limit < 1:
        raise ConfigError(f"split.limit: must be at least 1, got {settings.limit}")
    if settings.file is not None and (settings.fold is not None or settings.folds is not None):
        raise ConfigError("split.file: excludes split.fold and split.folds")
    if (settings.fold is None) != (settings.folds is None):
        raise ConfigError(
            f"split.fold and split.folds: go together, got {settings.fold} and {settings.folds}"
        )
    if settings.file is not None:
        return
    val_share, seed = settings.val_share, settings.seed
    with keys_in_errors("split", check_draw):
        if settings.folds is None or settings.fold is None:
            check_draw(val_share=val_share, test_share=settings.test_share, seed=seed)
        else:
            check_draw(val_share=val_share, folds=settings.folds, fold=settings.fold, seed=seed)


def split_cohort(cohort: Cohort, settings: SplitSettings) -> Split:
    """Split a cohort by the settings of `split`.

    Raises:
        ConfigError: Settings that exclude each other, or break their rule.
        CohortError: Too few patients, or a split file that does not fit.
    """
    check_split(settings)
    split = _whole_split(cohort, settings)
    return split if settings.limit is None else limit_split(split, cohort.cases, limit=settings.limit)


def _whole_split(cohort: Cohort, settings: SplitSettings) -> Split:
    if settings.file is not None:
        return read_split(Path(settings.file), cases=cohort.cases)
    val_share, seed = settings.val_share, settings.seed
    folds, fold = settings.folds, settings.fold
    try:
        if folds is None or fold is None:
            return split_by_patient(
                cohort.cases, val_share=val_share, test_share=settings.test_share, seed=seed
            )
        with keys_in_errors("split", split_into_folds):
            return split_into_folds(cohort.cases, folds=folds, fold=fold, val_share=val_share, seed=seed)
    except CohortError as error:
        raise CohortError(
            f"{error}; split.val_share=0 and split.test_share=0 leave a part empty,"
            " split.file chooses the parts"
        ) from error
