"""Trains a model from labelled digits, in stages whose results are kept.

split      hold out the last sixth of the digits, for choosing thresholds and for measuring
disturb    normalise disturbed pictures of the other digits by the canvas
learn      fit the compact machine to clean and disturbed digits
reject     fit the eleventh machine against pictures without a digit
calibrate  choose the temperature and the two thresholds on the held-out digits
save       write the model and its manifest, which states the effect of the thresholds

The saved machine is the measured one: it is not trained again on the held-out digits.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.progress import Progress
from threadpoolctl import threadpool_limits

from engine.model import compact
from engine.model import store as model
from engine.model.compact import machine_of
from engine.model.reference_digits import draw_reference_digits
from engine.model.store import Model, Thresholds
from engine.model.svm import DIGITS, Floats, Machine
from engine.training.data.disturb import DISTURBANCES, disturb
from engine.training.data.labelled import Labelled
from engine.training.data.negatives import KINDS
from engine.training.data.samples import (
    Samples,
    count_parts,
    disturbed_samples,
    negative_samples,
    png,
    prepare,
    prepare_in_parallel,
)
from engine.training.fit.calibrate import fit_temperature, threshold_for_share
from engine.training.fit.learn import Plan, fit
from engine.training.fit.reject import EPOCHS, Examples, fit_reject
from engine.training.fit.stages import Arrays, Stages, arrays_of, fingerprint
from engine.training.parallel import describe
from engine.training.report.evaluate import judge

_LEARNED_PART = 5 / 6
_UNSURE_AS_NO_DIGIT = 0.006  # of the clean digits; with the next share below the 1 % that may be unsure
_UNSURE_AS_DOUBTFUL = 0.0025


@dataclass(frozen=True, slots=True)
class Settings:
    """The parameters of a training."""

    name: str = "digits"
    version: str = "1.0.0"
    plan: Plan = field(default_factory=Plan)
    disturbed: int = 20_000
    """Number of digits that are disturbed, each once for every slot of `SLOTS`."""
    negatives: int = 8_000
    """Number of pictures without a digit, of each kind."""

    def scaled(self, digits: int) -> Settings:
        """Limit the sizes by the number of training digits."""
        centres = min(self.plan.centres, max(2 * DIGITS, digits // 4))
        return replace(
            self,
            plan=replace(self.plan, centres=centres),
            disturbed=min(self.disturbed, digits),
            negatives=min(self.negatives, digits),
        )


def split(data: Labelled) -> tuple[Labelled, Labelled]:
    """Return the training digits and the held-out digits."""
    learned = round(_LEARNED_PART * len(data))
    return data.part(slice(0, learned)), data.part(slice(learned, None))


def train(data: Labelled, settings: Settings, folder: Path, work: Path, bars: Progress) -> Model:
    """Train a model and save it.

    Parameters
    ----------
    data
        Labelled digits; the last sixth is held out.
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
    seed = settings.plan.seed
    probe = _probe()
    origin = fingerprint(learned.digits, learned.labels, probe.digits, probe.evidence, settings.disturbed, seed)
    # One thread for BLAS: its products are too small to divide, and waiting threads would use the processor.
    with threadpool_limits(1, "blas"):
        disturbed = stages.run("disturbed", origin, lambda: _disturb(learned, settings, bars))
        learnt = fingerprint(origin, asdict(settings.plan))
        machine = machine_of(stages.run("machine", learnt, lambda: _learn(learned, disturbed, settings.plan, bars)))
        against = stages.run(
            "negatives", fingerprint(origin, settings.negatives), lambda: _negatives(learned, settings, bars)
        )
        rejecting = fingerprint(learnt, settings.negatives)
        rejected = stages.run("reject", rejecting, lambda: _reject(machine, learned, disturbed, against, bars))
        machine = machine_of(rejected)
        return _save(machine, held_out, settings, folder)


def _probe() -> Samples:
    """Normalise a few pictures of every kind: if the canvas changes, they change, and so does every fingerprint."""
    random = np.random.default_rng(0)
    return prepare([picture for kind in DISTURBANCES for picture in disturb(kind, draw_reference_digits(), random)])


