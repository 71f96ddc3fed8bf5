"""The lines that `docs/scores.md` has of the table of scores."""

from pathlib import Path

from lts.evaluation import Score, score_table

PAGE = Path(__file__).parents[2] / "docs" / "scores.md"
BETTER = {"high": "higher", "low": "lower", "zero": "nearer to 0", None: ""}


def lines_missing() -> list[str]:
    """Lines that the page lacks; to make it whole, put them in the order of the table."""
    page = PAGE.read_text("utf-8").splitlines()
    return [
        line for line in map(_line, filter(lambda score: score.meaning, score_table())) if line not in page
    ]


def _line(score: Score) -> str:
    of = ["case"] * score.is_of_cases + ["cohort"] * (score.of_cohort is not None)
    cells = (
        f"`{score.name}`",
        " and ".join(of) + "".join(f", {region}" for region in score.regions or ()),
        score.unit,
        BETTER[score.best],
        score.meaning,
        "" if score.why_undefined == Score.why_undefined else score.why_undefined,
    )
    return f"| {' | '.join(cells)} |".replace("  ", " ")
