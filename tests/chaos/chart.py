"""``chaos-report.png``: results per second, and below them every fault where it happened."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from matplotlib.figure import Figure

SIZE_INCHES: Final = (14, 7)
SHORTEST_S: Final = 0.4
"""A bar that is to be seen; a kill takes no time."""


def draw(told: dict[str, Any], path: Path) -> None:
    """Draw what the report tells."""
    figure = Figure(figsize=SIZE_INCHES, layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 2))
    rates = told["results_per_second"]
    above.fill_between(range(len(rates)), rates, step="post", color="tab:blue", alpha=0.6, linewidth=0)
    above.set_ylim(bottom=0)
    above.set_ylabel("results per second")
    above.set_title(
        f"{told['images']:,} images, {len(told['time_line'])} faults, seed {told['seed']}: "
        + ("nothing lost, nothing twice" if told["clean"] else "NOT CLEAN")
    )
    kinds = list(told["faults"])
    for row, kind in enumerate(kinds):
        spans = [
            (fault["at_s"], max(SHORTEST_S, (fault["until_s"] or fault["at_s"]) - fault["at_s"]))
            for fault in told["time_line"]
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
