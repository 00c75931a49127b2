"""The topics and the settings they should have: one table, used to create topics and to check them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Final, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

MAX_RECORD_BYTES: Final = 16 * 1024 * 1024
"""The default limit of a request's value; the requests topic allows 64 KiB more for key, headers and framing."""
DEAD_LETTER_OVERHEAD_BYTES: Final = 1024 * 1024
"""Room for the headers that a dead letter adds to the original record."""
CLOCK_TOLERANCE_MS: Final = 3_600_000
"""How far a timestamp may be ahead of the brokers' clock: Kafka's default of ``message.timestamp.after.max.ms``."""

RESULTS_BATCH_BYTES: Final = 512 * 1024
"""The size of a batch that the service writes, below the broker's default limit of 1 MiB.

A record that is larger has a batch to itself.
"""
REQUEST_FRAMING_BYTES: Final = 64 * 1024
"""Room for key, headers and framing beside a request's value."""
BATCH_FRAMING_BYTES: Final = 1024
DISAGREEMENT_BYTES: Final = 1024 * 1024
"""The largest picture that a challenger reads."""
ENOUGH_REPLICAS: Final = 3
"""From this number on, `min.insync.replicas` can be 2, and writing goes on while one replica is down."""
BROKER_DEFAULTS: Final[Mapping[str, str]] = {
    "cleanup.policy": "delete",
    "compression.type": "producer",
    "max.message.bytes": "1048588",
    "min.insync.replicas": "1",
}
"""Kafka's default of each setting, for brokers that do not return it."""

_TOPIC_NAME: Final = re.compile(r"[a-zA-Z0-9._-]{1,249}")


def _topic_name(name: str) -> str:
    """Refuse a name that Kafka would refuse."""
    if not _TOPIC_NAME.fullmatch(name):
        raise ValueError("a topic's name has 1 to 249 characters: a-z, A-Z, 0-9, dot, underscore and hyphen")
    return name


TopicName = Annotated[str, AfterValidator(_topic_name)]
OptionalTopicName = Annotated[str, AfterValidator(lambda name: name and _topic_name(name))]
"""Empty: there is no such topic."""


