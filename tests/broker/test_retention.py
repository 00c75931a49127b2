"""What happens when Kafka deletes old data: records after `retention.ms`, and offsets of a group without members.

No test waits for `offsets.retention.minutes`. A commit may say how long its offsets are kept, so once the group has no
member any more, a test commits the same offsets again, for a millisecond.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass

import pytest
from aiokafka.protocol.commit import OffsetCommitRequest

from broker import Cluster, running_broker
from contract import headers
from producer.errors import Exit
from producer.replay.dead_letter_topic import Filter
from producer.replay.selection import Plan
from tests.harness.images import drawn_digits
from tests.harness.played_service import answer, publish
from tests.harness.producer_command import run
from tests.harness.service import START_DEADLINE_S, Service, running_service, starting_service
from tests.harness.topics import Broker, Position, fresh_topics, position
from tests.harness.waiting import eventually
from transport.settings.kafka import ClientSettings, KafkaSettings

pytestmark = pytest.mark.slow

IMAGES = 5
FORGETFUL = {
    "offsets.retention.check.interval.ms": "500",
    "log.retention.check.interval.ms": "200",
    "log.initial.task.delay.ms": "200",
}


@dataclass(frozen=True)
class Forgotten:
    """Topics whose committed offsets have expired."""

    answered: Broker
    """By a service that was then switched off."""
    replayed: Broker
    """By `digit-producer replay`: one dead letter."""


@pytest.fixture(scope="module")
def forgetful(cluster: Cluster) -> Iterator[Cluster]:
    del cluster  # where Kafka is not installed, it has skipped the test
    with running_broker(properties=FORGETFUL) as own:
        yield own


@pytest.fixture(scope="module")
async def forgotten(forgetful: Cluster) -> AsyncIterator[Forgotten]:
    async with fresh_topics(forgetful) as answered, fresh_topics(forgetful) as replayed:
        await answered.send(drawn_digits(IMAGES), partition=0)
        async with running_service(answered) as service:
            await answered.everything_answered()
            service.terminate()
            assert await service.wait() == 0
        await replayed.send(drawn_digits(1), partition=0)
        (request,) = await replayed.read(replayed.topics.requests)
        await publish(replayed, answer(replayed, request, ["failed"]).dead_letters)
        groups = [answered.group_id, replay_group(replayed)]
        assert (await run(replayed, "replay")).out.startswith("1 sent again")
        assert await remembered(answered, groups) == groups
        for group in groups:
            await keep_no_longer(answered, group)
        await eventually(lambda: remembered(answered, groups), lambda left: not left)
        yield Forgotten(answered, replayed)


def replay_group(broker: Broker) -> str:
    """The name under which a replay without any option keeps its progress."""
    kafka = KafkaSettings(bootstrap_servers=broker.cluster.bootstrap_servers, group_id=broker.group_id)
    return Plan(Filter(), max_attempts=3, limit=None, rate_per_s=None).group(ClientSettings(kafka=kafka))


async def keep_no_longer(broker: Broker, group: str) -> None:
    """Let the broker forget a group's offsets at its next opportunity, as if they were a week old."""
    offsets = await broker.admin.list_consumer_group_offsets(group)
    topics = [(tp.topic, [(tp.partition, at.offset, "")]) for tp, at in offsets.items()]
    request = OffsetCommitRequest(group, OffsetCommitRequest.DEFAULT_GENERATION_ID, "", 1, topics)
    answer = await broker.admin._send_request(request, await broker.admin.find_coordinator(group))
    assert {code for _, partitions in answer.topics for _, code in partitions} == {0}


async def remembered(broker: Broker, groups: list[str]) -> list[str]:
    """Which of these groups have an offset."""
    return [group for group in groups if await broker.admin.list_consumer_group_offsets(group)]


async def test_a_group_whose_offsets_have_expired_continues_after_its_results(
    forgotten: Forgotten,
) -> None:
    broker = forgotten.answered
    assert (await run(broker, "audit")).exit_code == Exit.NOT_ALL_WELL
    await broker.send(drawn_digits(2), partition=0)
    async with running_service(broker) as service:
        await broker.everything_answered()
        begun = [event for event in service.events if event["event"] == "no committed offset"]
    warned = [(event["log_start"], event["action"]) for event in begun if event["level"] == "warning"]
    assert warned == [(0, f"starting at {IMAGES}")]
    assert len(begun) == broker.partitions
    assert [position(result) for result in await broker.results()] == [Position(0, each) for each in range(IMAGES + 2)]
    assert (await run(broker, "audit")).exit_code == Exit.OK


