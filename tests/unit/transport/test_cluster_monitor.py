"""What the cluster monitor reports, and which errors of the group end the service."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.errors import (
    GroupAuthorizationFailedError,
    InvalidGroupIdError,
    KafkaError,
    UnknownError,
)

from contract.topics import TopicSettings
from transport import cluster_monitor
from transport.cluster_monitor import FAILURES_BEFORE_BOOTSTRAP, monitor_cluster, poll_group
from transport.errors import FatalError

TOPICS = TopicSettings()


class Client:
    """Answers metadata requests with these results; counts bootstraps."""

    def __init__(self, *answers: bool) -> None:
        self._answers = list(answers)
        self.bootstraps = 0
        self.leaders: dict[str, int] = dict.fromkeys(TOPICS.names, 1)
        self.cluster = SimpleNamespace(
            partitions_for_topic=lambda topic: {0} if topic in self.leaders else None,
            leader_for_partition=lambda partition: self.leaders[partition.topic],
            unauthorized_topics=set(),
        )

    async def force_metadata_update(self) -> bool:
        return self._answers.pop(0) if self._answers else True

    async def bootstrap(self) -> None:
        self.bootstraps += 1


async def reports(client: Client, count: int, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.setattr(cluster_monitor, "MONITOR_INTERVAL_S", 0)
    consumer: Any = SimpleNamespace(_client=client)
    given: list[str] = []
    enough = asyncio.Event()

    def report(problem: str) -> None:
        given.append(problem)
        if len(given) == count:
            enough.set()

    monitoring = asyncio.create_task(monitor_cluster(consumer, TOPICS, report))
    await enough.wait()
    monitoring.cancel()
    await asyncio.wait([monitoring])
    return given[:count]


async def test_a_cluster_with_all_topics_and_leaders_has_no_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    assert await reports(Client(), 1, monkeypatch) == [""]


async def test_missing_topics_and_leaders_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    leaderless, incomplete = Client(), Client()
    leaderless.leaders[TOPICS.predictions] = -1
    del incomplete.leaders[TOPICS.requests]
    assert await reports(leaderless, 1, monkeypatch) == [f"no leader for {TOPICS.predictions}/0"]
    assert await reports(incomplete, 1, monkeypatch) == [f"topics are missing: {TOPICS.requests}"]


async def test_a_connection_that_a_broker_has_ended_is_no_problem_of_the_cluster(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert await reports(Client(False, True, False, False), 2, monkeypatch) == ["", "no broker answers"]


async def test_brokers_of_the_settings_are_asked_after_failures_in_a_row(monkeypatch: pytest.MonkeyPatch) -> None:
    failures = [False, False] * (FAILURES_BEFORE_BOOTSTRAP - 1)  # each check asks twice
    patient = Client(*failures, True, *failures, True)
    assert (await reports(patient, 2 * FAILURES_BEFORE_BOOTSTRAP, monkeypatch))[-1] == ""
    assert patient.bootstraps == 0
    client = Client(*failures, False, False)
    found = await reports(client, FAILURES_BEFORE_BOOTSTRAP, monkeypatch)
    assert (set(found), client.bootstraps) == ({"no broker answers"}, 1)


def member(error: KafkaError | None, *, lost: bool = False) -> Any:
    async def getmany(*_: object, **__: object) -> dict[object, object]:
        if error is not None:
            raise error
        return {}

    done = SimpleNamespace(done=lambda: lost)
    ended = SimpleNamespace(done=lambda: True, cancelled=lambda: False, exception=lambda: RuntimeError("broken"))
    return SimpleNamespace(
        getmany=getmany,
        _coordinator=SimpleNamespace(_coordination_task=done),
        _fetcher=SimpleNamespace(error_future=ended),
    )


@pytest.mark.parametrize(
    ("consumer", "message"),
    [
        (member(GroupAuthorizationFailedError("g")), r"group g may not be joined \(ACL: Read on the group\)"),
        (member(InvalidGroupIdError()), "the group refuses this member: .*InvalidGroupId"),
        (member(UnknownError(), lost=True), "the client has left the group: .*Unknown"),
        (member(None), "the fetch task of the client has ended: RuntimeError: broken"),
    ],
    ids=["denied", "refused", "coordination ended", "fetching ended"],
)
async def test_errors_that_will_not_pass_end_the_service(consumer: Any, message: str) -> None:
    with pytest.raises(FatalError, match=message):
        await poll_group(consumer)


@pytest.mark.parametrize(
    ("topic", "sentence"),
    [
        (TOPICS.requests, "topic digits.requests may not be read (ACL: Read on the topic)"),
        (TOPICS.dead_letter, "topic digits.dead-letter may not be written to (ACL: Write on the topic)"),
    ],
)
async def test_a_topic_that_may_not_be_seen_any_more_ends_the_service(
    topic: str, sentence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster_monitor, "MONITOR_INTERVAL_S", 0)
    client = Client()
    del client.leaders[topic]
    client.cluster.unauthorized_topics.add(topic)
    given: list[str] = []
    with pytest.raises(FatalError) as fatal:
        await monitor_cluster(SimpleNamespace(_client=client), TOPICS, given.append)
    assert str(fatal.value) == sentence
    assert given == [f"topics are missing: {topic}"], "the first refresh alone does not end it"


async def test_one_refresh_that_hides_a_topic_does_not_end_the_service(monkeypatch: pytest.MonkeyPatch) -> None:
    client = Client()
    client.cluster.unauthorized_topics.add(TOPICS.requests)
    refreshes = 0

    async def refresh() -> bool:
        nonlocal refreshes
        refreshes += 1
        if refreshes % 2:
            client.cluster.unauthorized_topics.add(TOPICS.requests)
        else:
            client.cluster.unauthorized_topics.clear()
        return True

    monkeypatch.setattr(client, "force_metadata_update", refresh)
    assert len(await reports(client, 6, monkeypatch)) == 6
