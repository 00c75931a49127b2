"""Whatever Kafka does, or does not do, ends in one line."""

from __future__ import annotations

import asyncio

import pytest
from aiokafka.errors import (
    KafkaConnectionError,
    KafkaError,
    MessageSizeTooLargeError,
    ProducerFenced,
    TopicAuthorizationFailedError,
    UnknownTopicOrPartitionError,
)

from producer.display import print_message
from transport import clients
from transport.clients import request_deadline
from transport.errors import KafkaRequestError
from transport.internals import EndUnknownError
from transport.reachability import RefusedError, UnreachableError
from transport.settings.kafka import KafkaSettings


async def test_an_answer_that_does_not_come_is_waited_for_until_the_deadline() -> None:
    with pytest.raises(KafkaRequestError, match=r"^cannot read results: no answer within 0\.01 s$"):
        async with request_deadline("read results", 0.01):
            await asyncio.Event().wait()


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (KafkaConnectionError("[('10.0.0.1', 9092)]"), "no broker answers there"),
        (TopicAuthorizationFailedError("t"), "this user may not do that with topic t (ACL)"),
        (MessageSizeTooLargeError(), "the record is larger than the topic's max.message.bytes"),
        (
            ProducerFenced(),
            "another producer with this transactional id took over, or the transaction took too long",
        ),
        (
            EndUnknownError("closed"),
            "no answer has come to the end of the transaction, which may be committed",
        ),
        (UnknownTopicOrPartitionError(), "UnknownTopicOrPartitionError: [Error 3] UnknownTopicOrPartitionError"),
    ],
)
async def test_what_the_client_raises_is_said_in_words(error: KafkaError, words: str) -> None:
    with pytest.raises(KafkaRequestError) as caught:
        async with request_deadline("send 'a.png'"):
            raise error
    assert str(caught.value) == f"cannot send 'a.png': {words}"


async def test_an_interruption_stays_one() -> None:
    inside = asyncio.Event()

    async def wait() -> None:
        async with request_deadline("wait"):
            inside.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(wait())
    await inside.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_broker_that_is_starting_is_waited_for_with_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    answers = iter([UnreachableError("no answer"), UnreachableError("no answer"), None])

    async def meeting(_: object) -> None:
        if (error := next(answers)) is not None:
            raise error

    monkeypatch.setattr(clients, "probe_brokers", meeting)
    monkeypatch.setattr(clients, "RECONNECT_PAUSE_S", 0.01)
    await clients.wait_for_brokers(KafkaSettings(wait_s=60), print_message)
    assert capsys.readouterr().err == "digit-producer: cannot reach Kafka at localhost:9092 yet: waiting up to 60 s\n"
    assert next(answers, "all asked") == "all asked"


async def test_a_broker_that_does_not_come_is_waited_for_no_longer_than_that(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = 0

    async def meeting(_: object) -> None:
        nonlocal asked
        asked += 1
        raise UnreachableError("no answer")

    monkeypatch.setattr(clients, "probe_brokers", meeting)
    monkeypatch.setattr(clients, "RECONNECT_PAUSE_S", 0.25)
    with pytest.raises(KafkaRequestError, match="no broker answers there"):
        await clients.wait_for_brokers(KafkaSettings(wait_s=1), print_message)
    assert 1 < asked <= 5


async def test_a_broker_that_refuses_us_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    async def meeting(_: object) -> None:
        asked.append(1)
        raise RefusedError("the password is wrong")

    monkeypatch.setattr(clients, "probe_brokers", meeting)
    with pytest.raises(KafkaRequestError, match="the password is wrong"):
        await clients.wait_for_brokers(KafkaSettings(wait_s=60), print_message)
    assert asked == [1]