def _disturb(learned: Labelled, settings: Settings, bars: Progress) -> Arrays:
    """Normalise disturbed pictures of some of the digits, once for each slot."""
    chosen = np.random.default_rng(settings.plan.seed).permutation(len(learned))[: settings.disturbed]
    bar = bars.add_task("disturb", total=count_parts(len(chosen)), note="")
    samples = disturbed_samples(_pixels(learned.part(chosen)), settings.plan.seed, lambda: bars.advance(bar))
    labels = np.tile(learned.labels[chosen], len(samples.digits) // max(1, len(chosen)))
    return {"digits": samples.digits, "evidence": samples.evidence, "labels": labels}


def _learn(learned: Labelled, disturbed: Arrays, plan: Plan, bars: Progress) -> Arrays:
    """Fit the ten machines."""
    bar = bars.add_task("learn", total=plan.epochs, note="")

    def progress(_: int, loss: float) -> None:
        bars.update(bar, advance=1, note=f"loss {loss:.4f}")

    machine = fit(learned, Labelled(_ink(disturbed["digits"]), disturbed["labels"]), plan, progress)
    return arrays_of(machine)


def _negatives(learned: Labelled, settings: Settings, bars: Progress) -> Arrays:
    """Normalise pictures without a digit, and with several."""
    bar = bars.add_task("negatives", total=len(KINDS), note="")
    pixels, samples = _pixels(learned), []
    for number, kind in enumerate(KINDS):
        samples.append(negative_samples(kind, settings.negatives, "train", pixels, (settings.plan.seed, number)))
        bars.advance(bar)
    return {
        "digits": np.concatenate([part.digits for part in samples]),
        "evidence": np.concatenate([part.evidence for part in samples]),
    }


def _reject(machine: Machine, learned: Labelled, disturbed: Arrays, against: Arrays, bars: Progress) -> Arrays:
    """Fit the eleventh machine to clean and disturbed digits against all negatives."""
    bar = bars.add_task("reject", total=EPOCHS, note="")
    chosen = np.random.default_rng(0).permutation(len(learned))[: len(disturbed["labels"]) // 2]
    clean = prepare_in_parallel([png(digit) for digit in _pixels(learned.part(chosen))])
    positive = Examples(_ink(clean.digits), clean.evidence).joined(
        Examples(_ink(disturbed["digits"]), disturbed["evidence"])
    )
    negative = Examples(_ink(against["digits"]), against["evidence"])
    return arrays_of(fit_reject(machine, positive, negative, lambda: bars.advance(bar)))


def _save(machine: Machine, held_out: Labelled, settings: Settings, folder: Path) -> Model:
    """Calibrate on the held-out digits, and save the model with the figures measured on them."""
    samples = prepare_in_parallel([png(digit) for digit in _pixels(held_out)])
    features = describe(_ink(samples.digits))
    scores = machine.scores(features)
    machine = replace(machine, temperature=fit_temperature(scores[:, :DIGITS], held_out.labels))
    machine = machine_of(compact.to_arrays(machine))  # measure the rounded values that the file holds
    decision = machine.decide(features, samples.evidence)
    confidence = decision.probabilities.max(axis=1)
    thresholds = Thresholds(
        confidence=threshold_for_share(confidence, _UNSURE_AS_DOUBTFUL),
        digitness=threshold_for_share(decision.digitness, _UNSURE_AS_NO_DIGIT),
    )
    figures = judge([decision], thresholds, held_out.labels).figures()
    about = {
        "kind": compact.KIND,
        "name": settings.name,
        "version": settings.version,
        "settings": asdict(settings),
        "thresholds": {
            **asdict(thresholds),
            "coverage_pct": round(100 - figures["unsure_pct"], 4),
            "error_pct_recognised": figures["error_pct_recognised"],
        },
        "held_out": figures,
    }
    return model.save(folder, compact.to_arrays(machine), thresholds, about)


def _pixels(data: Labelled) -> NDArray[np.uint8]:
    return np.rint(data.digits * 255).astype(np.uint8)


def _ink(pixels: NDArray[np.uint8]) -> Floats:
    return pixels.astype(np.float32) / np.float32(255)
