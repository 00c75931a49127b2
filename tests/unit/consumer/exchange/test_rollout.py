"""Which instance exchanges the model next: the owner of partition 0, then one after the other."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import cast

import pytest

from consumer.exchange.rollout import FIRST_PROBATIONS, SILENT_PROBATIONS, Rollout, RolloutUnknown
from contract.records import ModelVersion, Result
from engine.model.files import ModelInfo

OLD, NEW = (ModelInfo("digits", version, version * 64) for version in "12")
PROBATION_S = 300.0
WAIT_S = FIRST_PROBATIONS * PROBATION_S


def result(model: ModelInfo, offset: int) -> Result:
    version = ModelVersion(name=model.name, version=model.version, sha256=model.sha256)
    return cast("Result", SimpleNamespace(model=version, source=SimpleNamespace(offset=offset)))


@dataclass
class Group:
    """The newest result of each partition, the clock, and one instance that asks whether it is next."""

    own: set[int]
    results: dict[int, Result] = field(default_factory=dict)
    now_s: float = 1000.0
    asked: list[int] = field(default_factory=list)
    probation_s: float = PROBATION_S

    def __post_init__(self) -> None:
        self.rollout = Rollout(lambda: self.own, self._newest, self.probation_s, lambda: self.now_s)

    async def _newest(self, partition: int) -> Result | None:
        self.asked.append(partition)
        return self.results.get(partition)

    def answer(self, partition: int, model: ModelInfo) -> None:
        last = self.results.get(partition)
        self.results[partition] = result(model, 0 if last is None else last.source.offset + 1)

    async def waits(self) -> str:
        return await self.rollout.waits_for(NEW)


async def test_the_owner_of_partition_0_goes_first_and_asks_no_one() -> None:
    group = Group({0, 5})
    assert (await group.waits(), group.asked) == ("", [])


async def test_an_instance_alone_has_partition_0_and_waits_for_nothing() -> None:
    assert not await Group(set(range(8))).waits()


async def test_without_a_probation_no_instance_waits() -> None:
    group = Group({4}, probation_s=0)
    assert (await group.waits(), group.asked) == ("", [])


async def test_another_one_waits_until_the_first_has_answered_with_it_for_longer_than_a_probation() -> None:
    group = Group({1, 3})
    group.answer(0, OLD)
    assert await group.waits() == "partition 0 to be answered by digits 2 for 450 s"
    group.answer(0, NEW)
    assert await group.waits()
    group.now_s += WAIT_S - 1
    group.answer(0, NEW)
    assert await group.waits()
    group.now_s += 1
    assert not await group.waits()


async def test_if_the_first_returns_to_the_old_model_all_others_wait() -> None:
    group = Group({1})
    group.answer(0, NEW)
    assert await group.waits()
    group.now_s += WAIT_S / 2
    group.answer(0, OLD)
    assert await group.waits()
    for _ in range(10):
        group.now_s += WAIT_S
        group.answer(0, OLD)
        assert await group.waits()
    group.answer(0, NEW)
    assert await group.waits(), "the probation begins again"
    group.now_s += WAIT_S
    assert not await group.waits()


async def test_the_third_waits_also_for_the_second() -> None:
    group = Group({4, 5})
    group.answer(0, NEW)
    group.answer(3, OLD)
    assert await group.waits()
    group.now_s += WAIT_S
    group.answer(3, OLD)
    assert await group.waits() == "partition 3 to be answered by digits 2"
    group.answer(3, NEW)
    assert not await group.waits()


async def test_an_instance_to_which_partition_0_moves_goes_first() -> None:
    group = Group({1})
    group.answer(0, OLD)
    assert await group.waits()
    group.own = {0, 1}
    assert not await group.waits()


async def test_an_instance_without_partitions_waits_for_the_first() -> None:
    group = Group(set())
    group.answer(0, OLD)
    assert await group.waits()
    assert group.asked == [0]


@pytest.mark.parametrize("has_old_results", [True, False])
async def test_a_partition_without_new_results_is_not_waited_for_without_end(*, has_old_results: bool) -> None:
    group = Group({1})
    if has_old_results:
        group.answer(0, OLD)
    assert await group.waits()
    group.now_s += SILENT_PROBATIONS * PROBATION_S - 1
    assert await group.waits()
    group.now_s += 1
    assert not await group.waits()


async def test_for_the_next_model_the_wait_begins_again() -> None:
    group = Group({1})
    group.answer(0, NEW)
    await group.waits()
    group.now_s += WAIT_S
    assert not await group.waits()
    newer = ModelInfo("digits", "3", "3" * 64)
    assert await group.rollout.waits_for(newer)
    group.answer(0, newer)
    assert await group.rollout.waits_for(newer)


async def test_a_model_of_the_same_version_with_other_arrays_is_another_one() -> None:
    group = Group({1})
    group.answer(0, ModelInfo(NEW.name, NEW.version, "f" * 64))
    await group.waits()
    group.now_s += WAIT_S
    assert await group.waits()


async def test_results_that_cannot_be_read_leave_the_question_open() -> None:
    async def fail(_: int) -> Result | None:
        raise RolloutUnknown("no broker answers")

    with pytest.raises(RolloutUnknown):
        await Rollout(lambda: {1}, fail, PROBATION_S).waits_for(NEW)
