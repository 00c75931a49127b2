"""A reader of the bytes of requests, written after the protocol guide and apart from the client's."""

from __future__ import annotations

import struct
from collections.abc import Callable
from io import BytesIO
from typing import Any

from transport.protocol.requests import Prepared

EVERY_VERSION = dict.fromkeys(range(100), (0, 99))


class BodyReader:
    """Reads what flexible versions are made of (KIP-482)."""

    def __init__(self, data: bytes) -> None:
        self._data = BytesIO(data)

    def take(self, layout: str) -> Any:
        (value,) = struct.unpack(f">{layout}", self._data.read(struct.calcsize(f">{layout}")))
        return value

    def length(self) -> int:
        """Read a length in groups of seven bits, the lowest first; it is stored plus one, and 0 is none."""
        value = shift = 0
        while True:
            byte = int(self.take("B"))
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value - 1

    def data(self) -> bytes | None:
        length = self.length()
        return None if length < 0 else self._data.read(length)

    def text(self) -> str | None:
        data = self.data()
        return None if data is None else data.decode()

    def array(self, read: Callable[[], Any]) -> list[Any]:
        return [read() for _ in range(self.length())]

    def struct(self, *reads: Callable[[], Any]) -> tuple[Any, ...]:
        values = tuple(read() for read in reads)
        assert self.take("B") == 0, "it ends in tagged fields"
        return values

    def int16(self) -> int:
        return int(self.take("h"))

    def int32(self) -> int:
        return int(self.take("i"))

    def int64(self) -> int:
        return int(self.take("q"))

    def boolean(self) -> bool:
        return bool(self.take("?"))

    def end(self) -> None:
        assert self._data.read() == b""


def opened(request: Prepared, key: int, version: int) -> BodyReader:
    """Check the header of a request, and return a reader of its body."""
    struct_ = request.prepare(EVERY_VERSION)
    head = struct_.build_request_header(correlation_id=5, client_id="c")
    assert head.encode() == struct.pack(">hhihsB", key, version, 5, 1, b"c", 0)  # header version 2 ends in no tags
    return BodyReader(struct_.encode())
