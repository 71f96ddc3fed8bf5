"""A page of results, such as docs/accuracy.md, and its chart, from complete results only."""

import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from benchmarks.accuracy.parts import Part
from benchmarks.accuracy.records import Record, Run
from benchmarks.accuracy.systems import SYSTEMS
from benchmarks.accuracy.tables import Results, dice_table, effort_table, lesion_table, patient_table
from lts.base import write_utf8

_COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")


@dataclass
class Page:
    """The content of the page.

    Attributes:
        parts: The systems with complete results, by part.
        missing: One line for each thing that is missing.
    """

    parts: dict[str, list[Results]] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)

    @property
    def records(self) -> list[Record]:
        """All results on the page."""
        return [record for part in self.parts for record in self.of_part(part)]

    def of_part(self, part: str) -> list[Record]:
        """All results of a part."""
        return [record for one in self.parts[part] for record in one.records]


def gather(
    planned: Mapping[str, Mapping[str, Sequence[Run]]],
    found: Mapping[Run, Record],
    skipped: Sequence[str] = (),
) -> Page:
    """Separate complete from incomplete results.

    Args:
        planned: The runs by part and system.
        found: The results.
        skipped: Why parts, folds or systems were not run.
    """
    page = Page(missing=list(skipped))
    for part, systems in planned.items():
        for system, runs in systems.items():
            there = [found[run] for run in runs if run in found]
            if not runs:  # no fold of this part was asked for
                continue
            if len(there) == len(runs):
                page.parts.setdefault(part, []).append(Results(system, there))
            else:
                share = f"{len(runs) - len(there)} of {len(runs)}"
                page.missing.append(f"part {part}, {system}: left out, {share} runs are missing")
    return page


def write_page(path: Path, page: Page, *, parts: Mapping[str, Part], written_by: str, more: str) -> None:
    """Write the page, and its chart beside it as PNG.

    Args:
        path: The page, as Markdown.
        page: At least one part with a system.
        parts: The parts by name.
        written_by: A sentence that says what writes the page.
        more: Sentences on where more is told.
    """
    chart = path.with_suffix(".png")
    _draw(chart, page, parts)
    lines = [
        "# Accuracy after equal time",
        "",
        *wrapped(
            f"{written_by} Every system was trained on the same cases for the same time on the same number "
            "of processors, in a process of its own, and its masks were scored on each scan's own grid with "
            "the same code. The time is that of training alone. No case was held out to choose a "
            "checkpoint: the last weights were used. So short a training tells how soon a system learns, "
            "not how good it becomes. The recipe of each system is in its file in "
            f"`benchmarks/accuracy/systems`. {more}"
        ),
        "",
        "The systems:",
        "",
        *(line for name, about in _systems(page) for line in wrapped(f"- {name}: {about}", indent="  ")),
        "",
        "The runs:",
        "",
        *conditions(page.records),
        "",
        *(["What is missing:", "", *(f"- {line}" for line in page.missing), ""] if page.missing else []),
        f"![Dice of every patient by part, region and system]({chart.name})",
        "",
    ]
    for part, systems in page.parts.items():
        lines += _part(parts[part], systems)
    write_utf8(path, "\n".join(lines).rstrip() + "\n")


def _systems(page: Page) -> Iterator[tuple[str, str]]:
    """The systems with results that are known, and what is trained of each."""
    there = {one.system.partition(":")[0] for systems in page.parts.values() for one in systems}
    return ((name, known.about) for name, known in SYSTEMS.items() if name in there)


def conditions(records: Sequence[Record]) -> list[str]:
    """Settings and machine of the runs; where they differ, all values, each with its parts."""
    names = dict.fromkeys(name for record in records for name in record.machine)
    values = {
        "processors": [str(record.run.cores) for record in records],
        "trainings at once": [str(record.at_once) for record in records],
        "seeds": [str(record.run.seed) for record in records],
        **{name: [record.machine.get(name) for record in records] for name in names},
    }
    return [f"- {name}: {_by_part(of_name, records)}" for name, of_name in values.items()]


def _by_part(values: Sequence[str | None], records: Sequence[Record]) -> str:
    parts: dict[str, list[str]] = {}
    for value, record in zip(values, records, strict=True):
        if value is not None:
            parts.setdefault(value, []).append(record.run.part)
    if len({tuple(dict.fromkeys(of_value)) for of_value in parts.values()}) == 1:  # also if one value
        return _values(parts)
    return "; ".join(f"{value} (part {_values(of_value)})" for value, of_value in parts.items())


def _values(values: Iterable[str]) -> str:
    return ", ".join(dict.fromkeys(values))


def _part(part: Part, systems: Sequence[Results]) -> list[str]:
    folds = sorted({record.run.fold for record in systems[0].records})
    minutes = _values(f"{record.run.minutes:g}" for one in systems for record in one.records)
    lines = [
        f"## {part.label}: {part.title[0].lower()}{part.title[1:]}",
        "",
        *wrapped(
            f"Folds: {', '.join(map(str, folds))}. Each training: {minutes} minutes. Recipe of lts: "
            f"`{part.recipe}`. {part.about}"
        ),
        "",
    ]
    for region in systems[0].regions:
        lines += [f"### Dice of the {region}", "", *dice_table(systems, region), ""]
    if "tumor" in systems[0].regions:
        lines += ["### Lesions", "", *lesion_table(systems), ""]
    lines += ["### Effort of a run", "", *effort_table(systems), ""]
    for region in systems[0].regions:
        lines += [f"### Dice of the {region}, by case", "", *patient_table(systems, region), ""]
    return lines


def wrapped(text: str, *, indent: str = "") -> list[str]:
    return textwrap.wrap(text, 110, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)


def _draw(path: Path, page: Page, parts: Mapping[str, Part]) -> None:
    """One panel per part and region; in it the patients of each system, and their median."""
    panels = [
        (parts[part].label, region, systems)
        for part, systems in page.parts.items()
        for region in systems[0].regions
    ]
    chart = Figure(figsize=(3.2 * len(panels) + 0.6, 3.6), dpi=110, layout="constrained")
    all_axes = chart.subplots(1, len(panels), sharey=True, squeeze=False)[0]
    for axes, (label, region, systems) in zip(all_axes, panels, strict=True):
        for place, one in enumerate(systems):
            values = np.sort(list(one.dice(region).values()))
            aside = place + np.linspace(-0.25, 0.25, len(values)) if len(values) > 1 else [place]
            axes.plot(aside, values, "o", color=_COLORS[place % len(_COLORS)], markersize=3.5)
            axes.hlines(np.median(values), place - 0.32, place + 0.32, color="#000000", linewidth=1.5)
        axes.set_title(f"{label}: {region}", fontsize=9)
        axes.set_xticks(
            range(len(systems)),
            [one.system for one in systems],
            fontsize=8,
            rotation=20,
            horizontalalignment="right",
            rotation_mode="anchor",
        )
        axes.set_ylim(-0.02, 1.02)
        axes.grid(axis="y", linewidth=0.4)
        for side in ("top", "right"):
            axes.spines[side].set_visible(False)
    all_axes[0].set_ylabel("Dice of a patient; line: median", fontsize=9)
    chart.savefig(path)
