"""What is suspected, what is quarantined, and when the service itself is at fault: with scripted workers.

That real workers die as these do is tested in tests/fault.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import cast

import msgspec
import pytest
from aiokafka.record.default_records import DefaultRecordBatch

from consumer.memory_budget import MemoryBudget
from consumer.settings import PacingSettings
from consumer.workers.canary import NOWHERE
from consumer.workers.observers import WorkerObserver
from consumer.workers.pool import WorkerPool
from consumer.workers.processes.deaths import Suspect, WorkerDied, WorkerNotStarted
from consumer.workers.processes.pinned_model import PinnedModel
from consumer.workers.processes.spec import WorkerSpec
from consumer.workers.quarantine import Quarantine
from consumer.workers.tasks import WHOLE_BATCH, WHOLE_RECORD, Answer, Answers, FailedItem, Part, Stop, Task, Timings
from contract.errors import ErrorCode
from tests.harness.tasks import rules, task
from tests.harness.waiting import eventually
from transport.errors import FatalError, leaf_exceptions

SPEC = WorkerSpec(cast("PinnedModel", None), rules(), 0, 10)


class ScriptedWorker:
    """Does what the payloads say: an item a word, `good`, `internal`, or what ends the worker.

    `late-…` does so while the batch is classified at once, unless its items go one by one.
    """

    batches: list[list[int]]
    """The offsets of every batch that any worker was given."""

    challenger_problem = ""

    @classmethod
    @contextlib.asynccontextmanager
    async def started(cls, _: WorkerSpec, *_more: object) -> AsyncIterator[ScriptedWorker]:
        yield cls()

    @property
    def pid(self) -> int:
        return id(self)

    async def ended_idle(self) -> None:
        await asyncio.Event().wait()

    async def answer(self, tasks: list[Task], progressed: Callable[[], None]) -> Answers:
        self.batches.append([offset for each in tasks for offset, _ in payloads(each)])
        await asyncio.sleep(0)
        progressed()
        at_once = [word for each in tasks if not each.isolate for _, words in payloads(each) for word in words]
        if "late-crash" in at_once:
            raise WorkerDied("it crashed", ErrorCode.WORKER_CRASHED, on_many_items=True)
        if "late-hang" in at_once:
            raise WorkerDied("it hung", ErrorCode.WORKER_TIMEOUT, on_many_items=True)
        answers: list[Answer] = []
        for each in tasks:
            parts = [_part(each, offset, words) for offset, words in payloads(each)]
            if parts[0].next_offset < each.next_offset and self.stops:
                return Answers([*answers, Answer(parts[:1], Stop(parts[0].next_offset))], Timings(0, 0, 0))
            answers.append(Answer(parts))
        return Answers(answers, Timings(0, 0, 0))

    stops = False
    """True: each slice ends after one record."""


def payloads(of: Task) -> list[tuple[int, list[str]]]:
    """Give offset and items of each record of a task."""
    return [
        (record.offset, (record.value or b"").decode().split())
        for batch in of.batches
        for record in DefaultRecordBatch(bytes(batch))
        if of.first_offset <= record.offset < of.next_offset
    ]


def _part(of: Task, offset: int, words: list[str]) -> Part:
    quarantined = of.quarantined.get(offset, {})
    if any(WHOLE_BATCH in items for items in of.quarantined.values()):
        return _failed_part(offset, 0, {0: "worker-crashed"})
    if "bomb" in words:
        raise WorkerDied("it crashed", ErrorCode.WORKER_CRASHED, Suspect(of.partition, of.first_offset, WHOLE_BATCH))
    if WHOLE_RECORD in quarantined:
        return _failed_part(offset, 0, {0: quarantined[WHOLE_RECORD]})
    failures = {}
    for item, word in enumerate(words):
        if item in quarantined:
            failures[item] = quarantined[item]
        elif word == "internal":
            failures[item] = str(ErrorCode.INTERNAL_ERROR)
        elif word in ("crash", "late-crash"):
            raise WorkerDied("it crashed", ErrorCode.WORKER_CRASHED, Suspect(of.partition, offset, item))
        elif word in ("hang", "late-hang"):
            raise WorkerDied("it hung", ErrorCode.WORKER_TIMEOUT, Suspect(of.partition, offset, item))
        elif word == "never-begun":
            raise WorkerDied("it ended before its batch", ErrorCode.WORKER_CRASHED)
    return _failed_part(offset, len(words) - len(failures), failures)


def _failed_part(offset: int, recognised: int, failures: dict[int, str]) -> Part:
    items = [FailedItem(offset, item, "", None, code) for item, code in failures.items()]
    counts = {code: [*failures.values()].count(code) for code in failures.values()}
    return Part(offset + 1, [], recognised=recognised, failures=counts, failed_items=items)


@pytest.fixture
def batches(monkeypatch: pytest.MonkeyPatch) -> list[list[int]]:
    given: list[list[int]] = []
    monkeypatch.setattr(ScriptedWorker, "batches", given, raising=False)
    monkeypatch.setattr("consumer.workers.pool.WorkerProcess", ScriptedWorker)
    return given


@contextlib.asynccontextmanager
async def running(
    *, workers: int = 2, service_faults: int = 10, canary: str = "good", **pacing: int
) -> AsyncIterator[Quarantine]:
    kept = WorkerPool(
        SPEC, PacingSettings(**pacing), count=workers, budget=MemoryBudget(1024 * 1024), observer=WorkerObserver()
    )
    keeping = asyncio.create_task(kept.run())
    await kept.ready()
    try:
        yield Quarantine(kept, canary.encode(), service_faults=service_faults)
    finally:
        keeping.cancel()
        await asyncio.wait({keeping})


def batch(*words: str, first: int = 0) -> Task:
    return task(*(each.encode() for each in words), offset=first, partition=0)


async def classified(pool: Quarantine, of: Task) -> list[Part]:
    return [part async for part in pool.classify(of)]


def failed(parts: list[Part]) -> dict[int, list[tuple[int, str]]]:
    """Give item and code of all that failed, by offset."""
    return {
        item.offset: [(each.item, each.code) for each in part.failed_items if each.offset == item.offset]
        for part in parts
        for item in part.failed_items
    }


def items(parts: list[Part]) -> list[int]:
    """Give how many items each part has."""
    return [part.recognised + sum(part.failures.values()) for part in parts]


@pytest.mark.usefixtures("batches")
async def test_harmful_items_fail_and_all_others_are_answered_in_order() -> None:
    async with running() as pool:
        parts = await classified(pool, batch("good", "crash", "good good", "hang", "good", "good crash good"))
    assert [part.next_offset for part in parts] == [1, 2, 3, 4, 5, 6]
    assert failed(parts) == {1: [(0, "worker-crashed")], 3: [(0, "worker-timeout")], 5: [(1, "worker-crashed")]}
    assert items(parts) == [1, 1, 2, 1, 1, 3]


async def test_a_crash_is_proven_by_a_second_one_and_a_hang_at_once(batches: list[list[int]]) -> None:
    async with running() as pool:
        await classified(pool, batch("crash"))
        assert batches == [[0], [0], [0]]  # suspected, quarantined, answered
        batches.clear()
        await classified(pool, batch("hang"))
        assert batches == [[0], [0]]  # quarantined, answered


async def test_a_worker_killed_from_outside_costs_no_item(
    batches: list[list[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    answer, deaths = ScriptedWorker.answer, [0]

    async def killed_the_first_time(self: ScriptedWorker, tasks: list[Task], progressed: Callable[[], None]) -> Answers:
        if deaths and deaths.pop():
            raise WorkerDied("it was killed", ErrorCode.WORKER_CRASHED, Suspect(0, 1, 0))
        return await answer(self, tasks, progressed)

    deaths[:] = [0, 0, 1]
    monkeypatch.setattr(ScriptedWorker, "answer", killed_the_first_time)
    async with running() as pool:
        assert failed(await classified(pool, batch("good", "good", "good"))) == {}
    assert sorted(batches) == [[0], [1], [2]]


@pytest.mark.usefixtures("batches")
async def test_a_death_on_many_items_is_blamed_on_none_until_they_are_isolated() -> None:
    async with running(service_faults=3) as pool:
        for _ in range(2):
            answers = await classified(pool, batch("good late-crash good", "good", "late-hang", "good good"))
            assert failed(answers) == {0: [(1, "worker-crashed")], 2: [(0, "worker-timeout")]}


async def test_chunks_that_shared_a_worker_are_separated_after_its_death(batches: list[list[int]]) -> None:
    async with running(workers=1) as pool:
        ends = await asyncio.gather(
            *(classified(pool, batch(words, first=10 * n)) for n, words in enumerate(["good", "late-hang", "good"]))
        )
    assert [failed(parts) for parts in ends] == [{}, {10: [(0, "worker-timeout")]}, {}]
    assert batches[0] == [0, 10, 20]


@pytest.mark.usefixtures("batches")
async def test_a_record_with_too_many_harmful_items_fails_as_a_whole() -> None:
    async with running() as pool:
        borne, lost = await classified(pool, batch("hang hang good hang", "hang hang good hang hang"))
    assert [item.item for item in borne.failed_items] == [0, 1, 3]
    assert items([borne, lost]) == [4, 1]
    assert [item.code for item in lost.failed_items] == ["worker-timeout"]


async def test_a_batch_that_crashes_while_it_is_inflated_fails_as_a_whole(batches: list[list[int]]) -> None:
    both = [task(*words.split(b","), compacted=True, offset=n * 2, partition=0) for n, words in enumerate(WORDS)]
    whole = msgspec.structs.replace(both[0], batches=[*both[0].batches, *both[1].batches], next_offset=4)
    async with running() as pool:
        parts = await classified(pool, whole)
    assert failed(parts) == {2: [(0, "worker-crashed")], 3: [(0, "worker-crashed")]}
    assert [part.next_offset for part in parts] == [1, 2, 3, 4]
    assert batches[-1] == [2, 3]


WORDS = [b"good,good", b"bomb,good"]


async def test_what_is_finished_is_given_before_the_rest_is_classified(
    batches: list[list[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ScriptedWorker, "stops", True)
    async with running(workers=1) as pool:
        parts = pool.classify(batch("good", "good", "good"))
        assert (await anext(parts)).next_offset == 1
        assert batches == [[0, 1, 2]], "the rest is asked for when it is wanted"
        assert [part.next_offset async for part in parts] == [2, 3]
    assert batches == [[0, 1, 2], [1, 2], [2]]


async def test_waiting_batches_share_a_worker_up_to_the_size_of_one(batches: list[list[int]]) -> None:
    async with running(workers=1, chunk_records=4) as pool:
        small = [classified(pool, batch("good", "good", first=first)) for first in (0, 10, 20)]
        assert [failed(parts) for parts in await asyncio.gather(*small)] == [{}, {}, {}]
    assert batches == [[0, 1, 10, 11], [20, 21]]


async def test_chunks_that_shared_a_worker_with_poison_are_answered(batches: list[list[int]]) -> None:
    async with running(workers=1) as pool:
        ends = await asyncio.gather(
            *(
                classified(pool, batch(*words.split(), first=10 * n))
                for n, words in enumerate(["good good", "good hang", "good"])
            )
        )
    assert [failed(parts) for parts in ends] == [{}, {11: [(0, "worker-timeout")]}, {}]
    assert batches[0] == [0, 1, 10, 11, 20]


async def test_a_batch_whose_lane_has_ended_is_not_given_to_a_worker(batches: list[list[int]]) -> None:
    async with running(workers=1) as pool:
        ended = asyncio.create_task(classified(pool, batch("good", first=7)))
        await asyncio.sleep(0)
        ended.cancel()
        await classified(pool, batch("good"))
    assert batches == [[0]]


@pytest.mark.usefixtures("batches")
@pytest.mark.parametrize("word", ["crash", "hang", "late-crash", "never-begun", "internal"])
async def test_when_everything_fails_the_service_is_at_fault(word: str) -> None:
    answered: list[list[Part]] = []

    async def classify_all(pool: Quarantine) -> None:
        async def classify(offset: int) -> None:
            answered.append(await classified(pool, batch(word, first=offset)))

        async with asyncio.TaskGroup() as group:
            for offset in range(50):
                group.create_task(classify(offset))

    async with running(service_faults=10, canary=word) as pool:
        with pytest.raises(BaseExceptionGroup) as caught:
            await classify_all(pool)
    fatal = leaf_exceptions(caught.value)[0]
    assert isinstance(fatal, FatalError)
    assert str(fatal).startswith("10 items in a row failed alone (last: ")
    assert len(answered) < 10


@pytest.mark.usefixtures("batches")
@pytest.mark.parametrize("word", ["crash", "hang", "late-crash", "internal"])
@pytest.mark.parametrize("gap", [1, 20])
async def test_no_number_of_harmful_items_ends_a_service_that_reads_its_canary(word: str, gap: int) -> None:
    poison = range(0, 12 * gap, gap)
    async with running(service_faults=3) as pool:
        answers = await classified(pool, batch(*(word if place in poison else "good" for place in range(256))))
    assert list(failed(answers)) == list(poison)


@pytest.mark.usefixtures("batches")
async def test_an_item_that_fails_untouched_does_not_prove_workers_well() -> None:
    refused = msgspec.structs.replace(batch("good"), quarantined={0: {WHOLE_RECORD: "empty-record"}})
    async with running(service_faults=3, canary="crash") as pool:
        for _ in range(2):
            await classified(pool, batch("crash"))
            await classified(pool, refused)
        with pytest.raises(FatalError, match=r"^3 items in a row failed alone"):
            await classified(pool, batch("crash"))


async def test_while_the_canary_is_read_nothing_else_is_quarantined(
    batches: list[list[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    answer, known = ScriptedWorker.answer, asyncio.Event()

    async def ask_for_long(self: ScriptedWorker, tasks: list[Task], progressed: Callable[[], None]) -> Answers:
        if tasks[0].partition == NOWHERE:
            await known.wait()
        return await answer(self, tasks, progressed)

    monkeypatch.setattr(ScriptedWorker, "answer", ask_for_long)
    async with running(service_faults=1) as pool:
        ends = [asyncio.create_task(classified(pool, batch("hang", first=first))) for first in (3, 5)]
        await eventually(lambda: batches.count([3]) + batches.count([5]), lambda tried: tried == 2)
        assert not any(end.done() for end in ends)
        known.set()
        await asyncio.gather(*ends)
    assert batches.count([3]) == batches.count([5]) == 2


@pytest.mark.usefixtures("batches")
async def test_failures_count_in_a_row_only_while_no_item_is_read() -> None:
    async with running(service_faults=3, canary="internal") as pool:
        for words in ("internal", "crash", "good", "internal", "hang", "internal good", "hang", "crash"):
            await classified(pool, batch(words))
        with pytest.raises(FatalError, match=r"3 items in a row failed alone \(last: internal errors\)"):
            await classified(pool, batch("internal"))


async def test_one_death_is_one_fault_however_many_chunks_shared_the_worker(
    batches: list[list[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    answer, deaths = ScriptedWorker.answer, [True]

    async def ended_before_the_first(
        self: ScriptedWorker, tasks: list[Task], progressed: Callable[[], None]
    ) -> Answers:
        if deaths:
            deaths.clear()
            raise WorkerDied("it ended before its batch", ErrorCode.WORKER_CRASHED)
        return await answer(self, tasks, progressed)

    monkeypatch.setattr(ScriptedWorker, "answer", ended_before_the_first)
    async with running(workers=1, service_faults=2) as pool:
        ends = await asyncio.gather(*(classified(pool, batch("good", first=first)) for first in range(5)))
    assert [failed(parts) for parts in ends] == [{}] * 5
    assert sorted(batches) == [[0], [1], [2], [3], [4]]


@pytest.mark.usefixtures("batches")
async def test_every_item_of_a_record_counts() -> None:
    async with running(service_faults=5, canary="crash") as pool:
        assert len(failed(await classified(pool, batch("hang crash hang")))) == 1
        with pytest.raises(FatalError, match=r"^5 items in a row failed alone \(last: it crashed\)"):
            await classified(pool, batch("hang crash hang"))


async def test_workers_that_do_not_start_end_the_service_after_three_attempts(
    batches: list[list[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    attempts = []

    @contextlib.asynccontextmanager
    async def not_started(spec: WorkerSpec, *_more: object) -> AsyncIterator[ScriptedWorker]:
        attempts.append(spec)
        raise WorkerNotStarted("it ended before it was ready")
        yield

    monkeypatch.setattr(ScriptedWorker, "started", not_started)
    monkeypatch.setattr("consumer.workers.pool.START_PAUSE_S", 0)
    workers = WorkerPool(SPEC, PacingSettings(), count=1, budget=MemoryBudget(1024 * 1024), observer=WorkerObserver())
    with pytest.raises(BaseExceptionGroup) as caught:
        await workers.run()
    assert str(leaf_exceptions(caught.value)[0]) == "worker processes do not start: it ended before it was ready"
    assert len(attempts) == 3
    assert batches == []


async def test_workers_start_although_the_one_that_compiles_dies_meanwhile(
    batches: list[list[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    first_attempts, loaded, waiting = 0, 0, 0

    @contextlib.asynccontextmanager
    async def started(
        _: WorkerSpec, _on_compiling: object, may_compile: asyncio.Event | None, *_more: object
    ) -> AsyncIterator[ScriptedWorker]:
        nonlocal first_attempts, loaded, waiting
        if may_compile is None:
            await eventually(lambda: waiting == 2)
            first_attempts += 1
            if first_attempts < 3:
                raise WorkerNotStarted("it was killed while it compiled")
        else:
            waiting += 1
            await may_compile.wait()
            assert loaded, "it compiles beside the first"
        loaded += 1
        yield ScriptedWorker()

    monkeypatch.setattr(ScriptedWorker, "started", started)
    monkeypatch.setattr("consumer.workers.pool.START_PAUSE_S", 0)
    async with running(workers=3) as pool:
        assert failed(await classified(pool, batch("good"))) == {}
    assert (first_attempts, loaded) == (3, 3)
    assert batches == [[0]]
