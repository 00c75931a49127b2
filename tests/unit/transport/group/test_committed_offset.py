"""How the committed offset of one partition is read while coordinators move."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import (
    GroupAuthorizationFailedError,
    GroupLoadInProgressError,
    NotCoordinatorForGroupError,
)

from transport.group import offsets
from transport.group.offsets import CommittedOffset, committed_offset
from transport.protocol.error_codes import UNSTABLE_OFFSET_COMMIT

PARTITION = TopicPartition("requests", 3)


class Coordinator:
    """Answers offset requests, one after the other; counts how often it was given up."""

    group_id = "digits"

    def __init__(self, *answers: Any) -> None:
        self._answers = list(answers)
        self.given_up = 0

    async def ensure_coordinator_known(self) -> None:
        pass

    def coordinator_dead(self) -> None:
        self.given_up += 1

    async def _send_req(self, _: Any) -> Any:
        return self._answers.pop(0)


def answer(offset: int = -1, *, group_error: int = 0, error: int = 0, topics: Sequence[Any] | None = None) -> Any:
    named: list[Any] = [("requests", [(3, offset, -1, "ids", error, {})], {})]
    return SimpleNamespace(error_code=group_error, topics=named if topics is None else topics)


async def read(coordinator: Coordinator, monkeypatch: pytest.MonkeyPatch) -> CommittedOffset:
    monkeypatch.setattr(offsets, "RETRY_PAUSE_S", 0)
    consumer: Any = SimpleNamespace(_coordinator=coordinator)
    return await committed_offset(consumer, PARTITION)


@pytest.mark.parametrize(("stored", "offset"), [(7, 7), (0, 0), (-1, None)])
async def test_minus_one_means_that_nothing_is_committed(
    stored: int, offset: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert await read(Coordinator(answer(stored)), monkeypatch) == (offset, True)


@pytest.mark.parametrize("where", ["group_error", "error"])
async def test_another_coordinator_is_looked_for_when_this_one_is_none(
    where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    coordinator = Coordinator(answer(**{where: NotCoordinatorForGroupError.errno}), answer(7))
    assert (await read(coordinator, monkeypatch)).offset == 7
    assert coordinator.given_up == 1


@pytest.mark.parametrize("first", [answer(error=GroupLoadInProgressError.errno), answer(topics=[])])
async def test_a_coordinator_that_loads_its_offsets_is_asked_again(first: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    coordinator = Coordinator(first, answer(7))
    assert (await read(coordinator, monkeypatch)).offset == 7
    assert coordinator.given_up == 0


async def test_a_refusal_is_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(GroupAuthorizationFailedError):
        await read(Coordinator(answer(group_error=GroupAuthorizationFailedError.errno)), monkeypatch)


async def test_an_offset_that_an_open_transaction_may_change_is_not_stable(monkeypatch: pytest.MonkeyPatch) -> None:
    assert await read(Coordinator(answer(error=UNSTABLE_OFFSET_COMMIT)), monkeypatch) == (None, False)
