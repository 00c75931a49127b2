"""What Kafka forgets of a group that has had no member for `offsets.retention.minutes`, and what comes of it.

Nobody waits for it here: whoever commits offsets may say for how long they are to be kept, and once the group has no
member any more, the same offsets are committed again, for a millisecond.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass

import pytest
from aiokafka.protocol.commit import OffsetCommitRequest

from broker import Cluster, running_broker
from contract import headers
from contract.settings import ClientSettings, KafkaSettings
from producer.dead_letters import Filter
from producer.errors import Exit
from producer.selection import Plan
from tests.harness.answers import answer, publish
from tests.harness.broker import Broker, Position, fresh_topics, position
from tests.harness.images import drawn_digits
from tests.harness.producer import run
from tests.harness.service import running_service
from tests.harness.waiting import eventually

pytestmark = pytest.mark.slow

IMAGES = 5
FORGETFUL = {"offsets.retention.check.interval.ms": "500"}


@dataclass(frozen=True)
class Forgotten:
    """Topics of which Kafka has forgotten how far somebody had got."""

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


async def test_a_group_that_was_switched_off_for_longer_than_its_offsets_are_kept_answers_everything_again(
    forgotten: Forgotten,
) -> None:
    broker = forgotten.answered
    assert (await run(broker, "audit")).exit_code == Exit.NOT_ALL_WELL
    async with running_service(broker) as service:
        await broker.everything_answered()
        begun = [event["then"] for event in service.events if event["event"] == "no committed offset"]
        assert begun == ["starting at the beginning, offset 0"] * broker.partitions
    results = await broker.results()
    assert [position(result) for result in results] == [Position(0, offset) for offset in range(IMAGES)] * 2
    assert len({result.result_id for result in results}) == IMAGES
    (told,) = (await run(broker, "audit", "--json")).lines
    assert (told["requests"], told["duplicated"], told["missing"]) == (IMAGES, IMAGES, 0)


async def test_a_replay_that_is_repeated_when_its_progress_is_forgotten_sends_everything_again(
    forgotten: Forgotten,
) -> None:
    broker = forgotten.replayed
    assert (await run(broker, "replay")).out.startswith("1 sent again")
    sent = [dict(record.headers).get(headers.REPLAY_OF) for record in await broker.read(broker.topics.requests)]
    assert sent == [None, *[f"{broker.topics.requests}/0/0/0".encode()] * 2]
