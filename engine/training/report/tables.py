"""The tables of the model card, as Markdown, from the figures of `engine.training.report.figures`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from engine.training.report.figures import Figures
from engine.training.report.measure import TITLES


def of_readings(readings: Mapping[str, Figures], first: str = "kind") -> str:
    """Lay out a line for each kind of pictures."""
    rows = [
        [
            kind.replace("_", " "),
            f"{one['n']:,}",
            _percent(one["error_pct"]),
            _interval(one["error_pct_interval"]),
            _percent(one["unsure_pct"]),
            _percent(one["right_recognised_pct"]),
        ]
        for kind, one in readings.items()
    ]
    return table([first, "n", "wrong", "95 % interval", "unsure", "right and recognised"], rows)


def of_one(figures: Figures) -> str:
    """Lay out all figures of one kind, each with its interval."""
    rows = [
        [title, f"{figures[key]:,}", ""]
        if key == "n"
        else [title, _percent(figures[key]), _interval(figures[f"{key}_interval"])]
        for key, title in TITLES.items()
    ]
    return table(["figure", "value", "95 % interval"], rows)


def of_rejects(kinds: Mapping[str, Figures]) -> str:
    """Lay out a line for each kind of pictures without a digit."""
    rows = [
        [
            kind,
            f"{figures['n']:,}",
            f"{figures['auroc']:.4f}",
            _percent(figures["recognised_pct"]),
            _interval(figures["recognised_pct_interval"]),
            _percent(figures["recognised_learned_pct"]),
        ]
        for kind, figures in kinds.items()
    ]
    return table(["kind", "n", "AUROC", "recognised, never learned", "95 % interval", "recognised, learned"], rows)


def of_answers(shares: Sequence[Figures]) -> str:
    """Lay out a line for each share of pictures without a digit."""
    rows = [
        [f"{row['foreign_pct']} %", f"{row['n']:,}", _percent(row["ece_pct"]), _percent(row["right_above_90_pct"])]
        for row in shares
    ]
    return table(["no digit", "n", "calibration error", "right of those with 0.9 or more"], rows)


def of_costs(us_per_image: Mapping[str, Mapping[str, float]]) -> str:
    """Lay out a line for each kind of pictures, a column for each step."""
    columns = list(next(iter(us_per_image.values())))
    rows = [[name, *(f"{costs[column]:.1f}" for column in columns)] for name, costs in us_per_image.items()]
    return table(["pictures", *columns], rows)


def table(head: list[str], rows: list[list[str]]) -> str:
    """Lay out a table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def _percent(value: float | None) -> str:
    return "" if value is None else f"{value:.2f} %"


def _interval(interval: Sequence[float] | None) -> str:
    return "" if interval is None else f"{interval[0]:.2f} to {interval[1]:.2f} %"
