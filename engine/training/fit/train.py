"""Trains a model from labelled digits, in stages whose results are kept.

split      hold out the last sixth of the digits, for choosing thresholds and for measuring
disturb    normalise disturbed pictures of the other digits by the canvas
hands      normalise pictures of other hands: scans, pen tracks, and drawn digits
learn      fit the compact machine to all of them
reject     fit the reject head to all of them, against pictures without a digit
calibrate  choose the temperature on held-out digits of all hands, the thresholds and the presence on those of `split`
save       write the model and its manifest, which states the effect of the thresholds

The saved machine is the measured one: it is not trained again on the held-out digits.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from rich.progress import Progress
from threadpoolctl import threadpool_limits

from engine.model.compact import arrays_of, machine_of
from engine.model.reference_digits import as_ink
from engine.model.store import Model
from engine.model.svm import DIGITS, Floats, Machine
from engine.training.data.labelled import Labelled
from engine.training.data.negatives.kinds import CHARACTERS, KINDS
from engine.training.data.samples import (
    count_parts,
    disturbed_samples,
    negative_samples,
    png,
    prepare_in_parallel,
)
from engine.training.fit.code import code
from engine.training.fit.learn import Plan, Pools, fit
from engine.training.fit.other_hands import fingerprint_of_hands, held_out_hands, write_hands
from engine.training.fit.reject import EPOCHS, Examples, fit_reject
from engine.training.fit.save import save
from engine.training.fit.stages import Arrays, Stages, fingerprint
from engine.training.hands.folder import Hands
from engine.training.hands.samples import Copies

_LEARNED_PART = 5 / 6
_NEGATIVES = "engine.training.data.negatives.kinds"


@dataclass(frozen=True, slots=True)
class Settings:
    """The parameters of a training."""

    name: str = "digits"
    version: str = "1.0.0"
    plan: Plan = field(default_factory=Plan)
    disturbed: int = 15_000
    """Number of digits that are disturbed, each once for every slot of `SLOTS`."""
    negatives: int = 3_000
    """Number of pictures without a digit, of each kind but those of `CHARACTERS`."""
    characters: int = 9_000
    """The same, of each kind of `CHARACTERS`, since these vary the most."""
    copies: Copies = field(default_factory=Copies)
    """Number of pictures of other hands."""
    held_out_each: int = 100
    """Number of pictures of each variant of the drawn digits, for the temperature and the figures."""

    def scaled(self, digits: int) -> Settings:
        """Limit the sizes by the number of training digits."""
        centres = min(self.plan.centres, max(2 * DIGITS, digits // 4))
        return replace(
            self,
            plan=replace(self.plan, centres=centres),
            disturbed=min(self.disturbed, digits),
            negatives=min(self.negatives, digits),
            characters=min(self.characters, digits),
            copies=self.copies.scaled(digits),
            held_out_each=min(self.held_out_each, max(2, digits // 400)),
        )


def split(data: Labelled) -> tuple[Labelled, Labelled]:
    """Return the training digits and the held-out digits."""
    learned = round(_LEARNED_PART * len(data))
    return data.part(slice(0, learned)), data.part(slice(learned, None))


def train(
    data: Labelled, hands: Hands | None, settings: Settings, *, folder: Path, work: Path, bars: Progress
) -> Model:
    """Train a model and save it.

    Parameters
    ----------
    data
        Labelled digits; the last sixth is held out.
    hands
        Digits of other hands, of which the last sixth is held out, too; None to draw them by program alone.
    settings
        Sizes and seeds. The same settings and digits give the same model.
    folder
        The folder for the model.
    work
        The folder for finished stages.
    bars
        Show the progress.
    """
    learned, held_out = split(data)
    settings = settings.scaled(len(learned))
    stages = Stages(work)
    # One thread for BLAS: its products are too small to divide, and waiting threads would use the processor.
    with threadpool_limits(1, "blas"):
        pictures = make_pictures(learned, hands, settings, stages, bars)
        learnt = fingerprint(pictures.made_from, asdict(settings.plan), code("engine.training.fit.learn"))
        machine = machine_of(stages.run("machine", learnt, lambda: _learn(learned, pictures, settings.plan, bars)))
        against, refused = make_negatives(learned, settings, stages, bars)
        rejecting = fingerprint(learnt, refused, code("engine.training.fit.reject"))
        rejected = stages.run("reject", rejecting, lambda: _reject(machine, learned, pictures, against, bars))
        measured = held_out_hands(hands, settings.held_out_each, bars)
        return save(machine_of(rejected), held_out, measured, asdict(settings), folder)


class Pictures(NamedTuple):
    """What is learned beside the clean digits."""

    disturbed: Arrays
    hands: Arrays
    made_from: str
    """The fingerprint of both."""


def make_pictures(
    learned: Labelled, hands: Hands | None, settings: Settings, stages: Stages, bars: Progress
) -> Pictures:
    """Make disturbed digits and those of other hands, or take them from an earlier run."""
    seed = settings.plan.seed
    written = fingerprint_of_hands(hands, settings.copies, seed)
    origin = _origin(learned, settings)
    disturbed = stages.run("disturbed", origin, lambda: _disturb(learned, settings, bars))
    others = stages.run("hands", written, lambda: write_hands(hands, settings.copies, seed, bars))
    return Pictures(disturbed, others, fingerprint(origin, written))


def make_negatives(learned: Labelled, settings: Settings, stages: Stages, bars: Progress) -> tuple[Arrays, str]:
    """Make pictures without a digit, or take them from an earlier run; return also their fingerprint."""
    made_from = fingerprint(_origin(learned, settings), settings.negatives, settings.characters, code(_NEGATIVES))
    against = stages.run("negatives", made_from, lambda: _negatives(learned, settings, bars))
    return against, made_from


def examples_of(pictures: Arrays) -> Examples:
    """Return pictures of a stage as the reject head learns them."""
    return Examples(as_ink(pictures["digits"]), pictures["evidence"])


def positives(learned: Labelled, pictures: Pictures) -> Examples:
    """Return what the reject head learns as digits: some clean ones through the canvas, and all other pictures."""
    disturbed, others = pictures.disturbed, pictures.hands
    chosen = np.random.default_rng(0).permutation(len(learned))[: len(disturbed["labels"]) // 2]
    clean = prepare_in_parallel([png(digit) for digit in _pixels(learned.part(chosen))])
    digits = Examples(as_ink(clean.digits), clean.evidence)
    for pool in (disturbed, others):
        digits = digits.joined(examples_of(pool))
    return digits


def disturbed_of(learned: Labelled, settings: Settings) -> NDArray[np.int64]:
    """Choose which of the digits are disturbed, in the order in which each slot has them."""
    return np.random.default_rng(settings.plan.seed).permutation(len(learned))[: settings.disturbed]


def _origin(learned: Labelled, settings: Settings) -> str:
    """Hash what the disturbed pictures are made from."""
    of_pictures = code("engine.training.data.samples", apart_from="engine.training.data.negatives")
    return fingerprint(learned.digits, learned.labels, settings.disturbed, settings.plan.seed, of_pictures)


def _disturb(learned: Labelled, settings: Settings, bars: Progress) -> Arrays:
    """Normalise disturbed pictures of some of the digits, once for each slot."""
    chosen = disturbed_of(learned, settings)
    bar = bars.add_task("disturb", total=count_parts(len(chosen)), note="")
    samples = disturbed_samples(_pixels(learned.part(chosen)), settings.plan.seed, lambda: bars.advance(bar))
    labels = np.tile(learned.labels[chosen], len(samples.digits) // max(1, len(chosen)))
    return {"digits": samples.digits, "evidence": samples.evidence, "labels": labels}


def _learn(learned: Labelled, pictures: Pictures, plan: Plan, bars: Progress) -> Arrays:
    """Fit the ten machines."""
    bar = bars.add_task("learn", total=plan.epochs, note="")

    def progress(_: int, loss: float) -> None:
        bars.update(bar, advance=1, note=f"loss {loss:.4f}")

    machine = fit(learned, Pools(labelled(pictures.disturbed), labelled(pictures.hands)), plan, progress)
    return arrays_of(machine)


def _negatives(learned: Labelled, settings: Settings, bars: Progress) -> Arrays:
    """Normalise pictures without a digit, and with several."""
    bar = bars.add_task("negatives", total=len(KINDS), note="")
    pixels, samples = _pixels(learned), []
    for number, kind in enumerate(KINDS):
        count = settings.characters if kind in CHARACTERS else settings.negatives
        samples.append(negative_samples(kind, count, "train", pixels, (settings.plan.seed, number)))
        bars.advance(bar)
    return {
        "digits": np.concatenate([part.digits for part in samples]),
        "evidence": np.concatenate([part.evidence for part in samples]),
    }


def _reject(machine: Machine, learned: Labelled, pictures: Pictures, against: Arrays, bars: Progress) -> Arrays:
    """Fit the reject head to clean digits and those of all pools, against all negatives."""
    bar = bars.add_task("reject", total=EPOCHS, note="")

    def judge(_: Floats, features: Floats) -> Floats:
        return machine.scores(features)

    head = fit_reject(judge, positives(learned, pictures), examples_of(against), lambda: bars.advance(bar))
    return arrays_of(replace(machine, reject=head))


def labelled(pool: Arrays) -> Labelled:
    """Return the digits of a stage with their labels."""
    return Labelled(as_ink(pool["digits"]), pool["labels"])


def _pixels(data: Labelled) -> NDArray[np.uint8]:
    return np.rint(data.digits * 255).astype(np.uint8)
