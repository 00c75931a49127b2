"""A group that has no offset: where its partitions start by ``AUTO_OFFSET_RESET``, on a real broker."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import NewPartitions, RecordsToDelete
from structlog.testing import capture_logs

from broker import Cluster
from consumer.partitions.opening import results_log
from consumer.partitions.opening.after_results import StartOffset
from consumer.partitions.opening.reset import reset_offset
from consumer.partitions.state import OffsetLost
from consumer.settings import Settings
from producer.errors import Exit
from tests.harness.images import drawn_digits
from tests.harness.played_service import Outgoing, answer, open_transaction, publish
from tests.harness.producer_command import run
from tests.harness.service import Service, running_service
from tests.harness.topics import Broker, fresh_topics
from tests.harness.waiting import eventually
from transport.errors import OwnershipLost
from transport.group.consumers import open_group_consumer

ANSWERED, WAITING = 5_000, 500
LOOKS_BEFORE_WAITING = 2
"""Requests for end offsets of a start before it waits for an open transaction: of the requests, of the results."""
REQUESTS = 10


def resets(service: Service) -> dict[str, dict[str, Any]]:
    """What is logged of each partition without an offset; the last of it, where the group has rebalanced."""
    return {event["partition"]: event for event in service.events if event["event"] == "no committed offset"}


@pytest.fixture
async def shared(cluster: Cluster) -> AsyncIterator[Broker]:
    """Eight partitions of requests, and four of results: two share each."""
    async with fresh_topics(cluster, partitions=4) as broker:
        await broker.admin.create_partitions({broker.topics.requests: NewPartitions(8)})
        broker.partitions = 8
        yield broker


async def results_in(broker: Broker) -> int:
    broker.partitions = 4
    found = await broker.results()
    broker.partitions = 8
    return len(found)


@pytest.mark.slow
@pytest.mark.timeout(600)
async def test_a_renamed_group_answers_only_what_waits_and_the_audit_is_clean(shared: Broker) -> None:
    digits, each = drawn_digits(25), ANSWERED // 8
    async with running_service(shared) as before:
        await eventually(lambda: resets(before), lambda found: len(found) == 8)  # it knows of all partitions
        await shared.send(digits * (ANSWERED // len(digits)))
        await shared.everything_answered(deadline_s=120)
        assert {event["level"] for event in resets(before).values()} == {"info"}
        before.terminate()
        assert await before.wait() == 0
    assert await results_in(shared) == ANSWERED
    for partition in range(5):  # of three others nothing waits
        await shared.send(digits * (WAITING // 5 // len(digits)), partition=partition)
    shared.group_id += "-renamed"
    async with running_service(shared) as after:
        found = await eventually(lambda: resets(after), lambda found: len(found) == 8)
        await shared.everything_answered()
        assert {(event["level"], event["log_start"], event["action"]) for event in found.values()} == {
            ("warning", 0, f"starting at {each}")
        }
        # Where nothing waits, it is committed all the same: the next owner need not look again.
        await eventually(shared.committed_offsets, lambda at: at == {p: each + 100 * (p < 5) for p in range(8)})
    assert await results_in(shared) == ANSWERED + WAITING
    result = await run(shared, "audit", "--json")
    (numbers,) = result.lines
    assert (result.exit_code, result.err) == (Exit.OK, "")
    assert (numbers["requests"], numbers["results"], numbers["pending"]) == (ANSWERED + WAITING, ANSWERED + WAITING, 0)


@pytest.fixture
async def answered(broker: Broker, monkeypatch: pytest.MonkeyPatch) -> Broker:
    """Ten requests in partition 0; of nothing else are there results yet, and nothing is committed."""
    await broker.send(drawn_digits(REQUESTS), partition=0)
    for name, value in broker.environment.items():
        monkeypatch.setenv(name, value)
    return broker


async def results_of(broker: Broker, count: int, statuses: Iterable[str] = ("unsure",)) -> list[Outgoing]:
    requests = [each for each in await broker.read(broker.topics.requests) if each.partition == 0]
    return [result for each in requests[:count] for result in answer(broker, each, list(statuses)).results]


async def reset(broker: Broker, results: int = 0) -> tuple[StartOffset, dict[str, Any]]:
    """Decide where partition 0 starts; return this and what is logged."""
    source = TopicPartition(broker.topics.requests, 0)
    async with open_group_consumer(Settings()) as consumer:
        with capture_logs() as said:
            start = await reset_offset(consumer, source, TopicPartition(broker.topics.predictions, results), Settings())
    (event,) = [event for event in said if event["event"] == "no committed offset"]
    return start, dict(event)


async def test_it_continues_after_the_last_answered_archive(answered: Broker) -> None:
    ours = await results_of(answered, 4, ["unsure", "failed", "recognised"])
    strange = ours[0].copy()
    strange.value = b"not ours"
    elsewhere = ours[0].copy()
    elsewhere.value["source"]["topic"] = "elsewhere"
    await publish(answered, ours)
    await publish(answered, [*[elsewhere] * 600, strange])
    await publish(answered, await results_of(answered, 9), abort=True)
    start, event = await reset(answered)
    assert start == StartOffset(4, "request 3 was answered last", is_known=True)
    assert (event["log_level"], event["log_start"], event["action"]) == ("warning", 0, "starting at 4")


async def test_without_results_it_starts_at_the_log_start(answered: Broker) -> None:
    await publish(answered, await results_of(answered, 4))
    assert (await reset(answered, results=1))[0].offset == 0  # no one has ever written there
    results = TopicPartition(answered.topics.predictions, 0)
    await answered.admin.delete_records({results: RecordsToDelete(before_offset=4)})
    start, event = await reset(answered)  # only the mark of the commit is left
    assert (start.offset, start.is_known, event["log_level"]) == (0, False, "info")


async def test_results_of_a_deleted_requests_topic_are_ignored(
    answered: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(results_log, "REREAD_PAUSE_S", 0)
    ours = await results_of(answered, 1)
    ours[0].value["source"] |= {"offset": REQUESTS}
    await publish(answered, ours)
    assert (await reset(answered))[0].offset == 0
    ours[0].value["source"] |= {"offset": 5, "timestamp_ms": 7}  # another request lies there, of another time
    await publish(answered, ours)
    start, event = await reset(answered)
    assert (start.offset, event["log_level"]) == (0, "warning")
    assert "the topic was created again" in event["why"]


async def test_results_older_than_all_requests_are_not_searched(
    answered: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(results_log, "CLOCK_TOLERANCE_MS", -60_000)  # as if the results were a minute older
    await publish(answered, await results_of(answered, 4))
    start, _ = await reset(answered)
    assert (start.offset, start.is_known) == (0, False)


async def test_it_waits_for_results_in_an_open_transaction(answered: Broker, monkeypatch: pytest.MonkeyPatch) -> None:
    await publish(answered, await results_of(answered, 2))
    async with open_transaction(answered, await results_of(answered, 6)) as other:
        with monkeypatch.context() as patch:
            patch.setattr("consumer.partitions.opening.reset.ABORT_INTERVAL_S", -9.5)
            with pytest.raises(
                OwnershipLost, match=r"an open transaction in .* has hidden the results from offset 3 on"
            ):
                await reset(answered)
        looks = 0
        end_offsets = AIOKafkaConsumer.end_offsets

        async def counted(client: AIOKafkaConsumer, partitions: list[TopicPartition]) -> dict[TopicPartition, int]:
            nonlocal looks
            looks += 1
            return dict(await end_offsets(client, partitions))

        monkeypatch.setattr(AIOKafkaConsumer, "end_offsets", counted)
        waiting = asyncio.create_task(reset(answered))
        await eventually(lambda: looks, lambda count: count > LOOKS_BEFORE_WAITING + 2)
        assert not waiting.done()
        await other.commit_transaction()
        assert (await waiting)[0].offset == 6


@pytest.mark.parametrize(
    ("way", "level", "goes_on_at", "is_committed"),
    [("earliest", "warning", 0, False), ("latest", "warning", REQUESTS, True)],
)
async def test_earliest_and_latest_do_not_search_the_results(
    answered: Broker, monkeypatch: pytest.MonkeyPatch, way: str, level: str, goes_on_at: int, *, is_committed: bool
) -> None:
    monkeypatch.setenv("DIGITS_KAFKA__AUTO_OFFSET_RESET", way)
    await publish(answered, await results_of(answered, 4))
    start, event = await reset(answered)
    assert start == StartOffset(goes_on_at, f"AUTO_OFFSET_RESET={way}", is_known=is_committed)
    assert event["log_level"] == level


async def test_with_none_a_partition_without_an_offset_is_parked(
    answered: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DIGITS_KAFKA__AUTO_OFFSET_RESET", "none")
    with pytest.raises(OffsetLost, match=rf"group {answered.group_id} has no committed offset in .*/0, whose log"):
        await reset(answered)


async def test_a_search_that_takes_too_long_fails_with_one_sentence(
    answered: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("consumer.partitions.opening.reset.SEARCH_TIMEOUT_S", -1)
    await publish(answered, await results_of(answered, 4))
    with pytest.raises(OffsetLost, match="AUTO_OFFSET_RESET=earliest to answer every request"):
        await reset(answered)


async def test_latest_skips_only_what_was_there_at_the_first_start(answered: Broker) -> None:
    async with running_service(answered, {"DIGITS_KAFKA__AUTO_OFFSET_RESET": "latest"}) as first:
        await eventually(answered.committed_offsets, lambda at: at[0] == REQUESTS)
        first.kill()
    await answered.expel_members()
    await answered.send(drawn_digits(3), partition=0)
    async with running_service(answered, {"DIGITS_KAFKA__AUTO_OFFSET_RESET": "latest"}):
        await answered.everything_answered()
    found = [result.source.offset for result in await answered.results()]
    assert found == [REQUESTS, REQUESTS + 1, REQUESTS + 2]
