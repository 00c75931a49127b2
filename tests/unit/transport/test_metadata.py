"""How a client asks for metadata, and when it sends again after a refusal."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.errors import KafkaConnectionError, NotLeaderForPartitionError, OffsetOutOfRangeError
from aiokafka.protocol.fetch import FetchRequest

from transport import metadata
from transport.metadata import REFUSAL_PAUSES_S, MetadataRefresh, RefusalBackoff, live_servers

REQUEST_TIMEOUT_MS = 120_000
ANSWER = SimpleNamespace(brokers=[(1, "a", 9092), (2, "b", 9092)])


class Connection:
    """Gives these answers, one after the other; None hangs."""

    def __init__(self, *answers: Any) -> None:
        self._answers = list(answers)
        self.requests: list[Any] = []
        self.is_open = True

    async def send(self, request: Any) -> Any:
        self.requests.append(request)
        answer = self._answers.pop(0)
        if answer is None:
            await asyncio.Event().wait()
        if isinstance(answer, Exception):
            raise answer
        return answer

    def connected(self) -> bool:
        return self.is_open

    def close(self, *, reason: object) -> None:
        assert reason is not None
        self.is_open = False


class Cluster:
    """Brokers that the client knows, and the updates of its metadata."""

    def __init__(self, *nodes: int) -> None:
        self._nodes = nodes
        self.updates: list[Any] = []

    def brokers(self) -> list[Any]:
        return [SimpleNamespace(nodeId=node, host=f"host{node}", port=9092) for node in self._nodes]

    def update_metadata(self, answer: Any) -> None:
        self.updates.append(answer)

    def failed_update(self, _: None) -> None:
        self.updates.append("failed")


def client(connections: dict[int, Connection | None]) -> Any:
    async def get_connection(node: int, *, group: object) -> Connection | None:
        del group
        return connections[node]

    return SimpleNamespace(
        cluster=Cluster(*connections),
        _conns={(node, 0): each for node, each in connections.items() if each is not None},
        _get_conn=get_connection,
    )


@pytest.fixture(autouse=True)
def _in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("random.shuffle", lambda _: None)
    monkeypatch.setattr(metadata, "REFRESH_PAUSE_S", 0)


async def refreshed(asked: Any, *topics: str) -> bool:
    return await MetadataRefresh(asked, REQUEST_TIMEOUT_MS, ["requests"]).update(asked.cluster, topics)


async def test_only_our_topics_are_asked_for_and_none_is_created() -> None:
    connection = Connection(ANSWER)
    asked = client({1: connection})
    assert await refreshed(asked, "predictions")
    (request,) = connection.requests
    assert (request._topics, request._allow_auto_topic_creation) == (["predictions", "requests"], False)
    assert asked.cluster.updates == [ANSWER]


async def test_a_broker_that_hangs_does_not_delay_the_answer_of_another(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metadata, "FIRST_TIMEOUT_S", 0.01)
    asked = client({1: Connection(None), 2: Connection(ANSWER)})
    async with asyncio.timeout(REQUEST_TIMEOUT_MS / 2_000):
        assert await refreshed(asked)


async def test_a_connection_that_ends_is_opened_again_once() -> None:
    connection = Connection(KafkaConnectionError(), ANSWER)
    assert await refreshed(client({1: connection}))
    assert len(connection.requests) == 2


async def test_an_update_that_no_broker_answers_has_failed() -> None:
    asked = client({1: None, 2: Connection(KafkaConnectionError(), KafkaConnectionError())})
    assert not await refreshed(asked)
    assert asked.cluster.updates == ["failed"]


async def test_connections_to_brokers_that_left_the_cluster_are_closed() -> None:
    removed, member = Connection(), Connection(ANSWER)
    await refreshed(client({2: member, 7: removed}))
    assert (removed.is_open, member.is_open) == (False, True)


async def test_pauses_grow_with_refusals_in_a_row_and_end_with_an_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    refused, out_of_range = NotLeaderForPartitionError.errno, OffsetOutOfRangeError.errno
    codes = iter([refused, refused, out_of_range, refused, *[refused] * 9])
    pauses_s: list[float] = []

    async def send(_node: int, _request: Any) -> Any:
        return SimpleNamespace(topics=[("requests", [(0, next(codes))])])

    async def pause(seconds: float) -> None:
        pauses_s.append(seconds)

    monkeypatch.setattr(asyncio, "sleep", pause)
    sender: Any = SimpleNamespace(send=send)
    backoff = RefusalBackoff(sender)
    fetch = FetchRequest(-1, 100, 1, 1_000, 0, [])
    for _ in range(13):
        await backoff.send(1, fetch)
    first, second, *_ = REFUSAL_PAUSES_S
    assert pauses_s[:4] == [first, second, first, second]
    assert pauses_s[-1] == max(REFUSAL_PAUSES_S)
    assert len(pauses_s) == 12, "an offset out of range is no refusal"


def test_addresses_of_version_6_stand_in_brackets() -> None:
    brokers = [SimpleNamespace(host="::1", port=9092), SimpleNamespace(host="kafka", port=9093)]
    consumer: Any = SimpleNamespace(_client=SimpleNamespace(cluster=SimpleNamespace(brokers=lambda: brokers)))
    assert live_servers(consumer) == ["[::1]:9092", "kafka:9093"]
