"""Changes to payloads that get past what would stop a blind change: checksums and compression."""

from __future__ import annotations

import io
import random
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from tests.hostile.files import PNG_MAGIC, chunk
from tests.hostile.zips import DEFLATED, PACKERS, Entry, archive, unicode_path

Change = Callable[[bytes, int], bytes]
"""Changes bytes somewhere, up to a size: what the fuzzer does by itself."""

_BLIND: Final = 0.25
"""Share of the changes after which checksums and sizes are not corrected."""
_INFLATED_MAX_BYTES: Final = 1_000_000
_LIES: Final = ("crc", "inflated_bytes", "packed_bytes", "header_at")
_FIELDS: Final = (b"\x01\x00\x08\x00", unicode_path(b"x", b"y"))


def mutate(payload: bytes, max_bytes: int, seed: int, change: Change) -> bytes:
    """Change a payload: blindly, or within its structure."""
    chance = random.Random(seed)  # noqa: S311  # the same seed, the same change
    if chance.random() < _BLIND:
        return change(payload, max_bytes)
    if payload.startswith(PNG_MAGIC):
        mutated = _png(payload, max_bytes, chance, change)
    elif payload.startswith(b"PK"):
        mutated = _archive(payload, max_bytes, chance, change)
    else:
        mutated = change(payload, max_bytes)
    return mutated[:max_bytes]


def _png(payload: bytes, max_bytes: int, chance: random.Random, change: Change) -> bytes:
    """Change one chunk, or its inflated body, or the order; then every checksum is right again."""
    chunks = _chunks(payload)
    if not chunks:
        return change(payload, max_bytes)
    at = chance.randrange(len(chunks))
    kind, body = chunks[at]
    what = chance.random()
    if what < 0.1:
        chunks.insert(chance.randrange(len(chunks) + 1), chunks[at])
    elif what < 0.2:
        del chunks[at]
    elif what < 0.3:
        chunks[at] = (change(kind, 4)[:4].ljust(4, b"x"), body)
    elif kind == b"IDAT" and what < 0.7:
        chunks[at] = (kind, zlib.compress(change(_inflated(body, zlib.MAX_WBITS), max_bytes)))
    else:
        chunks[at] = (kind, change(body or b"\x00", max_bytes))
    return PNG_MAGIC + b"".join(chunk(kind, body) for kind, body in chunks)


def _chunks(payload: bytes) -> list[tuple[bytes, bytes]]:
    chunks = []
    at = len(PNG_MAGIC)
    while at + 12 <= len(payload):
        length = int.from_bytes(payload[at : at + 4], "big")
        chunks.append((payload[at + 4 : at + 8], payload[at + 8 : at + 8 + length]))
        at += 12 + length
    return chunks


def _inflated(body: bytes, window: int) -> bytes:
    try:
        return zlib.decompressobj(window).decompress(body, _INFLATED_MAX_BYTES) or b"\x00"
    except zlib.error:
        return b"\x00"


def _archive(payload: bytes, max_bytes: int, chance: random.Random, change: Change) -> bytes:
    """Pack the entries again, one of them changed inside, or with a lie in its headers."""
    entries = _entries(payload)
    if not entries:
        return change(payload, max_bytes)
    at = chance.randrange(len(entries))
    entry = entries[at]
    what = chance.random()
    if what < 0.3:
        entries[at] = replace(entry, data=mutate(entry.data or b"\x00", max_bytes, chance.getrandbits(32), change))
    elif what < 0.4:
        packed = PACKERS[entry.method](entry.data)
        entries[at] = replace(entry, packed=change(packed or b"\x00", max_bytes), flags=chance.choice([0, 2]))
    elif what < 0.5:
        entries[at] = replace(entry, method=chance.choice([*PACKERS]))
    elif what < 0.6:
        number = chance.choice([0, 1, 30, 0xFFFF_FFFF, chance.getrandbits(32), chance.getrandbits(10)])
        entries[at] = replace(entry, **{chance.choice(_LIES): number})  # type: ignore[arg-type]  # all of them numbers
    elif what < 0.7:
        entries[at] = replace(entry, name=change(entry.name or b"x", 300)[:300])
    elif what < 0.8:
        entries[at] = replace(entry, extra=change(entry.extra or chance.choice(_FIELDS), 300)[:300])
    elif what < 0.9:
        entries[at] = replace(entry, flags=chance.getrandbits(16), method=chance.choice([*PACKERS, 9, 95, 99]))
    else:
        entries.insert(at, replace(entry, shared=chance.random() < 0.5, header_at=chance.choice([None, 0])))
    return archive(*entries, comment=b"" if chance.random() < 0.9 else change(b"comment", 100)[:100])


def _entries(payload: bytes) -> list[Entry]:
    try:
        with zipfile.ZipFile(io.BytesIO(payload)) as file:
            return [
                Entry(info.filename.encode("utf-8", "replace")[:300], _data(file, info), _method(info))
                for info in file.infolist()[:20]
            ]
    except Exception:  # noqa: BLE001  # of a damaged archive zipfile raises whatever it comes to; it is changed blindly then
        return []


def _data(file: zipfile.ZipFile, info: zipfile.ZipInfo) -> bytes:
    with file.open(info) as entry:
        return entry.read(_INFLATED_MAX_BYTES)


def _method(info: zipfile.ZipInfo) -> int:
    return info.compress_type if info.compress_type in PACKERS else DEFLATED
