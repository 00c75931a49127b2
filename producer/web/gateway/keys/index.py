"""The keys of requests that are sent once: a record for each on the keys topic, and an index of them in memory.

The record of a key has the wire id as its key. Its value says where the request is, and has the checksum of its bytes.
Both records are written in one transaction; see `writer`. The topic is kept as long as the requests are, so a key
is known as long as its answers are. The index holds the newest keys up to a limit; older ones are forgotten.
"""

from __future__ import annotations

import hashlib
import struct
from typing import Final, NamedTuple

import msgspec
from aiokafka import ConsumerRecord

from producer.web.gateway.ids import WireId, parse_wire_id
from producer.web.gateway.interface import Position
from producer.web.gateway.records import Location
from transport.record_batch import Unreadable

_DIGEST_BYTES: Final = 16
_ENTRY: Final = struct.Struct(f">iqq{_DIGEST_BYTES}s")


class KeyRecord(msgspec.Struct, frozen=True):
    """The value of a record of the keys topic, as JSON."""

    partition: int
    offset: int
    timestamp_ms: int
    sha256: str
    schema: int = 1


class UsedKey(NamedTuple):
    """A key that was used: where its request is, and the beginning of the checksum of its bytes."""

    location: Location
    digest: bytes

    def is_for(self, payload: bytes) -> bool:
        """Return whether the request had these bytes."""
        return hashlib.sha256(payload).digest()[:_DIGEST_BYTES] == self.digest


def key_record(location: Location, payload: bytes) -> bytes:
    """Return the value of a key's record."""
    where = location.position
    sha256 = hashlib.sha256(payload).hexdigest()
    return msgspec.json.encode(KeyRecord(where.partition, where.offset, location.timestamp_ms, sha256))


class KeyIndex:
    """The keys that are known, of all gateways. Owner: the gateway's event loop.

    Parameters
    ----------
    max_keys
        In memory. An entry takes about 250 bytes.
    """

    def __init__(self, max_keys: int) -> None:
        self._max_keys = max_keys
        # Digests and packed entries: a million of named tuples would take five times the memory.
        self._entries: dict[bytes, bytes] = {}
        self.forgotten = 0
        """Keys that had no room: they would be sent again."""

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, wire_id: WireId) -> UsedKey | None:
        """Return where the request with a key is; None if the key is not known."""
        entry = self._entries.get(_digest(str(wire_id).encode()))
        if entry is None:
            return None
        partition, offset, timestamp_ms, digest = _ENTRY.unpack(entry)
        return UsedKey(Location(Position(partition, offset), timestamp_ms), digest)

    def take(self, record: ConsumerRecord | Unreadable) -> None:
        """Add what a record of the keys topic says; a record of another kind is ignored."""
        if not isinstance(record, Unreadable) and parse_wire_id(record.key) is not None:
            self.add(record.key, record.value or b"")

    def add(self, key: bytes, value: bytes) -> None:
        """Add a key, by the key and the value of its record."""
        try:
            found = msgspec.json.decode(value, type=KeyRecord)
            entry = _ENTRY.pack(
                found.partition, found.offset, found.timestamp_ms, bytes.fromhex(found.sha256)[:_DIGEST_BYTES]
            )
        except (ValueError, struct.error):  # also of msgspec
            return
        # The first record of a key counts: only one gateway can write it, unless another program writes to the topic.
        self._entries.setdefault(_digest(key), entry)
        if len(self._entries) > self._max_keys:
            del self._entries[next(iter(self._entries))]
            self.forgotten += 1


def _digest(key: bytes) -> bytes:
    return hashlib.sha256(key).digest()[:_DIGEST_BYTES]
