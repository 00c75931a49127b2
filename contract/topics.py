"""The three topics, and the settings they should have: one table, for those who create topics and those who check."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Final, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

MAX_RECORD_BYTES: Final = 16 * 1024 * 1024
"""A request's value, by default; the requests topic allows 64 KiB more for key, headers and framing."""
DEAD_LETTER_OVERHEAD_BYTES: Final = 1024 * 1024
"""Room for the headers that a dead letter adds to the original record."""
CLOCK_TOLERANCE_MS: Final = 3_600_000
"""A request may be dated so far ahead of the brokers' time: Kafka's default of ``message.timestamp.after.max.ms``."""

RESULTS_BATCH_BYTES: Final = 512 * 1024
"""Of one batch that the service writes: below the broker's default limit of 1 MiB. A larger record goes alone."""
REQUEST_FRAMING_BYTES: Final = 64 * 1024
"""Room for key, headers and framing beside a request's value."""
BATCH_FRAMING_BYTES: Final = 1024
ENOUGH_REPLICAS: Final = 3
"""From so many on, two of them can have to acknowledge a record without one that is down holding everything up."""
BROKER_DEFAULTS: Final[Mapping[str, str]] = {
    "cleanup.policy": "delete",
    "compression.type": "producer",
    "max.message.bytes": "1048588",
    "min.insync.replicas": "1",
}
"""Kafka's own, for a setting that a broker does not name."""

_TOPIC_NAME: Final = re.compile(r"[a-zA-Z0-9._-]{1,249}")


def _topic_name(name: str) -> str:
    """Refuse what Kafka would refuse."""
    if not _TOPIC_NAME.fullmatch(name):
        raise ValueError("a topic's name has 1 to 249 of the characters a-z, A-Z, 0-9, dot, underscore and hyphen")
    return name


TopicName = Annotated[str, AfterValidator(_topic_name)]


class TopicSettings(BaseModel):
    """Names of the topics: ``DIGITS_TOPICS__REQUESTS`` and so on."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    requests: TopicName = Field(default="digits.requests", description="Images and zip archives come in here.")
    predictions: TopicName = Field(default="digits.predictions", description="One JSON result per image goes out here.")
    dead_letter: TopicName = Field(default="digits.dead-letter", description="Original bytes of what failed.")

    @model_validator(mode="after")
    def _three_topics(self) -> Self:
        # One topic in two roles would feed results or failures back in as requests.
        if len(set(self.names)) < len(self.names):
            raise ValueError("requests, predictions and dead letters need a topic each")
        return self

    @property
    def names(self) -> tuple[str, str, str]:
        """All three: requests, predictions, dead letters."""
        return self.requests, self.predictions, self.dead_letter

    @property
    def by_role(self) -> dict[str, str]:
        """The names by role: requests, predictions, dead_letter."""
        return {role: getattr(self, role) for role in type(self).model_fields}

    def creation_configs(self, *, replicas: int = 1) -> dict[str, dict[str, str]]:
        """Topic-level settings by topic name, for anyone who creates the topics."""
        return {
            name: {each.setting: each.created for each in _requirements(role, replicas, MAX_RECORD_BYTES)}
            for role, name in self.by_role.items()
        }


@dataclass(frozen=True, slots=True)
class TopicFound:
    """A topic as it is on the cluster."""

    partitions: int
    replicas: int
    config: Mapping[str, str] | None
    """Its settings, None if this user may not read them."""


@dataclass(frozen=True, slots=True)
class Misfit:
    """A setting of a topic that is not as it should be."""

    topic: str
    setting: str
    found: str
    wanted: str
    otherwise: str
    """What happens as long as it stays as it is."""

    def __str__(self) -> str:
        """Return one line for a person."""
        return f"{self.topic}: {self.setting} is {self.found}, should be {self.wanted}: {self.otherwise}"


def misfits(topics: TopicSettings, found: Mapping[str, TopicFound], *, record_bytes: int) -> Iterator[Misfit]:
    """Compare topics that exist with what they should be.

    Parameters
    ----------
    topics
        Their names.
    found
        Those that exist, by name; of one that is missing nothing is said.
    record_bytes
        The largest value of a request that the service answers.
    """
    requests = found.get(topics.requests)
    for role, name in topics.by_role.items():
        if (topic := found.get(name)) is None:
            continue
        if requests is not None and topic.partitions != requests.partitions:
            yield Misfit(
                name,
                "partition count",
                str(topic.partitions),
                f"{requests.partitions} as of the requests",
                "what belongs to a request goes to its partition modulo this count",
            )
        if topic.config is None:
            continue
        for each in _requirements(role, topic.replicas, record_bytes):
            value = topic.config.get(each.setting, BROKER_DEFAULTS[each.setting])
            if not each.fits(value):
                yield Misfit(name, each.setting, value, each.wanted, each.otherwise)


@dataclass(frozen=True, slots=True)
class _Requirement:
    """A setting that the topic of a role should have."""

    setting: str
    created: str
    """What it is set to where we create the topic."""
    wanted: str
    """What is right, in words."""
    fits: Callable[[str], bool]
    otherwise: str


def _requirements(role: str, replicas: int, record_bytes: int) -> Iterator[_Requirement]:
    """Yield what the topic of a role needs, each setting's strictest requirement last."""
    request_bytes = record_bytes + REQUEST_FRAMING_BYTES
    yield _Requirement(
        "cleanup.policy", "delete", "delete", lambda value: "compact" not in value, "records of equal keys disappear"
    )
    if replicas >= ENOUGH_REPLICAS:
        yield _Requirement(
            *("min.insync.replicas", "2", "at least 2", lambda value: int(value) > 1),
            "the failure of one broker's disk may lose what was acknowledged",
        )
    if role == "requests":
        # The broker then inflates a compressed batch and refuses it above max.message.bytes.
        yield _Requirement(
            *("compression.type", "uncompressed", "uncompressed", lambda value: value == "uncompressed"),
            "the service inflates compressed batches without a limit",
        )
        yield _at_least(record_bytes, request_bytes, "the broker refuses larger requests to their senders")
        return
    yield _at_least(
        RESULTS_BATCH_BYTES + BATCH_FRAMING_BYTES,
        4 * 1024 * 1024,
        "under load the broker refuses a batch of results, and the service ends",
    )
    if role == "dead_letter":
        yield _at_least(
            record_bytes + DEAD_LETTER_OVERHEAD_BYTES,
            request_bytes + DEAD_LETTER_OVERHEAD_BYTES,
            "larger dead letters are written without their bytes",
        )


def _at_least(least_bytes: int, created_bytes: int, otherwise: str) -> _Requirement:
    return _Requirement(
        "max.message.bytes",
        str(created_bytes),
        f"at least {least_bytes}",
        lambda value: int(value) >= least_bytes,
        otherwise,
    )
