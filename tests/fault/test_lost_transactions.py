"""Transactions that do not end as usual: they time out, an answer is lost, their id is taken over or forgotten."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from broker import Cluster, running_broker
from broker.ports import free_ports
from broker.probe import HOST
from tests.harness.failure_points import Point, is_at, stopping_at
from tests.harness.images import drawn_digits
from tests.harness.producer_command import audited
from tests.harness.relay import relaying
from tests.harness.service import Service, running_service
from tests.harness.topics import Broker, fresh_topics
from tests.harness.transaction_state import describe_transaction, transactional_ids
from tests.harness.waiting import eventually

END_TXN = 26
SHORT = {
    "DIGITS_PACING__CHUNK_RECORDS": "4",
    "DIGITS_KAFKA__TRANSACTION_TIMEOUT_MS": "1000",
    "DIGITS_KAFKA__SESSION_TIMEOUT_MS": "60000",
}
"""The broker ends a transaction of a frozen instance soon, and the group does not remove it."""
HASTY = {
    "DIGITS_SHUTDOWN_TIMEOUT_S": "3",
    "DIGITS_KAFKA__SESSION_TIMEOUT_MS": "30000",
    "DIGITS_KAFKA__TRANSACTION_TIMEOUT_MS": "900000",
}
"""No transaction times out while the broker is frozen, however slow the machine is. A broker that is alone would abort
it when it wakes, before it knows the leaders, and may never write the markers: see "A single broker" in
docs/delivery.md."""
ENDS_S = 60.0
"""By when the service must have ended although no broker answers ever. On a quiet machine it takes 8 s."""
FAILED = {"transaction not committed", "transaction's outcome unknown"}


def failures(service: Service) -> list[str]:
    return [event["why"] for event in service.events if event["event"] in FAILED]


async def ids_of(broker: Broker) -> list[str]:
    """Return the transactional ids of the service."""
    return await transactional_ids(broker, f"{broker.group_id}.")


async def states_of(broker: Broker) -> list[str]:
    """Return the state of each producer of the service, as Kafka names it."""
    return [(await describe_transaction(broker, each)).state for each in await ids_of(broker)]


async def present_id(broker: Broker) -> str:
    """Return the present id of the slot for most answers; the others may have been used, too, and the slot renamed."""
    return [each for each in await ids_of(broker) if each.removeprefix(f"{broker.group_id}.").split(".")[1] == "0"][-1]


async def lanes_lost(service: Service) -> float:
    return await service.metric("digits_lanes_lost_total")


@pytest.fixture
def forgetful(cluster: Cluster) -> Iterator[Cluster]:
    """Give a broker of its own, which forgets an idle producer's id after three seconds, and may be killed."""
    del cluster  # where Kafka is not installed, it has skipped the test
    properties = {
        "transactional.id.expiration.ms": "3000",
        "transaction.remove.expired.transaction.cleanup.interval.ms": "500",
    }
    with running_broker(properties=properties) as own:
        yield own


async def test_a_transaction_that_times_out_while_its_service_is_frozen_is_repeated_once(broker: Broker) -> None:
    point = Point.READY_TO_COMMIT  # it stops by itself: from outside, no test can know when a transaction is open
    settings = SHORT | stopping_at(point, after_commits=1)
    async with running_service(broker, settings) as service:
        await broker.send(drawn_digits(80))
        await eventually(broker.committed_offsets, lambda offsets: any(offsets.values()))
        await broker.send(drawn_digits(80))
        await eventually(lambda: is_at(point, service))
        await eventually(lambda: states_of(broker), lambda states: "CompleteAbort" in states)
        service.thaw()
        await eventually(lambda: failures(service))
        await broker.everything_answered()
        await eventually(service.is_ready)
    await audited(broker, 160)


