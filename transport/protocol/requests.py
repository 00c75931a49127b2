"""A request in one fixed version: how the client sends it, and what it and its answer are made of.

The versions are flexible (KIP-482): lengths are of variable size, and each structure ends
with tagged fields.

References
----------
.. [1] KIP-482: The Kafka Protocol should Support Optional Tagged Fields.
.. [2] Apache Kafka, Protocol Guide.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from aiokafka import TopicPartition
from aiokafka.errors import IncompatibleBrokerVersion
from aiokafka.protocol.api import RequestStruct
from aiokafka.protocol.types import CompactArray, CompactString, Int16, Int32, TaggedFields

NO_TAGS: Final[dict[int, bytes]] = {}
NAME: Final = CompactString("utf-8")
TAGS: Final = ("tags", TaggedFields)
THROTTLE: Final = ("throttle_time_ms", Int32)
PARTITIONS_BY_TOPIC: Final = CompactArray(("topic", NAME), ("partitions", CompactArray(Int32)), TAGS)
CODES_BY_TOPIC: Final = CompactArray(
    ("topic", NAME), ("partitions", CompactArray(("partition", Int32), ("error_code", Int16), TAGS)), TAGS
)


class Prepared:
    """A request for the client, which asks for the version that a broker understands. This one has only one.

    Parameters
    ----------
    struct
        The request.
    """

    def __init__(self, struct: RequestStruct) -> None:
        self.struct = struct

    def prepare(self, versions: Mapping[int, tuple[int, int]]) -> RequestStruct:
        """Return the request.

        Raises
        ------
        IncompatibleBrokerVersion
            The broker does not understand its version.
        """
        key, version = self.struct.API_KEY, self.struct.API_VERSION
        first, last = versions.get(key, (0, -1))
        if not first <= version <= last:
            raise IncompatibleBrokerVersion(
                f"the broker understands versions {first} to {last} of request {key}, not version {version}"
            )
        return self.struct


def codes_of(answer: Any) -> dict[TopicPartition, int]:
    """Return the error code of each partition in an answer by topic and partition; 0 is success."""
    return {
        TopicPartition(topic, number): code
        for topic, partitions, *_ in answer.topics
        for number, code, *_ in partitions
    }


def numbers_by_topic(partitions: Iterable[TopicPartition]) -> list[tuple[str, list[int], dict[int, bytes]]]:
    """Return the numbers of partitions by topic, as `PARTITIONS_BY_TOPIC` has them."""
    found: dict[str, list[int]] = {}
    for topic, number in partitions:
        found.setdefault(topic, []).append(number)
    return [(topic, numbers, NO_TAGS) for topic, numbers in found.items()]


def by_topic(items: Iterable[tuple[TopicPartition, Any]]) -> dict[str, list[tuple[int, Any]]]:
    """Return an item of each partition by topic, with the number of the partition."""
    found: dict[str, list[tuple[int, Any]]] = {}
    for (topic, number), item in items:
        found.setdefault(topic, []).append((number, item))
    return found
