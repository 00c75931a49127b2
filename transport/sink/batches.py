"""Record batches that are ready to publish: workers build them, and each attempt stamps its producer's epoch.

References
----------
.. [1] Apache Kafka, Implementation, Message Format: Record Batch (version 2).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Final

from aiokafka.record.util import calc_crc32c

_CRC: Final = struct.Struct(">I")
_CRC_AT: Final = 17
_CHECKED_FROM: Final = 21
"""The checksum covers the batch from its attributes on."""
_PRODUCER: Final = struct.Struct(">qhi")
"""Producer id, epoch, and the number of the first record in the producer's sequence."""
_PRODUCER_AT: Final = 43


@dataclass(frozen=True, slots=True)
class OutgoingBatch:
    """A record batch of a transaction. Only the fields that name its producer are still to be filled in."""

    data: bytearray
    records: int

    def stamp(self, producer_id: int, epoch: int, sequence: int) -> bytearray:
        """Write who publishes the batch, and its checksum; return its bytes, which the next call changes again."""
        _PRODUCER.pack_into(self.data, _PRODUCER_AT, producer_id, epoch, sequence)
        _CRC.pack_into(self.data, _CRC_AT, calc_crc32c(memoryview(self.data)[_CHECKED_FROM:]))
        return self.data
