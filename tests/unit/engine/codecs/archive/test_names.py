"""Names of entries as their packer meant them, and those that are metadata."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from engine.codecs.archive import names
from tests.hostile.zips import UTF8, unicode_path

TIMES = b"UT\x05\x00\x03\xa7\xb8\x08kux\x0b\x00\x01\x04\x00\x00\x00\x00\x04\x00\x00\x00\x00"
"""The fields that Info-ZIP on Linux writes for every entry: times and owners."""


@pytest.mark.parametrize(
    ("raw", "flags", "extra", "name"),
    [
        (b"seven.png", 0, b"", "seven.png"),
        ("Größe_7.png".encode(), UTF8, b"", "Größe_7.png"),
        ("Größe_7.png".encode(), 0, TIMES, "Größe_7.png"),
        ("数字七.png".encode(), 0, TIMES, "数字七.png"),
        ("Gr\u0308o.png".encode(), 0, b"", "Gr\u0308o.png"),
        ("Größe_7.png".encode("cp437"), 0, TIMES, "Größe_7.png"),
        (b"___.png", 0, TIMES + unicode_path(b"___.png", "数字七.png".encode()), "数字七.png"),
        (b"Gr\x94\xe1e.png", 0, unicode_path(b"Gr\x94\xe1e.png", "Größe.png".encode()), "Größe.png"),
        ("é.png".encode(), 0, unicode_path("é.png".encode(), b"e.png"), "e.png"),
    ],
    ids=["ASCII", "flag 11", "Info-ZIP on Linux", "Chinese", "macOS", "DOS", "field", "field and DOS", "field first"],
)
def test_a_name_is_decoded_as_its_packer_meant_it(raw: bytes, flags: int, extra: bytes, name: str) -> None:
    assert names.decode(raw, flags, extra) == name


@pytest.mark.parametrize(
    "extra",
    [
        unicode_path(b"another.png", "数.png".encode()),
        unicode_path(b"7.png", "数.png".encode(), crc=0),
        unicode_path(b"7.png", "数.png".encode(), version=2),
        unicode_path(b"7.png", "数.png".encode("utf-16")),
        unicode_path(b"7.png", b""),
        unicode_path(b"7.png", b"")[:6],
        TIMES[:3],
        b"up",
    ],
    ids=["renamed since", "no checksum", "unknown version", "not UTF-8", "empty", "cut short", "other fields", "torn"],
)
def test_a_unicode_path_that_does_not_belong_to_the_name_is_not_used(extra: bytes) -> None:
    assert names.decode(b"7.png", 0, extra) == "7.png"


def test_every_name_can_be_decoded() -> None:
    assert len(names.decode(bytes(range(256)), 0, b"")) == 256
    assert names.decode(b"a\xff", UTF8, b"") == "a\ufffd"


@pytest.mark.parametrize(
    "name",
    [
        *("._7.png", "a/b/._7.png", "a\\._7.png", "._.DS_Store", "a/.DS_Store", ".ds_store", "Icon\r", ".localized"),
        *("Thumbs.db", "a/THUMBS.DB", "ehthumbs.db", "a/ehthumbs_vista.db", "Desktop.ini", ".directory", ".apdisk"),
        *("__MACOSX/7.png", "a/__MACOSX/b/7.png", "a\\__MACOSX\\7.png", "__MACOSX", "./__MACOSX/7.png"),
        *(".Spotlight-V100/a", "a/@eaDir/7.png/SYNO_THUMB.jpg", ".Trashes/7.png", ".fseventsd/0", ".AppleDouble/7.png"),
        *("$RECYCLE.BIN/7.png", "System Volume Information/a", ".TemporaryItems/a", ".DocumentRevisions-V100/a"),
    ],
)
def test_metadata_of_operating_systems_is_known_at_any_depth(name: str) -> None:
    assert names.is_metadata(name)


@pytest.mark.parametrize(
    "name",
    ["7.png", "_.png", "a._7.png", "._a/7.png", "Thumbs.db/7.png", "__MACOSX.png", "a__MACOSX/7.png", "", "/", ".."],
)
def test_nothing_else_is_metadata(name: str) -> None:
    assert not names.is_metadata(name)


def test_the_contract_lists_all_metadata() -> None:
    page = (Path(__file__).parents[5] / "docs" / "contract.md").read_text(encoding="utf-8")
    listed = page[page.index("* Metadata,") : page.index("* `seen`")]
    named = {name.lower() for name in re.findall(r"`([^`]+)`", listed)}
    assert named == {repr(name)[1:-1] for name in names.METADATA_FILES | names.METADATA_FOLDERS} | {"._*"}
