"""An archive whose one entry is the archive itself, so that unpacking until nothing is left never ends.

The deflate stream is a program of two operations that prints the whole file, itself included: L(n) prints the n bytes
that follow it, R(n) prints the last n bytes again. The checksum is part of what it sums up; since CRC-32 is affine, 32
equations over bits give the one that fits.

References
----------
.. [1] R. Cox, "Zip Files All The Way Down", 2010.
"""

from __future__ import annotations

import struct
import zlib
from typing import Final

from tests.hostile.zips import DEFLATED, Entry, archive, directory_entry, local_header

_NAME: Final = b"quine.zip"
_UNIT: Final = 10  # bytes of every operation, so that they can print each other
_EMPTY_STORED: Final = b"\x00\x00\x00\xff\xff"
_END: Final = b"\x01\x00\x00\xff\xff"  # an empty block that says it is the last
_LENGTHS: Final = ((35, 273, 3), (43, 274, 3), (51, 275, 3), (59, 276, 3), (67, 277, 4), (83, 278, 4), (99, 279, 4))
"""The shortest length, its code in deflate's fixed table, and the bits that add to it."""
_DISTANCES: Final = ((33, 10, 4), (49, 11, 4), (65, 12, 5), (97, 13, 5))


def quine() -> bytes:
    """Write the archive."""
    zero = _file(0)
    base = zlib.crc32(zero)
    columns = [zlib.crc32(_file(1 << bit)) ^ base ^ (1 << bit) for bit in range(32)]
    return _file(_solve(columns, base))


def _file(crc: int) -> bytes:
    """Write the file that would be right if its checksum were `crc`."""
    size_bytes = packed_bytes = 0
    whole = b""
    for _ in range(2):  # the first time only to learn the sizes
        head = local_header(_NAME, DEFLATED, (crc, packed_bytes, size_bytes))
        tail = _tail(head, crc, packed_bytes, size_bytes)
        stream = _program(head, tail)
        whole = head + stream + tail
        size_bytes, packed_bytes = len(whole), len(stream)
    return whole


def _tail(head: bytes, crc: int, packed_bytes: int, size_bytes: int) -> bytes:
    entry = Entry(_NAME, crc=crc, packed_bytes=packed_bytes, inflated_bytes=size_bytes, header_at=0, shared=True)
    directory = directory_entry(entry)
    return directory + archive(end=(len(directory), len(head) + packed_bytes))


def _program(head: bytes, tail: bytes) -> bytes:
    """Print head, program and tail; each line of the table prints what is still owed and owes itself."""
    nothing = _literal(0)
    again = _repeat(len(head) + _UNIT)
    one, four, repeat4 = _literal(_UNIT), _literal(4 * _UNIT), _repeat(4 * _UNIT)
    first = _literal(len(head) + _UNIT)
    rest = _UNIT + len(_END) + len(tail)
    last = _literal(rest)
    repeat_last = _repeat(rest)
    return b"".join(
        [
            first + head + first,  # prints head, first
            again,  # prints head, first: all so far but itself
            one + again,
            one + one,
            four + again + one + one + four,
            repeat4,
            four + repeat4 + four + repeat4 + four,
            repeat4,
            four + repeat4 + nothing + nothing + last,
            repeat4 + nothing + nothing,
            last + repeat_last + _END + tail,
            repeat_last + _END,  # and after the stream comes the tail
        ]
    )


def _literal(size: int) -> bytes:
    return _EMPTY_STORED + struct.pack("<BHH", 0, size, size ^ 0xFFFF)


def _repeat(size: int) -> bytes:
    """Copy a number of bytes from a distance before, in exactly one unit."""
    bits = _Bits()
    bits.add(0b010, 3)  # a block of the fixed code, not the last
    low, code, extra = max(each for each in _LENGTHS if each[0] <= size)
    bits.add_code(code - 256, 7)
    bits.add(size - low, extra)
    low, code, extra = max(each for each in _DISTANCES if each[0] <= size)
    bits.add_code(code, 5)
    bits.add(size - low, extra)
    bits.add(0, 7)  # end of block
    while bits.count + 3 <= 8 * (_UNIT - 5):
        bits.add(0b010, 3)
        bits.add(0, 7)
    bits.add(0, 3)  # an empty stored block, which begins at the next byte
    return bits.value.to_bytes(_UNIT - 4, "little") + _EMPTY_STORED[1:]


class _Bits:
    """Bits as deflate packs them: numbers from their lowest bit on, codes from their highest."""

    def __init__(self) -> None:
        self.value = self.count = 0

    def add(self, number: int, bits: int) -> None:
        self.value |= number << self.count
        self.count += bits

    def add_code(self, code: int, bits: int) -> None:
        self.add(int(f"{code:0{bits}b}"[::-1], 2), bits)


def _solve(columns: list[int], target: int) -> int:
    """Find the sum of columns that is the target, over bits."""
    basis: dict[int, tuple[int, int]] = {}
    for bit, column in enumerate(columns):
        value, used = _reduced(basis, column, 1 << bit)
        if value:
            basis[value.bit_length()] = (value, used)
    left, solution = _reduced(basis, target, 0)
    assert not left, "this layout has no checksum that fits: another name would"
    return solution


def _reduced(basis: dict[int, tuple[int, int]], value: int, used: int) -> tuple[int, int]:
    while value and value.bit_length() in basis:
        by, its = basis[value.bit_length()]
        value, used = value ^ by, used ^ its
    return value, used
