"""Every figure of the model card, as `figures.json` has them: the card shows no other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from engine.training.data.negatives.kinds import CHARACTERS
from engine.training.report.measure import Judged, joined
from engine.training.report.trial import HandReadings, Trial
from engine.training.scenes.kinds import GROUPS

Figures = dict[str, Any]
"""Of `Judged.figures`, or of one table."""

_WRITERS: Final[Mapping[str, str]] = {
    "scans": "Turkey, scans of 32 px",
    "scans of 8 px": "Turkey, the same scans reduced to 8 px",
    "pen tracks": "Turkey, pen tracks",
}
_DRAWN_AS: Final[Mapping[str, str]] = {
    "painted": "as in Paint: about 28 px, black and white",
    "on_screen": "any size from 28 px, two shades of grey",
    "as_mnist": "drawn large, reduced as MNIST's digits were",
    "as_scanned": "stretched and coarse, as by another scanner",
}
_UPSTROKE: Final = "upstroke"


def figures_of(trial: Trial, speed: Figures | None) -> Figures:
    """Compute the figures of a trial.

    Parameters
    ----------
    trial
        What was measured.
    speed
        What `benchmark` measured, if it did.
    """
    clean, other_format = trial.clean.figures(), trial.other_format.figures()
    hands = _each(trial.hands.kinds)
    groups = _each(scene_groups(trial.scenes.kinds))
    drawn = _each(drawn_digits(trial.hands))
    writers = {"United States, MNIST's digits held out": clean}
    writers |= {title: hands[kind] for kind, title in _WRITERS.items() if kind in hands}
    writers["Turkey, scikit-learn's 8x8 digits"] = other_format
    return {
        "summary": writers | {"drawn digits": drawn["all"], "1 with upstroke, all variants": drawn[_UPSTROKE]} | groups,
        "clean": clean,
        "robustness": _each(trial.robustness),
        "scenes": _each(trial.scenes.kinds),
        "scene_groups": groups,
        "other_format": other_format,
        "writers": writers,
        "hands": hands,
        "hands_together": joined(trial.hands.kinds.values()).figures(),
        "drawn_as": _each(drawn_as(trial.hands)),
        "drawn_digits": drawn,
        "reject": trial.foreign.figures(trial.digitness),
        "characters_never_learned": trial.foreign.never_learned(CHARACTERS),
        "all_answers": trial.foreign.calibration(joined([trial.clean, *trial.robustness.values()])),
        "speed": speed,
    }


def scene_groups(scenes: Mapping[str, Judged]) -> dict[str, Judged]:
    """Join the scenes of each group."""
    return {group: joined(scenes[kind] for kind in kinds) for group, kinds in GROUPS.items()}


def drawn_digits(hands: HandReadings) -> dict[str, Judged]:
    """Join the variants of each digit, those of a 1 with an upstroke, and all of them."""
    variants = {kind: judged for kind, judged in hands.kinds.items() if kind not in _WRITERS}
    groups = {digit: [judged for kind, judged in variants.items() if kind[0] == digit] for digit in "0123456789"}
    groups[_UPSTROKE] = [judged for kind, judged in variants.items() if _UPSTROKE in kind]
    return {name: joined(group) for name, group in groups.items()} | {"all": joined(variants.values())}


def drawn_as(hands: HandReadings) -> dict[str, Judged]:
    """Sort the readings of all variants by how their pictures were made."""
    everything = joined(hands.kinds.values())
    of_variant = np.repeat(
        [kind not in _WRITERS for kind in hands.kinds], [len(judged.labels) for judged in hands.kinds.values()]
    )
    return {title: everything.part(of_variant & (hands.drawn_as == name)) for name, title in _DRAWN_AS.items()}


def _each(judged: Mapping[str, Judged]) -> dict[str, Figures]:
    return {kind: one.figures() for kind, one in judged.items()}
