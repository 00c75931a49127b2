"""Exactly once and in order, with real processes that die in the middle of their work."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
from collections.abc import Sequence

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import NewPartitions

from broker import Cluster
from contract import headers
from contract.records import Result, result_id
from producer.errors import Exit
from tests.harness.failure_points import Point, dying_at, is_at, stopping_at
from tests.harness.images import drawn_digits
from tests.harness.played_service import answer, publish
from tests.harness.producer_command import run
from tests.harness.service import START_DEADLINE_S, running_service, starting_service
from tests.harness.topics import Broker, Position, fresh_topics, position
from tests.harness.waiting import eventually

QUICK_SESSION = {"DIGITS_KAFKA__SESSION_TIMEOUT_MS": "6000", "DIGITS_KAFKA__TRANSACTION_TIMEOUT_MS": "6000"}
"""The least that brokers allow: takeovers after a kill wait for it."""
SLOW = {
    "DIGITS_PACING__CHUNK_RECORDS": "12",
    "DIGITS_PACING__TRANSACTION_BYTES": "1024",
}
"""A transaction has 12 images of each lane at most."""
COMMITS = 10
"""After so few transactions at most a quarter of the images is answered."""
LONG_S = 90.0


async def published_once_and_in_order(broker: Broker, sent: Sequence[Position]) -> None:
    """Compare what a read_committed reader sees with what was sent: no gap, no double, no exchange."""
    expected = [result_id(broker.topics.requests, *position, 0) for position in sorted(sent)]
    assert [result.result_id for result in await broker.results()] == expected


async def committed_records(broker: Broker) -> int:
    return sum(offset or 0 for offset in (await broker.committed_offsets()).values())


async def test_images_are_answered_once_although_the_service_is_killed_twice(broker: Broker) -> None:
    sent = await broker.send(drawn_digits(4_000))
    for point in (Point.READY_TO_COMMIT, Point.COMMITTED):
        fatal = dying_at(point, after_commits=COMMITS)
        async with starting_service(broker, QUICK_SESSION | SLOW | fatal) as service:
            assert await service.wait(deadline_s=START_DEADLINE_S) == -signal.SIGKILL
        assert 0 < await committed_records(broker) < len(sent)
    async with running_service(broker, QUICK_SESSION):
        await broker.everything_answered(deadline_s=LONG_S)
    await published_once_and_in_order(broker, sent)


async def test_two_instances_share_the_partitions_and_one_leaves_in_the_middle(broker: Broker) -> None:
    async with running_service(broker) as leaving, running_service(broker) as staying:

        async def shares() -> list[int]:
            reports = [await each.health() for each in (leaving, staying)]
            ready = all(report["ready"] for report in reports)
            return sorted(len(report["partitions"]) for report in reports) if ready else []

        assert await eventually(shares, lambda found: found == [4, 4]) == [4, 4]
        sending = asyncio.create_task(broker.send(drawn_digits(4_000)))
        await eventually(lambda: leaving.metric("digits_records_total"), lambda done: done > 200)
        leaving.terminate()
        assert await leaving.wait() == 0
        sent = await sending
        await broker.everything_answered(deadline_s=LONG_S)
    await published_once_and_in_order(broker, sent)


@pytest.mark.slow  # waits for the end of a session
async def test_records_of_a_frozen_instance_are_answered_once_by_another(
    broker: Broker,
) -> None:
    sent = await broker.send(drawn_digits(4_000))
    stopping = stopping_at(Point.READY_TO_COMMIT, after_commits=COMMITS)
    async with starting_service(broker, QUICK_SESSION | SLOW | stopping) as frozen:
        await eventually(lambda: is_at(Point.READY_TO_COMMIT, frozen), deadline_s=START_DEADLINE_S)
        assert 0 < await committed_records(broker) < len(sent)
        async with running_service(broker, QUICK_SESSION):
            await broker.everything_answered(deadline_s=LONG_S)
            frozen.thaw()
            # It writes nothing until it has rejoined, and then serves its share.
            sent += await broker.send(drawn_digits(800))
            await eventually(frozen.is_ready, deadline_s=LONG_S)
            await broker.everything_answered(deadline_s=LONG_S)
    await published_once_and_in_order(broker, sent)


async def test_the_same_image_sent_twice_is_two_requests(broker: Broker) -> None:
    sent = await broker.send(drawn_digits(1) * 2, partition=0, headers=[(headers.REQUEST_ID, b"once")])
    async with running_service(broker):
        await broker.everything_answered()
    await published_once_and_in_order(broker, sent)
    assert [result.request_id for result in await broker.results()] == ["once", "once"]


async def test_a_second_group_answers_everything_again_with_the_same_ids(broker: Broker) -> None:
    async with contextlib.AsyncExitStack() as both:
        await both.enter_async_context(running_service(broker))
        broker.group_id += "-second"
        # By default it would begin after the first group's results, if these are there when it opens the partition.
        await both.enter_async_context(running_service(broker, {"DIGITS_KAFKA__AUTO_OFFSET_RESET": "earliest"}))
        sent = await broker.send(drawn_digits(5), partition=0)
        found = await eventually(broker.results, lambda results: len(results) == 2 * len(sent))
    expected = [result_id(broker.topics.requests, *position, 0) for position in sent]
    assert sorted(result.result_id for result in found) == sorted(expected * 2)
    (counts,) = (await run(broker, "audit", "--json")).lines
    assert (counts["requests"], counts["duplicated"]) == (5, 5)


async def test_offsets_set_back_by_an_operator_repeat_results_with_the_same_ids(broker: Broker) -> None:
    await broker.send(drawn_digits(5), partition=0)
    answers = [answer(broker, request) for request in await broker.read(broker.topics.requests)]
    await publish(broker, [result for each in answers for result in each.results], committed={0: 5})
    ids = [result.result_id for result in await broker.results()]
    operator = AIOKafkaConsumer(
        bootstrap_servers=broker.cluster.bootstrap_servers, group_id=broker.group_id, enable_auto_commit=False
    )
    async with operator:
        tp = TopicPartition(broker.topics.requests, 0)
        operator.assign([tp])
        await operator.commit({tp: 0})
    async with running_service(broker):
        await broker.everything_answered()
    assert [result.result_id for result in await broker.results()] == ids * 2
    (counts,) = (await run(broker, "audit", "--json")).lines
    assert (counts["requests"], counts["duplicated"], counts["missing"]) == (5, 5, 0)


async def test_a_read_uncommitted_reader_also_sees_aborted_results(
    broker: Broker,
) -> None:
    sent = await broker.send(drawn_digits(5), partition=0)
    async with starting_service(broker, dying_at(Point.RESULTS_SENT, after_commits=1)) as dying:
        await eventually(broker.results, lambda seen: len(seen) == 5, deadline_s=START_DEADLINE_S)
        sent += await broker.send(drawn_digits(5), partition=0)
        assert await dying.wait(deadline_s=START_DEADLINE_S) == -signal.SIGKILL
    await broker.expel_members()
    async with running_service(broker):
        await broker.everything_answered()
        await published_once_and_in_order(broker, sent)  # soon: it also ends what the dead one has left open
    expected = [result_id(broker.topics.requests, *position, 0) for position in sent]
    seen = await seen_uncommitted(broker)
    aborted = len(seen) - len(expected)
    assert aborted > 0
    assert seen == [*expected[: 5 + aborted], *expected[5:]]


async def test_results_are_published_once_although_the_predictions_topic_grows(
    cluster: Cluster,
) -> None:
    async with fresh_topics(cluster, partitions=2) as broker:
        await grown(broker, broker.topics.requests)
        broker.partitions = 4
        async with running_service(broker):
            sent = await broker.send_in_transaction(drawn_digits(2), partition=3)
            await broker.everything_answered()
            await grown(broker, broker.topics.predictions)
            sent += await broker.send_in_transaction(drawn_digits(2), partition=3)
            await broker.everything_answered()
        async with running_service(broker):
            sent += await broker.send_in_transaction(drawn_digits(2), partition=3)
            await broker.everything_answered()
        records = await broker.read(broker.topics.predictions)
        found: dict[int, list[Position]] = {}
        for record in records:
            found.setdefault(record.partition, []).append(position(Result.model_validate_json(record.value)))
        assert found == {1: sent[:4], 3: sent[4:]}, "a lane keeps its partition of results until it starts again"
        audit = await run(broker, "audit", "--json")
        assert audit.exit_code == Exit.NOT_ALL_WELL
        assert (audit.lines[0]["missing"], audit.lines[0]["inconsistent"]) == (4, 4)
        assert audit.err.count("does not belong to this partition") == 4


async def grown(broker: Broker, topic: str) -> None:
    await broker.admin.create_partitions({topic: NewPartitions(4)})


async def seen_uncommitted(broker: Broker) -> list[str]:
    """Read the ids of all results that lie in the topic, by partition, as a client does by default."""
    reader = AIOKafkaConsumer(
        broker.topics.predictions,
        bootstrap_servers=broker.cluster.bootstrap_servers,
        auto_offset_reset="earliest",
        enable_auto_commit=False,
    )
    ids: dict[int, list[str]] = {}
    async with reader:
        ends = await reader.end_offsets(reader.assignment())

        async def unread() -> list[TopicPartition]:
            for tp, records in (await reader.getmany(timeout_ms=200)).items():
                ids.setdefault(tp.partition, []).extend(json.loads(record.value)["result_id"] for record in records)
            return [tp for tp, end in ends.items() if await reader.position(tp) < end]

        await eventually(unread, lambda tps: not tps)
    return [each for _, some in sorted(ids.items()) for each in some]
