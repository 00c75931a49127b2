"""Models side by side, as Markdown: the figures of their cards in common tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from engine.model.files import MANIFEST
from engine.training.report.card import FIGURES
from engine.training.report.figures import Figures
from engine.training.report.tables import table

_ABOUT: Final = """\
# The models, side by side

`digit-engine cards MODEL ...` writes this page from the `figures.json` of each model, which `digit-engine card` has
measured: nothing here is typed by hand. The cards have the intervals, and say what the pictures are. A service reads
with `models/digits` unless `DIGITS_MODEL` names another.
"""
_LEARNED: Final = (
    "Both have learned from the same digits, pictures and kinds of disturbances; [model.md](model.md) says how."
)
_SPEED: Final = """\
One thread, timed by its processor time, when each card was written: two runs of one model differ by some percent.
"""


class _Card(NamedTuple):
    folder: Path
    manifest: Figures
    figures: Figures

    @property
    def name(self) -> str:
        return f"{self.manifest['name']} {self.manifest['version']}"


def page(folders: Sequence[Path]) -> str:
    """Write the page of models that have a card.

    Parameters
    ----------
    folders
        Of the models. They lie in one folder, `models`.

    Raises
    ------
    OSError
        One has no card.
    """
    cards = [_Card(folder, _read(folder / MANIFEST), _read(folder / FIGURES)) for folder in folders]
    return "\n".join(
        [
            _ABOUT,
            _models(cards),
            _LEARNED,
            "",
            *_readings(cards),
            *_calibration(cards),
            *_rejects(cards),
            *_speed(cards),
        ]
    )


def _models(cards: Sequence[_Card]) -> str:
    rows = [
        [
            f"`{card.folder.name}`",
            card.name,
            "HOG and a support vector machine" if card.manifest["kind"] == "compact" else "convolutional network, ONNX",
            f"{card.manifest['bytes'] / 1e6:.2f} MB",
            f"[card](../models/{card.folder.name}/card.md)",
        ]
        for card in cards
    ]
    return table(["folder", "model", "what", "file", "measured"], rows)


def _readings(cards: Sequence[_Card]) -> list[str]:
    """Errors and unsure readings by kind of hand, scene and disturbance."""
    head = ["pictures", "n", *(f"{card.name}: {what}" for what in ("wrong", "unsure") for card in cards)]

    def rows(section: str) -> list[list[str]]:
        return [
            [
                kind.replace("_", " "),
                f"{one['n']:,}",
                *(_percent(card.figures[section][kind][key]) for key in ("error_pct", "unsure_pct") for card in cards),
            ]
            for kind, one in cards[0].figures[section].items()
        ]

    return [
        "## Hands and scenes\n",
        table(head, rows("summary")),
        "## Robustness\n",
        table(head, rows("robustness")),
    ]


def _calibration(cards: Sequence[_Card]) -> list[str]:
    rows = [
        ["MNIST's digits held out", *(_percent(card.figures["clean"]["ece_pct"]) for card in cards)],
        ["all other hands together", *(_percent(card.figures["hands_together"]["ece_pct"]) for card in cards)],
    ]
    shares = [card.figures["all_answers"] for card in cards]
    for each in zip(*shares, strict=True):
        title = f"all answers, {each[0]['foreign_pct']} % without a digit"
        rows.append([title, *(_percent(one["ece_pct"]) for one in each)])
    return ["## Calibration error\n", table(["pictures", *(card.name for card in cards)], rows)]


def _rejects(cards: Sequence[_Card]) -> list[str]:
    """Pictures without a digit that are recognised as one."""
    rows = [
        [kind, f"{one['n']:,}", *(_percent(card.figures["reject"][kind]["recognised_pct"]) for card in cards)]
        for kind, one in cards[0].figures["reject"].items()
    ]
    passed = [_percent(card.figures["characters_never_learned"]["recognised_pct"]) for card in cards]
    rows.append(["all characters", f"{cards[0].figures['characters_never_learned']['n']:,}", *passed])
    head = ["kind, never learned", "n", *(f"{card.name}: recognised" for card in cards)]
    return ["## No digit\n", table(head, rows)]


def _speed(cards: Sequence[_Card]) -> list[str]:
    if any(card.figures["speed"] is None for card in cards):
        return []
    costs: list[Mapping[str, Mapping[str, float]]] = [card.figures["speed"]["us_per_image"] for card in cards]
    rows = [[kind, *(f"{each[kind]['whole']:.1f}" for each in costs)] for kind in costs[0]]
    rows.append(["images/s, batches of 256", *(f"{card.figures['speed']['images_per_s_core']:,}" for card in cards)])
    return ["## Speed\n", _SPEED, table(["µs an image, whole", *(card.name for card in cards)], rows)]


def _read(path: Path) -> Figures:
    read: Figures = msgspec.json.decode(path.read_bytes())
    return read


def _percent(value: float) -> str:
    return f"{value:.2f} %"