class TopicSettings(BaseModel):
    """The names of the topics: settings such as ``DIGITS_TOPICS__REQUESTS``."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    requests: TopicName = Field(default="digits.requests", description="Images and zip archives come in here.")
    predictions: TopicName = Field(default="digits.predictions", description="One JSON result per image goes out here.")
    dead_letter: TopicName = Field(default="digits.dead-letter", description="Original bytes of what failed.")
    disagreements: OptionalTopicName = Field(
        default="",
        description="Pictures that DIGITS_CHALLENGER reads in another way, with both answers. Empty: they are counted "
        "only.",
    )

    @model_validator(mode="after")
    def _different_topics(self) -> Self:
        # If one topic had two roles, the service would read its own results or dead letters as requests.
        if len(set(self.by_role.values())) < len(self.by_role):
            raise ValueError("requests, predictions, dead letters and disagreements need different topics")
        return self

    @property
    def names(self) -> tuple[str, str, str]:
        """The three names that every instance needs: requests, predictions, dead letters."""
        return self.requests, self.predictions, self.dead_letter

    @property
    def by_role(self) -> dict[str, str]:
        """The names by role: `requests`, `predictions`, `dead_letter`, and `disagreements` if there is such a topic."""
        named = {role: getattr(self, role) for role in type(self).model_fields}
        return {role: name for role, name in named.items() if name}

    def creation_configs(self, *, replicas: int = 1) -> dict[str, dict[str, str]]:
        """Return the settings with which to create the topics, by topic name."""
        return {
            name: {each.setting: each.created for each in _requirements(role, replicas, MAX_RECORD_BYTES)}
            for role, name in self.by_role.items()
        }


@dataclass(frozen=True, slots=True)
class TopicFound:
    """A topic that exists on the cluster."""

    partitions: int
    replicas: int
    config: Mapping[str, str] | None
    """Its settings; None if this user may not read them."""


@dataclass(frozen=True, slots=True)
class Misfit:
    """A setting of a topic that does not fit the service."""

    topic: str
    setting: str
    found: str
    wanted: str
    consequence: str
    """What happens until it is changed."""

    def __str__(self) -> str:
        """Return one line for a person."""
        return f"{self.topic}: {self.setting} is {self.found}, should be {self.wanted}: {self.consequence}"


def misfits(topics: TopicSettings, found: Mapping[str, TopicFound], *, record_bytes: int) -> Iterator[Misfit]:
    """Compare the settings of existing topics with those that the service needs.

    Parameters
    ----------
    topics
        The names of the topics.
    found
        The topics that exist, by name; missing ones are ignored.
    record_bytes
        The largest value of a request that the service answers.
    """
    requests = found.get(topics.requests)
    for role, name in topics.by_role.items():
        if (topic := found.get(name)) is None:
            continue
        if role != "disagreements" and requests is not None and topic.partitions != requests.partitions:
            yield Misfit(
                name,
                "partition count",
                str(topic.partitions),
                f"{requests.partitions} like the requests topic",
                "results and dead letters go to the partition of the request modulo this count",
            )
        if topic.config is None:
            continue
        for each in _requirements(role, topic.replicas, record_bytes):
            value = topic.config.get(each.setting, BROKER_DEFAULTS[each.setting])
            if not each.fits(value):
                yield Misfit(name, each.setting, value, each.wanted, each.consequence)


@dataclass(frozen=True, slots=True)
class _Requirement:
    """A setting that the topic of a role should have."""

    setting: str
    created: str
    """Its value when `creation_configs` is used."""
    wanted: str
    """The values that fit, in words."""
    fits: Callable[[str], bool]
    consequence: str


def _requirements(role: str, replicas: int, record_bytes: int) -> Iterator[_Requirement]:
    """Yield what the topic of a role needs; of two requirements on one setting the stricter one comes last."""
    request_bytes = record_bytes + REQUEST_FRAMING_BYTES
    yield _Requirement(
        "cleanup.policy",
        "delete",
        "delete",
        lambda value: "compact" not in value,
        "compaction deletes records with the same key",
    )
    if replicas >= ENOUGH_REPLICAS:
        yield _Requirement(
            *("min.insync.replicas", "2", "at least 2", lambda value: int(value) > 1),
            "the failure of one broker's disk may lose acknowledged records",
        )
    if role == "requests":
        # With this, the broker inflates a compressed batch, and refuses it if it exceeds max.message.bytes then.
        yield _Requirement(
            *("compression.type", "uncompressed", "uncompressed", lambda value: value == "uncompressed"),
            "the service reads no record of a batch that inflates to more than a worker takes",
        )
        yield _at_least(record_bytes, request_bytes, "the broker refuses larger requests to their senders")
        return
    if role == "disagreements":
        yield _at_least(
            DISAGREEMENT_BYTES + REQUEST_FRAMING_BYTES,
            4 * 1024 * 1024,
            "larger pictures are not published, and counted as dropped",
        )
        return
    yield _at_least(
        RESULTS_BATCH_BYTES + BATCH_FRAMING_BYTES,
        4 * 1024 * 1024,
        "under load the broker refuses a batch of results, and the service exits",
    )
    if role == "dead_letter":
        yield _at_least(
            record_bytes + DEAD_LETTER_OVERHEAD_BYTES,
            request_bytes + DEAD_LETTER_OVERHEAD_BYTES,
            "larger dead letters are written without their bytes",
        )


def _at_least(least_bytes: int, created_bytes: int, consequence: str) -> _Requirement:
    return _Requirement(
        "max.message.bytes",
        str(created_bytes),
        f"at least {least_bytes}",
        lambda value: int(value) >= least_bytes,
        consequence,
    )
