"""The plan is repeatable and has something of everything."""

from __future__ import annotations

import itertools
from collections import Counter

import pytest

from tests.chaos.payloads import Payloads
from tests.chaos.plan import FULL_MINUTES, TRACKS, Kind, counts, dice, plan

KILLS = (Kind.INSTANCE_KILLED, Kind.WORKER_KILLED, Kind.BROKER_KILLED)


def test_a_seed_always_gives_the_same_faults_and_another_seed_others() -> None:
    assert plan(7, 2) == plan(7, 2)
    assert plan(7, 2) != plan(8, 2)


def test_the_full_version_kills_at_least_twenty_of_each() -> None:
    planned = [fault.kind for fault in plan(1, FULL_MINUTES).faults]
    assert all(planned.count(kind) >= 20 for kind in KILLS)


@pytest.mark.parametrize("minutes", [0.1, 2, FULL_MINUTES])
def test_the_faults_of_a_track_are_in_order_of_time(minutes: float) -> None:
    planned = plan(1, minutes)
    assert {fault.kind for fault in planned.faults} == set(Kind)
    assert {fault.kind for fault in planned.alone} == set(KILLS)
    for name, track in planned.tracks.items():
        assert {fault.kind for fault in track} <= set(TRACKS[name])
        assert [fault.at_s for fault in track] == sorted(fault.at_s for fault in track)
        assert all(0 <= fault.at_s <= minutes * 60 for fault in track)
    assert Counter(fault.kind for fault in planned.faults) == counts(minutes)


def test_payloads_are_mixed_and_the_same_for_a_seed() -> None:
    first, again = ([*itertools.islice(Payloads(3).mixed(dice(3, "x")), 16_500)] for _ in range(2))
    assert first == again
    assert any(len(payload.images) > 10 for payload in first)
    codes = {code for payload in first for allowed in payload.images for code in allowed}
    assert {"damaged-image", "empty-record", "damaged-archive", "worker-crashed"} <= codes
