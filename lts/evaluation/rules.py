"""Settings of scoring a case."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from lts.base import REGION_MIN_LABEL, ConfigError
from lts.evaluation.score import Score
from lts.evaluation.table import score_table
from lts.figures import CaseOverlays
from lts.scores import CaseMasks, CaseScores, score_case
from lts.scores.regions import check_regions


@dataclass(frozen=True, kw_only=True)
class ScoringRules:
    """What is scored.

    >>> ScoringRules(nsd_mm=(1.0, 3.0)).scores[-1].name
    'burden_rmse'

    Attributes:
        regions: Regions in channel order.
        nsd_mm: Tolerances of the surface Dice, each >= 0.
        lits: Whether to score by the rules of the LiTS challenge, too.
        overlay_dir: Where a picture of each case is drawn, None for none.
        lesion_dir: Where pictures of missed lesions and false alarms are drawn, if `overlay_dir` is given.
        lesions_of_a_kind: How many of each are drawn of a case at most.
        sheet_dir: Where a picture of one slice of each case is drawn, if `overlay_dir` is given.
        window_hu: Level and width of the pictures, None for percentiles of each scan.

    Raises:
        ConfigError: `regions` are not known ones in channel order, a tolerance is negative, or the
            challenge's rules lack a region.
    """

    regions: tuple[str, ...] = tuple(REGION_MIN_LABEL)
    nsd_mm: tuple[float, ...] = (2.0,)
    lits: bool = False
    overlay_dir: Path | None = None
    lesion_dir: Path | None = None
    lesions_of_a_kind: int = 8
    sheet_dir: Path | None = None
    window_hu: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        check_regions(self.regions)
        if not all(tolerance >= 0 for tolerance in self.nsd_mm):
            raise ConfigError(f"nsd_mm: tolerances must be >= 0, got {list(self.nsd_mm)}")
        if self.lits and set(self.regions) != set(REGION_MIN_LABEL):
            raise ConfigError(f"lits: needs the regions {list(REGION_MIN_LABEL)}, got {list(self.regions)}")

    @property
    def scores(self) -> tuple[Score, ...]:
        """The table of scores."""
        return score_table(self.nsd_mm)

    @property
    def score_case(self) -> Callable[[CaseMasks], CaseScores]:
        """A function that scores a case and draws its picture.

        A process that receives it only imports `lts.scores`, and `lts.figures` if pictures are drawn.
        """
        draw = None
        if self.overlay_dir:
            draw = CaseOverlays(
                folder=self.overlay_dir,
                regions=self.regions,
                window_hu=self.window_hu,
                lesion_folder=self.lesion_dir,
                lesions_of_a_kind=self.lesions_of_a_kind,
                sheet_folder=self.sheet_dir,
            ).draw
        return partial(
            score_case,
            regions=self.regions,
            surfaces={
                score.name: score.of_surfaces for score in self.scores if score.of_surfaces is not None
            },
            lits=self.lits,
            draw=draw,
        )
