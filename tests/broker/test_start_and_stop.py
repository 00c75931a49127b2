"""The service starts, or ends with one line about the reason; on SIGTERM it drains and ends."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import shutil
import signal
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.admin import NewPartitions
from aiokafka.client import AIOKafkaClient
from structlog.testing import capture_logs

from broker import Cluster
from broker.ports import free_ports
from broker.probe import HOST
from consumer.partitions.opening.position import start_offset, wait_for_repair
from consumer.partitions.state import OffsetLost
from consumer.settings import OnLostOffset, Settings
from consumer.startup.checks import check_cluster
from models import default_model
from tests.harness.images import drawn_digits, large_pages
from tests.harness.processes import is_alive, workers_of
from tests.harness.producer_command import audited
from tests.harness.service import START_DEADLINE_S, Service, fatal_end, running_service, starting_service
from tests.harness.shadowing_packages import make_shadowing_packages
from tests.harness.topics import Broker, fresh_topics, position
from tests.harness.waiting import DEADLINE_S, eventually
from transport.group.consumers import open_group_consumer

WAIT_S = 2
REQUEST_TIMEOUT_S = 120
PATIENT = {
    "DIGITS_KAFKA__REQUEST_TIMEOUT_MS": f"{REQUEST_TIMEOUT_S * 1_000}",
    "DIGITS_KAFKA__SESSION_TIMEOUT_MS": f"{REQUEST_TIMEOUT_S * 2_000}",
}
"""A single request may take much longer than the start is to wait."""


def logged(service: Service, event: str) -> list[dict[str, Any]]:
    return [each for each in service.events if each["event"] == event]


@contextlib.asynccontextmanager
async def server_that_never_answers() -> AsyncIterator[str]:
    with socket.create_server((HOST, 0)) as server:
        yield f"{HOST}:{server.getsockname()[1]}"


@contextlib.asynccontextmanager
async def no_server() -> AsyncIterator[str]:
    yield f"{HOST}:{free_ports(1)[0]}"


@pytest.mark.parametrize("there", [no_server, server_that_never_answers])
async def test_without_a_broker_the_start_fails_after_the_wait_setting(broker: Broker, there: Any) -> None:
    async with there() as servers:
        env = {"DIGITS_KAFKA__BOOTSTRAP_SERVERS": servers, "DIGITS_KAFKA__WAIT_S": str(WAIT_S)} | PATIENT
        async with starting_service(broker, env) as service:
            await eventually(lambda: logged(service, "no broker answers") or logged(service, "fatal"))
            assert await service.wait(deadline_s=REQUEST_TIMEOUT_S) == 1, "it does not wait for a request to time out"
            (fatal,) = logged(service, "fatal")
            assert "Traceback" not in service.log
    assert fatal["why"].startswith(f"no broker has answered at {servers} for 2 s (DIGITS_KAFKA__WAIT_S): ")


async def test_it_starts_although_one_of_the_brokers_is_down(broker: Broker, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in broker.environment.items():
        monkeypatch.setenv(name, value)
    by_chance, asked, down = AIOKafkaClient.get_random_node, itertools.count(), 999
    # Every other time the client means to ask the one that is down.
    monkeypatch.setattr(AIOKafkaClient, "get_random_node", lambda me: by_chance(me) if next(asked) % 2 else down)
    with capture_logs() as said:
        limit = await check_cluster(Settings())
    assert limit == int(broker.topics.creation_configs()[broker.topics.dead_letter]["max.message.bytes"])
    assert next(asked) > 3, "the one that is down was not asked"
    assert [event["event"] for event in said] == ["no broker answers"]


async def test_while_it_waits_for_a_broker_it_is_alive_but_not_ready(broker: Broker) -> None:
    async with (
        no_server() as servers,
        starting_service(broker, {"DIGITS_KAFKA__BOOTSTRAP_SERVERS": servers}) as service,
    ):
        await eventually(lambda: logged(service, "no broker answers"))
        assert await service.get("/livez") == (200, "ok\n")
        assert await service.get("/readyz") == (503, "not ready: the service is starting\n")
        service.terminate()
        assert await service.wait() == 0


async def test_a_wrong_setting_ends_the_start_with_code_2(broker: Broker) -> None:
    async with starting_service(broker, {"DIGITS_WORKERS": "many", "DIGITS_HEALTH__PRT": "1"}) as service:
        assert await service.wait() == 2
        assert service.log == "DIGITS_HEALTH__PRT: there is no such setting; did you mean DIGITS_HEALTH__PORT?\n"


@pytest.fixture
def damaged(tmp_path: Path) -> Path:
    """Give the arrays of a model that is cut short; the model is the folder that they lie in."""
    shutil.copytree(default_model(), tmp_path, dirs_exist_ok=True)
    arrays = next(tmp_path.glob("*.npz"))
    arrays.write_bytes(arrays.read_bytes()[:-100])
    return arrays


async def test_a_damaged_model_ends_the_start_with_one_sentence(broker: Broker, damaged: Path) -> None:
    async with starting_service(broker, {"DIGITS_MODEL": str(damaged.parent)}) as service:
        assert await service.wait() == 2
        sentence = f"DIGITS_MODEL='{damaged.parent}': {damaged} is damaged or belongs to another model: "
        assert service.log.startswith(sentence)
        assert service.log.count("\n") == 1


async def test_it_runs_no_code_of_the_current_directory(broker: Broker, tmp_path: Path) -> None:
    make_shadowing_packages(tmp_path)
    async with running_service(broker, cwd=tmp_path):
        await broker.send(drawn_digits(8))
        await broker.everything_answered()
    assert [result.error for result in await broker.results()] == [None] * 8


async def test_a_health_port_that_is_taken_ends_the_start(broker: Broker) -> None:
    async with server_that_never_answers() as taken:
        why = await fatal_end(broker, {"DIGITS_HEALTH__PORT": taken.partition(":")[2]})
    assert why.startswith(f"the health server cannot listen on {taken} (DIGITS_HEALTH__HOST, __PORT): ")


async def test_topic_settings_that_do_not_fit_are_logged_as_warnings(cluster: Cluster) -> None:
    unfit = {"cleanup.policy": "compact", "compression.type": "producer"}
    async with fresh_topics(cluster, partitions=3, configs=unfit) as broker:
        await broker.admin.create_partitions({broker.topics.requests: NewPartitions(5)})
        async with running_service(broker) as service:
            for partition in range(5):
                await broker.send([*drawn_digits(2), b"no image"], partition=partition, key=b"a key")
            await eventually(lambda: service.metric("digits_records_total"), lambda done: done == 15)
            warned = [event for event in service.events if event["level"] == "warning"]
        assert {event["event"] for event in warned} == {"topic does not fit"}
        misfits = {(event["topic"].split("-")[0], event["setting"]) for event in warned}
        assert misfits == {
            ("requests", "cleanup.policy"),
            ("requests", "compression.type"),
            ("predictions", "partition count"),
            ("dead", "partition count"),
        }
        results = await broker.read(broker.topics.predictions)
        letters = await broker.dead_letters()
    assert [record.partition for record in results] == [0] * 6 + [1] * 6 + [2] * 3
    assert [record.partition for record in letters] == [0] * 2 + [1] * 2 + [2]


async def test_a_group_starts_at_its_offset_or_at_the_beginning(broker: Broker) -> None:
    await broker.send(drawn_digits(10), partition=0)
    await broker.send(drawn_digits(10), partition=1)
    await broker.commit(4, partition=1)
    async with running_service(broker) as service:
        await broker.everything_answered()
        begun = {event["partition"] for event in logged(service, "no committed offset")}
    assert begun == {f"{broker.topics.requests}/{partition}" for partition in (0, 2, 3, 4, 5, 6, 7)}
    found = [position(result) for result in await broker.results()]
    assert found == [(0, offset) for offset in range(10)] + [(1, offset) for offset in range(4, 10)]


async def test_an_offset_lost_to_retention_parks_its_partition_by_default(broker: Broker) -> None:
    await broker.send(drawn_digits(20), partition=0)
    await broker.commit(10, partition=0)
    await broker.delete_requests_before(15, partition=0)
    name = f"{broker.topics.requests}/0"
    why = (
        f"the committed offset 10 of {name} is not in the log, which starts at 15: retention has deleted records "
        "that were not committed; stop all instances and set the group's offset, or set "
        "DIGITS_KAFKA__ON_LOST_OFFSET=earliest to continue at the start of the log"
    )
    async with starting_service(broker, {"DIGITS_KAFKA__ON_LOST_OFFSET": "fail"}) as service:
        not_ready = (503, f"not ready: {name} is parked: {why}\n")
        await eventually(
            lambda: service.get("/readyz"), lambda answer: answer == not_ready, deadline_s=START_DEADLINE_S
        )
        (old,) = logged(service, "old value of a setting")
        assert old["action"] == "taken as park"
        (parked,) = logged(service, "partition parked")
        assert parked["why"] == why
        sent = await broker.send(drawn_digits(3), partition=1)
        await eventually(lambda: service.metric("digits_records_total"), lambda done: done == 3)
        service.terminate()
        assert await service.wait() == 0
    async with running_service(broker, {"DIGITS_KAFKA__ON_LOST_OFFSET": "earliest"}) as service:
        await broker.everything_answered()
        (warning,) = logged(service, "committed offset lost")
    assert (warning["committed"], warning["action"]) == (10, "continuing at 15")
    found = [position(result) for result in await broker.results()]
    assert found == [(0, offset) for offset in range(15, 20)] + sent


async def test_an_offset_beyond_the_log_end_is_checked_again_and_then_lost(
    broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    tp = TopicPartition(broker.topics.requests, 0)
    await broker.send(drawn_digits(3), partition=0)
    await broker.commit(5, partition=0)
    for name, value in broker.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("consumer.partitions.opening.position.REREAD_PAUSE_S", 0)
    monkeypatch.setattr("consumer.partitions.opening.position.REPAIR_POLL_S", 0.1)
    async with open_group_consumer(Settings()) as consumer:
        with pytest.raises(
            OffsetLost, match=f"the committed offset 5 of {tp.topic}/0 is not in the log, which ends at 3;"
        ):
            await start_offset(consumer, tp, OnLostOffset.PARK)
        assert await start_offset(consumer, tp, OnLostOffset.EARLIEST) == 0
        monkeypatch.setattr("consumer.partitions.opening.position.REREAD_PAUSE_S", 0.2)
        starting = asyncio.create_task(start_offset(consumer, tp, OnLostOffset.PARK))
        await broker.send(drawn_digits(3), partition=0)  # as if its new leader had only now heard of them
        assert await starting == 5
        # Once it is parked, requests that come do not repair it: the first of them would be passed over.
        repairing = asyncio.create_task(wait_for_repair(consumer, tp, lost=5))
        looks = await asyncio.wait({repairing}, timeout=1)
        assert looks == (set(), {repairing})
        await broker.commit(3, partition=0)
        async with asyncio.timeout(DEADLINE_S):
            await repairing


async def test_an_offset_among_the_records_of_an_open_transaction_is_not_lost(
    broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    tp = TopicPartition(broker.topics.requests, 0)
    await broker.send(drawn_digits(1), partition=0)
    for name, value in broker.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("consumer.partitions.opening.position.REREAD_PAUSE_S", 0)
    upstream = AIOKafkaProducer(**broker.cluster.client_options, transactional_id=f"upstream-{broker.group_id}")
    async with open_group_consumer(Settings()) as consumer, upstream:
        consumer.assign([tp])
        async with upstream.transaction():
            await upstream.send_and_wait(tp.topic, b"passed over", partition=0)
            await upstream.send_and_wait(tp.topic, b"not yet", partition=0)
            await broker.commit(2, partition=0)  # as an operator's reset to the end of the log does
            offset = await start_offset(consumer, tp, OnLostOffset.PARK)
            assert offset == 2
            consumer.seek(tp, offset)
            assert await consumer.getmany(tp, timeout_ms=1_000) == {}
        fetched = await eventually(lambda: consumer.getmany(tp, timeout_ms=1_000))
        assert [(record.offset, record.value) for record in fetched[tp]] == [(2, b"not yet")]


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM])
async def test_on_sigterm_it_publishes_what_is_in_flight_and_exits_with_0(broker: Broker, end: signal.Signals) -> None:
    async with running_service(broker, {"DIGITS_SHUTDOWN_TIMEOUT_S": f"{DEADLINE_S:g}"}) as service:
        # The pages keep a worker busy for seconds, so that the test cannot miss that they are in flight.
        sending = asyncio.create_task(broker.send([*large_pages(80), *drawn_digits(3_000)]))
        await eventually(lambda: service.metric("digits_records_in_flight"))
        workers = workers_of(service.process.pid)
        service.process.send_signal(end)
        assert await service.wait() == 0
        await sending
        assert [event["event"] for event in service.events if event["level"] in ("warning", "error")] == []
        assert [pid for pid in workers if is_alive(pid)] == []
    committed = await broker.committed_offsets()
    answered = [position(result) for result in await broker.results()]
    assert answered == [(each, offset) for each, end in committed.items() for offset in range(end or 0)]


async def test_a_named_instance_that_starts_again_within_its_session_moves_no_partition(broker: Broker) -> None:
    named = [{"DIGITS_KAFKA__GROUP_INSTANCE_ID": name, "DIGITS_KAFKA__SESSION_TIMEOUT_MS": "60000"} for name in "ab"]
    async with running_service(broker, named[0]) as first:
        async with running_service(broker, named[1]) as second:
            await eventually(lambda: assignments(first), lambda seen: len(seen) == 2)  # alone, then with the other
            shared = assignments(second)[-1]
            assert 0 < len(shared) < broker.partitions
            second.terminate()
            assert await second.wait() == 0
        sent = await broker.send(drawn_digits(80))  # also in the partitions of the one that is away
        async with running_service(broker, named[1]) as again:
            await broker.everything_answered()
            assert assignments(again) == [shared]
            assert len(assignments(first)) == 2, "nothing has moved"
            await audited(broker, len(sent))


def assignments(service: Service) -> list[list[int]]:
    return [event["partitions"] for event in service.events if event["event"] == "assigned"]
