"""A fetch session with one broker: a request names only what has changed since the last one (KIP-227).

References
----------
.. [1] KIP-227: Introduce Incremental FetchRequests to Increase Partition Scalability.
.. [2] Apache Kafka, Protocol Guide: Fetch (1), version 11.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from aiokafka import TopicPartition
from aiokafka.protocol.fetch import FetchRequest_v11

from transport.protocol.requests import Prepared

MAX_WAIT_MS: Final = 100
"""A partition whose lane gets room while a request is under way is not in it, and waits until it ends."""
MIN_BYTES: Final = 1
PARTITION_BYTES: Final = 1024 * 1024
"""The most bytes of a partition in an answer; a larger batch is still returned, alone."""
ANSWER_BYTES: Final = 16 * 1024 * 1024
"""The most bytes of an answer, if there is that much room."""
READ_COMMITTED: Final = 1
CONSUMER: Final = -1
UNKNOWN: Final = -1
FIRST_EPOCH: Final = 0
LAST_EPOCH: Final = 2**31 - 1
NO_SESSION: Final = 0
ANY_RACK: Final = ""


class FetchSession:
    """What a broker knows of our partitions. Owner: the task that fetches from it."""

    def __init__(self) -> None:
        self._id, self._epoch = NO_SESSION, FIRST_EPOCH
        self._known: dict[TopicPartition, int] = {}

    def request(self, offsets: Mapping[TopicPartition, int], most_bytes: int) -> Prepared:
        """Make the request for the data of these partitions from these offsets on; the answer goes to `note_answer`.

        The answer has `most_bytes` at most, or a single batch that is larger. In a session, the broker changes
        the order of the partitions after each answer, so that each of them comes first at some time.
        """
        changed = {tp: offset for tp, offset in offsets.items() if self._known.get(tp) != offset}
        forgotten = self._known.keys() - offsets.keys()
        self._known = dict(offsets)
        topics: dict[str, list[tuple[int, ...]]] = {}
        for (topic, number), offset in changed.items():
            topics.setdefault(topic, []).append((number, UNKNOWN, offset, UNKNOWN, PARTITION_BYTES))
        return Prepared(
            FetchRequest_v11(
                CONSUMER,
                MAX_WAIT_MS,
                MIN_BYTES,
                most_bytes,
                READ_COMMITTED,
                self._id,
                self._epoch,
                list(topics.items()),
                list(_by_topic(forgotten).items()),
                ANY_RACK,
            )
        )

    def note_answer(self, answer: Any) -> None:
        """Go on with the session that a broker has answered in; a broker without room for sessions gives none."""
        if answer.error_code or not answer.session_id:
            self.forget()
            return
        self._id = answer.session_id
        self._epoch = self._epoch + 1 if self._epoch < LAST_EPOCH else 1

    def forget(self) -> None:
        """Begin a new session with the next request: the broker does not know this one, or may not."""
        self._id, self._epoch = NO_SESSION, FIRST_EPOCH
        self._known.clear()


def _by_topic(partitions: Iterable[TopicPartition]) -> dict[str, list[int]]:
    by_topic: dict[str, list[int]] = {}
    for topic, number in partitions:
        by_topic.setdefault(topic, []).append(number)
    return by_topic
