"""Reads on where the Kafka client cannot: for whoever reads topics that anybody may write to.

aiokafka raises out of `getmany` for a record with a header name that is not UTF-8, and gets no further. Left
alone, that record would stop its partition for ever, and so would all that lie behind it in the same batch, since
a batch is parsed from its start. So the batch is fetched once more, as bytes, and parsed by the client's own
code in Python, which can be told to step over a record.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.errors import LeaderNotAvailableError, OffsetOutOfRangeError, for_code
from aiokafka.protocol.fetch import FetchRequest
from aiokafka.record.default_records import _DefaultRecordBatchPy
from aiokafka.record.util import decode_varint

FETCH_BYTES: Final = 1024 * 1024
"""Of one batch, whatever its size: brokers return the first one whole."""
READ_COMMITTED: Final = 1
BATCH_PREFIX_BYTES: Final = 12
"""Base offset and length; the length counts what follows them."""


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A record that the client cannot parse; of all it holds only its place is told."""

    partition: TopicPartition
    offset: int
    why: str


async def rest_of_batch(
    consumer: AIOKafkaConsumer, partition: TopicPartition, offset: int
) -> tuple[list[ConsumerRecord | Unreadable], int]:
    """Read the batch that an offset lies in, from that offset on.

    Returns
    -------
    records
        In order; at least one.
    next_offset
        Behind the batch.

    Raises
    ------
    KafkaError
        The brokers do not give it.
    """
    leader = consumer._client.cluster.leader_for_partition(partition)  # noqa: SLF001  # nothing public fetches bytes; pinned to this minor version
    if leader is None or leader < 0:
        raise LeaderNotAvailableError
    topics = [(partition.topic, [(partition.partition, offset, FETCH_BYTES)])]
    answer = await consumer._client.send(leader, FetchRequest(0, 0, FETCH_BYTES, READ_COMMITTED, topics))  # noqa: SLF001  # as above
    _, code, *_, data = answer.topics[0][1][0]
    if code:
        raise for_code(code)
    if len(data) <= BATCH_PREFIX_BYTES:
        raise OffsetOutOfRangeError
    length_bytes = int.from_bytes(data[8:BATCH_PREFIX_BYTES], "big")
    batch = _Batch(data[: BATCH_PREFIX_BYTES + length_bytes], partition)
    return [record for record in batch.records() if record.offset >= offset], batch.next_offset


class _Batch(_DefaultRecordBatchPy):  # type: ignore[misc]  # aiokafka ships no types
    """A record batch, uncompressed if need be, that steps over what it cannot parse."""

    _pos: int

    def __init__(self, data: bytes, partition: TopicPartition) -> None:
        super().__init__(data)
        self._partition = partition

    def records(self) -> Iterator[ConsumerRecord | Unreadable]:
        for record in self:
            if isinstance(record, Unreadable):
                yield record
            else:
                yield ConsumerRecord(
                    self._partition.topic,
                    self._partition.partition,
                    record.offset,
                    record.timestamp,
                    record.timestamp_type,
                    record.key,
                    record.value,
                    record.checksum,
                    -1 if record.key is None else len(record.key),
                    -1 if record.value is None else len(record.value),
                    tuple(record.headers),
                )

    def _read_msg(self) -> Any:
        start = self._pos
        try:
            return super()._read_msg()
        except UnicodeDecodeError as error:
            # A record is its length, then a byte of attributes, its time, and its offset from the batch's first.
            length_bytes, body = decode_varint(self._buffer, start)
            _, position = decode_varint(self._buffer, body + 1)
            offset_delta, _ = decode_varint(self._buffer, position)
            self._pos = body + length_bytes
            return Unreadable(self._partition, self.base_offset + offset_delta, f"{type(error).__name__}: {error}")
