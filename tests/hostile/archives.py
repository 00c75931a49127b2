"""Zip archives: bombs, lies, labels that pretend to be paths, and what packers leave in them."""

from __future__ import annotations

import bz2
import zlib
from typing import Final

from contract.errors import ErrorCode
from tests.harness.images import streamed
from tests.hostile.case import DIGIT, READ, SEVEN, Case, Cases, Expected, fails, read
from tests.hostile.files import RGB, png, png_header
from tests.hostile.quine import quine
from tests.hostile.zips import (
    AES,
    BZIP2,
    DEFLATE64,
    DESCRIPTOR,
    ENCRYPTED,
    END_MARKER,
    IN_EXTRA,
    LZMA,
    PACKERS,
    PPMD,
    STORED,
    STRONGLY_ENCRYPTED,
    UTF8,
    XZ,
    ZSTANDARD,
    Entry,
    archive,
    deflated,
    end64,
    local_header,
    lzma_packed,
    unicode_path,
    zip64_field,
    zstandard,
)

_MIB: Final = 1024 * 1024
_GOOD: Final = Entry(b"good.png")
_FAR: Final = 2**63


def archives() -> Cases:
    """Every archive by name."""
    return _bombs() | _lies() | _methods() | _bombs_of_methods() | _unusual() | _broken() | _named() | _left_out()


def _beside_a_good_one(entry: Entry, code: ErrorCode) -> Case:
    """Make a case in which one entry is lost and the one after it is not."""
    return Case(archive(entry, _GOOD), [code, DIGIT])


def _bombs() -> dict[str, Case]:
    zeros = bytes(16 * _MIB)
    kernel = Entry(b"0", zeros, packed=deflated(zeros), crc=zlib.crc32(zeros))
    inner = archive(*[Entry(b"%d" % number, packed=b"", data=b"") for number in range(10)], kernel)
    first_ones: list[Expected] = [READ] * 19
    large = png(png_header(3_000, 3_000, 16, RGB), bytes(18_001 * 3_000))
    first = Entry(b"0", STORED.to_bytes() * 300, method=STORED)
    return {
        "a flat bomb that is no larger than an image may be": _beside_a_good_one(kernel, ErrorCode.UNKNOWN_FORMAT),
        "a flat bomb, one byte beyond the size": _beside_a_good_one(
            Entry(b"0", zeros + b"0"), ErrorCode.ENTRY_TOO_LARGE
        ),
        "a flat bomb of many entries": fails(archive(*[kernel] * 17), ErrorCode.ARCHIVE_TOO_LARGE),
        "a bomb that claims to be small": _beside_a_good_one(
            Entry(b"0", zeros, packed=kernel.packed, crc=kernel.crc, inflated_bytes=1_000), ErrorCode.DAMAGED_ENTRY
        ),
        "a bomb that claims to be nothing": _beside_a_good_one(
            Entry(b"0", zeros, packed=kernel.packed, crc=kernel.crc, inflated_bytes=0), ErrorCode.DAMAGED_ENTRY
        ),
        "all entries share one place": fails(
            archive(first, *[Entry(b"%d" % n, first.data, method=STORED, header_at=0, shared=True) for n in range(9)]),
            ErrorCode.ARCHIVE_OVERLAPS,
        ),
        "each entry quotes the headers of the next": fails(_quoted(20), ErrorCode.ARCHIVE_OVERLAPS),
        "images that decode to more than the limit for all": Case(
            archive(*[Entry(b"%d" % number, large, method=STORED) for number in range(21)]),
            [*first_ones, *[ErrorCode.ARCHIVE_TOO_COSTLY] * 2],
        ),
        "more entries than the limit": fails(
            archive(Entry(packed=b"", data=b""), *[Entry(b"", b"", method=STORED, shared=True)] * 10_000),
            ErrorCode.TOO_MANY_ENTRIES,
        ),
        "bombs in archives in an archive": _beside_a_good_one(
            Entry(b"1.zip", archive(Entry(b"2.zip", archive(Entry(b"3.zip", inner))))), ErrorCode.NESTED_ARCHIVE
        ),
        "an archive in an archive": _beside_a_good_one(Entry(b"1.zip", archive(_GOOD)), ErrorCode.NESTED_ARCHIVE),
        "an archive that holds itself": fails(quine(), ErrorCode.NESTED_ARCHIVE, names=["quine.zip"]),
    }


