"""Which cases a model is scored on: a subset of its own split or other cases, none that it was trained on."""

from collections.abc import Mapping, Sequence

from lts.app.commands.check import warn_of_duplicates
from lts.base import CheckpointError, CohortError, name_some
from lts.cohort import Case, Cohort
from lts.inference import Checkpoint
from lts.slices import content_hash


def choose_cases(
    cohort: Cohort,
    checkpoints: Sequence[Checkpoint],
    *,
    subset: str,
    own_data: bool,
    allow_training_cases: bool,
) -> list[Case]:
    """Take a subset of a cohort, identified by the content of the scans and not by their names.

    Args:
        cohort: The cases at hand.
        checkpoints: They hold content hashes of their subsets; the subset is that of the first.
        subset: `train`, `val`, `test` or `all`.
        own_data: Whether the cohort is the one the checkpoint was trained on.
        allow_training_cases: Whether training cases may be among them.

    Raises:
        CohortError: A case of the subset is missing or changed, or no case belongs to it.
        CheckpointError: A checkpoint was trained on a case, and that is not allowed.
    """
    checkpoint = checkpoints[0]
    subset_of = {member["sha256"]: name for name, members in checkpoint.split.items() for member in members}
    names = checkpoint.split if subset == "all" else (subset,)
    expected = {member["case"] for name in names for member in checkpoint.split[name]}
    candidates = [case for case in cohort.cases if not own_data or case.id in expected]
    content_of = {case.id: content_hash(case.image) for case in candidates}
    found_in = {case: subset_of.get(content) for case, content in content_of.items()}
    chosen = [case for case in candidates if subset == "all" or found_in[case.id] == subset]
    if own_data and (lost := sorted(expected - {case.id for case in chosen if found_in[case.id]})):
        raise CohortError(
            f"{cohort.root}: cases are missing or have changed since training: {name_some(lost)}"
        )
    if own_data and not expected:
        raise CheckpointError(f"{checkpoint.path}: must have cases of the {subset} subset, its run had none")
    if not chosen:
        raise CohortError(f"{cohort.root}: no case is of the checkpoint's {subset} subset; use subset=all")
    contents = {case.id: content_of[case.id] for case in chosen}
    if not allow_training_cases:
        _refuse_training_cases(contents, checkpoints)
    warn_of_duplicates(contents, chosen)
    return chosen


def _refuse_training_cases(content_of: Mapping[str, str], checkpoints: Sequence[Checkpoint]) -> None:
    for checkpoint in checkpoints:
        trained_on = [case for case, content in content_of.items() if checkpoint.was_trained_on(content)]
        if trained_on:
            raise CheckpointError(
                f"{checkpoint.path}: was trained on {name_some(trained_on)}; "
                "scores of these say little, allow_training_cases=true gives them all the same"
            )
