"""Whose turn it is: time is shared among lanes, whatever their records cost; nothing here sleeps."""

from __future__ import annotations

import asyncio

import pytest

from consumer.settings import PacingSettings
from consumer.workers.process import WorkerDied
from consumer.workers.protocol import SLICE_S, Answer, Task
from consumer.workers.scheduler import DEATH_S, LONG_S, QUICK_S, Batch, FairScheduler, Job
from contract.errors import ErrorCode
from engine.resume_cursor import ResumeCursor

FLOOD, LEGAL = 0, 1


class Clock:
    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def turns(clock: Clock) -> FairScheduler:
    return FairScheduler(PacingSettings(chunk_records=4), clock)


def job(lane: int, *, records: int = 1, again: bool = False) -> Job:
    tasks = [Task(b"x", "requests", lane, offset, 0, 0, None, None) for offset in range(records)]
    return Job(tasks, asyncio.get_running_loop().create_future(), again)


def answer(word: bytes) -> Answer:
    return Answer([word], [], 1, 0, len(word))


def taken(turns: FairScheduler, *, free: int = 0, fit: bool = True) -> Batch:
    batch = turns.take(free=free, fit=fit)
    assert batch is not None
    return batch


def worked(turns: FairScheduler, batch: Batch, seconds: float) -> None:
    turns.settle(batch, seconds)
    for each in batch.jobs:
        each.take([answer(b"{}")] * len(each.rest), None)


async def test_of_two_busy_lanes_each_has_half_of_the_time_however_long_their_batches(turns: FairScheduler) -> None:
    used_s = {FLOOD: 0.0, LEGAL: 0.0}
    for _ in range(200):
        for lane in used_s:
            turns.put(job(lane, records=4))
        batch = taken(turns)
        lane = batch.jobs[0].lane
        seconds = 0.5 if lane == FLOOD else 0.01
        worked(turns, batch, seconds)
        used_s[lane] += seconds
    assert used_s[LEGAL] == pytest.approx(used_s[FLOOD], abs=0.6)


async def test_a_lane_that_was_away_has_saved_up_nothing(turns: FairScheduler) -> None:
    for _ in range(10):
        turns.put(job(FLOOD, records=4))
        worked(turns, taken(turns), 0.09)
    turns.put(job(FLOOD, records=4))
    turns.put(job(LEGAL, records=4))
    turns.put(job(LEGAL, records=4))
    worked(turns, taken(turns), 0.09)
    worked(turns, taken(turns), 0.09)
    assert {each.jobs[0].lane for each in (taken(turns),)} == {LEGAL}
    assert turns.take(free=0) is None


async def test_while_a_quick_lane_is_about_slow_ones_leave_it_a_worker(turns: FairScheduler, clock: Clock) -> None:
    for lane, seconds in ((LEGAL, 0.01), (FLOOD, 2 * LONG_S)):
        turns.put(job(lane))
        worked(turns, taken(turns), seconds)
    for _ in range(3):
        turns.put(job(FLOOD))
    slow = taken(turns)
    assert slow.slow
    assert turns.take(free=0) is None, "the last worker is kept for the quick lane"
    assert taken(turns, free=1).slow, "there is another one for it"
    turns.put(job(LEGAL))
    assert taken(turns).jobs[0].lane == LEGAL
    clock.now_s += QUICK_S
    assert taken(turns).slow, "the quick lane has gone away"


async def test_a_lane_of_which_nothing_is_known_does_not_get_all_workers(turns: FairScheduler, clock: Clock) -> None:
    for lane in (FLOOD, FLOOD, LEGAL, LEGAL):
        turns.put(job(lane, records=4))
    assert taken(turns, free=1).jobs[0].lane == FLOOD
    for _ in range(2):
        clock.now_s += 0.02
        batch = taken(turns)
        assert batch.jobs[0].lane == LEGAL, "while the other's first batch lasts, it counts as used"
        worked(turns, batch, 0.01)


async def test_a_slow_lane_has_its_turn_also_where_there_is_one_worker(turns: FairScheduler) -> None:
    for lane, seconds in ((LEGAL, 0.01), (FLOOD, 2 * LONG_S)):
        turns.put(job(lane))
        worked(turns, taken(turns), seconds)
    turns.put(job(FLOOD))
    assert taken(turns).slow


async def test_quick_jobs_are_joined_up_to_the_size_of_a_batch_and_slow_ones_go_alone(turns: FairScheduler) -> None:
    jobs = [job(lane, records=2) for lane in (2, 3, 4)]
    for each in jobs:
        turns.put(each)
    assert taken(turns).jobs == jobs[:2]
    assert taken(turns).jobs == jobs[2:]


async def test_what_another_free_worker_could_do_is_left_to_it(turns: FairScheduler) -> None:
    jobs = [job(2), job(3)]
    for each in jobs:
        turns.put(each)
    assert taken(turns, free=1).jobs == jobs[:1]
    assert taken(turns).jobs == jobs[1:]


async def test_a_repetition_goes_before_others_of_its_lane_and_alone(turns: FairScheduler) -> None:
    new, first, second = job(2), job(2, again=True), job(2, again=True)
    for each in (new, first, second):
        turns.put(each)
    assert [taken(turns).jobs for _ in range(3)] == [[first], [second], [new]]


