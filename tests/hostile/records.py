"""Records that are hostile by what stands beside the value: keys, headers, times, or nothing at all."""

from __future__ import annotations

from typing import Final

from contract.errors import ErrorCode
from tests.harness.raw_batches import UNREADABLE
from tests.hostile.case import DIGIT, SEVEN, Case, Cases, fails, read
from tests.hostile.zips import UTF8, Entry, archive

_EMPTY: Final = ErrorCode.EMPTY_RECORD
_NASTY: Final = '\x1b[2J\x07[red]x[/red]\r\nlevel=critical \x9b31m\u202egnp.exe\u2028\x00"},{"digit":9'
"""Repaints terminals, breaks lines, turns writing around, ends strings."""


def records() -> Cases:
    """Every record by name."""
    return _without_value() | _large() | _as_written() | _headers() | _keys() | _times()


def _without_value() -> dict[str, Case]:
    nasty = [("filename", _NASTY.encode()), ("request-id", _NASTY.encode())]
    return {
        "a tombstone": fails(None, _EMPTY, key=b"k"),
        "a tombstone without a key": fails(None, _EMPTY),
        "a tombstone with hostile headers": fails(None, _EMPTY, headers=nasty, key=_NASTY.encode()),
        "no bytes": fails(b"", _EMPTY, key=b"k"),
        "no bytes and no key": fails(b"", _EMPTY),
    }


def _large() -> dict[str, Case]:
    many = archive(*[Entry(b"%05d" % number + b"x" * 250) for number in range(4_000)])
    return {
        "a byte more than a record may have": fails(bytes(16 * 1024 * 1024 + 1), ErrorCode.RECORD_TOO_LARGE),
        "an archive whose results would be many megabytes": fails(many, ErrorCode.RESULTS_TOO_LARGE, key=b"k" * 4_096),
    }


def _as_written() -> dict[str, Case]:
    """Make what the broker takes and producers do not write."""
    unreadable = ErrorCode.UNREADABLE_RECORD
    return {
        "a record that claims a place a million further on": fails(SEVEN, unreadable, as_written={"place": 1_000_000}),
        "a record that claims a place before its batch": fails(SEVEN, unreadable, as_written={"place": -7}),
        "lengths of more bits than count": read(
            SEVEN, key=b"k", headers=[("x", b"x"), ("y", None)], as_written={"wide": True}
        ),
        "attributes that look like a longer number": read(SEVEN, as_written={"attributes": 0xFF}),
    }