def _quoted(count: int) -> bytes:
    """Write Fifield's bomb: each stream begins with a stored block that quotes the next entry's header."""
    kernel = deflated(bytes(100_000))
    names = [b"%04d" % number for number in range(count)]
    body, data, entries = kernel, bytes(100_000), []
    for name in reversed(names):
        entries.append((name, body, data))
        header = local_header(name, 8, (zlib.crc32(data), len(body), len(data)))
        quote = b"\x00" + len(header).to_bytes(2, "little") + (len(header) ^ 0xFFFF).to_bytes(2, "little") + header
        body, data = quote + body, header + data
    whole = b""
    lines = []
    for name, packed, inflated in reversed(entries):
        header = local_header(name, 8, (zlib.crc32(inflated), len(packed), len(inflated)))
        lines.append(Entry(name, inflated, packed=packed, header_at=len(whole), shared=True))
        whole += header + (b"" if name == names[-1] else packed[:5])
    return whole + kernel + _only_directory(lines, at=len(whole) + len(kernel))


def _only_directory(entries: list[Entry], *, at: int) -> bytes:
    lines = archive(*entries)
    return archive(*entries, end=(len(lines) - len(archive()), at))


def _lies() -> dict[str, Case]:
    damaged = ErrorCode.DAMAGED_ENTRY
    garbage = b"\xff" * len(SEVEN)
    return {
        "a wrong checksum": _beside_a_good_one(Entry(crc=1), damaged),
        "a size too small": _beside_a_good_one(Entry(inflated_bytes=len(SEVEN) - 1), damaged),
        "a size too large": _beside_a_good_one(Entry(inflated_bytes=len(SEVEN) + 1), damaged),
        "a packed size too small": _beside_a_good_one(Entry(packed_bytes=20), damaged),
        "a packed size that reaches into the directory": fails(
            archive(Entry(packed_bytes=1_000)), ErrorCode.ARCHIVE_OVERLAPS
        ),
        "a deflate stream that is none": _beside_a_good_one(Entry(packed=garbage), damaged),
        "bytes after the end of a deflate stream": read(archive(Entry(packed=deflated(SEVEN) + b"more"))),
        "a local header with other sizes than the directory": read(archive(Entry(local=(1, 2, 3)))),
        "a local header with another name": read(
            archive(Entry(b"said.png")).replace(b"said", b"true", 1), names=["said.png"]
        ),
        "an entry that lies nowhere": _beside_a_good_one(Entry(header_at=5), damaged),
        "an entry that lies after the end": Case(archive(_GOOD, Entry(header_at=2**31, shared=True)), [DIGIT, damaged]),
        "an encrypted entry": _beside_a_good_one(Entry(flags=ENCRYPTED), ErrorCode.ENCRYPTED_ENTRY),
        "a strongly encrypted entry": _beside_a_good_one(Entry(flags=STRONGLY_ENCRYPTED), ErrorCode.ENCRYPTED_ENTRY),
        "an entry encrypted by AES": _beside_a_good_one(Entry(flags=ENCRYPTED, method=AES), ErrorCode.ENCRYPTED_ENTRY),
        "an entry without bytes": _beside_a_good_one(Entry(data=b""), ErrorCode.EMPTY_RECORD),
        "a stored entry without bytes": _beside_a_good_one(Entry(data=b"", method=STORED), ErrorCode.EMPTY_RECORD),
        "an entry that is no image": _beside_a_good_one(Entry(data=b"#!/bin/sh"), ErrorCode.UNKNOWN_FORMAT),
        "an entry that is half an image": _beside_a_good_one(Entry(data=SEVEN[:-20]), ErrorCode.DAMAGED_IMAGE),
    }