async def test_a_replay_whose_progress_has_expired_sends_everything_again(
    forgotten: Forgotten,
) -> None:
    broker = forgotten.replayed
    assert (await run(broker, "replay")).out.startswith("1 sent again")
    sent = [dict(record.headers).get(headers.REPLAY_OF) for record in await broker.read(broker.topics.requests)]
    assert sent == [None, *[f"{broker.topics.requests}/0/0/0".encode()] * 2]


@pytest.fixture
async def two(forgetful: Cluster) -> AsyncIterator[Broker]:
    """A test's own topics with 2 partitions each, whose requests may expire."""
    async with fresh_topics(forgetful, partitions=2) as broker:
        yield broker


async def committed_to_the_end(broker: Broker) -> bool:
    ends, committed = await broker.end_offsets(broker.topics.requests), await broker.committed_offsets()
    return all(committed[partition] == end for partition, end in ends.items() if end)


@pytest.mark.parametrize("aborted", [0, 3], ids=["the marker of a commit", "aborted records"])
async def test_expired_transaction_markers_at_the_log_end_lose_no_offset(two: Broker, aborted: int) -> None:
    async with running_service(two) as first:
        sent = await two.send_in_transaction(drawn_digits(3), partition=0)
        await two.everything_answered()
        if aborted:
            await two.send_in_transaction(drawn_digits(aborted), partition=0, abort=True)
        await eventually(lambda: committed_to_the_end(two))
        await eventually(lambda: first.metric("digits_lag_records"), lambda lag: lag == 0)
        await two.expire_requests(partition=0, before=len(sent) + 1)
        async with running_service(two) as second:
            await eventually(lambda: second.metric("digits_assigned_partitions"), lambda count: count == 1)
            sent += await two.send(drawn_digits(4))
            await two.everything_answered()
            await eventually(first.is_ready)
            await eventually(second.is_ready)
            for service in (first, second):
                assert [event for event in service.events if event["level"] == "error"] == []
    assert sorted(position(result) for result in await two.results()) == sorted(sent)


async def test_a_marker_written_while_no_instance_runs_is_passed_at_the_start(two: Broker) -> None:
    await two.send(drawn_digits(1), partition=0)
    async with running_service(two):
        await two.everything_answered()
    await two.send_in_transaction(drawn_digits(5), partition=0, abort=True)
    async with running_service(two) as service:
        await eventually(lambda: committed_to_the_end(two))
        await eventually(lambda: service.metric("digits_transactions_total", end="committed"), lambda n: n == 1)
        assert await service.metric("digits_records_total") == 0


async def test_a_lost_offset_parks_its_partition_on_each_owner_until_repaired(two: Broker) -> None:
    answered = await two.send(drawn_digits(3), partition=0) + await two.send(drawn_digits(3), partition=1)
    async with running_service(two) as service:
        await two.everything_answered()
    await two.send(drawn_digits(4), partition=1)  # no instance answers these before they expire
    await two.expire_requests(partition=1, before=7)
    waiting = await two.send(drawn_digits(2), partition=1)
    name = f"{two.topics.requests}/1"
    why = f"the committed offset 3 of {name} is not in the log, which starts at 7: retention has deleted records"

    async def parked(services: list[Service]) -> list[str]:
        reports = [partition for service in services for partition in (await service.health())["partitions"]]
        return [partition["parked"] for partition in reports if partition["parked"]]

    async with starting_service(two) as first:
        await eventually(lambda: parked([first]), deadline_s=START_DEADLINE_S)
        answered += await two.send(drawn_digits(5), partition=0)
        await eventually(two.committed_offsets, lambda committed: committed[0] == 8)
        status, text = await first.get("/readyz")
        assert (status, text.startswith(f"not ready: {name} is parked: {why}")) == (503, True)
        assert await first.metric("digits_parked", partition=name) == 1
        async with starting_service(two) as second:
            both = [first, second]
            await eventually(lambda: second.metric("digits_assigned_partitions"), deadline_s=START_DEADLINE_S)
            (sentence,) = await eventually(lambda: parked(both))
            assert sentence.startswith(why)
            answered += await two.send(drawn_digits(5), partition=0)
            await eventually(two.committed_offsets, lambda committed: committed[0] == 13)
            assert (await two.committed_offsets())[1] == 3, "a parked lane commits nothing"
            for service in both:
                assert await service.get("/livez") == (200, "ok\n")
            await two.commit_beside_members(7, partition=1)
            await two.everything_answered()
            for service in both:
                await eventually(service.is_ready)
    found = sorted(position(result) for result in await two.results())
    assert found == sorted(answered + waiting)
