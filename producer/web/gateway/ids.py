"""Ids of requests: those that clients know, and those in the header `request-id`, from which a result is recognised.

    http.TAG.r.ID    ID was made by a gateway (UUID 7)
    http.TAG.k.KEY   KEY is the client's own, and is sent once

TAG stands for the tenant, so that the results of a tenant are found by the beginning of a header, and two tenants may
use the same key.
"""

from __future__ import annotations

import functools
import hashlib
import os
import time
import uuid
from typing import Final, NamedTuple

PREFIX: Final = "http."
TAG_CHARACTERS: Final = 16
_RANDOM: Final = 10
MOMENT_MS: Final = 16
"""How long requests go to one partition before those that follow go to the next: some of a gateway's batches."""


class WireId(NamedTuple):
    """The header `request-id` of a request that a gateway has sent, in its parts."""

    tag: str
    request_id: str
    once: bool

    def __str__(self) -> str:
        return f"{PREFIX}{self.tag}.{'k' if self.once else 'r'}.{self.request_id}"

    def partition(self, count: int) -> int:
        """Return the partition where the request or its key belongs, so that anyone who knows the id finds it.

        Requests without a key that are made in the same moment belong to the same partition, as in Kafka's own producer
        (KIP-480): brokers and service then have a batch of them instead of one in each partition.
        """
        if not self.once and (made_ms := made_at_ms(self.request_id)) is not None:
            return made_ms // MOMENT_MS % count
        return int.from_bytes(hashlib.sha256(str(self).encode()).digest()[:8]) % count


@functools.lru_cache(maxsize=1024)
def tenant_tag(tenant: str) -> str:
    """Return what stands for a tenant on the topics."""
    return hashlib.sha256(tenant.encode()).hexdigest()[:TAG_CHARACTERS]


@functools.lru_cache(maxsize=64)
def parse_wire_id(value: bytes | None) -> WireId | None:
    """Return the parts of a header `request-id`; None if no gateway has written it.

    The last ones are remembered: all results of a batch have the same id.
    """
    if value is None or not value.startswith(b"http."):
        return None
    parts = value.decode(errors="replace").split(".", 3)
    if len(parts) != len(WireId._fields) + 1 or parts[2] not in ("k", "r"):
        return None
    return WireId(parts[1], parts[3], once=parts[2] == "k")


def new_request_id(now_ms: int | None = None) -> str:
    """Return a UUID 7: its first 48 bits are the time in ms since 1970, the others are random.

    References
    ----------
    .. [1] RFC 9562: Universally Unique IDentifiers, section 5.7.
    """
    time_ms = time.time_ns() // 1_000_000 if now_ms is None else now_ms
    raw = bytearray(time_ms.to_bytes(6) + os.urandom(_RANDOM))
    raw[6] = raw[6] & 0x0F | 0x70  # the version
    raw[8] = raw[8] & 0x3F | 0x80  # the variant
    digits = raw.hex()
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def made_at_ms(request_id: str) -> int | None:
    """Return when `new_request_id` made an id, in ms since 1970; None if it did not."""
    try:
        parsed = uuid.UUID(request_id)
    except ValueError:
        return None
    is_ours = parsed.version == 7 and str(parsed) == request_id  # noqa: PLR2004  # as written by new_request_id
    return int.from_bytes(parsed.bytes[:6]) if is_ours else None
