"""Live readers: what they get, what they lose, and how many there are."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from producer.web.gateway.interface import BusyError, Missed
from producer.web.gateway.live import LiveReaders
from tests.harness.gateway_records import made_answer


async def test_each_reader_gets_the_answers_of_its_tenant() -> None:
    live = LiveReaders(max_readers=3, queue=10)
    one, two, other = (asyncio.ensure_future(anext(live.read(tag))) for tag in ("anna", "anna", "bert"))
    await asyncio.sleep(0)
    live.add("anna", made_answer())
    assert [await one, await two] == [made_answer()] * 2
    assert not other.done()
    other.cancel()


async def test_a_slow_reader_loses_the_oldest_and_learns_how_many() -> None:
    live = LiveReaders(max_readers=1, queue=2)
    async with contextlib.aclosing(live.read("anna")) as reader:
        first = asyncio.ensure_future(anext(reader))
        await asyncio.sleep(0)
        for index in range(5):
            live.add("anna", made_answer(index, 5))
        assert [await first, await anext(reader), await anext(reader)] == [
            Missed(3),
            made_answer(3, 5),
            made_answer(4, 5),
        ]
        waiting = asyncio.ensure_future(anext(reader))
        live.add("anna", made_answer(0, 1))
        assert await waiting == made_answer(0, 1)
    assert live.missed == 3


async def test_readers_beyond_the_limit_are_refused_until_one_has_ended() -> None:
    live = LiveReaders(max_readers=1, queue=2)
    async with contextlib.aclosing(live.read("anna")) as reader:
        waiting = asyncio.ensure_future(anext(reader))
        await asyncio.sleep(0)
        assert "anna" in live
        with pytest.raises(BusyError):
            live.read("bert")
        waiting.cancel()
        await asyncio.wait({waiting})
    assert (live.count, "anna" in live) == (0, False)
    live.add("anna", made_answer())
    live.read("bert")
