"""Charts of a run and of runs: learning curves, ROC curves, leaderboard."""

import math
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike

from lts.base import REGION_MIN_LABEL, printable, shortened
from lts.figures.canvas import new_figure, render, save_png

# Okabe and Ito's palette, told apart by color-blind readers too.
_REGION_COLORS = {"liver": "#0072B2", "tumor": "#D55E00"}
_STAGE_COLORS = {"train": "#7A7A7A", "val": "#000000"}
_GRID = "#E3E3E3"

_PANELS = {
    "loss": "Loss",
    "accuracy": "Accuracy",
    "dice": "Dice",
    "dice_per_case": "Dice per case",
    "dice_where_present": "Dice where present",
    "dice_global": "Dice, pooled voxels",
}
_MOST_BARS = 40
_MOST_OF_A_LABEL = 300


def save_curves(
    path: Path, history: Mapping[int, Mapping[str, float]], *, best_epoch: int | None = None
) -> None:
    """Draw what was logged over the epochs: loss, accuracy and Dice, a panel each.

    Args:
        path: The PNG file.
        history: Values by epoch and name. A name such as `train/loss` or `val/tumor/dice_per_case` goes to
            the panel of its last part; others are not drawn. A curve passes over an epoch without its value
            and breaks where the value is NaN.
        best_epoch: Marked in every panel.

    Raises:
        ValueError: No name in `history` has a panel.

    Example:
        >>> history = {1: {"train/loss": 0.9, "val/loss": 0.8}, 2: {"train/loss": 0.6, "val/loss": 0.7}}
        >>> save_curves(Path("curves.png"), history, best_epoch=2)
    """
    names = sorted({name for values in history.values() for name in values})
    panels = [
        (title, [name for name in names if name.rsplit("/", 1)[-1] == score])
        for score, title in _PANELS.items()
    ]
    panels = [(title, members) for title, members in panels if members]
    if not panels:
        raise ValueError(f"history: must name one or more of {list(_PANELS)}, got {names}")
    figure = _new_chart(440 * len(panels), 430)
    epochs = sorted(history)
    for axes, (title, members) in zip(np.ravel(figure.subplots(1, len(panels))), panels, strict=True):
        for name in members:
            _draw_curve(
                axes, name, {epoch: history[epoch][name] for epoch in epochs if name in history[epoch]}
            )
        if best_epoch is not None:
            axes.axvline(
                best_epoch, color="#009E73", linewidth=1.5, label=f"best epoch ({best_epoch})", zorder=1
            )
        _style(axes, title=title, xlabel="epoch")
        axes.xaxis.set_major_locator(MaxNLocator(nbins=8, integer=True, min_n_ticks=1))
        if title.startswith("Dice"):
            axes.set_ylim(0, 1.02)
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=2, frameon=False, fontsize=9)
    save_png(path, render(figure))


def save_roc(path: Path, curves: Mapping[str, tuple[ArrayLike, ArrayLike, float]]) -> None:
    """Draw ROC curves.

    Args:
        path: The PNG file.
        curves: False positive rate, true positive rate and area by name. A curve whose area is NaN is listed
            as not defined.

    Example:
        >>> save_roc(Path("roc.png"), {"tumor": ([0, 0.1, 1], [0, 0.8, 1], 0.85)})
    """
    figure = _new_chart(560, 560)
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], color="#9A9A9A", linestyle=(0, (4, 3)), linewidth=1.2, label="chance")
    for index, (name, (fpr, tpr, area)) in enumerate(curves.items()):
        known = not math.isnan(area)
        text = f"{name}, AUROC {area:.4f}" if known else f"{name}, not defined: a class is absent"
        axes.plot(
            np.asarray(fpr) if known else [],
            np.asarray(tpr) if known else [],
            color=_REGION_COLORS.get(name, f"C{index}"),
            linewidth=2.2,
            label=text,
            clip_on=False,
        )
    _style(axes, title="ROC, pooled voxels", xlabel="false positive rate (1 - specificity)")
    axes.set(xlim=(0, 1), ylim=(0, 1), aspect="equal", ylabel="true positive rate (sensitivity)")
    axes.legend(loc="lower right", frameon=True, framealpha=0.9, edgecolor="none", fontsize=10)
    save_png(path, render(figure))


