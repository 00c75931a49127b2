"""Archives of any entries: valid ones are read unchanged, and a false header fails only its entry."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from contract.errors import ErrorCode
from engine.codecs.archive.names import is_metadata
from engine.codecs.payload import Payload, open_payload
from engine.errors import EngineError
from engine.limits import Limits
from tests.hostile.case import SEVEN
from tests.hostile.zips import PACKERS, UTF8, Entry, archive

LIMITS = Limits(
    record_bytes=200_000,
    entry_bytes=50_000,
    inflated_bytes=300_000,
    entries=20,
    inflation_ratio=100,
    name_characters=50,
)
NUMBERS = st.one_of(st.none(), st.integers(0, 2**32 - 1), st.integers(0, 300))
HONEST = st.builds(
    Entry,
    name=st.text(st.characters(codec="utf-8"), max_size=50).map(str.encode),
    data=st.sampled_from([SEVEN, SEVEN + b"and more"]),
    method=st.sampled_from(sorted(PACKERS)),
    flags=st.sampled_from([0, UTF8]),
)
LYING = st.builds(
    Entry,
    name=st.binary(max_size=60),
    data=st.one_of(st.just(SEVEN), st.binary(max_size=200), st.integers(0, 100_000).map(bytes)),
    method=st.one_of(st.sampled_from(sorted(PACKERS)), st.integers(0, 2**16 - 1)),
    flags=st.one_of(st.just(0), st.integers(0, 2**16 - 1)),
    crc=NUMBERS,
    inflated_bytes=NUMBERS,
    packed_bytes=NUMBERS,
    header_at=NUMBERS,
    extra=st.one_of(st.binary(max_size=40), st.binary(max_size=40).map(lambda body: b"\x01\x00\x18\x00" + body)),
    local=st.one_of(st.none(), st.tuples(*[st.integers(0, 2**32 - 1)] * 3)),
    after=st.binary(max_size=20),
    shared=st.booleans(),
)


def opened(payload: bytes) -> Payload | None:
    try:
        return open_payload(payload, LIMITS)
    except EngineError:  # what else may be raised is a defect
        return None


@given(st.lists(HONEST, max_size=20), st.binary(max_size=50), st.binary(max_size=50))
def test_valid_entries_are_read_unchanged(entries: list[Entry], before: bytes, comment: bytes) -> None:
    kept = [entry for entry in entries if not left_out(entry.name.decode())]
    found = opened(b"\x00" + before + archive(*entries, comment=comment.replace(b"PK", b"KP")))
    items = list(found.items()) if found else []
    assert [(item.name, item.data, item.error) for item in items] == [
        (entry.name.decode(), entry.data, None) for entry in kept
    ]


def left_out(name: str) -> bool:
    """Return whether an entry is a directory, or one that operating systems add."""
    return name.endswith(("/", "\\")) or is_metadata(name)


@given(st.lists(LYING, min_size=1, max_size=6), st.data())
@settings(max_examples=300)
def test_a_false_header_fails_only_its_entry_or_the_archive(entries: list[Entry], data: Any) -> None:
    end = data.draw(st.one_of(st.none(), st.tuples(st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1))))
    found = opened(archive(*entries, end=end, end64=data.draw(st.one_of(st.just(b""), st.binary(max_size=80)))))
    if found is None:
        return
    items = list(found.items())
    assert [item.index for item in items] == list(range(found.count))
    for item in items:
        assert item.data is None or len(item.data) <= LIMITS.entry_bytes
        assert (item.data is None) == (item.left_out is not None)
        assert item.data is not None or item.error is not None
        assert item.error is None or ErrorCode(item.error.code) is not ErrorCode.INTERNAL_ERROR
        assert item.name is None or len(item.name) <= LIMITS.name_characters


@given(LYING, st.integers(0, 3))
def test_a_false_entry_does_not_change_its_neighbours(liar: Entry, at: int) -> None:
    honest = [Entry(b"%d.png" % number) for number in range(3)]
    entries = [*honest[:at], Entry(**{**vars(liar), "shared": False, "extra": b""}), *honest[at:]]
    found = opened(archive(*entries))
    if found is not None:
        names = {item.name: item for item in found.items()}
        assert [names[entry.name.decode()].data for entry in honest] == [SEVEN] * 3
