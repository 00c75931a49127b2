"""The pictures of the model card."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from engine.training.report.measure import Judged, interval_pct, joined, reliability
from engine.training.report.trial import Trial

_DPI = 110
_INK, _PALE = "#1f4e79", "#9db8d2"
_WRONG_COLUMNS = 12
_WRONG_AT_MOST = 60


def draw_all(trial: Trial, folder: Path) -> list[str]:
    """Draw every picture into `folder`; return their names in the card's order."""
    drawings = {
        "reliability.png": _reliability,
        "coverage.png": _coverage,
        "wrong.png": _wrong,
        "wrong-hands.png": _wrong_hands,
        "wrong-scenes.png": _wrong_scenes,
        "confusion.png": _confusion,
        "reject.png": _reject,
        "robustness.png": _robustness,
    }
    for name, draw in drawings.items():
        figure = draw(trial)
        figure.savefig(folder / name, dpi=_DPI, bbox_inches="tight", metadata={"Software": None})
    return list(drawings)


def _panel(title: str, x: str, y: str, size: tuple[float, float] = (5, 3.6)) -> tuple[Figure, Any]:
    figure = Figure(figsize=size)
    axes = figure.subplots()
    axes.set(title=title, xlabel=x, ylabel=y)
    axes.grid(alpha=0.3)
    return figure, axes


def _reliability(trial: Trial) -> Figure:
    """Confidence against share of right readings, both as distance from 1 on logarithmic axes: all is near 1.

    A bin without a wrong reading has no place on such an axis: an arrow hangs from the end of its interval.
    """
    figure, axes = _panel("Reliability", "1 - confidence", "share read wrongly")
    bins = reliability(trial.clean.confidence, ~trial.clean.wrong)
    per_bin = round(len(trial.clean.labels) / len(bins))
    least = 1e-5
    for _, confidence, right in bins:
        low, high = interval_pct(round((1 - right) * per_bin), per_bin) or (0.0, 100.0)
        at = max(1 - confidence, least)
        if right == 1:
            axes.plot(at, high / 100, "v", color=_PALE, label="none wrong: at most")
            continue
        axes.plot([at, at], [max(low / 100, least), max(high / 100, least)], color=_PALE, linewidth=3)
        axes.plot(at, 1 - right, "o", color=_INK, label="share, with its 95 % interval")
    axes.plot([least, 1], [least, 1], "--", color="grey", linewidth=1)
    axes.set(xscale="log", yscale="log", xlim=(least / 1.5, 1.2), ylim=(least / 1.5, 1.2))
    handles, labels = axes.get_legend_handles_labels()
    once = dict(zip(labels, handles, strict=True))
    axes.legend(once.values(), once.keys(), fontsize=7)
    return figure


def _coverage(trial: Trial) -> Figure:
    """Error of the most confident digits, by how many of all they are."""
    figure, axes = _panel("Error against coverage", "most confident digits kept, %", "error, %")
    order = np.argsort(-trial.clean.confidence, kind="stable")
    kept = np.arange(1, len(order) + 1)
    axes.plot(100 * kept / len(order), 100 * np.cumsum(trial.clean.wrong[order]) / kept, color=_INK)
    axes.set(xlim=(90, 100.2), ylim=(0, None))
    return figure


def _wrong(trial: Trial) -> Figure:
    """Every digit that is read wrongly: what it shows, what was read, how confidently."""
    return _wrong_readings(trial.clean, 255 - trial.pixels)


def _wrong_hands(trial: Trial) -> Figure:
    """Show digits of other hands that are read wrongly, from all kinds."""
    return _wrong_readings(joined(trial.hands.kinds.values()), 255 - trial.hands.pixels)


def _wrong_scenes(trial: Trial) -> Figure:
    """Show pictures of scenes that are read wrongly, from all kinds, as they were sent."""
    return _wrong_readings(joined(trial.scenes.kinds.values()), trial.scenes.thumbnails)


def _wrong_readings(judged: Judged, pictures: NDArray[np.uint8]) -> Figure:
    """Show pictures (n, h, w) of wrong readings, at most 60, evenly chosen."""
    wrong = np.flatnonzero(judged.wrong)
    wrong = wrong[np.linspace(0, len(wrong) - 1, min(len(wrong), _WRONG_AT_MOST)).astype(np.int64)]
    rows = max(1, -(-len(wrong) // _WRONG_COLUMNS))
    figure = Figure(figsize=(_WRONG_COLUMNS * 0.75, rows * 1.0))
    panels = figure.subplots(rows, _WRONG_COLUMNS, squeeze=False)
    for axes in panels.flat:
        axes.axis("off")
    for axes, index in zip(panels.flat, wrong, strict=False):
        axes.imshow(pictures[index], cmap="gray", vmin=0, vmax=255)
        shown, read = judged.labels[index], judged.digits[index]
        mark = "" if judged.unsure[index] else "!"
        axes.set_title(f"{shown} as {read}{mark}\n{judged.confidence[index]:.2f}", fontsize=7)
    return figure


def _confusion(trial: Trial) -> Figure:
    """Counts of the wrong readings; the right ones would drown them."""
    figure, axes = _panel("Wrong readings", "read", "shown", (4.2, 4))
    counts = trial.clean.confusion()
    np.fill_diagonal(counts, 0)
    axes.imshow(counts, cmap="Blues")
    axes.set(xticks=range(10), yticks=range(10))
    axes.grid(visible=False)
    for shown, read in zip(*np.nonzero(counts), strict=True):
        deep = counts[shown, read] > counts.max() / 2
        axes.text(read, shown, counts[shown, read], ha="center", va="center", color="white" if deep else "black")
    return figure


def _reject(trial: Trial) -> Figure:
    """ROC of the reject head: what share of each kind that was never learned passes, by the share of clean digits."""
    figure, axes = _panel("Is it a digit?", "pictures without a digit that pass, %", "digits that pass, %")
    for kind, decision in trial.foreign.unseen.items():
        levels = np.quantile(trial.digitness, np.linspace(0, 1, 400))
        digits = [100 * (trial.digitness >= level).mean() for level in levels]
        passing = [100 * (decision.digitness >= level).mean() for level in levels]
        axes.plot(passing, digits, label=kind)
    axes.set(xlim=(-0.5, 25), ylim=(90, 100.2))
    axes.legend(fontsize=7)
    return figure


def _robustness(trial: Trial) -> Figure:
    """Error by kind of disturbance, with intervals."""
    figure, axes = _panel("Robustness", "error, %", "", (5.5, 4))
    for row, judged in enumerate(trial.robustness.values()):
        wrong, count = int(judged.wrong.sum()), len(judged.labels)
        low, high = interval_pct(wrong, count) or (0.0, 0.0)
        axes.barh(row, 100 * wrong / count, color=_PALE)
        axes.plot([low, high], [row, row], color=_INK)
    axes.set(yticks=range(len(trial.robustness)), yticklabels=list(trial.robustness))
    axes.invert_yaxis()
    return figure