def _methods() -> dict[str, Case]:
    """Make entries of every method, as they are and damaged."""
    unknown, damaged = ErrorCode.UNKNOWN_COMPRESSION, ErrorCode.DAMAGED_ENTRY
    flags = {LZMA: END_MARKER}
    cases = {
        f"compression method {method}": _beside_a_good_one(Entry(method=method), unknown)
        for method in (1, 6, DEFLATE64, XZ, PPMD, AES, 0xFFFF)
    }
    for name, method in {"bzip2": BZIP2, "LZMA": LZMA, "Zstandard": ZSTANDARD}.items():
        packed, flag = PACKERS[method](SEVEN), flags.get(method, 0)

        def lying(packed: bytes = packed, method: int = method, flag: int = flag, size: int | None = None) -> Case:
            return _beside_a_good_one(Entry(method=method, flags=flag, packed=packed, inflated_bytes=size), damaged)

        cases |= {
            f"{name}": read(archive(Entry(method=method, flags=flag))),
            f"{name} cut short": lying(packed[:-12]),
            f"{name} without bytes": lying(b""),
            f"{name} that is another method": lying(b"\x00" + deflated(SEVEN)),
            f"{name} of a size too small": lying(size=len(SEVEN) - 1),
            f"{name} of a size too large": lying(size=len(SEVEN) + 1),
            f"{name} of no size": lying(size=0),
            f"{name} with a changed byte": lying(packed[:60] + bytes([packed[60] ^ 0x10]) + packed[61:]),
        }
    window = b"\x28\xb5\x2f\xfd\x00" + bytes([17 << 3]) + (1 | len(SEVEN) << 3).to_bytes(3, "little") + SEVEN
    return (
        cases
        | {
            "LZMA without its end marker": read(archive(Entry(method=LZMA))),  # the flag says that there is none
            "LZMA with a dictionary of 4 GiB": read(
                archive(Entry(method=LZMA, packed=lzma_packed(SEVEN, dictionary_bytes=0xFFFF_FFFF)))
            ),
            "LZMA with a dictionary of no bytes": _beside_a_good_one(
                Entry(method=LZMA, data=bytes(9_000), packed=lzma_packed(bytes(9_000), dictionary_bytes=0)),
                ErrorCode.UNKNOWN_FORMAT,
            ),
            "LZMA with impossible properties": _beside_a_good_one(
                Entry(method=LZMA, packed=b"\x09\x14\x05\x00\xff" + bytes(30)), damaged
            ),
            "LZMA with too many literal bits": _beside_a_good_one(
                Entry(method=LZMA, packed=b"\x09\x14\x05\x00\x24" + bytes(30)), damaged
            ),
            "LZMA with properties of another size": _beside_a_good_one(
                Entry(method=LZMA, packed=b"\x09\x14\x06\x00\x5d" + bytes(30)), damaged
            ),
            "Zstandard with a window of 128 MiB": read(archive(Entry(method=ZSTANDARD, packed=window))),
            "Zstandard with a window of 4 GiB": _beside_a_good_one(
                Entry(method=ZSTANDARD, packed=window[:5] + bytes([22 << 3]) + window[6:]), damaged
            ),
            "Zstandard with a window of exabytes": _beside_a_good_one(
                Entry(method=ZSTANDARD, packed=window[:5] + b"\xff" + window[6:]), damaged
            ),
            "Zstandard that claims a content of exabytes": _beside_a_good_one(
                Entry(method=ZSTANDARD, packed=b"\x28\xb5\x2f\xfd\xe0" + b"\xff" * 8 + window[6:]), damaged
            ),
            "Zstandard with a dictionary that is not there": _beside_a_good_one(
                Entry(method=ZSTANDARD, packed=b"\x28\xb5\x2f\xfd\x01\x50\x07" + window[6:]), damaged
            ),
            "Zstandard in two frames": read(
                archive(Entry(method=ZSTANDARD, packed=zstandard(SEVEN[:100]) + zstandard(SEVEN[100:])))
            ),
            "Zstandard of empty frames": _beside_a_good_one(
                Entry(method=ZSTANDARD, packed=zstandard(b"") * 10_000 + zstandard(SEVEN)[:-4]), damaged
            ),
        }
    )


