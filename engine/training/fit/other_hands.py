"""The stages of the training that concern other hands: their pictures for training, and those that are held out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict

from rich.progress import Progress

from engine.training.fit.code import code
from engine.training.fit.stages import Arrays, fingerprint
from engine.training.hands.folder import Hands
from engine.training.hands.samples import Copies, HandSamples, held_out_jobs, run, training_jobs


def fingerprint_of_hands(hands: Hands | None, copies: Copies, seed: int) -> str:
    """Hash what the pictures of other hands are made from, as `write_hands` gets it, and the code that makes them."""
    given = [] if hands is None else [hands.scans.bitmaps, hands.scans.labels, hands.tracks.points, hands.tracks.labels]
    made_by = code("engine.training.hands.samples", apart_from="engine.training.data.negatives")
    return fingerprint(*given, asdict(copies), seed, made_by)


def write_hands(hands: Hands | None, copies: Copies, seed: int, bars: Progress) -> Arrays:
    """Make and normalise the pictures of other hands for training.

    Parameters
    ----------
    hands
        Their last sixth is not used; None for drawn digits alone.
    copies
        How many pictures.
    seed
        Seed of all random choices.
    bars
        Show the progress.
    """
    jobs = training_jobs(hands.learned() if hands else None, copies, seed)
    bar = bars.add_task("hands", total=len(jobs), note="")
    made = run(jobs, lambda: bars.advance(bar))
    return {"digits": made.samples.digits, "evidence": made.samples.evidence, "labels": made.labels}


def held_out_hands(hands: Hands | None, each: int, bars: Progress) -> Mapping[str, HandSamples]:
    """Make and normalise the held-out pictures of other hands, by their kind.

    Parameters
    ----------
    hands
        Only their last sixth is used; None for drawn digits alone.
    each
        Number of pictures of each variant.
    bars
        Show the progress.
    """
    kinds = held_out_jobs(hands.held_out() if hands else None, each)
    bar = bars.add_task("held-out hands", total=sum(map(len, kinds.values())), note="")
    return {kind: run(jobs, lambda: bars.advance(bar)) for kind, jobs in kinds.items()}