def _headers() -> dict[str, Case]:
    not_utf8 = b"a\xff\x80"
    repeated = [("request-id", b"first"), ("filename", b"first"), ("request-id", b"last"), ("filename", b"last")]
    unknown, many = ErrorCode.UNKNOWN_FORMAT, ErrorCode.TOO_MANY_HEADERS
    return {
        "header values that are not UTF-8": read(
            SEVEN,
            headers=[(name, not_utf8) for name in ("request-id", "correlation-id", "traceparent", "filename", "x")],
            names=["a\ufffd\ufffd"],
        ),
        "the same on what fails": fails(
            b"no image", unknown, headers=[(name, not_utf8) for name in ("request-id", "filename", "x")]
        ),
        "a header name that is not UTF-8": fails(SEVEN, ErrorCode.UNREADABLE_RECORD, headers=[(UNREADABLE, b"x")]),
        "headers without values": read(
            SEVEN, headers=[(name, None) for name in ("request-id", "correlation-id", "traceparent", "filename", "x")]
        ),
        "headers without values on what fails": fails(
            b"no image", unknown, headers=[(name, None) for name in ("request-id", "filename", "attempt", "x")]
        ),
        "headers with empty names and values": read(SEVEN, headers=[("", b"")] * 3 + [("filename", b"")], names=[None]),
        "a thousand headers": read(SEVEN, headers=[(f"x-{number}", b"x") for number in range(1_000)]),
        "a thousand headers on what fails": fails(
            b"no image", unknown, headers=[(f"x-{number}", b"x") for number in range(1_000)]
        ),
        "the same header a thousand times": read(SEVEN, headers=[("request-id", b"x")] * 1_000),
        "a header too many": fails(SEVEN, many, headers=[("x", b"x")] * 1_001, key=b"k"),
        "half a million headers": fails(SEVEN, many, headers=[("", b"")] * 500_000, key=b"k"),
        "a header of ten megabytes": read(SEVEN, headers=[("x", b"x" * 10_000_000)]),
        "a header of ten megabytes on what fails": fails(b"no image", unknown, headers=[("x", b"x" * 10_000_000)]),
        "a header name of a megabyte": read(SEVEN, headers=[("x" * 1_000_000, b"x")]),
        "repeated headers": read(SEVEN, headers=repeated, names=["last"]),
        "a header that is echoed and too large": fails(
            SEVEN, ErrorCode.HEADER_TOO_LARGE, headers=[("correlation-id", b"x" * 1_025)]
        ),
        "a file name that is too large": fails(SEVEN, ErrorCode.HEADER_TOO_LARGE, headers=[("filename", b"x" * 1_025)]),
        "hostile characters in names and values": read(
            SEVEN,
            headers=[(name, _NASTY.encode()) for name in ("request-id", "correlation-id", "filename", _NASTY)],
            names=[_NASTY],
        ),
        "the same on what fails to be read": fails(
            SEVEN[:-20],
            ErrorCode.DAMAGED_IMAGE,
            headers=[(name, _NASTY.encode()) for name in ("request-id", "correlation-id", "filename", _NASTY)],
            names=[_NASTY],
        ),
        "hostile names in an archive": Case(
            archive(Entry(_NASTY.encode(), flags=UTF8), Entry(_NASTY.encode(), b"no image", flags=UTF8)),
            [DIGIT, unknown],
            names=[_NASTY, _NASTY],
        ),
        "headers that look like a dead letter's": fails(
            b"no image",
            unknown,
            headers=[
                ("origin-topic", b"elsewhere"),
                ("origin-offset", b"x"),
                ("result-id", b"\xff"),
                ("attempt", b"-1"),
            ],
        ),
        "an attempt of 500 digits": fails(b"no image", unknown, headers=[("attempt", b"9" * 500)]),
        "the headers of a replay that never was": read(
            SEVEN, headers=[("replay-of", b"digits.requests/0/0/0"), ("attempt", b"99")]
        ),
        "a content type that lies": read(SEVEN, headers=[("content-type", b"application/zip")]),
    }


def _keys() -> dict[str, Case]:
    return {
        "an empty key": read(SEVEN, key=b""),
        "a key that is not UTF-8": read(SEVEN, key=b"\xff\x00\x1b[2J"),
        "a key of the largest size": read(SEVEN, key=b"k" * 4_096),
        "a key one byte too large": fails(SEVEN, ErrorCode.KEY_TOO_LARGE, key=b"k" * 4_097),
        "a key of a megabyte": fails(SEVEN, ErrorCode.KEY_TOO_LARGE, key=b"k" * 1_000_000),
        "a key of a megabyte on a tombstone": fails(None, ErrorCode.KEY_TOO_LARGE, key=b"k" * 1_000_000),
    }


def _times() -> dict[str, Case]:
    times = {
        "a second after 1970": 1_000,
        "tomorrow's century": 4_000_000_000_000,
        "beyond the year 9999": 253_402_300_800_000,
        "as far as a number goes": 2**63 - 1,
    }
    return {f"a time {what}": read(SEVEN, timestamp_ms=ms) for what, ms in times.items()} | {
        f"a time {what} on what fails": fails(b"no image", ErrorCode.UNKNOWN_FORMAT, timestamp_ms=ms)
        for what, ms in times.items()
    }
