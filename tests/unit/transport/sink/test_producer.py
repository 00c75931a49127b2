"""What a producer concludes of a transaction that fails."""

from __future__ import annotations

import pytest

from tests.unit.transport.sink.brokers import (
    BEGIN,
    BROKEN,
    P0,
    P1,
    Brokers,
    Code,
    commit,
    producer_of,
)
from transport.errors import FatalError, OwnershipLost
from transport.sink.outcomes import NotCommitted, OutcomeUnknown, PartitionsUnavailable

pytestmark = pytest.mark.usefixtures("quiet")


@pytest.mark.parametrize(("name", "code"), [("offsets", 22), ("produce", 19), ("produce", 10)])
async def test_a_refused_transaction_is_ended_before_its_error_is_raised(
    brokers: Brokers, name: str, code: int
) -> None:
    brokers.answers |= {name: [code], "epoch": [0, 51]}
    producer = producer_of(brokers)
    with pytest.raises((OwnershipLost, PartitionsUnavailable, FatalError)):
        await commit(producer, P0)
    assert brokers.names[-2:] == BEGIN
    await commit(producer, P0)
    assert brokers.names.count("epoch") == 3
    brokers.answers |= {name: [code], "epoch": [TimeoutError()]}
    with pytest.raises((OwnershipLost, PartitionsUnavailable, FatalError)):
        await commit(producer, P0)


@pytest.mark.parametrize("error", [*BROKEN, 47, 90, 120, 15, 999], ids=str)
@pytest.mark.parametrize("name", ["produce", "offsets"])
async def test_a_failure_before_the_end_means_not_committed(brokers: Brokers, name: str, error: Code) -> None:
    brokers.answers[name] = [error]
    with pytest.raises(NotCommitted):
        await commit(producer_of(brokers), P0)
    assert "end" not in brokers.names


@pytest.mark.parametrize("error", [*BROKEN, 47, 90, 15], ids=str)
@pytest.mark.parametrize("name", ["add", "add group"])
async def test_a_failure_of_version_1_to_add_means_not_committed(name: str, error: Code) -> None:
    brokers = Brokers(1)
    brokers.answers[name] = [error]
    with pytest.raises(NotCommitted):
        await commit(producer_of(brokers), P0)
    assert "produce" not in brokers.names


@pytest.mark.parametrize("error", [*BROKEN, 47, 90, 15], ids=str)
async def test_a_failure_of_the_end_leaves_the_outcome_unknown(brokers: Brokers, error: Code) -> None:
    brokers.answers["end"] = [error]
    with pytest.raises(OutcomeUnknown):
        await commit(producer_of(brokers), P0)
    assert brokers.names.count("end") == 1


async def test_a_partition_without_leader_is_named_before_anything_is_sent(brokers: Brokers) -> None:
    producer = producer_of(brokers)
    await commit(producer, P0)
    count = len(brokers.sent)
    brokers.leaders[P1] = None
    with pytest.raises(PartitionsUnavailable) as caught:
        await commit(producer, P0, P1)
    assert set(caught.value.partitions) == {P1}
    assert len(brokers.sent) == count
    assert brokers.refreshed == 1, "it looks for a new leader"
    await commit(producer, P0)
    assert brokers.names.count("epoch") == 1, "no epoch is used up"