def _bombs_of_methods() -> dict[str, Case]:
    """Make bombs of the methods that pack zeros much further than Deflate."""
    zeros = bytes(16 * _MIB)
    crc = zlib.crc32(zeros)
    slow = bz2.compress(zeros)
    cases: dict[str, Case] = {}
    for name, method in {"bzip2": BZIP2, "LZMA": LZMA, "Zstandard": ZSTANDARD}.items():
        kernel = Entry(b"0", zeros, method=method, packed=PACKERS[method](zeros), crc=crc)
        small = Entry(b"0", b"", method=method, packed=kernel.packed, crc=crc, inflated_bytes=1_000)
        cases |= {
            f"a bomb of {name}, no larger than an image may be": _beside_a_good_one(kernel, ErrorCode.UNKNOWN_FORMAT),
            f"a bomb of {name} that claims to be small": _beside_a_good_one(small, ErrorCode.DAMAGED_ENTRY),
            f"a bomb of {name} of many entries": fails(archive(*[kernel] * 17), ErrorCode.ARCHIVE_TOO_LARGE),
        }
    unread: list[Expected] = [ErrorCode.ARCHIVE_TOO_COSTLY] * 4
    return cases | {
        "a slow method for more bytes than may be decoded": Case(
            archive(*[Entry(b"0", zeros, method=BZIP2, packed=slow, crc=crc)] * 12),
            [*[ErrorCode.UNKNOWN_FORMAT] * 8, *unread],
        ),
    }


def _unusual() -> dict[str, Case]:
    fields = zip64_field(len(SEVEN), len(deflated(SEVEN)), 0)
    large = Entry(extra=fields, inflated_bytes=IN_EXTRA, packed_bytes=IN_EXTRA, header_at=IN_EXTRA)
    far = Entry(extra=zip64_field(_FAR, _FAR, _FAR), inflated_bytes=IN_EXTRA, packed_bytes=IN_EXTRA, shared=True)
    plain = archive(_GOOD)
    return {
        "zip64 sizes": read(archive(large)),
        "zip64 sizes of exabytes": Case(
            archive(_GOOD, Entry(**{**vars(far), "header_at": IN_EXTRA})), [DIGIT, ErrorCode.ENTRY_TOO_LARGE]
        ),
        "zip64 without its field": fails(archive(Entry(inflated_bytes=IN_EXTRA)), ErrorCode.DAMAGED_ARCHIVE),
        "a zip64 field that is cut short": fails(
            archive(Entry(inflated_bytes=IN_EXTRA, extra=fields[:8])), ErrorCode.DAMAGED_ARCHIVE
        ),
        "a zip64 end record": read(_with_end64(0)),
        "a zip64 end record of exabytes": fails(_with_end64(_FAR), ErrorCode.DAMAGED_ARCHIVE),
        "a zip64 locator without an end record": fails(
            archive(_GOOD, end64=end64(0, 0, 0, at=0)[-20:]), ErrorCode.DAMAGED_ARCHIVE
        ),
        "sizes in a descriptor after the bytes": read(
            archive(Entry(flags=DESCRIPTOR, local=(0, 0, 0), after=b"PK\x07\x08" + bytes(12)))
        ),
        "written to a pipe": read(streamed("7.png", SEVEN)),
        "the same name three times": Case(archive(*[Entry(b"7.png")] * 3), [DIGIT] * 3, names=["7.png"] * 3),
        "bytes before it": read(b"MZ this program unpacks itself" + plain),
        "bytes after it": read(plain + b"and a signature"),
        "64 KiB after it": read(plain + bytes(64 * 1024)),
        "an end record that is cut short after it": read(plain + b"PK\x05\x06"),
        "too many bytes after it": fails(plain + bytes(70_000), ErrorCode.DAMAGED_ARCHIVE),
        "bytes before and after it": read(b"\x00" * 99 + plain + b"\x00" * 99),
        "a long comment": read(archive(_GOOD, comment=b"\x1b[2J" * 16_000)),
        "a comment that is an end record": fails(archive(_GOOD, comment=archive()), ErrorCode.EMPTY_ARCHIVE),
        "a tape archive with it inside": fails(
            b"1.zip".ljust(257, b"\x00") + b"ustar\x0000".ljust(255, b"\x00") + plain + bytes(1_024),
            ErrorCode.UNKNOWN_FORMAT,
        ),
        "an archive of 7-Zip with it inside": fails(b"7z\xbc\xaf\x27\x1c" + plain, ErrorCode.UNKNOWN_FORMAT),
        "a part of a split archive": read(b"PK\x07\x08" + plain),
    }


