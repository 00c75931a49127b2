"""When the group has last confirmed a member, and who the member is."""

from __future__ import annotations

import sys
import time
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import TopicPartition

from transport.errors import OwnershipLost
from transport.group.membership import Membership, boot_clock_s

SESSION_S = 10.0
PARTITION = TopicPartition("requests", 0)


class Group:
    """Counts heartbeats; stands in for consumer, coordinator and subscription, and for the clock."""

    def __init__(self) -> None:
        self.now_s = 1_000.0
        self.beats = 0
        self.done: list[tuple[str, TopicPartition]] = []
        self.answers: list[bool] = []
        self.takes_s = 0.0
        self.group_id, self.generation, self.member_id = "digits", 1, "member-1"
        self._group_instance_id: str | None = None
        self._coordinator = self
        self._subscription = SimpleNamespace(subscription=None)

    async def _do_heartbeat(self) -> bool:
        self.beats += 1
        self.now_s += self.takes_s
        return self.answers.pop(0) if self.answers else True

    def pause(self, partition: TopicPartition) -> None:
        self.done.append(("pause", partition))

    def seek(self, partition: TopicPartition, _: int) -> None:
        self.done.append(("seek", partition))

    def need_rejoin(self, _: Any) -> bool:
        return False


def joined() -> tuple[Group, Membership]:
    group = Group()
    return group, Membership(group, clock=lambda: group.now_s)


@pytest.mark.skipif(sys.platform != "linux", reason="others have no such clock")
def test_its_clock_goes_on_while_the_machine_is_suspended() -> None:
    before_s = time.clock_gettime(time.CLOCK_BOOTTIME)
    assert before_s <= boot_clock_s() <= time.clock_gettime(time.CLOCK_BOOTTIME)


async def test_the_clients_own_heartbeats_count_from_when_they_were_sent() -> None:
    group, membership = joined()
    group.takes_s = 3.0
    assert await group._do_heartbeat()
    group.now_s += 4.0
    assert membership.since_contact_s == 7.0


async def test_a_heartbeat_that_is_refused_is_none() -> None:
    group, membership = joined()
    group.answers = [False, True]
    await membership.wait_for_heartbeat()
    assert group.beats == 2


async def test_an_assignment_counts_as_contact() -> None:
    group, membership = joined()
    assert membership.since_contact_s > SESSION_S
    membership.note_assignment([PARTITION])
    group.now_s += 2.0
    assert group.done == [("pause", PARTITION), ("seek", PARTITION)], "the client fetches nothing by itself"
    assert membership.since_contact_s == 2.0


async def test_a_member_has_the_present_generation_and_is_none_without_one() -> None:
    group, membership = joined()
    group.generation = 7
    assert membership.member() == ("digits", 7, "member-1", None)
    group._group_instance_id = "pod-0"
    assert membership.member().instance_id == "pod-0"
    group.generation = -1
    with pytest.raises(OwnershipLost, match="removed this member"):
        membership.member()
