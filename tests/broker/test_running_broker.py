"""The local broker starts, stops and restarts, and creates topics as asked; all broker tests depend on this."""

from __future__ import annotations

import asyncio
import contextlib
import os
import select
import signal
import subprocess
import sys
import uuid
from pathlib import Path

import pytest
from aiokafka.errors import UnknownTopicOrPartitionError, for_code

from broker import BrokerError, Cluster, running_broker
from tests.harness.topics import Broker, Position, fresh_topics


def has_ended(pid: int, *, within_s: float) -> bool:
    with contextlib.suppress(ProcessLookupError):
        process = os.pidfd_open(pid)
        ended, _, _ = select.select([process], [], [], within_s)
        os.close(process)
        return bool(ended)
    return True


async def test_what_is_sent_can_be_read(broker: Broker) -> None:
    sent = await broker.send([b"one", None, b"three"], partition=3, key=b"k", headers=[("h", b"v")])
    records = await broker.read(broker.topics.requests)
    assert [(record.partition, record.offset) for record in records] == sent
    assert [record.value for record in records] == [b"one", None, b"three"]
    assert {(record.key, record.headers) for record in records} == {(b"k", (("h", b"v"),))}


async def test_what_a_transaction_aborted_is_not_read(broker: Broker) -> None:
    await broker.send_in_transaction([b"aborted"], partition=0, abort=True)
    await broker.send_in_transaction([b"committed"], partition=0)
    assert [record.value for record in await broker.read(broker.topics.requests)] == [b"committed"]


async def test_topics_have_the_partitions_asked_for(cluster: Cluster) -> None:
    async with fresh_topics(cluster, partitions=3) as broker:
        topics = {topic["topic"]: len(topic["partitions"]) for topic in await broker.admin.describe_topics()}
        assert topics[broker.topics.requests] == 3


async def test_a_topic_setting_that_kafka_does_not_know_is_refused(cluster: Cluster) -> None:
    with pytest.raises(BrokerError, match="refuses topic never-made: Unknown topic config name"):
        await cluster.create_topics({"never-made": {"no.such": "1"}})


async def test_topics_that_exist_are_left_as_they_are(broker: Broker) -> None:
    sent = await broker.send([b"kept"], partition=0)
    await broker.cluster.create_topics({broker.topics.requests: {}}, partitions=99)
    assert [Position(each.partition, each.offset) for each in await broker.read(broker.topics.requests)] == sent


async def test_asking_for_a_topic_does_not_create_it(broker: Broker) -> None:
    [topic] = await broker.admin.describe_topics([f"{broker.topics.requests}-misspelt"])
    assert for_code(topic["error_code"]) is UnknownTopicOrPartitionError
    assert topic["topic"] not in await broker.admin.list_topics()


async def test_two_brokers_that_run_at_once_share_no_topics(broker: Broker) -> None:
    with running_broker() as other:
        async with fresh_topics(other) as elsewhere:
            assert broker.topics.requests not in await elsewhere.admin.list_topics()
            assert elsewhere.topics.requests not in await broker.admin.list_topics()


async def test_a_broker_started_again_in_its_folder_has_its_records(tmp_path: Path) -> None:
    with running_broker(data_dir=tmp_path) as cluster:
        async with fresh_topics(cluster) as broker:
            await broker.send([b"kept"], partition=0)
    with running_broker(data_dir=tmp_path) as broker.cluster:
        assert [record.value for record in await broker.read(broker.topics.requests)] == [b"kept"]


async def test_a_folder_in_use_is_refused_and_its_broker_continues(tmp_path: Path) -> None:
    with running_broker(data_dir=tmp_path) as cluster:
        with pytest.raises(BrokerError, match="is in use by another broker"):
            Cluster(tmp_path).start()
        async with fresh_topics(cluster) as broker:
            await broker.send([b"unharmed"], partition=0)


def test_a_start_that_fails_shows_kafkas_error() -> None:
    properties = {"log.retention.hours": "no number"}
    with pytest.raises(BrokerError, match=r"Invalid value no number"), running_broker(properties=properties):
        pass


def test_a_folder_of_one_node_is_not_taken_for_a_cluster_of_three(tmp_path: Path) -> None:
    (tmp_path / "node-1" / "data").mkdir(parents=True)
    (tmp_path / "node-1" / "data" / "meta.properties").touch()
    with pytest.raises(BrokerError, match="holds a cluster of 1 nodes, not of 3"):
        Cluster(tmp_path, nodes=3).start()


def test_a_port_in_use_is_an_error_that_names_the_port(cluster: Cluster) -> None:
    port = cluster.nodes[0].port
    with (
        pytest.raises(BrokerError, match=rf"port {port} on 127.0.0.1 cannot be used \(Address already in use\)"),
        running_broker(port=port),
    ):
        pass


@pytest.mark.slow
async def test_a_killed_broker_comes_back_with_its_records_at_the_same_address() -> None:
    with running_broker() as cluster:
        async with fresh_topics(cluster) as broker:
            await broker.send([b"kept"], partition=0)
            cluster.nodes[0].kill()
            cluster.nodes[0].start()
            await asyncio.to_thread(cluster.wait_until_ready)
            assert [record.value for record in await broker.read(broker.topics.requests)] == [b"kept"]


@pytest.mark.slow
async def test_two_of_three_brokers_continue_when_one_is_killed() -> None:
    with running_broker(nodes=3) as cluster:
        async with fresh_topics(cluster) as broker:
            cluster.nodes[2].kill()
            sent = await broker.send([b"after"] * 8)
            assert [record.value for record in await broker.read(broker.topics.requests)] == [b"after"] * len(sent)


def test_a_cluster_id_that_begins_with_a_dash_is_not_taken_for_an_option(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("uuid.uuid4", lambda: uuid.UUID(bytes=b"\xfb" * 16))
    with running_broker():
        pass


def test_a_stopped_broker_leaves_neither_process_nor_temporary_folder() -> None:
    with running_broker() as cluster:
        pid = cluster.nodes[0].pid
        assert not has_ended(pid, within_s=0)
        assert cluster.folder.exists()
    assert has_ended(pid, within_s=0)
    assert not cluster.folder.exists()


def test_a_broker_dies_with_its_parent_even_by_sigkill(tmp_path: Path) -> None:
    program = """if True:
        import os, pathlib, signal, sys
        from broker import running_broker
        with running_broker(data_dir=pathlib.Path(sys.argv[1])) as cluster:
            print(cluster.nodes[0].pid, flush=True)
            os.kill(os.getpid(), signal.SIGKILL)
    """
    command = [sys.executable, "-c", program, str(tmp_path)]
    parent = subprocess.run(command, stdout=subprocess.PIPE, check=False)
    assert parent.returncode == -signal.SIGKILL
    assert has_ended(int(parent.stdout), within_s=30)