def _with_end64(size: int) -> bytes:
    """Write an archive whose directory only its zip64 end record finds; a size of 0 is the right one."""
    plain = archive(_GOOD)
    end_at = len(plain) - len(archive())
    at = len(archive(_GOOD, end=(0, 0))) - len(archive())
    directory_bytes = end_at - plain.index(b"PK\x01\x02")
    record = end64(size or directory_bytes, end_at - directory_bytes, 1, at=at)
    return archive(_GOOD, end=(IN_EXTRA, IN_EXTRA), end64=record)


def _broken() -> dict[str, Case]:
    damaged = ErrorCode.DAMAGED_ARCHIVE
    plain = archive(_GOOD, _GOOD)
    directory_at = plain.index(b"PK\x01\x02")
    cuts = {
        "in its first entry": 40,
        "before its directory": directory_at,
        "in its directory": directory_at + 60,
        "before its end record": len(plain) - 22,
        "in its end record": len(plain) - 5,
    }
    return {
        **{f"cut short {where}": fails(plain[:end], damaged) for where, end in cuts.items()},
        "an empty archive": fails(archive(), ErrorCode.EMPTY_ARCHIVE),
        "an end record alone, cut short": fails(archive()[:10], damaged),
        "a directory that is longer than the file": fails(archive(_GOOD, end=(2**31, 0)), damaged),
        "a directory that lies after the file": fails(archive(_GOOD, end=(99, 2**31)), damaged),
        "a directory of garbage": fails(plain.replace(b"PK\x01\x02", b"\xff\xff\xff\xff"), damaged),
        "a directory whose last name is too long for it": fails(
            plain[: directory_at + 28] + b"\xff\xff" + plain[directory_at + 30 :], damaged
        ),
    }


