"""The model card: every figure measured in the run that writes it, none typed by hand."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from engine.model.classifier import Classifier
from engine.model.onnx.predictor import KIND as ONNX
from engine.training.fit.calibrate import FOREIGN_SHARE
from engine.training.report import tables, words
from engine.training.report.figures import Figures, figures_of
from engine.training.report.plots import draw_all
from engine.training.report.trial import Trial
from engine.training.scenes.kinds import SCENES

CARD, FIGURES = "card.md", "figures.json"


def write_card(classifier: Classifier, trial: Trial, speed: dict[str, Any] | None, folder: Path) -> Path:
    """Write `card.md`, its pictures and `figures.json` into the model's folder.

    Parameters
    ----------
    classifier
        The model.
    trial
        What was measured.
    speed
        What `benchmark` measured; None leaves the section out.
    folder
        Of the model.
    """
    pictures = draw_all(trial, folder)
    figures = figures_of(trial, speed)
    (folder / FIGURES).write_bytes(msgspec.json.format(msgspec.json.encode(figures), indent=2) + b"\n")
    sections = [
        *_about(classifier),
        *_summary(figures),
        *_digits(figures, classifier.manifest),
        *_hands(figures),
        *_others(figures),
        *_speed(figures["speed"]),
        *_ending(pictures),
    ]
    card = folder / CARD
    card.write_text("\n".join(sections), encoding="utf-8")
    return card


def _about(classifier: Classifier) -> list[str]:
    """Say which model this is, what it has learned from, and how it reads."""
    info, about = classifier.info, classifier.manifest
    settings, plan = about["settings"], about["settings"]["plan"]
    counts = {
        "epochs": plan["main"]["epochs"],
        "last_epochs": plan["finish"]["epochs"],
        "negatives": settings["negatives"],
        "of_characters": settings.get("characters", settings["negatives"]),
        "hidden": about["hidden"],
    }
    if about["kind"] == ONNX:
        split, method = words.SPLIT_CNN, words.METHOD_CNN.format(units=plan["shape"]["hidden"], **counts)
    else:
        split = words.SPLIT
        method = words.METHOD.format(directions=plan["directions"], centres=plan["centres"], **counts)
    return [
        f"# Model card: {info.name} {info.version}\n",
        f"Written by `make card`. sha256 of the arrays: `{info.sha256}`, {about['bytes']:,} bytes.\n",
        "## Data\n",
        words.DATA.format(split=split, disturbed=settings["disturbed"], scenes=len(SCENES)),
        "## Method\n",
        method,
    ]


def _summary(figures: Figures) -> list[str]:
    characters = figures["characters_never_learned"]
    return [
        "## In short\n",
        tables.of_readings(figures["summary"], "pictures"),
        words.SUMMARY.format(
            clean_ece=figures["clean"]["ece_pct"],
            hands_ece=figures["hands_together"]["ece_pct"],
            characters=characters["n"],
            passed=characters["recognised_pct"],
        ),
    ]


def _digits(figures: Figures, about: Mapping[str, Any]) -> list[str]:
    """Show how MNIST's held-out digits are read: clean, disturbed, and in scenes."""
    return [
        "## Clean digits\n",
        tables.of_one(figures["clean"]),
        words.THRESHOLDS.format(**about["thresholds"]),
        "## Robustness\n",
        "Held-out digits, disturbed by `engine/training/data/disturb.py`, read from encoded bytes.\n",
        tables.of_readings(figures["robustness"]),
        "## Scenes\n",
        words.SCENES,
        tables.of_readings(figures["scene_groups"], "group"),
        tables.of_readings(figures["scenes"], "scene"),
    ]


def _hands(figures: Figures) -> list[str]:
    """Show how the digits of other hands are read: by writer, picture, digit and variant."""
    digits = {f"all variants of {name}": one for name, one in figures["drawn_digits"].items() if name.isdigit()}
    variants = {kind: one for kind, one in figures["hands"].items() if kind[0].isdigit()}
    return [
        "## Other hands\n",
        words.HANDS,
        tables.of_readings(figures["writers"], "writers"),
        words.DRAWN,
        tables.of_readings(figures["drawn_as"], "drawn digits"),
        tables.of_readings(digits, "drawn digits"),
        tables.of_readings(variants, "variant"),
        "All other hands together:\n",
        tables.of_one(figures["hands_together"]),
    ]


def _others(figures: Figures) -> list[str]:
    """Show how pictures without a digit are answered, and what the confidence is worth with them."""
    return [
        "## No digit\n",
        words.NO_DIGIT,
        tables.of_rejects(figures["reject"]),
        "## Confidence of all answers\n",
        words.ALL_ANSWERS.format(foreign=FOREIGN_SHARE),
        tables.of_answers(figures["all_answers"]),
        "## Files\n",
        words.FILES,
    ]


def _speed(speed: Figures | None) -> list[str]:
    """Show the cost of reading; nothing if it was not measured."""
    if speed is None:
        return []
    return ["## Speed\n", words.SPEED.format(**speed), tables.of_costs(speed["us_per_image"])]


def _ending(pictures: list[str]) -> list[str]:
    return [
        "## Pictures\n",
        *(f"![{name.removesuffix('.png')}]({name})\n" for name in pictures),
        "In the pictures of the wrong readings, those marked ! were not unsure.\n",
        "## Limits of use\n",
        words.LIMITS,
        "## Sources\n",
        words.SOURCES,
    ]
