"""The tasks of the gateway end with it."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest

from producer.web.gateway.tasks import running_tasks


async def run_then_fail(*work: Coroutine[Any, Any, None]) -> None:
    async with running_tasks() as start:
        for each in work:
            start(each, "work")
        await asyncio.sleep(0)
        raise LookupError


async def wait_beside(*work: Coroutine[Any, Any, None]) -> None:
    async with running_tasks() as start:
        for each in work:
            start(each, "work")
        await asyncio.Event().wait()


async def test_all_tasks_end_with_the_body_and_its_error_is_raised_as_it_is() -> None:
    ended = asyncio.Event()

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    with pytest.raises(LookupError):
        await run_then_fail(work())
    assert ended.is_set()


async def test_a_task_that_fails_ends_the_body() -> None:
    async def fail() -> None:
        raise LookupError

    with pytest.raises(ExceptionGroup) as raised:
        await wait_beside(fail())
    assert [type(each) for each in raised.value.exceptions] == [LookupError]
