"""The worst image and the worst record within the default limits, and what each costs in a real worker.

`tests.harness.worst_inputs` says how they were found. Costs are processor seconds and high-water marks of memory,
because a busy machine changes these little.
"""

from __future__ import annotations

import asyncio
import os
from collections import defaultdict
from collections.abc import AsyncIterator

import pytest

from consumer.workers.jobs import Batch
from consumer.workers.scheduler import FairScheduler
from tests.harness import worst_inputs
from tests.harness.images import drawn_digits
from tests.harness.processes import cpu_s, forget_high_water, memory_bytes, workers_of
from tests.harness.tasks import task
from tests.harness.worker_pool import RunningPool, running_pool
from tests.hostile.vp8l import of_many_codes

pytestmark = pytest.mark.slow

RECORD, OTHERS = 0, (1, 2)
"""Partitions."""
IMAGE_CPU_S, IMAGE_MEMORY_MB, RECORD_CPU_S = 2.0, 300.0, 30.0


@pytest.fixture(scope="module")
async def pool() -> AsyncIterator[RunningPool]:
    async with running_pool(item_timeout_s=60) as running:  # only processor time counts here
        yield running


@pytest.fixture
async def fresh_pool() -> AsyncIterator[RunningPool]:
    """Start workers for one record: after other images, a gap of the memory may be too small for its largest ones."""
    async with running_pool(item_timeout_s=60) as running:
        yield running


@pytest.mark.parametrize("name", worst_inputs.IMAGES)
async def test_the_worst_single_image_costs_less_than_2_s_and_300_mb(pool: RunningPool, name: str) -> None:
    image = worst_inputs.IMAGES[name]()
    workers = workers_of(os.getpid())
    for pid in workers:
        forget_high_water(pid)
    before = {pid: (cpu_s(pid), memory_bytes(pid, "VmRSS")) for pid in workers}
    (result,) = await pool.results([image])
    assert result.error is None, "it is within all limits"
    taken_s = max(cpu_s(pid) - used_s for pid, (used_s, _) in before.items())
    grown_mb = max(memory_bytes(pid, "VmHWM") - size for pid, (_, size) in before.items()) / 1e6
    print(f"{name}: {taken_s:.2f} s, {grown_mb:.0f} MB")  # noqa: T201  # shown with -rP
    assert taken_s < IMAGE_CPU_S
    assert grown_mb < IMAGE_MEMORY_MB


async def test_an_image_that_takes_more_memory_than_a_worker_has_fails_alone(pool: RunningPool) -> None:
    workers = workers_of(os.getpid())
    for pid in workers:
        forget_high_water(pid)
    before = {pid: memory_bytes(pid, "VmRSS") for pid in workers}
    digit = drawn_digits(1)[0]
    results = await pool.results([digit, of_many_codes(), digit])
    grown_mb = max(memory_bytes(pid, "VmHWM") - size for pid, size in before.items()) / 1e6
    assert [result.error is not None for result in results] == [False, True, False]
    assert workers_of(os.getpid()) == workers, "no worker has died"
    assert grown_mb < IMAGE_MEMORY_MB


@pytest.fixture
def charged_s(monkeypatch: pytest.MonkeyPatch) -> defaultdict[int, float]:
    """Count the processor time of the batches with records of each lane, as the scheduler learns it."""
    charged: defaultdict[int, float] = defaultdict(float)
    charge = FairScheduler.charge

    def counted(scheduler: FairScheduler, batch: Batch, cost_s: float) -> None:
        for lane in {job.lane for job in batch.jobs}:
            charged[lane] += cost_s
        charge(scheduler, batch, cost_s)

    monkeypatch.setattr(FairScheduler, "charge", counted)
    return charged


@pytest.mark.timeout(600)  # the record has one of two workers, of which others always want their share, too
@pytest.mark.parametrize("name", worst_inputs.RECORDS)
async def test_the_worst_record_costs_less_than_30_s_and_others_are_answered_meanwhile(
    fresh_pool: RunningPool, name: str, charged_s: defaultdict[int, float]
) -> None:
    record = worst_inputs.RECORDS[name]()
    workers = workers_of(os.getpid())
    reading = asyncio.create_task(fresh_pool.parts(task(record, partition=RECORD)))

    async def answered_beside(partition: int) -> int:
        """Always have one batch of digits unanswered; return how many were answered."""
        others, answered = task(*drawn_digits(20), partition=partition), 0
        while not reading.done():
            await fresh_pool.parts(others)
            answered += 1
        return answered

    beside = await asyncio.gather(*map(answered_beside, OTHERS))
    parts = await reading
    taken_s = charged_s[RECORD]
    others_s = sum(charged_s[each] for each in OTHERS)
    print(f"{name}: {taken_s:.1f} s; others: {beside} batches, {others_s:.1f} s")  # noqa: T201  # shown with -rP
    assert workers_of(os.getpid()) == workers, "no worker has died"
    (part,) = parts
    assert part.failures.keys() == {"archive-too-costly"}
    assert part.recognised + part.unsure > 0
    assert taken_s < RECORD_CPU_S
    assert min(beside) > 10
