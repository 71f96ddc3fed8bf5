"""Cases of an evaluation as pages beside its report, in which each lesion is found in three planes."""

from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

from lts.app.commands.mask_pairs import MaskPair, read_pair
from lts.app.run.console import ShowProgress
from lts.base import Modality
from lts.evaluation import Summary, worst_first
from lts.viewer import ViewedCase, write_case_page

FOLDER = "viewer"


def write_viewers(
    pairs: Sequence[MaskPair],
    summary: Summary,
    *,
    regions: Sequence[str],
    modality: Modality,
    output_dir: Path,
    most: int,
) -> dict[str, str]:
    """Write `viewer/<case>.html` of the worst cases, and remove those of the other cases.

    Scans and masks are read once more, a case at a time: which cases are the worst shows when all are scored.

    Args:
        pairs: What was scored.
        summary: What was found.
        regions: Regions in channel order.
        modality: Of the scans.
        output_dir: Of the evaluation.
        most: How many cases have a page at most.

    Returns:
        By case the address of its page, from the report on.

    Raises:
        VolumeError: A scan or mask can no longer be read.
        StorageError: A page cannot be written.
    """
    chosen = worst_first(summary.rows, regions=regions)[:most]
    pages = {pair.case: output_dir / FOLDER / f"{pair.case}.html" for pair in pairs}
    for case in pages.keys() - set(chosen):
        pages[case].unlink(missing_ok=True)
    by_case = {pair.case: pair for pair in pairs}
    progress = ShowProgress("writing viewers")
    for done, case in enumerate(chosen, start=1):
        viewed = _read(by_case[case], summary, regions=regions, modality=modality)
        write_case_page(pages[case], viewed, report="../report.html")
        progress(done, len(chosen))
    return {case: f"{FOLDER}/{quote(pages[case].name)}" for case in chosen}


def _read(pair: MaskPair, summary: Summary, *, regions: Sequence[str], modality: Modality) -> ViewedCase:
    """A case as it was scored."""
    found = read_pair(pair, modality=modality)
    return ViewedCase(
        case=pair.case,
        geometry=found.geometry,
        image=found.image,
        modality=modality,
        prediction=found.prediction,
        reference=found.reference,
        regions=regions,
        lesions=[one for one in summary.findings if one.case == pair.case],
        scores=[row for row in summary.rows if row["case"] == pair.case],
    )
