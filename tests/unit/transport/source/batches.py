"""Makes the bytes of a log."""

from __future__ import annotations

from tests.harness.outgoing_records import OutgoingRecord, build_batches


def batch(base_offset: int, *values: bytes) -> bytes:
    """Make a batch of records, as a broker returns it."""
    (built,) = build_batches([OutgoingRecord(None, value, []) for value in values])
    data = bytes(built.stamp(-1, -1, -1))
    return base_offset.to_bytes(8) + data[8:]
