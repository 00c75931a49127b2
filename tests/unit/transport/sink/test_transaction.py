"""What one transaction sends, and what follows when a part of it is refused."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import pytest
from aiokafka.errors import KafkaConnectionError

from tests.unit.transport.sink.brokers import (
    BEGIN,
    COORDINATOR,
    GROUP_COORDINATOR,
    MEMBER,
    NAMES,
    P0,
    P1,
    P2,
    PRODUCER_ID,
    R0,
    Brokers,
    batches,
    commit,
    producer_of,
)
from transport.errors import FatalError, OwnershipLost
from transport.protocol.requests import Prepared
from transport.protocol.transactions import Producer
from transport.settings.kafka import GroupSettings
from transport.sink.epochs import Epoch
from transport.sink.outcomes import NotCommitted, PartitionsUnavailable
from transport.sink.transaction import Transaction

pytestmark = pytest.mark.usefixtures("quiet")


async def test_a_transaction_is_written_to_all_leaders_at_once_and_then_ended(brokers: Brokers) -> None:
    await commit(producer_of(brokers), P0, P1)
    added = ["add", "add group"] if brokers.version == 1 else []
    assert brokers.names == [*BEGIN, *added, "produce", "produce", "offsets", "end"]
    assert {each.epoch for each in brokers.sent[2:]} == {1}
    nodes = {(each.name, each.node) for each in brokers.sent}
    assert nodes >= {("produce", 1), ("produce", 2), ("offsets", GROUP_COORDINATOR), ("end", COORDINATOR)}
    assert {node for name, node in nodes if name not in {"produce", "offsets"}} == {COORDINATOR}
    (offsets,) = (each.content for each in brokers.sent if each.name == "offsets")
    assert (offsets.group_id, offsets.generation, offsets.member_id) == MEMBER[:3]
    assert offsets.topics == [("requests", [(0, 5, -1, "", {}), (1, 6, -1, "", {})], {})]
    assert brokers.sent[-1].content.commit is True


async def test_partitions_of_one_leader_share_a_request(brokers: Brokers) -> None:
    await commit(producer_of(brokers), P0, P2)
    assert [set(each.content) for each in brokers.sent if each.name == "produce"] == [{P0, P2}]


async def test_batches_of_a_partition_follow_each_other_in_its_sequence(brokers: Brokers) -> None:
    several = {P0: [*batches(P0)[P0], *batches(P0, records=4)[P0], *batches(P0)[P0]], **batches(P2)}
    await producer_of(brokers).commit(several, {R0: 5}, MEMBER)
    assert [each.content for each in brokers.sent if each.name == "produce"] == [{P0: 0, P2: 0}, {P0: 3}, {P0: 7}]


async def test_sequences_begin_again_after_the_largest_number(brokers: Brokers) -> None:
    epoch = Epoch(Producer("group.x.0", PRODUCER_ID, 1), brokers.version == 2, defaultdict(int, {P0: 2**31 - 2}))
    connections: Any = brokers
    transaction = Transaction(connections, epoch, MEMBER, replicas_timeout_ms=1)
    await transaction.write({1: {P0: batches(P0)[P0] + batches(P0)[P0]}}, {R0: 5})
    assert [each.content[P0] for each in brokers.sent if each.name == "produce"] == [2**31 - 2, 1]


async def test_a_transaction_of_offsets_alone_is_committed(brokers: Brokers) -> None:
    await commit(producer_of(brokers))
    assert brokers.names == [*BEGIN, *(["add group"] if brokers.version == 1 else []), "offsets", "end"]


@pytest.mark.parametrize("version", [0, 1, 2, 3])
async def test_transactions_of_version_2_are_used_where_the_cluster_has_them(version: int) -> None:
    brokers = Brokers(version)
    await commit(producer_of(brokers), P0)
    assert ("add" in brokers.names) == (version < 2)


async def test_the_coordinator_of_the_group_is_known_before_batches_fill_the_line(brokers: Brokers) -> None:
    brokers.answers["look up"] = [0, KafkaConnectionError("closed")]
    with pytest.raises(NotCommitted):
        await commit(producer_of(brokers), P0)
    assert brokers.looked_up == ["group.x.0", "group"]
    assert "produce" not in brokers.names


async def test_brokers_wait_for_replicas_for_less_time_than_the_producer_waits_for_them(brokers: Brokers) -> None:
    """Otherwise the producer gives the leader up in the moment in which it names the partition."""
    timeouts_ms: list[int] = []
    send = brokers.send

    async def noted(node: int, request: Prepared) -> Any:
        if NAMES[request.struct.API_KEY] == "produce":
            timeouts_ms.append(request.struct.timeout_ms)
        return await send(node, request)

    brokers.send = noted  # type: ignore[method-assign]  # only notes
    await commit(producer_of(brokers), P0)
    assert max(timeouts_ms) <= 0.6 * GroupSettings().kafka.request_timeout_ms


@pytest.mark.parametrize("code", [22, 25, 27, 82])
async def test_offsets_of_a_stale_member_are_lost(brokers: Brokers, code: int) -> None:
    brokers.answers["offsets"] = [code]
    with pytest.raises(OwnershipLost, match=r"^the group refuses the offsets: "):
        await commit(producer_of(brokers), P0)
    assert "end" not in brokers.names


@pytest.mark.parametrize("code", [3, 5, 6, 7, 19, 20, 56, 74, 75])
async def test_a_partition_that_cannot_be_written_to_is_named_and_no_other(brokers: Brokers, code: int) -> None:
    producer = producer_of(brokers)
    brokers.answers["produce"] = [{P2: code}]
    with pytest.raises(PartitionsUnavailable, match=r"^predictions/2: ") as caught:
        await commit(producer, P0, P2)
    assert set(caught.value.partitions) == {P2}
    assert brokers.refreshed == 1
    assert "end" not in brokers.names
    await commit(producer, P0)
    assert brokers.names.count("epoch") == 2


async def test_unavailable_partitions_of_several_leaders_are_all_named(brokers: Brokers) -> None:
    brokers.answers["produce"] = [19, {P1: 6}]
    with pytest.raises(PartitionsUnavailable) as caught:
        await commit(producer_of(brokers), P0, P1)
    assert set(caught.value.partitions) == {P0, P1}


async def test_a_partition_that_version_1_cannot_add_is_named_and_no_other() -> None:
    brokers = Brokers(1)
    brokers.answers["add"] = [{P1: 3, P0: 55}]  # 55: not attempted, since another one failed
    with pytest.raises(PartitionsUnavailable) as caught:
        await commit(producer_of(brokers), P0, P1)
    assert set(caught.value.partitions) == {P1}


async def test_what_is_fatal_goes_before_a_stale_member_and_that_before_a_partition(brokers: Brokers) -> None:
    brokers.answers |= {"produce": [19, 29], "offsets": [22]}
    with pytest.raises(FatalError):
        await commit(producer_of(brokers), P0, P1)
    brokers.answers |= {"produce": [19, KafkaConnectionError("closed")], "offsets": [22]}
    with pytest.raises(OwnershipLost):
        await commit(producer_of(brokers), P0, P1)
