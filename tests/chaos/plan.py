"""Makes a plan of faults from a seed: which faults, where, when and for how long. The same seed gives the same plan.

A few kills come first, each alone, so that the time until work goes on can be measured. The other faults are in four
tracks. The faults of a track follow each other, because two brokers must not be down at once and some instance must
be left to take over. The tracks are independent, so faults of different tracks happen at the same time.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final

FULL_MINUTES: Final = 7.0
"""Of the full version, from the first fault to the last."""
FULL_IMAGES: Final = 100_000
MEMBERS: Final = 3
"""Instances, and brokers."""
SESSION_S: Final = 6.0
"""The shortest that brokers allow, so that takeovers are quick."""


class Kind(StrEnum):
    """What can happen."""

    INSTANCE_KILLED = "instance killed"
    INSTANCE_FROZEN = "instance frozen"
    INSTANCE_ZOMBIE = "instance frozen past its session"
    INSTANCES_ROLLED = "instances restarted one by one"
    WORKER_KILLED = "worker killed"
    BROKER_KILLED = "broker killed"
    BROKER_FROZEN = "broker frozen"
    BROKERS_ROLLED = "brokers restarted one by one"
    CONNECTION_STALLED = "connection stalled"
    CONNECTIONS_STALLED = "all connections of a broker stalled"


TRACKS: Final[Mapping[str, tuple[Kind, ...]]] = MappingProxyType(
    {
        "instances": (Kind.INSTANCE_KILLED, Kind.INSTANCE_FROZEN, Kind.INSTANCE_ZOMBIE, Kind.INSTANCES_ROLLED),
        "workers": (Kind.WORKER_KILLED,),
        "brokers": (Kind.BROKER_KILLED, Kind.BROKER_FROZEN, Kind.BROKERS_ROLLED),
        "connections": (Kind.CONNECTION_STALLED, Kind.CONNECTIONS_STALLED),
    }
)
FULL_COUNTS: Final[Mapping[Kind, int]] = MappingProxyType(
    {
        Kind.INSTANCE_KILLED: 21,
        Kind.INSTANCE_FROZEN: 5,
        Kind.INSTANCE_ZOMBIE: 4,
        Kind.INSTANCES_ROLLED: 2,
        Kind.WORKER_KILLED: 30,
        Kind.BROKER_KILLED: 21,
        Kind.BROKER_FROZEN: 5,
        Kind.BROKERS_ROLLED: 2,
        Kind.CONNECTION_STALLED: 12,
        Kind.CONNECTIONS_STALLED: 6,
    }
)
ALONE: Final = (Kind.INSTANCE_KILLED, Kind.WORKER_KILLED, Kind.BROKER_KILLED)
FULL_ROUNDS: Final = 2
"""Of kills that come alone, one after the other."""
ROUND_S: Final = 25.0
"""What a round takes."""
LENGTHS_S: Final[Mapping[Kind, tuple[float, float]]] = MappingProxyType(
    {
        Kind.INSTANCE_KILLED: (0.0, 2.0),  # until it is started again
        Kind.INSTANCE_FROZEN: (0.2, SESSION_S - 2),
        Kind.INSTANCE_ZOMBIE: (SESSION_S + 2, SESSION_S + 6),
        Kind.BROKER_KILLED: (0.0, 2.0),
        Kind.BROKER_FROZEN: (0.5, 7.0),  # the cluster gives it up after 3 s
        Kind.CONNECTION_STALLED: (0.5, 12.0),
        Kind.CONNECTIONS_STALLED: (0.5, 12.0),
    }
)


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that will happen."""

    kind: Kind
    at_s: float
    """Seconds since its track began; later if the track is late."""
    target: int
    """Which instance or broker, from 0."""
    length_s: float
    which: float
    """Which of the target's workers or connections, from 0 (the first) to below 1."""


def dice(seed: int, about: str) -> random.Random:
    """Return a random generator for one part of a run, so that no part depends on the timing of another."""
    return random.Random(f"{seed} {about}")  # noqa: S311  # it has to be repeatable, not secret


def counts(minutes: float) -> dict[Kind, int]:
    """Return how often each kind happens in a run of this length: at least once."""
    return {kind: max(1, round(count * minutes / FULL_MINUTES)) for kind, count in FULL_COUNTS.items()}


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything that will happen."""

    alone: list[Fault]
    """One after the other, each when all is well again."""
    tracks: dict[str, list[Fault]]
    """After these, side by side, each in order of time."""

    @property
    def faults(self) -> list[Fault]:
        """All of them."""
        return [*self.alone, *(fault for track in self.tracks.values() for fault in track)]


def plan(seed: int, minutes: float) -> Plan:
    """Draw all faults of a run."""
    chance, left = dice(seed, "faults"), counts(minutes)
    rounds = max(1, round(FULL_ROUNDS * minutes / FULL_MINUTES))
    alone = [_fault(kind, 0.0, chance) for _ in range(rounds) for kind in chance.sample(ALONE, len(ALONE))]
    tracks_s = max(0.0, minutes * 60 - rounds * ROUND_S)
    tracks = {}
    for track, possible in TRACKS.items():
        kinds = [kind for kind in possible for _ in range(left[kind] - rounds * (kind in ALONE))]
        chance.shuffle(kinds)
        times_s = sorted(chance.uniform(0, tracks_s) for _ in kinds)
        tracks[track] = [_fault(kind, at_s, chance) for kind, at_s in zip(kinds, times_s, strict=True)]
    return Plan(alone, tracks)


def _fault(kind: Kind, at_s: float, chance: random.Random) -> Fault:
    length_s = chance.uniform(*LENGTHS_S.get(kind, (0.0, 0.0)))
    return Fault(kind, at_s, chance.randrange(MEMBERS), length_s, chance.random())
