"""``chaos-report.png``: results per second, and below them every fault where it happened."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from matplotlib.figure import Figure

SIZE_INCHES: Final = (14, 7)
SHORTEST_S: Final = 0.4
"""The width of the narrowest bar, so that a kill, which takes no time, is visible."""


def draw(data: dict[str, Any], path: Path) -> None:
    """Draw the data of a report into a PNG file."""
    figure = Figure(figsize=SIZE_INCHES, layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 2))
    rates = data["results_per_second"]
    above.fill_between(range(len(rates)), rates, step="post", color="tab:blue", alpha=0.6, linewidth=0)
    above.set_ylim(bottom=0)
    above.set_ylabel("results per second")
    above.set_title(
        f"{data['images']:,} images, {len(data['time_line'])} faults, seed {data['seed']}: "
        + ("nothing lost, nothing doubled" if data["clean"] else "NOT CLEAN")
    )
    kinds = list(data["faults"])
    for row, kind in enumerate(kinds):
        spans = [
            (fault["at_s"], max(SHORTEST_S, (fault["until_s"] or fault["at_s"]) - fault["at_s"]))
            for fault in data["time_line"]
            if fault["kind"] == kind
        ]
        colour = f"C{row}"
        below.broken_barh(spans, (row - 0.35, 0.7), color=colour, alpha=0.7)
        for at_s, _ in spans:
            above.axvline(at_s, color=colour, alpha=0.25, linewidth=0.8)
    below.set_yticks(range(len(kinds)), kinds)
    below.invert_yaxis()
    below.set_xlabel("seconds")
    figure.savefig(path, dpi=110)
