"""What the producer waits for, how long, and what is fatal."""

from __future__ import annotations

import pytest

from tests.unit.transport.sink.brokers import (
    MEMBER,
    P0,
    P2,
    R0,
    Brokers,
    Clock,
    batches,
    commit,
    producer_of,
)
from transport.errors import FatalError
from transport.sink.outcomes import NotCommitted, OutcomeUnknown

pytestmark = pytest.mark.usefixtures("quiet")


@pytest.mark.parametrize(
    ("name", "code", "sentence"),
    [
        ("produce", 29, r"topic predictions may not be written to \(ACL: Write on the topic\)"),
        ("offsets", 29, r"topic requests may not be read \(ACL: Read on the topic\)"),
        ("offsets", 30, r"group group may not be joined \(ACL: Read on the group\)"),
        ("produce", 53, r"transactional id group\.x\.0 may not be used .*"),
        ("offsets", 53, r"transactional id group\.x\.0 may not be used .*"),
        ("epoch", 53, r"transactional id group\.x\.0 may not be used .*"),
        ("end", 53, r"transactional id group\.x\.0 may not be used .*"),
        ("produce", 10, r".*MessageSizeTooLargeError.* predictions/0"),
        ("produce", 32, r".*InvalidTimestampError.* predictions/0"),
        ("produce", 87, r".*InvalidRecordError: predictions/0"),
        ("epoch", 50, r".*InvalidTransactionTimeout.*"),
    ],
)
async def test_what_a_later_attempt_would_not_change_is_fatal_and_says_why(
    brokers: Brokers, name: str, code: int, sentence: str
) -> None:
    brokers.answers[name] = [code]
    with pytest.raises(FatalError, match=rf"^cannot commit: {sentence}$"):
        await commit(producer_of(brokers), P0)


@pytest.mark.parametrize(
    ("name", "code", "sentence"),
    [
        ("add", 29, r"topic predictions may not be written to \(ACL: Write on the topic\)"),
        ("add", 53, r"transactional id group\.x\.0 may not be used .*"),
        ("add group", 30, r"group group may not be joined \(ACL: Read on the group\)"),
    ],
)
async def test_a_right_that_version_1_lacks_is_named(name: str, code: int, sentence: str) -> None:
    brokers = Brokers(1)
    brokers.answers[name] = [code]
    with pytest.raises(FatalError, match=rf"^cannot commit: {sentence}$"):
        await commit(producer_of(brokers), P0)


@pytest.mark.parametrize("name", ["produce", "offsets", "end"])
async def test_a_request_is_repeated_while_the_last_markers_are_written(
    brokers: Brokers, clock: Clock, name: str
) -> None:
    brokers.answers[name] = [51] * 4
    await commit(producer_of(brokers), P0)
    assert brokers.names.count(name) == 5
    assert clock.pauses_s == [0.002, 0.003, 0.005, 0.005]
    assert {each.epoch for each in brokers.sent if each.name == name} == {1}


async def test_only_the_partitions_that_were_refused_are_sent_again(brokers: Brokers, clock: Clock) -> None:
    brokers.answers["produce"] = [{P0: 51}]
    several = {**batches(P2), P0: [*batches(P0)[P0], *batches(P0)[P0]]}
    await producer_of(brokers).commit(several, {R0: 5}, MEMBER)
    produced = [each.content for each in brokers.sent if each.name == "produce"]
    assert produced == [{P2: 0, P0: 0}, {P0: 0}, {P0: 3}]
    assert clock.pauses_s == [0.002]


@pytest.mark.parametrize("code", [14, 16])
@pytest.mark.parametrize("name", ["offsets", "end"])
async def test_a_coordinator_that_has_moved_is_looked_up_and_asked_again(
    brokers: Brokers, clock: Clock, name: str, code: int
) -> None:
    brokers.answers[name] = [code, code]
    await commit(producer_of(brokers), P0)
    key = "group" if name == "offsets" else "group.x.0"
    assert brokers.names.count(name) == 3
    assert brokers.forgotten == 2
    assert brokers.looked_up[-3:].count(key) >= 2
    assert clock.now_s > 1_000


@pytest.mark.parametrize(("name", "kind"), [("offsets", NotCommitted), ("end", OutcomeUnknown)])
async def test_a_coordinator_that_stays_away_is_named_and_no_markers_are_blamed(
    brokers: Brokers, clock: Clock, name: str, kind: type[Exception]
) -> None:
    producer = producer_of(brokers)
    brokers.answers[name] = [16] * 10_000
    with pytest.raises(kind, match=r"NotCoordinator"):
        await commit(producer, P0)
    assert clock.now_s - 1_000 < 1.5
    brokers.answers.clear()
    brokers.answers["epoch"] = [51, 51]  # its transaction is aborted now
    await producer.settle()
    assert producer.transactional_id == "group.x.0"
