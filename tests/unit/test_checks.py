"""Topic settings that do not fit are named, with what would be right; those that fit are passed over."""

from __future__ import annotations

import pytest
from structlog.testing import capture_logs

from consumer import checks
from consumer.settings import Settings
from contract.topics import TopicSettings

TOPICS = TopicSettings()
SETTINGS = Settings()


def warnings(name: str, config: dict[str, str], *, replicas: int = 1) -> list[str]:
    with capture_logs() as logged:
        checks._warn_of_misfits(name, config, replicas=replicas, settings=SETTINGS)
    assert all(event["topic"] == name for event in logged)
    return [event["event"] for event in logged]


@pytest.mark.parametrize("name", [TOPICS.requests, TOPICS.predictions, TOPICS.dead_letter])
def test_topics_as_we_create_them_fit(name: str) -> None:
    assert warnings(name, TOPICS.creation_configs()[name]) == []
    assert warnings(name, TOPICS.creation_configs()[name] | {"min.insync.replicas": "2"}, replicas=3) == []


@pytest.mark.parametrize(
    ("name", "config", "replicas", "warning"),
    [
        (TOPICS.requests, {"cleanup.policy": "compact,delete"}, 1, "topic is compacted"),
        (TOPICS.predictions, {"cleanup.policy": "compact"}, 1, "topic is compacted"),
        (TOPICS.requests, {"compression.type": "producer"}, 1, "requests topic takes compressed batches"),
        (TOPICS.dead_letter, {"min.insync.replicas": "1"}, 3, "min.insync.replicas is 1"),
        (TOPICS.predictions, {"max.message.bytes": "100000"}, 1, "topic takes less than a batch of results"),
        (
            TOPICS.dead_letter,
            {"max.message.bytes": "16842752"},
            1,
            "dead-letter topic takes less than a request may have",
        ),
    ],
)
def test_what_does_not_fit_is_named(name: str, config: dict[str, str], replicas: int, warning: str) -> None:
    assert warnings(name, TOPICS.creation_configs()[name] | config, replicas=replicas) == [warning]


@pytest.mark.parametrize(("newest", "warned"), [(4, ["broker is older than Kafka 4.0"]), (5, []), (6, [])])
def test_a_broker_older_than_kafka_4_is_warned_of(newest: int, warned: list[str]) -> None:
    with capture_logs() as logged:
        checks._warn_of_old_broker({26: (0, newest)})
    assert [event["event"] for event in logged] == warned