def _named() -> dict[str, Case]:
    names = {
        "an absolute path": "/etc/passwd",
        "a path upwards": "../../../../root/.ssh/authorized_keys",
        "a path on another drive": "C:\\Windows\\System32\\7.png",
        "a path on another machine": "\\\\server\\share\\7.png",
        "a device": "CON.png",
        "no name": "",
        "only dots": "..",
        "line breaks": "a\r\nlevel=critical event=forged\n",
        "a zero byte": "7.png\x00.exe",
        "terminal commands": "\x1b[2J\x1b]0;owned\x07\x9b31m",
        "markup": "<script>alert(1)</script>[red]x[/red]{{7*7}}${jndi:ldap://x}%s%n",
        "quotes": '"},"status":"recognised","x":{"\'',
        "a turned direction of writing": "7\u202egnp.exe\u2066\u200f",
        "separators of lines and paragraphs": "a\u2028b\u2029c\x85d",
        "characters beyond the first plane": "\U0001f680\U000e0041\U0010ffff",
        "the longest name": "x" * 255,
    }
    return {
        **{
            f"a name that is {what}": read(archive(Entry(name.encode(), flags=UTF8)), names=[name])
            for what, name in names.items()
        },
        "a name that is UTF-8 and does not say so": read(archive(Entry("七\x1b.png".encode())), names=["七\x1b.png"]),
        "a name in the Unicode path field": read(
            archive(Entry(b"?.png", extra=unicode_path(b"?.png", "七\x1b.png".encode()))), names=["七\x1b.png"]
        ),
        **{
            f"a Unicode path field {what}": read(archive(Entry(b"7.png", extra=field)), names=["7.png"])
            for what, field in {
                "of another name": unicode_path(b"8.png", b"9.png"),
                "of another version": unicode_path(b"7.png", b"9.png", version=2),
                "that is not UTF-8": unicode_path(b"7.png", b"\xff\xed\xa0\x80"),
                "without a name": unicode_path(b"7.png", b""),
                "that is cut short": unicode_path(b"7.png", b"")[:-2],
                "after a hundred others": b"up\x00\x00" * 100 + unicode_path(b"7.png", b"9.png"),
                "whose length is a lie": b"\x75\x70\xff\xff\x01",
            }.items()
        },
        "a Unicode path field beside flag 11": read(
            archive(Entry(b"7.png", flags=UTF8, extra=unicode_path(b"7.png", b"9.png"))), names=["7.png"]
        ),
        "a Unicode path field beyond the limit": Case(
            archive(Entry(b"7.png", extra=unicode_path(b"7.png", b"x" * 256))), [ErrorCode.NAME_TOO_LONG], names=[None]
        ),
        "a name that is not UTF-8 and does not say so": read(archive(Entry(b"\xff\x80\x1b")), names=["\xa0\u00c7\x1b"]),
        "a name that is not UTF-8 and says it is": read(
            archive(Entry(b"a\xff\xed\xa0\x80", flags=UTF8)), names=["a" + "\ufffd" * 4]
        ),
        "a name beyond the limit": Case(
            archive(Entry(b"x" * 256), _GOOD), [ErrorCode.NAME_TOO_LONG, DIGIT], names=[None, "good.png"]
        ),
        "a name of 65,535 bytes": Case(archive(Entry(b"\xff" * 65_535)), [ErrorCode.NAME_TOO_LONG], names=[None]),
    }


def _left_out() -> dict[str, Case]:
    system = [
        *(b"__MACOSX/._7.png", b"a/__MACOSX/b/7.png", b"__MACOSX", b"._7.png", b"d/._7.png", b"d\\._.DS_Store"),
        *(b"d/.DS_Store", b"Thumbs.db", b"THUMBS.DB", b"d/ehthumbs.db", b"d\\desktop.ini", b"d/Icon\r", b".localized"),
        *(b".Spotlight-V100/Store-V2/x", b".Trashes/7.png", b"d/.fseventsd/0", b"@eaDir/7.png/SYNOPHOTO_THUMB_M.jpg"),
        *(b"$RECYCLE.BIN/S-1-5/$R7.png", b"System Volume Information/x", b".AppleDouble/7.png", b"d/.directory"),
    ]
    metadata = [Entry(name, b"\x00\x05\x16\x07") for name in system]
    folders = [Entry(b"d/", b"", method=STORED), Entry(b"w\\", b"", method=STORED), Entry(b"with bytes/", b"x")]
    return {
        "metadata of operating systems": read(archive(*metadata, _GOOD), names=["good.png"]),
        "names like those of metadata": Case(
            archive(Entry(b"d/_7.png"), Entry(b"._d/7.png"), Entry(b"__MACOSX.png"), Entry(b"Thumbs.db.png")),
            [DIGIT] * 4,
        ),
        "metadata by its Unicode path": read(
            archive(Entry(b"7.png", b"", extra=unicode_path(b"7.png", b"d/._7.png")), _GOOD), names=["good.png"]
        ),
        "metadata and nothing else": fails(archive(*metadata), ErrorCode.EMPTY_ARCHIVE),
        "directories": read(archive(*folders, _GOOD), names=["good.png"]),
        "directories and nothing else": fails(archive(*folders), ErrorCode.EMPTY_ARCHIVE),
        "metadata that is a bomb": read(
            archive(Entry(b"__MACOSX/0", b"", inflated_bytes=2**31), _GOOD), names=["good.png"]
        ),
    }
