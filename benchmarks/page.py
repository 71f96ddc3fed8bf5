"""docs/benchmarks.md and its picture, from what the benchmarks found."""

from collections.abc import Mapping
from pathlib import Path

from matplotlib.figure import Figure as Chart

from benchmarks.measuring import Figure, Report

_PICTURE = "benchmarks.png"
_VERDICT = {True: "met", False: "**missed**", None: ""}
_LONGEST = 16.0
"""Where bars end, in goals."""
_COLOR = {True: "#0072B2", False: "#D55E00"}


def write_page(docs: Path, reports: Mapping[str, Report], *, machine: Mapping[str, str]) -> None:
    """Write the table of goals, the profiles of what missed its goal, and the picture.

    Args:
        docs: Folder of the page.
        reports: What each benchmark found.
        machine: What it was found on.
    """
    figures = [figure for report in reports.values() for figure in report.figures]
    with_goal = [figure for figure in figures if figure.goal is not None]
    _draw(docs / _PICTURE, with_goal)
    lines = [
        "# Benchmarks",
        "",
        "Written by `make bench`. Both sides of a line ran in turns in one process; a figure is the median",
        "of the rounds, with the lowest and highest beside it.",
        "",
        *(f"- {name}: {value}" for name, value in machine.items()),
        "",
        f"![Share of each goal that was reached]({_PICTURE})",
        "",
        f"{sum(bool(figure.met) for figure in with_goal)} of {len(with_goal)} goals are met.",
        "",
        "| what | against | measured | goal | |",
        "| --- | --- | --- | --- | --- |",
        *(_row(figure) for figure in figures),
        "",
        *_growth(reports),
        *_details(reports),
        *_profiles(figures),
    ]
    (docs / "benchmarks.md").write_text("\n".join(lines).rstrip() + "\n")


def _row(figure: Figure) -> str:
    low, high = min(figure.values), max(figure.values)
    measured = _number(figure.median, figure.unit)
    if len(figure.values) > 1:
        measured += f" ({_digits(low)} to {_digits(high)})"
    goal = ""
    if figure.goal is not None:
        goal = f"{'≥' if figure.better == 'more' else '≤'} {_number(figure.goal, figure.unit)}"
    return f"| {figure.what} | {figure.against} | {measured} | {goal} | {_VERDICT[figure.met]} |"


def _number(value: float, unit: str) -> str:
    return f"{_digits(value)}{'' if unit in ('x', '%', '') else ' '}{unit}"


def _digits(value: float) -> str:
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"


def _growth(reports: Mapping[str, Report]) -> list[str]:
    measured = {what: facts for report in reports.values() for what, facts in report.growth.items()}
    if not measured:
        return []
    lines = [
        "## How cost grows",
        "",
        "Each size in a process of its own. The exponent is that of the line through the logarithms.",
        "",
        "| what | sizes | seconds | exponent | peak memory, MiB | exponent |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for what, facts in measured.items():
        sizes, seconds, memory = (
            ", ".join(f"{value:g}" for value in facts[key]) for key in ("sizes", "seconds", "peak_mib")
        )
        lines.append(
            f"| {what} | {sizes} {facts['unit']} | {seconds} | {facts['exponent']} | {memory} "
            f"| {facts['memory_exponent']} |"
        )
    return [*lines, ""]


def _details(reports: Mapping[str, Report]) -> list[str]:
    lines = ["## Behind the figures", ""]
    for name, report in reports.items():
        if not (report.figures or report.notes):
            continue
        lines += [f"### {name}", ""]
        for figure in report.figures:
            same = f" {figure.same_work}." if figure.same_work else ""
            lines.append(f"- {figure.what}, {figure.against}: {figure.detail}.{same}")
        lines += [f"- {note}" for note in report.notes]
        lines.append("")
    return lines


def _profiles(figures: list[Figure]) -> list[str]:
    lines = []
    for figure in figures:
        if figure.profile and figure.met is False:
            lines += [f"## Missed: {figure.what}, {figure.against}", ""]
            lines += ["```", figure.profile.strip("\n"), "```", ""]
    return lines


def _draw(path: Path, figures: list[Figure]) -> None:
    chart = Chart(figsize=(9, 0.42 * len(figures) + 1), dpi=110, layout="constrained")
    axes = chart.subplots()
    for position, figure in enumerate(reversed(figures)):
        assert figure.goal is not None
        ratio = figure.median / figure.goal
        reached = min(ratio if figure.better == "more" else 1 / max(ratio, 1 / _LONGEST), _LONGEST)
        axes.barh(position, reached, color=_COLOR[bool(figure.met)], height=0.62)
        axes.text(reached, position, f" {_number(figure.median, figure.unit)}", va="center", fontsize=8)
    axes.axvline(1, color="#000000", linewidth=1)
    axes.set_yticks(
        range(len(figures)), [f"{one.what}\nvs. {one.against}" for one in reversed(figures)], fontsize=7.5
    )
    axes.set_xscale("log", base=2)
    axes.set_xlabel("share of the goal that was reached (right of the line: met)", fontsize=8)
    axes.set_xticks([0.5, 1, 2, 4, 8, 16], ["1/2", "goal", "2", "4", "8", "16"], fontsize=8)
    axes.margins(x=0.15)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    chart.savefig(path)
