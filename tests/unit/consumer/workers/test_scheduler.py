"""The fair scheduler: time is shared among lanes, whatever their records cost; nothing here sleeps."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, cast

import pytest

from consumer.settings import PacingSettings
from consumer.workers.crew import Claim, Crew
from consumer.workers.jobs import Batch, Job
from consumer.workers.processes.deaths import Suspect, WorkerDied
from consumer.workers.scheduler import DEATH_COST_S, QUICK_QUEUE_S, SLOW_BATCH_S, FairScheduler
from consumer.workers.tasks import SLICE_S, Answer, Part, Stop
from contract.errors import ErrorCode
from engine.resume_cursor import ResumeCursor
from tests.harness.tasks import task

if TYPE_CHECKING:
    from consumer.workers.processes.spec import WorkerSpec

FLOOD, LEGAL = 0, 1
CREW = Crew(cast("WorkerSpec", None))


class Clock:
    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def scheduler(clock: Clock) -> FairScheduler:
    return FairScheduler(PacingSettings(chunk_records=4), clock)


def job(lane: int, *, records: int = 1, is_retry: bool = False, has_begun: bool = False) -> Job:
    of = task(*[b"x"] * records, partition=lane)
    return Job(of, asyncio.get_running_loop().create_future(), is_retry, has_begun)


def answer(*parts: tuple[int, bytes], stopped: Stop | None = None) -> Answer:
    """Answer with parts, each up to an offset and with a word as its result."""
    return Answer([Part(next_offset, [bytearray(word)]) for next_offset, word in parts], stopped)


def taken(scheduler: FairScheduler, *, free: int = 0, output_fits: bool = True) -> Batch:
    batch = scheduler.next_batch(CREW, free=free, output_fits=output_fits)
    assert batch is not None
    return batch


def worked(scheduler: FairScheduler, batch: Batch, seconds: float) -> None:
    scheduler.charge(batch, seconds)
    for each in batch.jobs:
        each.add(answer((each.task.next_offset, b"{}")))


async def test_two_busy_lanes_get_half_of_the_time_each(scheduler: FairScheduler) -> None:
    used_s = {FLOOD: 0.0, LEGAL: 0.0}
    for _ in range(200):
        for lane in used_s:
            scheduler.submit(job(lane, records=4))
        batch = taken(scheduler)
        lane = batch.jobs[0].lane
        seconds = 0.5 if lane == FLOOD else 0.01
        worked(scheduler, batch, seconds)
        used_s[lane] += seconds
    assert used_s[LEGAL] == pytest.approx(used_s[FLOOD], abs=0.6)


async def test_a_lane_saves_up_no_time_while_it_has_no_jobs(scheduler: FairScheduler) -> None:
    for _ in range(10):
        scheduler.submit(job(FLOOD, records=4))
        worked(scheduler, taken(scheduler), 0.09)
    scheduler.submit(job(FLOOD, records=4))
    scheduler.submit(job(LEGAL, records=4))
    scheduler.submit(job(LEGAL, records=4))
    worked(scheduler, taken(scheduler), 0.09)
    worked(scheduler, taken(scheduler), 0.09)
    assert {each.jobs[0].lane for each in (taken(scheduler),)} == {LEGAL}
    assert scheduler.next_batch(CREW, free=0) is None


async def test_slow_lanes_leave_a_worker_to_a_quick_lane(scheduler: FairScheduler, clock: Clock) -> None:
    for lane, seconds in ((LEGAL, 0.01), (FLOOD, 2 * SLOW_BATCH_S)):
        scheduler.submit(job(lane))
        worked(scheduler, taken(scheduler), seconds)
    for _ in range(3):
        scheduler.submit(job(FLOOD))
    slow = taken(scheduler)
    assert slow.slow
    assert scheduler.next_batch(CREW, free=0) is None, "the last worker is kept for the quick lane"
    assert taken(scheduler, free=1).slow, "there is another one for it"
    scheduler.submit(job(LEGAL))
    assert taken(scheduler).jobs[0].lane == LEGAL
    clock.now_s += QUICK_QUEUE_S
    assert taken(scheduler).slow, "the quick lane has gone away"


async def test_a_lane_without_a_history_does_not_get_all_workers(scheduler: FairScheduler, clock: Clock) -> None:
    for lane in (FLOOD, FLOOD, LEGAL, LEGAL):
        scheduler.submit(job(lane, records=4))
    assert taken(scheduler, free=1).jobs[0].lane == FLOOD
    for _ in range(2):
        clock.now_s += 0.02
        batch = taken(scheduler)
        assert batch.jobs[0].lane == LEGAL, "while the other's first batch lasts, it counts as used"
        worked(scheduler, batch, 0.01)


async def test_a_slow_lane_is_served_also_by_a_single_worker(scheduler: FairScheduler) -> None:
    for lane, seconds in ((LEGAL, 0.01), (FLOOD, 2 * SLOW_BATCH_S)):
        scheduler.submit(job(lane))
        worked(scheduler, taken(scheduler), seconds)
    scheduler.submit(job(FLOOD))
    assert taken(scheduler).slow


async def test_quick_jobs_are_joined_up_to_the_size_of_a_batch(scheduler: FairScheduler) -> None:
    jobs = [job(lane, records=2) for lane in (2, 3, 4)]
    for each in jobs:
        scheduler.submit(each)
    assert taken(scheduler).jobs == jobs[:2]
    assert taken(scheduler).jobs == jobs[2:]


async def test_a_job_is_left_to_another_free_worker(scheduler: FairScheduler) -> None:
    jobs = [job(2), job(3)]
    for each in jobs:
        scheduler.submit(each)
    assert taken(scheduler, free=1).jobs == jobs[:1]
    assert taken(scheduler).jobs == jobs[1:]


async def test_a_retry_goes_before_others_of_its_lane_and_alone(scheduler: FairScheduler) -> None:
    new, first, second = job(2), job(2, is_retry=True), job(2, is_retry=True)
    for each in (new, first, second):
        scheduler.submit(each)
    assert [taken(scheduler).jobs for _ in range(3)] == [[first], [second], [new]]


async def test_a_lane_that_kills_workers_pays_for_their_time(scheduler: FairScheduler) -> None:
    scheduler.submit(job(FLOOD))
    scheduler.charge(taken(scheduler), DEATH_COST_S)
    scheduler.submit(job(FLOOD, is_retry=True))
    served_s = 0.0
    while served_s < DEATH_COST_S - 0.1:
        scheduler.submit(job(LEGAL, records=4))
        batch = taken(scheduler)
        assert batch.jobs[0].lane == LEGAL
        worked(scheduler, batch, 0.05)
        served_s += 0.05
    scheduler.submit(job(LEGAL, records=4))
    worked(scheduler, taken(scheduler), 0.2)
    scheduler.submit(job(LEGAL, records=4))
    assert taken(scheduler).jobs[0].lane == FLOOD


async def test_a_job_whose_lane_has_ended_is_not_done(scheduler: FairScheduler) -> None:
    ended, wanted = job(2), job(2)
    scheduler.submit(ended)
    scheduler.submit(wanted)
    ended.answered.cancel()
    assert taken(scheduler).jobs == [wanted]


async def test_a_job_that_was_stopped_within_a_record_resumes_in_front_of_its_queue(scheduler: FairScheduler) -> None:
    first, second = job(2, records=3), job(2)
    scheduler.submit(first)
    scheduler.submit(second)
    scheduler.charge(taken(scheduler, free=1), 0.5)
    stop = Stop(1, ResumeCursor(5, 9, 100, 0), spent_bytes=7)
    assert not first.add(answer((1, b"a"), (2, b"b1"), stopped=stop))
    scheduler.requeue([first])
    batch = taken(scheduler)
    assert batch.jobs == [first]
    (rest,) = batch.tasks
    assert (rest.first_offset, rest.next_offset, rest.resume_from.items, rest.spent_bytes) == (1, 3, 5, 7)
    assert len(rest.batches) == 2, "batches before the offset are left out"
    scheduler.charge(batch, 0.5)
    assert first.add(answer((2, b"b2"), (3, b"c")))
    parts, left = await first.answered
    assert [(part.next_offset, b" ".join(part.results)) for part in parts] == [(1, b"a"), (2, b"b1 b2"), (3, b"c")]
    assert left is None


async def test_a_job_that_was_stopped_between_two_records_is_answered_up_to_there(scheduler: FairScheduler) -> None:
    stopped = job(2, records=3)
    scheduler.submit(stopped)
    scheduler.charge(taken(scheduler), 0.5)
    assert stopped.add(answer((1, b"a"), stopped=Stop(1)))
    parts, rest = await stopped.answered
    assert [part.next_offset for part in parts] == [1]
    assert rest is not None
    assert (rest.first_offset, rest.next_offset, rest.records) == (1, 3, 2)


async def test_the_rest_of_a_task_goes_before_tasks_that_have_not_begun(scheduler: FairScheduler) -> None:
    new, rest = job(2), job(2, has_begun=True)
    scheduler.submit(new)
    scheduler.submit(rest)
    assert [taken(scheduler, free=1).jobs for _ in range(2)] == [[rest], [new]]


async def test_while_output_does_not_fit_only_begun_jobs_continue(scheduler: FairScheduler) -> None:
    begun, new = job(2, records=2, has_begun=True), job(3)
    scheduler.submit(begun)
    scheduler.submit(new)
    assert taken(scheduler, output_fits=False).jobs == [begun]
    assert scheduler.next_batch(CREW, free=0, output_fits=False) is None
    assert taken(scheduler).jobs == [new]


async def test_a_death_concerns_the_job_of_the_suspect_and_the_others_as_bystanders(scheduler: FairScheduler) -> None:
    cut, other = job(2, records=3), job(4)
    scheduler.submit(cut)
    scheduler.charge(taken(scheduler), 0.01)
    cut.add(answer((1, b"a"), (2, b"b"), stopped=Stop(1, ResumeCursor(1, 2))))
    scheduler.requeue([cut])
    scheduler.submit(other)
    batch = taken(scheduler)
    assert set(batch.jobs) == {cut, other}
    batch.fail(WorkerDied("it crashed", ErrorCode.WORKER_CRASHED, Suspect(2, 2, 7)))
    with pytest.raises(WorkerDied) as concerned:
        await cut.answered
    assert (concerned.value.suspect, concerned.value.is_bystander) == (Suspect(2, 2, 7), False)
    with pytest.raises(WorkerDied) as bystander:
        await other.answered
    assert (bystander.value.suspect, bystander.value.is_bystander) == (None, True)


async def test_a_death_without_a_suspect_concerns_the_first_job_alone(scheduler: FairScheduler) -> None:
    jobs = [job(2), job(3)]
    for each in jobs:
        scheduler.submit(each)
    batch = taken(scheduler)
    batch.fail(WorkerDied("it crashed", ErrorCode.WORKER_CRASHED))
    deaths = await asyncio.gather(*(each.answered for each in batch.jobs), return_exceptions=True)
    assert [death.is_bystander for death in deaths if isinstance(death, WorkerDied)] == [False, True]


ITEM_TIMEOUT_S = 10.0


async def test_a_waiting_lane_makes_progress_with_the_workers(scheduler: FairScheduler, clock: Clock) -> None:
    scheduler.submit(job(LEGAL))
    for _ in range(4):
        scheduler.submit(job(FLOOD))
    worked(scheduler, taken(scheduler), seconds=3.0)  # of LEGAL, which came first, and of FLOOD
    scheduler.submit(job(LEGAL))
    scheduler.submit(job(FLOOD))
    batch = taken(scheduler)
    waiting = LEGAL if batch.jobs[0].lane == FLOOD else FLOOD
    clock.now_s = 5.0
    scheduler.note_progress(batch)
    assert scheduler.progressed_at_s(batch.jobs[0].lane, ITEM_TIMEOUT_S) == 5.0
    assert scheduler.progressed_at_s(waiting, ITEM_TIMEOUT_S) == 5.0


async def test_a_lane_that_is_not_served_any_more_is_found(scheduler: FairScheduler, clock: Clock) -> None:
    scheduler.submit(job(LEGAL))
    worked(scheduler, taken(scheduler, free=1), seconds=0.5)
    scheduler.submit(job(LEGAL))
    scheduler.submit(job(FLOOD))
    batch = taken(scheduler, free=1)
    assert [each.lane for each in batch.jobs] == [FLOOD]
    bound_s = 2 * (ITEM_TIMEOUT_S + SLICE_S)  # one other lane, two scheduler
    for clock.now_s in (bound_s / 2, bound_s, 10 * bound_s):
        scheduler.note_progress(batch)
    assert scheduler.progressed_at_s(FLOOD, ITEM_TIMEOUT_S) == clock.now_s
    assert scheduler.progressed_at_s(LEGAL, ITEM_TIMEOUT_S) == bound_s


async def test_a_served_lane_makes_progress_with_its_worker_alone(scheduler: FairScheduler, clock: Clock) -> None:
    scheduler.submit(job(LEGAL))
    scheduler.submit(job(FLOOD))
    first, second = taken(scheduler, free=1), taken(scheduler)
    clock.now_s = 7.0
    scheduler.note_progress(second)
    assert scheduler.progressed_at_s(first.jobs[0].lane, ITEM_TIMEOUT_S) == 0.0
    assert scheduler.progressed_at_s(second.jobs[0].lane, ITEM_TIMEOUT_S) == 7.0


async def test_a_lane_that_waits_for_output_room_is_not_stuck(scheduler: FairScheduler, clock: Clock) -> None:
    scheduler.submit(job(LEGAL))
    clock.now_s = 1_000.0
    assert scheduler.next_batch(CREW, free=0, output_fits=False) is None
    assert scheduler.progressed_at_s(LEGAL, ITEM_TIMEOUT_S, output_fits=False) == 1_000.0
    clock.now_s = 1_001.0  # they are published: its time begins again
    assert scheduler.progressed_at_s(LEGAL, ITEM_TIMEOUT_S) == 1_000.0


def begun_by(crew: Crew, lane: int) -> Job:
    claim = Claim()
    crew.begin(claim)
    return Job(task(b"x", partition=lane), asyncio.get_running_loop().create_future(), is_retry=True, claim=claim)


def two_crews() -> tuple[Crew, Crew]:
    """Give a crew that retires, and the one that takes its place."""
    old, new = (Crew(cast("WorkerSpec", None)) for _ in range(2))
    old.retires = True
    return old, new


async def test_a_crew_that_retires_gets_what_it_has_begun_and_nothing_else(scheduler: FairScheduler) -> None:
    old, new = two_crews()
    begun, first, second = begun_by(old, FLOOD), job(FLOOD), job(LEGAL)
    for each in (begun, first, second):
        scheduler.submit(each)
    batch = scheduler.next_batch(new, free=0)
    assert batch is not None
    assert batch.jobs == [second], "the other lane begins with a job of the old crew"
    batch = scheduler.next_batch(old, free=0)
    assert batch is not None
    assert batch.jobs == [begun]
    assert scheduler.next_batch(old, free=0) is None
    batch = scheduler.next_batch(new, free=0)
    assert batch is not None
    assert batch.jobs == [first]


async def test_a_crew_that_retires_keeps_no_worker_free_for_quick_lanes(scheduler: FairScheduler, clock: Clock) -> None:
    old, new = two_crews()
    scheduler.submit(job(FLOOD))
    slow = scheduler.next_batch(new, free=1)
    assert slow is not None
    clock.now_s += 1
    worked(scheduler, slow, 10 * SLOW_BATCH_S)
    scheduler.submit(job(LEGAL))
    quick = scheduler.next_batch(new, free=1)
    assert quick is not None
    worked(scheduler, quick, SLOW_BATCH_S / 10)
    scheduler.submit(job(FLOOD))
    assert scheduler.next_batch(new, free=1) is not None, "a slow batch is under way"
    rest = begun_by(old, FLOOD)
    scheduler.submit(rest)
    assert scheduler.next_batch(new, free=0) is None
    batch = scheduler.next_batch(old, free=0)
    assert batch is not None
    assert batch.jobs == [rest]