async def test_a_lane_that_kills_workers_waits_for_its_turn_as_others_do(turns: FairScheduler) -> None:
    turns.put(job(FLOOD))
    turns.settle(taken(turns), DEATH_S)
    turns.put(job(FLOOD, again=True))
    served_s = 0.0
    while served_s < DEATH_S - 0.1:
        turns.put(job(LEGAL, records=4))
        batch = taken(turns)
        assert batch.jobs[0].lane == LEGAL
        worked(turns, batch, 0.05)
        served_s += 0.05
    turns.put(job(LEGAL, records=4))
    worked(turns, taken(turns), 0.2)
    turns.put(job(LEGAL, records=4))
    assert taken(turns).jobs[0].lane == FLOOD


async def test_a_job_whose_lane_has_ended_is_not_done(turns: FairScheduler) -> None:
    ended, wanted = job(2), job(2)
    turns.put(ended)
    turns.put(wanted)
    ended.answers.cancel()
    assert taken(turns).jobs == [wanted]


async def test_a_job_that_comes_back_unfinished_goes_on_where_it_was_in_front_of_its_lane(turns: FairScheduler) -> None:
    first, second = job(2, records=3), job(2)
    turns.put(first)
    turns.put(second)
    batch = taken(turns, free=1)
    turns.settle(batch, 0.5)
    first.take([answer(b"a"), answer(b"b1")], ResumeCursor(5, 9, 100, 0))
    turns.put_back([first])
    batch = taken(turns)
    assert batch.jobs == [first]
    assert [(task.offset, task.begin.items) for task in batch.tasks] == [(1, 5), (2, 0)]
    turns.settle(batch, 0.5)
    first.take([answer(b"b2"), answer(b"c")], None)
    answers = await first.answers
    assert [each.results for each in answers] == [[b"a"], [b"b1", b"b2"], [b"c"]]
    assert [each.size_bytes for each in answers] == [1, 4, 1]


async def test_while_there_are_too_many_answers_only_what_has_begun_goes_on(turns: FairScheduler) -> None:
    begun, new = job(2, records=2), job(3)
    turns.put(begun)
    turns.settle(taken(turns), 0.5)
    begun.take([answer(b"a")], None)
    turns.put_back([begun])
    turns.put(new)
    assert taken(turns, fit=False).jobs == [begun]
    assert turns.take(free=0, fit=False) is None
    assert taken(turns).jobs == [new]


async def test_a_death_is_told_by_the_place_in_the_whole_batch(turns: FairScheduler) -> None:
    cut = job(2, records=3)
    turns.put(cut)
    turns.settle(taken(turns), 0.5)
    cut.take([answer(b"a")], None)
    cut.fail(WorkerDied("it crashed", ErrorCode.WORKER_CRASHED, (1, 7)), 0)
    with pytest.raises(WorkerDied) as caught:
        await cut.answers
    assert caught.value.position == (2, 7)


ITEM_TIMEOUT_S = 10.0


async def test_a_lane_that_waits_for_its_turn_moves_with_the_workers(turns: FairScheduler, clock: Clock) -> None:
    turns.put(job(LEGAL))
    for _ in range(4):
        turns.put(job(FLOOD))
    worked(turns, taken(turns), seconds=3.0)  # of LEGAL, which came first, and of FLOOD
    turns.put(job(LEGAL))
    turns.put(job(FLOOD))
    batch = taken(turns)
    waiting = LEGAL if batch.jobs[0].lane == FLOOD else FLOOD
    clock.now_s = 5.0
    turns.moves(batch)
    assert turns.moved_at_s(batch.jobs[0].lane, ITEM_TIMEOUT_S) == 5.0
    assert turns.moved_at_s(waiting, ITEM_TIMEOUT_S) == 5.0


async def test_a_lane_that_is_served_no_more_is_seen_although_the_workers_get_on_with_others(
    turns: FairScheduler, clock: Clock
) -> None:
    turns.put(job(LEGAL))
    worked(turns, taken(turns, free=1), seconds=0.5)
    turns.put(job(LEGAL))
    turns.put(job(FLOOD))
    batch = taken(turns, free=1)
    assert [each.lane for each in batch.jobs] == [FLOOD]
    bound_s = 2 * (ITEM_TIMEOUT_S + SLICE_S)  # one other lane, two turns
    for clock.now_s in (bound_s / 2, bound_s, 10 * bound_s):
        turns.moves(batch)
    assert turns.moved_at_s(FLOOD, ITEM_TIMEOUT_S) == clock.now_s
    assert turns.moved_at_s(LEGAL, ITEM_TIMEOUT_S) == bound_s


async def test_a_lane_in_a_workers_hands_moves_with_that_worker_alone(turns: FairScheduler, clock: Clock) -> None:
    turns.put(job(LEGAL))
    turns.put(job(FLOOD))
    first, second = taken(turns, free=1), taken(turns)
    clock.now_s = 7.0
    turns.moves(second)
    assert turns.moved_at_s(first.jobs[0].lane, ITEM_TIMEOUT_S) == 0.0
    assert turns.moved_at_s(second.jobs[0].lane, ITEM_TIMEOUT_S) == 7.0


async def test_a_lane_that_waits_until_answers_are_published_is_not_held_against_the_workers(
    turns: FairScheduler, clock: Clock
) -> None:
    turns.put(job(LEGAL))
    clock.now_s = 1_000.0
    assert turns.take(free=0, fit=False) is None
    assert turns.moved_at_s(LEGAL, ITEM_TIMEOUT_S, fit=False) == 1_000.0
    clock.now_s = 1_001.0  # they are published: its time begins again
    assert turns.moved_at_s(LEGAL, ITEM_TIMEOUT_S) == 1_000.0
