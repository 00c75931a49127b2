"""Whatever a record holds, it is answered as the contract says, and the service goes on."""

from __future__ import annotations

import struct
from collections.abc import Sequence

from aiokafka import AIOKafkaProducer
from aiokafka.record.util import calc_crc32c

from contract.dead_letters import DeadLetter
from tests.harness.broker import Broker, position
from tests.harness.images import drawn_digits
from tests.harness.service import running_service
from tests.harness.waiting import eventually

CRC_AT = 17
CRC_FROM = 21
"""Where a record batch holds its checksum, and from where on it is taken."""


async def send_batch(broker: Broker, names: Sequence[str], *, partition: int) -> None:
    """Send one batch of digits with a header each; a name UNREADABLE becomes one that is not UTF-8."""
    async with AIOKafkaProducer(bootstrap_servers=broker.cluster.bootstrap_servers) as producer:
        batch = producer.create_batch()
        for name, digit in zip(names, drawn_digits(len(names)), strict=True):
            assert batch.append(timestamp=None, key=b"key", value=digit, headers=[(name, b"")])
        build = batch._build

        def mangled() -> bytes:
            built: bytes = build().replace(b"UNREADABLE", b"\xff" * 10)
            return built[:CRC_AT] + struct.pack(">I", calc_crc32c(built[CRC_FROM:])) + built[CRC_FROM:]

        batch._build = mangled
        await (await producer.send_batch(batch, broker.topics.requests, partition=partition))


async def test_a_record_with_a_header_that_is_not_utf8_fails_alone_within_its_batch(broker: Broker) -> None:
    await broker.send(drawn_digits(3), partition=0)
    await send_batch(broker, ["a", "UNREADABLE", "b", "UNREADABLE", "UNREADABLE", "c"], partition=0)
    await broker.send(drawn_digits(3), partition=0)
    async with running_service(broker):
        # Not `everything_answered`: the client that it reads the requests with cannot parse them either.
        await eventually(broker.committed_offsets, lambda offsets: offsets[0] == 12)
    results = await broker.results()
    assert [position(result).offset for result in results] == list(range(12))
    codes = [result.error.code if result.error else None for result in results]
    assert codes == [None] * 4 + ["unreadable-record", None, "unreadable-record", "unreadable-record"] + [None] * 4
    letters = [DeadLetter.read(record.headers) for record in await broker.dead_letters()]
    assert [letter.origin_offset for letter in letters] == [4, 6, 7]
    assert all(letter.value_left_out for letter in letters)
