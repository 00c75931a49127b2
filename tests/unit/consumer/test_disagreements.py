"""Disagreements are sent while there is room, and nothing waits for them."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import pytest

from consumer import disagreements
from consumer.disagreements import Disagreements
from consumer.settings import Settings
from consumer.workers.challenge.report import Challenged, Disputed, Said
from contract.disagreements import Disagreement
from contract.topics import TopicSettings
from engine.model.files import ModelInfo
from tests.harness.waiting import eventually

MODELS = (ModelInfo("digits", "1", "1" * 64), ModelInfo("digits", "2", "2" * 64))
SETTINGS = Settings(topics=TopicSettings(disagreements="disputed"))


def report(*pictures: bytes) -> Challenged:
    said = (Said("recognised", 7, 0.5, None), Said("unsure", 1, 0.25, "low-confidence"))
    return Challenged(
        disputed=[Disputed(3, number, 0, "mine", "a", *said, each) for number, each in enumerate(pictures)]
    )


class Producer:
    """Takes records while it is allowed to."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, bytes, Any]] = []
        self.opened = 0
        self.fails: Exception | None = None

    async def send(self, topic: str, value: bytes, *, headers: Any) -> asyncio.Future[None]:
        if self.fails is not None:
            raise self.fails
        self.sent.append((topic, value, headers))
        delivered: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        delivered.set_result(None)
        return delivered


@pytest.fixture
def producer(monkeypatch: pytest.MonkeyPatch) -> Producer:
    made = Producer()

    @contextlib.asynccontextmanager
    async def opened(*_: object, **__: object) -> AsyncIterator[Producer]:
        made.opened += 1
        yield made

    monkeypatch.setattr(disagreements, "open_producer", opened)
    monkeypatch.setattr(disagreements, "PAUSE_S", 0)
    return made


@contextlib.asynccontextmanager
async def running(settings: Settings = SETTINGS) -> AsyncIterator[tuple[Disagreements, Counter[str]]]:
    ends: Counter[str] = Counter()
    made = Disagreements(settings, lambda end, count: ends.update({end: count}))
    task = asyncio.create_task(made.run())
    yield made, ends
    task.cancel()
    await asyncio.wait({task})


async def test_a_disagreement_is_published_with_both_answers_and_models(producer: Producer) -> None:
    async with running() as (sending, ends):
        sending.challenged(report(b"picture"), *MODELS)
        await eventually(lambda: ends["published"], lambda seen: seen == 1)
    ((topic, value, headers),) = producer.sent
    about = Disagreement.read(headers)
    assert (topic, value) == ("disputed", b"picture")
    assert (about.result_id, about.request_id, about.item_name) == ("digits.requests/3/0/0", "mine", "a")
    assert (about.champion.digit, about.champion.model.version) == (7, "1")
    assert (about.challenger.status, about.challenger.model.version) == ("unsure", "2")


async def test_no_producer_is_opened_before_there_is_something_to_send(producer: Producer) -> None:
    async with running() as (sending, _):
        sending.challenged(Challenged(), *MODELS)
        await asyncio.sleep(0)
        assert producer.opened == 0


async def test_what_exceeds_the_buffer_is_dropped_and_counted(
    producer: Producer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(disagreements, "BUFFER_BYTES", 2 * (disagreements.RECORD_BYTES + 1))
    async with running() as (sending, ends):
        sending.challenged(report(b"1", b"2", b"3"), *MODELS)
        assert ends == {"dropped": 1}
        await eventually(lambda: ends["published"], lambda seen: seen == 2)
        sending.challenged(report(b"4"), *MODELS)
        await eventually(lambda: ends["published"], lambda seen: seen == 3)
    assert [value for _, value, _ in producer.sent] == [b"1", b"2", b"4"]


async def test_a_failure_drops_what_was_being_sent_and_later_ones_are_published(producer: Producer) -> None:
    producer.fails = RuntimeError("whatever it is")
    async with running() as (sending, ends):
        sending.challenged(report(b"1"), *MODELS)
        await eventually(lambda: ends["dropped"], lambda seen: seen == 1)
        producer.fails = None
        sending.challenged(report(b"2"), *MODELS)
        await eventually(lambda: ends["published"], lambda seen: seen == 1)
    assert producer.opened == 2
