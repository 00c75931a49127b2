"""When a producer asks for an epoch, and when it takes another transactional id."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from aiokafka.errors import IncompatibleBrokerVersion, KafkaError, RequestTimedOutError

from tests.harness.waiting import eventually
from tests.unit.transport.sink.brokers import (
    BEGIN,
    BROKEN,
    NAMES,
    P0,
    Brokers,
    Clock,
    Code,
    commit,
    producer_of,
)
from transport.errors import FatalError
from transport.protocol.requests import Prepared
from transport.sink import refusals
from transport.sink.outcomes import NotCommitted, OutcomeUnknown

pytestmark = pytest.mark.usefixtures("quiet")


async def test_the_next_transaction_has_a_new_epoch_or_continues_the_sequences(brokers: Brokers) -> None:
    producer = producer_of(brokers)
    for _ in range(3):
        await commit(producer, P0)
    assert brokers.names.count("epoch") == 1
    produced = [(each.epoch, each.content[P0]) for each in brokers.sent if each.name == "produce"]
    assert produced == ([(1, 0), (2, 0), (3, 0)] if brokers.version == 2 else [(1, 0), (1, 3), (1, 6)])


@pytest.mark.parametrize("name", ["produce", "offsets", "end"])
async def test_no_request_is_sent_again_in_the_epoch_of_a_failure(brokers: Brokers, name: str) -> None:
    producer = producer_of(brokers)
    await commit(producer, P0)
    brokers.answers[name] = [RequestTimedOutError("silent")]
    with pytest.raises((NotCommitted, OutcomeUnknown)):
        await commit(producer, P0)
    used, count = brokers.epoch, len(brokers.sent)
    await producer.settle()
    await commit(producer, P0)
    later = brokers.sent[count:]
    assert [each.name for each in later][:2] == BEGIN
    assert {each.epoch for each in later[2:]} == {used + 1}
    assert [each.content[P0] for each in later if each.name == "produce"] == [0]


async def test_a_commit_after_a_failure_settles_by_itself(brokers: Brokers) -> None:
    producer = producer_of(brokers)
    brokers.answers["offsets"] = [47]
    with pytest.raises(NotCommitted):
        await commit(producer, P0)
    await commit(producer, P0)
    assert brokers.names.count("epoch") == 2


async def test_a_cancelled_transaction_is_settled_before_the_next(brokers: Brokers) -> None:
    producer = producer_of(brokers)
    await producer.settle()
    answering = asyncio.Event()
    send = brokers.send

    async def silent(node: int, request: Prepared) -> Any:
        answer = await send(node, request)
        await answering.wait()
        return answer

    brokers.send = silent  # type: ignore[method-assign]  # until the transaction is cancelled
    committing = asyncio.create_task(commit(producer, P0))
    await eventually(lambda: {"produce", "add"} & set(brokers.names))
    committing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await committing
    answering.set()
    await commit(producer, P0)
    assert brokers.names.count("epoch") == 2
    assert brokers.sent[-1].epoch == 2


async def test_an_epoch_is_asked_for_again_while_markers_are_written(brokers: Brokers, clock: Clock) -> None:
    producer = producer_of(brokers)
    brokers.answers["epoch"] = [51] * 20
    await producer.settle()
    assert producer.transactional_id == "group.x.0"
    assert clock.pauses_s == [0.005] * 20


async def test_another_id_is_taken_when_markers_are_blocked_for_too_long(brokers: Brokers, clock: Clock) -> None:
    producer = producer_of(brokers)
    count = round(refusals.BLOCKED_S / refusals.CONCURRENT_PAUSES_S[-1]) + 1
    brokers.answers["epoch"] = [51] * (count + 3)
    await producer.settle()
    assert clock.now_s - 1_000 == pytest.approx(refusals.BLOCKED_S, abs=0.03)
    await commit(producer, P0)
    assert {each.content for each in brokers.sent if each.name == "epoch"} == {"group.x.0", "group.x.1"}
    assert brokers.sent[-1].content.transactional_id == "group.x.1"


@pytest.mark.parametrize("name", ["produce", "offsets"])
async def test_a_transaction_blocked_by_the_markers_of_the_last_takes_another_id(
    brokers: Brokers, clock: Clock, name: str
) -> None:
    producer = producer_of(brokers)
    brokers.answers[name] = [51] * 10_000
    with pytest.raises(NotCommitted, match="ConcurrentTransactions"):
        await commit(producer, P0)
    blocked_s = clock.now_s
    assert blocked_s - 1_000 == pytest.approx(refusals.BLOCKED_S, abs=0.02)
    brokers.answers.clear()
    brokers.answers["epoch"] = [51]
    await producer.settle()
    asked = [each.content for each in brokers.sent if each.name == "epoch"]
    assert asked == ["group.x.0"] * 2 + ["group.x.1"], "the old id's transaction is ended first"
    assert clock.now_s == blocked_s, "it has waited long enough"


async def test_a_short_wait_for_markers_is_forgotten_when_the_transaction_fails_later(
    brokers: Brokers, clock: Clock
) -> None:
    producer = producer_of(brokers)

    brokers.answers |= {"produce": [51], "offsets": [51]}
    send = brokers.send

    async def silent_at_the_end(node: int, request: Prepared) -> Any:
        if NAMES[request.struct.API_KEY] == "end":
            clock.now_s += 5
            raise RequestTimedOutError
        return await send(node, request)

    brokers.send = silent_at_the_end  # type: ignore[method-assign]  # as its name says
    with pytest.raises(OutcomeUnknown):
        await commit(producer, P0)
    brokers.answers["epoch"] = [51, 51]
    await producer.settle()
    assert producer.transactional_id == "group.x.0"


async def test_settling_goes_on_while_no_broker_answers(brokers: Brokers, clock: Clock) -> None:
    away: list[Code] = [*BROKEN, 16, 15, 47]
    brokers.answers["epoch"] = list(away)
    brokers.answers["look up"] = [KafkaError("no coordinator yet")]
    await producer_of(brokers).settle()
    assert brokers.names.count("epoch") == len(away) + 1
    assert brokers.forgotten == len(away) + 1
    assert clock.pauses_s == [0.1, 0.25, 0.5, *[1.0] * (len(away) - 2)]


@pytest.mark.parametrize("name", ["versions", "epoch"])
async def test_brokers_that_are_too_old_are_fatal_and_not_asked_again(brokers: Brokers, name: str) -> None:
    brokers.answers[name] = [IncompatibleBrokerVersion("the broker understands versions 0 to 1 of request 22")]
    with pytest.raises(FatalError, match=r"^cannot commit: .*understands versions 0 to 1"):
        await commit(producer_of(brokers), P0)
