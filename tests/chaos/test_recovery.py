"""Recovery is measured from the right moment to the right result."""

from __future__ import annotations

import pytest

from tests.chaos.instances import Assignment
from tests.chaos.plan import Kind
from tests.chaos.recovery import recoveries, summary
from tests.chaos.timeline import Struck

RESULTS = {0: [1.0, 14.0], 1: [1.0, 13.0, 20.0]}


def first_after(partition: int, at_s: float) -> float | None:
    return next((seen for seen in RESULTS[partition] if seen > at_s), None)


def recovered(*struck: Struck, given: tuple[Assignment, ...] = ()) -> dict[Kind, list[tuple[float, bool]]]:
    found = recoveries(struck, given, first_after)
    return {kind: [(one.took_s, one.alone) for one in each] for kind, each in found.items() if each}


def test_recovery_of_an_instance_counts_from_the_next_generation() -> None:
    killed = Struck(Kind.INSTANCE_KILLED, "", 5.0, 6.0, frozenset({0, 1}))
    given = (Assignment(0.0, frozenset({0, 1})), Assignment(12.5, frozenset({1})), Assignment(12.6, frozenset({0})))
    assert recovered(killed, given=given) == {Kind.INSTANCE_KILLED: [(0.5, True)]}


def test_recovery_of_a_worker_counts_from_the_kill() -> None:
    killed = Struck(Kind.WORKER_KILLED, "", 12.0, 12.0, frozenset({0}))
    assert recovered(killed) == {Kind.WORKER_KILLED: [(2.0, True)]}


def test_recovery_of_a_broker_counts_from_new_leaders_and_coordinators() -> None:
    killed = Struck(Kind.BROKER_KILLED, "", 5.0, 11.0, frozenset({1}), whole_s=8.0)
    assert recovered(killed) == {Kind.BROKER_KILLED: [(5.0, True)]}


@pytest.mark.parametrize(("began_s", "ended_s", "alone"), [(13.5, 15.0, False), (1.0, 11.0, True), (15.0, 16.0, True)])
def test_another_fault_during_the_recovery_is_noted(began_s: float, ended_s: float, alone: bool) -> None:  # noqa: FBT001  # a parameter
    killed = Struck(Kind.WORKER_KILLED, "", 12.0, 12.0, frozenset({0}))
    other = Struck(Kind.BROKER_FROZEN, "", began_s, ended_s)
    assert recovered(killed, other) == {Kind.WORKER_KILLED: [(2.0, alone)]}


def test_a_fault_without_effect_or_recovery_is_not_measured() -> None:
    assert (
        recovered(Struck(Kind.WORKER_KILLED, "", 12.0), Struck(Kind.WORKER_KILLED, "", 30.0, 30.0, frozenset({0})))
        == {}
    )


def test_the_summary_says_how_many_were_above_the_bar() -> None:
    killed = [Struck(Kind.WORKER_KILLED, "", at_s, at_s, frozenset({0})) for at_s in (0.5, 11.0, 13.0)]
    data = summary(recoveries(killed, [], first_after))[str(Kind.WORKER_KILLED)]
    assert (data["measured"], data["median_s"], data["max_s"], data["above_bar"]) == (3, 1.0, 3.0, 1)
