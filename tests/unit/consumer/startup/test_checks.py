"""Topics that do not fit are named with what would be right, by one table for all who look; so is an old broker."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from consumer.settings import Settings
from contract.topics import MAX_RECORD_BYTES, TopicFound, TopicSettings, misfits
from transport.admin.admin_client import has_old_broker

TOPICS = TopicSettings()


def found(replicas: int = 1, partitions: int = 8) -> dict[str, TopicFound]:
    """Describe the topics as they are created."""
    configs = TOPICS.creation_configs(replicas=replicas)
    return {name: TopicFound(partitions, replicas, config) for name, config in configs.items()}


def complaints(topics: dict[str, TopicFound], record_bytes: int = MAX_RECORD_BYTES) -> list[str]:
    return [str(misfit) for misfit in misfits(TOPICS, topics, record_bytes=record_bytes)]


def test_a_record_is_as_large_by_default_as_topics_are_created_for() -> None:
    assert Settings().limits.record_bytes == MAX_RECORD_BYTES


@pytest.mark.parametrize("replicas", [1, 2, 3, 5])
def test_topics_as_we_create_them_fit(replicas: int) -> None:
    assert complaints(found(replicas)) == []


@pytest.mark.parametrize(
    ("name", "config", "replicas", "complaint"),
    [
        (
            TOPICS.requests,
            {"cleanup.policy": "compact,delete"},
            1,
            "cleanup.policy is compact,delete, should be delete",
        ),
        (TOPICS.predictions, {"cleanup.policy": "compact"}, 1, "cleanup.policy is compact, should be delete"),
        (TOPICS.requests, {"compression.type": "producer"}, 1, "compression.type is producer, should be uncompressed"),
        (TOPICS.dead_letter, {"min.insync.replicas": "1"}, 3, "min.insync.replicas is 1, should be at least 2"),
        (
            TOPICS.requests,
            {"max.message.bytes": "1048588"},
            1,
            "max.message.bytes is 1048588, should be at least 16777216",
        ),
        (
            TOPICS.predictions,
            {"max.message.bytes": "100000"},
            1,
            "max.message.bytes is 100000, should be at least 525312",
        ),
        (TOPICS.dead_letter, {"max.message.bytes": "16842752"}, 1, "should be at least 17825792"),
    ],
)
def test_what_does_not_fit_is_named(name: str, config: dict[str, str], replicas: int, complaint: str) -> None:
    topics = found(replicas)
    topics[name] = TopicFound(8, replicas, {**(topics[name].config or {}), **config})
    (line,) = complaints(topics)
    assert line.startswith(f"{name}: ")
    assert complaint in line


def test_a_setting_that_a_broker_does_not_name_has_kafkas_default() -> None:
    topics = found() | {TOPICS.requests: TopicFound(8, 1, {})}
    assert [line.split()[1] for line in complaints(topics)] == ["compression.type", "max.message.bytes"]


def test_counts_that_differ_from_that_of_the_requests_are_named() -> None:
    topics = found() | {TOPICS.predictions: found(partitions=4)[TOPICS.predictions]}
    (line,) = complaints(topics)
    assert line.startswith(f"{TOPICS.predictions}: partition count is 4, should be 8 like the requests topic: ")


def test_what_may_not_be_read_and_what_is_missing_does_not_count_as_a_misfit() -> None:
    assert complaints({TOPICS.predictions: TopicFound(8, 3, None)}) == []


def test_larger_records_need_larger_topics() -> None:
    assert len(complaints(found(), record_bytes=2 * MAX_RECORD_BYTES)) == 2


@pytest.mark.parametrize("newest", [4, 5, 6])
def test_a_broker_older_than_kafka_4_is_warned_of(newest: int) -> None:
    connection = SimpleNamespace(_versions={26: (0, newest)})
    admin = SimpleNamespace(_client=SimpleNamespace(_conns={(0, 0): connection}))
    assert has_old_broker(cast("Any", admin)) is (newest < 5)
