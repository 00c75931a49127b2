"""Inflates one entry of an archive, within the limits.

Sizes in headers are used to refuse an entry only: an entry that inflates to more than it declares is damaged.
"""

from __future__ import annotations

import zlib
from typing import Final

from engine.codecs.archive.directory import Entry, data_at
from engine.codecs.archive.methods import METHODS, name_of
from engine.codecs.pixels.room import Charge
from engine.errors import DamagedEntry, EncryptedEntry, EntryTooLarge, InflatesTooFar, UnknownCompression
from engine.limits import Limits

_FLAG_ENCRYPTED: Final = 0x0001
_FLAG_STRONGLY_ENCRYPTED: Final = 0x0040
_AES: Final = 99


def inflate(payload: bytes, entry: Entry, limits: Limits, charge: Charge) -> bytes:
    """Return the bytes of one entry.

    Parameters
    ----------
    payload, entry, limits
        The archive, one entry of its directory, and the limits.
    charge
        Called before a method that takes long, with its cost in bytes to decode; may raise an `EngineError`.

    Raises
    ------
    EncryptedEntry, UnknownCompression, EntryTooLarge, InflatesTooFar, DamagedEntry
        As their names say. At most one byte more than the entry declares is inflated, and never more than the limits.
    """
    if entry.flags & (_FLAG_ENCRYPTED | _FLAG_STRONGLY_ENCRYPTED):
        raise EncryptedEntry(f"The entry is encrypted{_cipher(entry)}; send it without a password.")
    method = METHODS.get(entry.method)
    if method is None:
        raise UnknownCompression(
            f"The entry is compressed by {name_of(entry.method)}, which is not read; "
            "pack it by Deflate, bzip2, LZMA or Zstandard."
        )
    if entry.inflated_bytes > limits.entry_bytes:
        raise EntryTooLarge(
            f"The entry inflates to {entry.inflated_bytes:,} bytes; at most {limits.entry_bytes:,} are allowed."
        )
    if entry.inflated_bytes > max(limits.image_bytes, limits.inflation_ratio * entry.packed_bytes):
        raise InflatesTooFar(f"The entry inflates more than {limits.inflation_ratio} times.")
    packed = _packed(payload, entry)
    if method.cost:
        charge(entry.inflated_bytes * method.cost)
    data = method.inflate(packed, entry.inflated_bytes, entry.flags)
    if len(data) != entry.inflated_bytes:
        raise DamagedEntry(f"The entry has {len(data):,} bytes where its header says {entry.inflated_bytes:,}.")
    if zlib.crc32(data) != entry.crc:
        raise DamagedEntry("The entry's bytes do not match its checksum.")
    return data


def _cipher(entry: Entry) -> str:
    if entry.method == _AES:
        return " by AES"
    return " by strong encryption" if entry.flags & _FLAG_STRONGLY_ENCRYPTED else " by ZipCrypto"


def _packed(payload: bytes, entry: Entry) -> memoryview:
    start = data_at(payload, entry)
    if start == entry.header_at:
        raise DamagedEntry("The entry does not lie where the directory says.")
    if start + entry.packed_bytes > len(payload):
        raise DamagedEntry("The entry is cut short.")
    return memoryview(payload)[start : start + entry.packed_bytes]
