"""Trains the convolutional network from the same digits and pictures as the compact machine, in stages that are kept.

split      hold out the same last sixth of the digits as `engine.training.fit.train`: it is for measuring alone
set aside  of the others, the last ones: temperature and thresholds are chosen on them, and on newly drawn digits
disturb, hands, negatives
           the same pictures as for the compact machine: stages of a work folder serve both trainings
learn      fit the network; it goes on with the epoch at which it was stopped
reject     fit the reject head
calibrate, save
           as for the compact machine, but nothing is chosen on the digits that the figures are measured on
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import tensorflow as tf
from rich.progress import Progress
from threadpoolctl import threadpool_limits

from engine.model.compact import reject_arrays, reject_of
from engine.model.onnx.predictor import OnnxModel
from engine.model.store import Model
from engine.model.svm import Floats
from engine.training.cnn.export import to_onnx
from engine.training.cnn.kept import Kept
from engine.training.cnn.learn import CnnPlan, fit
from engine.training.cnn.save import Chosen, opened, save
from engine.training.data.labelled import Labelled
from engine.training.fit.code import code
from engine.training.fit.learn import Plan, Pools
from engine.training.fit.other_hands import held_out_hands
from engine.training.fit.reject import fit_reject
from engine.training.fit.stages import Arrays, Stages, fingerprint
from engine.training.fit.train import (
    Pictures,
    Settings,
    disturbed_of,
    examples_of,
    labelled,
    make_negatives,
    make_pictures,
    positives,
    split,
)
from engine.training.hands.folder import Hands
from engine.training.hands.samples import Copies, run, training_jobs
from engine.training.parallel import in_parts

_SET_ASIDE: Final = 1 / 20  # of the digits that are not held out
_DRAWN_TO_CHOOSE: Final = 40  # pictures of each variant
_CHOICE_SEED: Final = 30_000  # training starts from small seeds, and the card's pictures from 10,000 and 20,000
_REJECT_EPOCHS: Final = 24  # each costs a reading of all pictures


@dataclass(frozen=True, slots=True)
class CnnSettings:
    """The parameters of a training."""

    name: str = "digits-cnn"
    version: str = "1.0.0"
    plan: CnnPlan = field(default_factory=CnnPlan)

    def amounts(self, digits: int) -> Settings:
        """Return how many pictures are made: as many as for the compact machine."""
        return Settings(self.name, self.version, Plan(seed=self.plan.seed)).scaled(digits)


def train(
    data: Labelled, hands: Hands | None, settings: CnnSettings, *, folder: Path, work: Path, bars: Progress
) -> Model:
    """Train a network and save it as a model; the parameters are those of `engine.training.fit.train.train`."""
    learned, held_out = split(data)
    amounts = settings.amounts(len(learned))
    stages = Stages(work)
    with threadpool_limits(1, "blas"):
        pictures = make_pictures(learned, hands, amounts, stages, bars)
        learnt = fingerprint(
            pictures.made_from, asdict(settings.plan), code("engine.training.cnn.learn"), tf.__version__
        )
        kept = Kept(work / "cnn-epoch.npz", learnt)
        first = _first_set_aside(learned)
        pools = _pools(learned, pictures, amounts)
        weights = stages.run(
            "cnn", learnt, lambda: _learn(learned.part(slice(0, first)), pools, settings.plan, kept, bars)
        )
        content = to_onnx(weights, settings.plan.shape)
        against, refused = make_negatives(learned, amounts, stages, bars)
        rejecting = fingerprint(learnt, refused, code("engine.training.fit.reject"), _REJECT_EPOCHS)

        def reject() -> Arrays:
            bar = bars.add_task("reject", total=_REJECT_EPOCHS, note="")
            model, digits = opened(content), positives(learned.part(slice(0, first)), pictures)
            judge = _in_parallel(model)
            return reject_arrays(
                fit_reject(judge, digits, examples_of(against), lambda: bars.advance(bar), _REJECT_EPOCHS)
            )

        head = reject_of(stages.run("cnn-reject", rejecting, reject))
        aside = learned.part(slice(first, None))
        chosen = Chosen(aside, _drawn(settings.plan.seed, amounts, bars))
        measured = held_out_hands(hands, amounts.held_out_each, bars)
        about = _for_manifest(settings, amounts)
        return save(opened(content, head), chosen, held_out=held_out, hands=measured, settings=about, folder=folder)


def _first_set_aside(learned: Labelled) -> int:
    return len(learned) - max(1, round(_SET_ASIDE * len(learned)))


def _pools(learned: Labelled, pictures: Pictures, amounts: Settings) -> Pools:
    """Return the pictures to learn from, without disturbed ones of the digits that are set aside."""
    disturbed = labelled(pictures.disturbed)
    chosen = disturbed_of(learned, amounts)
    is_learned = np.tile(chosen < _first_set_aside(learned), len(disturbed) // max(1, len(chosen)))
    return Pools(disturbed.part(np.flatnonzero(is_learned)), labelled(pictures.hands))


def _learn(learned: Labelled, pools: Pools, plan: CnnPlan, kept: Kept, bars: Progress) -> Arrays:
    """Fit the network."""
    bar = bars.add_task("learn", total=plan.epochs, note="")

    def progress(done: int, loss: float) -> None:
        bars.update(bar, completed=done, note=f"loss {loss:.4f}")

    return dict(fit(learned, pools, plan, kept, progress))


def _in_parallel(model: OnnxModel) -> Any:
    """Return what computes the network's scores of many digits, on all cores."""

    def judge(digits: Floats, _: Floats) -> Floats:
        scores = np.empty((len(digits), len(model.labels)), np.float32)

        def fill(part: slice) -> None:
            scores[part] = model.first_scores(digits[part])

        in_parts(fill, len(digits))
        return scores

    return judge


def _drawn(seed: int, amounts: Settings, bars: Progress) -> Labelled:
    """Draw digits of the learned variants again: other pictures than those that were learned."""
    copies = Copies(variant=min(_DRAWN_TO_CHOOSE, amounts.copies.variant))
    jobs = training_jobs(None, copies, _CHOICE_SEED + seed)
    bar = bars.add_task("drawn to choose by", total=len(jobs), note="")
    made = run(jobs, lambda: bars.advance(bar))
    return labelled({"digits": made.samples.digits, "labels": made.labels})


def _for_manifest(settings: CnnSettings, amounts: Settings) -> dict[str, Any]:
    return {**asdict(amounts), "plan": asdict(settings.plan)}