def save_leaderboard(
    path: Path, rows: Sequence[tuple[str, float]], *, score: str, maximize: bool = True
) -> None:
    """Draw the runs of a sweep as bars, the best at the top and dark, unless all score alike.

    Args:
        path: The PNG file.
        rows: What set each run apart, such as its overrides, and its score; a run whose score is NaN or
            infinite comes last. Of more than 40 runs, the best 40 are drawn.
        score: Name of the score.
        maximize: Whether a higher score is better.

    Raises:
        ValueError: There is no run.

    Example:
        >>> runs = [("lr=1e-3", 0.61), ("lr=1e-4", 0.58)]
        >>> save_leaderboard(Path("leaderboard.png"), runs, score="val/tumor/dice_global")
    """
    if not rows:
        raise ValueError("rows: a leaderboard needs at least one run, got none")
    sign = -1 if maximize else 1
    ranked = sorted(rows, key=lambda row: (not math.isfinite(row[1]), sign * row[1]))[:_MOST_BARS]
    names = [shortened(printable(label), most=_MOST_OF_A_LABEL) for label, _ in ranked]
    labels = [textwrap.fill(label, 52, break_on_hyphens=False) or "(no overrides)" for label in names]
    values = [value if math.isfinite(value) else math.nan for _, value in ranked]
    heights = [26 + 16 * label.count("\n") for label in labels]
    figure = _new_chart(960, 110 + sum(heights))
    axes = figure.subplots()
    middles = np.cumsum(heights) - np.array(heights) / 2
    # runs that score alike are all the best; where all do, none is
    alike = len(values) > 1 and values[0] == values[-1]
    colors = ["#0072B2" if value == values[0] and not alike else "#8FBBD9" for value in values]
    axes.barh(middles, np.nan_to_num(values), height=16, color=colors)
    for middle, value in zip(middles, values, strict=True):
        axes.annotate(
            "no score" if math.isnan(value) else f"{value:.4f}",
            (0 if math.isnan(value) else max(value, 0), middle),
            xytext=(5, 0),
            textcoords="offset points",
            va="center",
            fontsize=9,
        )
    runs = f"{len(rows)} run" + "s" * (len(rows) > 1)
    shown = f"best {len(ranked)} of {runs}" if len(rows) > len(ranked) else runs
    _style(axes, title=f"{score}, {shown}", xlabel=score)
    axes.set_yticks(middles, labels, fontsize=9, parse_math=False)
    axes.tick_params(axis="y", length=0)
    axes.grid(visible=False, axis="y")
    axes.set_ylim(sum(heights), 0)
    axes.margins(x=0.12)
    save_png(path, render(figure))


def _draw_curve(axes: Axes, name: str, values: Mapping[int, float]) -> None:
    parts = name.split("/")[:-1]
    region = next((part for part in parts if part in REGION_MIN_LABEL), None)
    color = _REGION_COLORS[region] if region else _STAGE_COLORS.get(parts[0] if parts else "", "#AA4499")
    axes.plot(
        list(values),
        list(values.values()),
        color=color,
        linestyle=(0, (3, 1.5)) if "train" in parts else "solid",
        linewidth=1.8,
        marker="o",
        markersize=3 if len(values) > 1 else 7,
        label=" ".join(parts) or name,
    )


def _style(axes: Axes, *, title: str, xlabel: str) -> None:
    axes.set_title(title, fontsize=12, loc="left", fontweight="bold")
    axes.set_xlabel(xlabel, fontsize=10)
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_axisbelow(True)
    axes.grid(color=_GRID, linewidth=0.8)
    axes.tick_params(labelsize=9)


def _new_chart(width_px: int, height_px: int) -> Figure:
    figure = new_figure(width_px, height_px, color="white")
    figure.set_layout_engine("constrained", w_pad=0.12, h_pad=0.1)
    return figure
