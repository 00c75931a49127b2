"""Payloads: what they are, and archives unpacked within limits."""

from __future__ import annotations

import io
import struct
import warnings
import zipfile
import zlib
from dataclasses import replace

import pytest

from engine.codecs.archive.methods import METHODS
from engine.codecs.payload import Item, open_payload
from engine.errors import ArchiveTooCostly, EngineError
from engine.limits import Limits
from tests.harness.images import streamed

LIMITS = Limits()
PNG = b"\x89PNG\r\n\x1a\n" + b"not looked at here"


def archive(entries: list[tuple[str, bytes]], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    packed = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(packed, "w", method) as file:
        warnings.simplefilter("ignore", UserWarning)  # zipfile minds doubled names, and here they are the point
        for name, data in entries:
            file.writestr(name, data)
    return packed.getvalue()


def items(payload: bytes, limits: Limits = LIMITS) -> list[Item]:
    return list(open_payload(payload, limits).items())


def code(payload: bytes, limits: Limits = LIMITS) -> str:
    with pytest.raises(EngineError) as caught:
        open_payload(payload, limits)
    return caught.value.code


def codes(payload: bytes, limits: Limits = LIMITS) -> list[str | None]:
    return [item.error.code if item.error else None for item in items(payload, limits)]


def patched(payload: bytes, magic: bytes, offset: int, layout: str, value: int, *, nth: int = 0) -> bytes:
    """Overwrite a field at an offset after the n-th occurrence of a magic number."""
    at = -1
    for _ in range(nth + 1):
        at = payload.index(magic, at + 1)
    changed = bytearray(payload)
    struct.pack_into(layout, changed, at + offset, value)
    return bytes(changed)


DIRECTORY, LOCAL, END = b"PK\x01\x02", b"PK\x03\x04", b"PK\x05\x06"


def test_an_image_is_one_item_without_a_name() -> None:
    assert items(PNG) == [Item(0, None, PNG, None, None)]


@pytest.mark.parametrize(
    "magic", [b"\xff\xd8\xff\xe0", b"GIF89a", b"GIF87a", b"BM", b"II*\x00", b"MM\x00*", b"RIFF\x00\x00\x00\x00WEBP"]
)
def test_every_accepted_format_is_known_by_its_first_bytes(magic: bytes) -> None:
    assert open_payload(magic + b"...", LIMITS).count == 1


@pytest.mark.parametrize(
    "payload", [b"<svg/>", b"%!PS-Adobe-3.0 EPSF", b"SIMPLE  =", b"\x00", b"RIFF\x00\x00\x00\x00WAVE"]
)
def test_what_is_no_image_and_no_archive_is_refused(payload: bytes) -> None:
    assert code(payload) == "unknown-format"


def test_nothing_is_refused() -> None:
    assert code(b"") == "empty-record"


def test_a_payload_over_the_limit_is_refused_before_it_is_opened() -> None:
    assert code(PNG, replace(LIMITS, record_bytes=len(PNG) - 1)) == "record-too-large"
    assert open_payload(PNG, replace(LIMITS, record_bytes=len(PNG))).count == 1


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_entries_come_in_directory_order_with_their_names(method: int) -> None:
    payload = archive([("b.png", PNG + b"1"), ("a/ä.png", PNG + b"2"), ("b.png", PNG + b"3")], method)
    assert open_payload(payload, LIMITS).count == 3
    assert [(item.index, item.name, item.data) for item in items(payload)] == [
        (0, "b.png", PNG + b"1"),
        (1, "a/ä.png", PNG + b"2"),
        (2, "b.png", PNG + b"3"),
    ]


def test_names_are_labels_whatever_path_they_pretend_to_be() -> None:
    names = ["/etc/passwd", "../../up.png", "C:\\x.png", "a\x1b[31mb.png"]
    assert [item.name for item in items(archive([(name, PNG) for name in names]))] == names


def test_directories_and_system_metadata_are_left_out_and_not_counted() -> None:
    metadata = ["__MACOSX/._1.png", "d/.DS_Store", "Thumbs.db", "d\\Desktop.ini", "d/._1.png"]
    payload = archive([("d/", b""), *[(name, b"x") for name in metadata], ("d/1.png", PNG)])
    assert [(item.index, item.name) for item in items(payload)] == [(0, "d/1.png")]


def test_an_archive_with_nothing_but_metadata_is_empty() -> None:
    assert code(archive([("d/", b""), ("__MACOSX/x", b"x")])) == "empty-archive"
    assert code(archive([])) == "empty-archive"


@pytest.mark.parametrize("before", [b"", b"MZ a program that unpacks itself"])
@pytest.mark.parametrize("after", [b"", b"and some bytes after it"])
def test_bytes_before_and_after_an_archive_do_not_matter(before: bytes, after: bytes) -> None:
    payload = before + archive([("1.png", PNG), ("2.png", PNG)]) + after
    assert [item.data for item in items(payload)] == [PNG, PNG]


@pytest.mark.parametrize(("after_bytes", "expected"), [(64 * 1024, None), (66_000, "damaged-archive")])
def test_up_to_64_kib_after_an_archive_do_not_matter(after_bytes: int, expected: str | None) -> None:
    payload = archive([("1.png", PNG)]) + bytes(after_bytes)
    if expected is None:
        assert codes(payload) == [None]
    else:
        assert code(payload) == expected


def test_an_image_with_an_archive_after_it_is_an_image() -> None:
    polyglot = PNG + archive([("1.png", PNG)])
    assert [item.data for item in items(polyglot)] == [polyglot]


def test_an_archive_with_a_comment_opens() -> None:
    packed = io.BytesIO(archive([("1.png", PNG)]))
    with zipfile.ZipFile(packed, "a") as file:
        file.comment = b"x" * 60_000
    assert open_payload(packed.getvalue(), LIMITS).count == 1


@pytest.mark.parametrize("entries", [[], [("1.png", PNG), ("2.png", PNG)]], ids=["empty", "two entries"])
def test_an_archive_cut_short_anywhere_is_damaged(entries: list[tuple[str, bytes]]) -> None:
    payload = archive(entries)
    for end in range(4, len(payload)):
        assert code(payload[:end]) == "damaged-archive"


def test_a_directory_that_lies_elsewhere_is_damaged() -> None:
    payload = archive([("1.png", PNG)])
    assert code(patched(payload, END, 16, "<I", 2**32 - 2)) == "damaged-archive"
    assert code(patched(payload, END, 12, "<I", 2**31)) == "damaged-archive"


def test_more_entries_than_the_limit_are_refused_despite_the_end_record() -> None:
    payload = patched(archive([(f"{n}.png", b"") for n in range(11)], zipfile.ZIP_STORED), END, 10, "<H", 1)
    assert code(payload, replace(LIMITS, entries=10)) == "too-many-entries"
    assert open_payload(payload, replace(LIMITS, entries=11)).count == 11


def test_a_bomb_with_an_honest_header_is_refused_without_inflating_it() -> None:
    bomb = archive([("zeros", bytes(1_000_000))])
    small_images = replace(LIMITS, image_bytes=999_999)
    assert codes(bomb, small_images) == ["inflates-too-far"]
    assert codes(bomb, replace(small_images, inflation_ratio=2000)) == [None]
    assert codes(bomb, replace(LIMITS, entry_bytes=999_999)) == ["entry-too-large"]
    assert items(bomb, small_images)[0].data is None
    assert items(bomb, small_images)[0].left_out


def test_what_is_no_larger_than_an_image_may_be_is_no_bomb() -> None:
    blank = archive([("blank.bmp", bytes(1_000_000))])
    assert codes(blank, replace(LIMITS, image_bytes=1_000_000, inflation_ratio=1)) == [None]


def test_a_bomb_that_lies_about_its_size_is_inflated_no_further_than_it_claims() -> None:
    lying = patched(archive([("zeros", bytes(50_000_000))]), DIRECTORY, 24, "<I", 1000)
    assert codes(lying) == ["damaged-entry"]


def test_entries_that_inflate_to_too_much_together_are_refused_as_a_whole() -> None:
    payload = archive([(f"{n}.png", PNG) for n in range(10)], zipfile.ZIP_STORED)
    assert code(payload, replace(LIMITS, inflated_bytes=10 * len(PNG) - 1)) == "archive-too-large"
    assert open_payload(payload, replace(LIMITS, inflated_bytes=10 * len(PNG))).count == 10


def test_entries_that_share_bytes_are_refused_as_a_whole() -> None:
    payload = archive([("1.png", PNG * 10), ("2.png", PNG * 10)], zipfile.ZIP_STORED)
    assert code(patched(payload, DIRECTORY, 42, "<I", 0, nth=1)) == "archive-overlaps"


def test_an_entry_that_reaches_into_the_directory_overlaps_it() -> None:
    payload = archive([("1.png", PNG)], zipfile.ZIP_STORED)
    assert code(patched(payload, DIRECTORY, 20, "<I", len(PNG) + 1)) == "archive-overlaps"


def test_one_bad_entry_is_lost_alone() -> None:
    payload = archive([("1.png", PNG), ("2.png", PNG * 3), ("3.png", PNG)], zipfile.ZIP_STORED)
    at = payload.index(b"2.png") + len(b"2.png")
    payload = payload[:at] + b"\x00" + payload[at + 1 :]
    assert codes(payload) == [None, "damaged-entry", None]


@pytest.mark.parametrize(
    ("offset", "layout", "value", "expected"),
    [
        (8, "<H", 0x0001, "encrypted-entry"),
        (8, "<H", 0x0041, "encrypted-entry"),
        (10, "<H", 9, "unknown-compression"),
        (10, "<H", 99, "unknown-compression"),
        (16, "<I", 1, "damaged-entry"),
        (24, "<I", 5, "damaged-entry"),
        (42, "<I", 1, "damaged-entry"),
    ],
    ids=["encrypted", "strongly encrypted", "Deflate64", "AE-x", "wrong CRC", "wrong size", "no local header"],
)
def test_each_fault_of_an_entry_has_its_code(offset: int, layout: str, value: int, expected: str) -> None:
    payload = archive([("1.png", PNG * 4), ("2.png", PNG * 4)])
    assert codes(patched(payload, DIRECTORY, offset, layout, value)) == [expected, None]


def test_a_damaged_deflate_stream_is_a_damaged_entry() -> None:
    payload = archive([("1.png", PNG * 100)])
    at = payload.index(b"1.png") + len(b"1.png")
    assert codes(payload[:at] + b"\xff\xff\xff" + payload[at + 3 :]) == ["damaged-entry"]


def test_an_archive_in_an_archive_is_not_unpacked() -> None:
    inner = archive([("1.png", PNG)])
    nested = items(archive([("inner.zip", inner), ("1.png", PNG)]))
    assert [item.error.code if item.error else None for item in nested] == ["nested-archive", None]
    assert nested[0].data == inner


def test_a_name_over_the_limit_is_not_echoed() -> None:
    long, fits = items(archive([("x" * 256, PNG), ("x" * 255, PNG)]))
    assert (long.name, long.error and long.error.code, long.data) == (None, "name-too-long", PNG)
    assert (fits.name, fits.error) == ("x" * 255, None)


def test_zip64_and_data_descriptors_are_read() -> None:
    assert [item.data for item in items(streamed("1.png", PNG))] == [PNG]


def test_sizes_in_the_zip64_field_are_read() -> None:
    data = zlib.compress(PNG, wbits=-15)
    local = struct.pack("<4s5H3I2H", LOCAL, 45, 0, 8, 0, 0, zlib.crc32(PNG), 0xFFFFFFFF, 0xFFFFFFFF, 1, 0) + b"x" + data
    extra = struct.pack("<2H3Q", 1, 24, len(PNG), len(data), 0)
    claims = (zlib.crc32(PNG), 0xFFFFFFFF, 0xFFFFFFFF, 1, len(extra), 0, 0, 0, 0, 0xFFFFFFFF)
    entry = struct.pack("<4s6H3I5H2I", DIRECTORY, 45, 45, 0, 8, 0, 0, *claims)
    directory = entry + b"x" + extra
    end64 = struct.pack("<4sQ2H2I4Q", b"PK\x06\x06", 44, 45, 45, 0, 0, 1, 1, len(directory), len(local))
    locator = struct.pack("<4sIQI", b"PK\x06\x07", 0, len(local) + len(directory), 1)
    end = struct.pack("<4s4H2IH", END, 0, 0, 0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0)
    assert [item.data for item in items(local + directory + end64 + locator + end)] == [PNG]


def test_a_slow_method_is_charged_before_the_entry_is_inflated() -> None:
    payload = open_payload(archive([("1.png", PNG), ("2.png", PNG)], zipfile.ZIP_BZIP2), LIMITS)
    charged: list[int] = []

    def charge(cost_bytes: int) -> None:
        charged.append(cost_bytes)
        if len(charged) > 1:
            raise ArchiveTooCostly("That is too much.")

    first, second = payload.items(0, charge)
    assert charged == [len(PNG) * METHODS[12].cost] * 2
    assert (first.data, first.error) == (PNG, None)
    assert (second.data, second.left_out) == (None, "not unpacked: archive-too-costly")


def test_a_fast_method_is_not_charged() -> None:
    payload = open_payload(archive([("1.png", PNG)]), LIMITS)
    charged: list[int] = []
    assert [item.error for item in payload.items(0, charged.append)] == [None]
    assert not charged


def test_items_may_be_asked_for_again() -> None:
    payload = open_payload(archive([("1.png", PNG)]), LIMITS)
    assert list(payload.items()) == list(payload.items())


def test_messages_show_no_control_characters() -> None:
    class OddError(EngineError):
        code = "odd"

    assert str(OddError("a\x1b[2J\nb\x9b \u202e ü")) == "a\\x1b[2J\\nb\\x9b \\u202e ü"


def test_a_limit_below_one_is_refused() -> None:
    with pytest.raises(ValueError, match="frames must be at least 1, not 0"):
        Limits(frames=0)