async def test_an_instance_whose_transactional_id_is_taken_over_takes_it_back(broker: Broker) -> None:
    async with running_service(broker) as service:
        await broker.send(drawn_digits(80))
        await broker.everything_answered()
        its_id = await present_id(broker)
        other = AIOKafkaProducer(bootstrap_servers=broker.cluster.bootstrap_servers, transactional_id=its_id)
        async with other:
            await broker.send(drawn_digits(80))
            await broker.everything_answered()
            await eventually(lambda: failures(service))
            assert await lanes_lost(service) == 0, "the same answers are published again"
        await eventually(service.is_ready)
    await audited(broker, 160)


@pytest.mark.slow  # a broker starts for it
async def test_a_producer_whose_id_the_broker_has_forgotten_is_replaced(forgetful: Cluster) -> None:
    async with fresh_topics(forgetful, partitions=1) as broker, running_service(broker) as service:
        await broker.send(drawn_digits(5))
        await broker.everything_answered()
        await forgotten(broker)
        await broker.send(drawn_digits(5))
        await broker.everything_answered()
        assert "InvalidProducerIdMapping" in failures(service)[0]
        assert await lanes_lost(service) == 0
        await audited(broker, 10)


async def forgotten(broker: Broker) -> None:
    """Wait until the coordinator has written that it does not know a producer of the service any more."""
    own = f"{broker.group_id}.".encode()
    consumer = AIOKafkaConsumer(
        "__transaction_state",
        bootstrap_servers=broker.cluster.bootstrap_servers,
        auto_offset_reset="earliest",
        enable_auto_commit=False,
    )
    async with consumer:

        async def tombstones() -> bool:
            some = await consumer.getmany(timeout_ms=100)
            return any(own in record.key and record.value is None for records in some.values() for record in records)

        await eventually(tombstones)


@pytest.mark.slow  # a broker hangs
async def test_on_sigterm_without_a_broker_it_exits_with_0_and_loses_nothing(forgetful: Cluster) -> None:
    async with fresh_topics(forgetful) as broker:
        async with running_service(broker, HASTY) as service:
            # An offset of each partition, so that the next owner need not look for results, and knows who may have left
            # a transaction open.
            await broker.send(drawn_digits(80))
            await broker.everything_answered()
            await broker.send(drawn_digits(2_000))
            await eventually(lambda: service.metric("digits_records_total"), lambda done: done > 80)
            # Frozen, not killed: as above.
            forgetful.nodes[0].freeze()
            await eventually(lambda: service.get("/readyz"), lambda answer: answer[0] == 503)
            service.terminate()
            assert await service.wait(deadline_s=ENDS_S) == 0
        forgetful.nodes[0].thaw()
        forgetful.wait_until_ready()
        async with running_service(broker):
            await broker.everything_answered()
            # It ends what the first one left open, but only after a second: readers wait until then.
            await audited(broker, 2_080)


@pytest.mark.slow  # a broker starts for it
async def test_a_commit_whose_answer_is_lost_is_published_once() -> None:
    [relay_port] = free_ports(1)
    with running_broker(relays=[relay_port]) as cluster:
        async with fresh_topics(cluster) as broker, relaying(relay_port, cluster.nodes[0].relayed_port) as relay:
            through = {"DIGITS_KAFKA__BOOTSTRAP_SERVERS": f"{HOST}:{relay_port}"}
            async with running_service(broker, through) as service:
                digits = drawn_digits(80)
                await broker.send(digits)
                await broker.everything_answered()
                before = len(failures(service))
                with relay.answers_lost(END_TXN) as lost:
                    await broker.send(digits)
                    await eventually(lambda: lost)
                await broker.everything_answered()
                (why,) = failures(service)[before:]
                assert "closed" in why
                assert await lanes_lost(service) == 0, "nothing is fetched again"
                await eventually(lambda: service.metric("digits_items_total"), lambda items: items == 160)
                classified = await service.metric("digits_stage_seconds_count", stage="classify")
                assert classified == await service.metric("digits_stage_seconds_count", stage="wait")
            await audited(broker, 160)
