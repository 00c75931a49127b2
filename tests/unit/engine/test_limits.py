"""Every limit decides by a count: what is at it passes, what is one beyond it fails with the code of that limit."""

from __future__ import annotations

import io
import re
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import tests.harness.heif_encoder  # noqa: F401  # Pillow then writes HEIF
from consumer.settings import Settings
from contract.errors import ErrorCode
from engine.codecs.headers.gif import PIECES_EACH
from engine.limits import Limits
from engine.model.classifier import Classifier
from engine.reader import Outcome, Reader
from models import default_model
from tests.harness.images import drawn_digits, zipped
from transport.settings.kafka import variables

PAGE = Path(__file__).parents[3] / "docs" / "limits.md"
DIGITS = drawn_digits(3)
DIGIT = DIGITS[0]
PIXELS = 28 * 28
JUNK = np.random.default_rng(0).bytes(3_000) * 20
ZEROS = DIGIT + bytes(20_000)


def saved(kind: str, **options: Any) -> bytes:
    stream = io.BytesIO()
    side = 64 if kind == "HEIF" else 40  # HEIF has whole blocks, and counts them
    grey = np.random.default_rng(0).integers(0, 256, (side, side), dtype=np.uint8)
    more = {"append_images": [Image.fromarray(np.roll(grey, n)) for n in (1, 2)]} if options.get("save_all") else {}
    Image.fromarray(grey).save(stream, kind, **options, **more)
    return stream.getvalue()


def stored(*data: bytes) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for number, each in enumerate(data):
            archive.writestr(f"{number}.png", each)
    return stream.getvalue()


def deflated_bytes(data: bytes) -> int:
    packer = zlib.compressobj(-1, zlib.DEFLATED, -15)
    return len(packer.compress(data) + packer.flush())


def decoding_cost(*images: bytes) -> int:
    """Count the pixels, and two hundred for each dozen of bytes, which may be a part."""
    return sum(PIXELS + len(image) // 12 * 200 for image in images)


@dataclass(frozen=True)
class Case:
    """A payload that is just within a limit."""

    payload: Callable[[], bytes]
    limit: int
    code: str
    lower: bool = False
    others: dict[str, int] = field(default_factory=dict)
    """Other limits that make this one decide."""


CASES = {
    "record_bytes": Case(lambda: DIGIT, len(DIGIT), "record-too-large"),
    "image_bytes": Case(lambda: DIGIT, len(DIGIT), "image-too-large"),
    "pixels": Case(lambda: DIGIT, PIXELS, "too-many-pixels"),
    "reduced_pixels": Case(lambda: saved("JPEG"), 40 * 40, "too-many-pixels", others={"pixels": 20 * 20}),
    "decoded_bytes": Case(lambda: DIGIT, PIXELS, "decodes-too-large"),
    "frames": Case(lambda: saved("GIF", save_all=True), 3, "too-many-frames"),
    "parts": Case(lambda: DIGIT, 3, "too-many-parts"),
    "scans": Case(
        lambda: saved("JPEG", progressive=True), saved("JPEG", progressive=True).count(b"\xff\xda"), "too-many-scans"
    ),
    "side_max_px": Case(lambda: DIGIT, 28, "side-too-long"),
    "side_min_px": Case(lambda: DIGIT, 28, "image-too-small", lower=True),
    "entries": Case(lambda: zipped([(f"{n}.png", DIGIT) for n in range(3)]), 3, "too-many-entries"),
    "inflated_bytes": Case(lambda: stored(*DIGITS), sum(map(len, DIGITS)), "archive-too-large"),
    "entry_bytes": Case(lambda: stored(DIGIT), len(DIGIT), "entry-too-large"),
    "name_characters": Case(lambda: zipped([("sieben.png", DIGIT)]), 10, "name-too-long"),
    "archive_decoded_bytes": Case(lambda: stored(*DIGITS), decoding_cost(*DIGITS), "archive-too-costly"),
}
KEPT_RATIO = "kept_ratio"
"""Has no code: the item has failed for another reason, and only its bytes are left out."""
INFLATION_RATIO = "inflation_ratio"
"""Decides about what is too large for an image, so what is within it fails by that limit."""


@pytest.fixture(scope="module")
def classifier() -> Classifier:
    return Classifier.load(default_model())


def read(classifier: Classifier, payload: bytes, **limits: int) -> list[Outcome]:
    return Reader(classifier, replace(Limits(), **limits)).read([payload])[0]


def codes(outcomes: list[Outcome]) -> set[str]:
    return {outcome.error.code for outcome in outcomes if outcome.error}


@pytest.mark.parametrize("name", CASES)
def test_what_is_at_a_limit_passes_and_what_is_beyond_it_fails_with_its_code(classifier: Classifier, name: str) -> None:
    case = CASES[name]
    payload = case.payload()
    beyond, within = (1, -1) if case.lower else (-1, 1)
    assert codes(read(classifier, payload, **case.others, **{name: case.limit})) == set()
    assert codes(read(classifier, payload, **case.others, **{name: case.limit + within})) == set()
    assert codes(read(classifier, payload, **case.others, **{name: case.limit + beyond})) == {case.code}


def markers(jpeg: bytes) -> int:
    """Count all but the first one; within a scan there is none."""
    return len(re.findall(rb"\xff[\xc0-\xfe]", jpeg)) - 1


def tags(tiff: bytes) -> int:
    return int.from_bytes(tiff[int.from_bytes(tiff[4:8], "little") :][:2], "little")


OF_FORMATS = {
    "segments of a JPEG": ("parts", saved("JPEG"), markers(saved("JPEG")), "too-many-parts"),
    "blocks of a GIF": ("parts", saved("GIF", save_all=True), 3, "too-many-parts"),
    "pieces of a GIF": ("parts", saved("GIF", comment=b"x" * 255 * (10 * PIECES_EACH)), 11, "too-many-parts"),
    "chunks of an animated WebP": ("parts", saved("WEBP", save_all=True), 5, "too-many-parts"),
    "tags of a TIFF": ("parts", saved("TIFF"), tags(saved("TIFF")), "too-many-parts"),
    "frames of a PNG": ("frames", saved("PNG", save_all=True), 3, "too-many-frames"),
    "frames of a WebP": ("frames", saved("WEBP", save_all=True), 3, "too-many-frames"),
    "pages of a TIFF": ("frames", saved("TIFF", save_all=True), 3, "too-many-frames"),
    "bytes of a TIFF's strips": ("decoded_bytes", saved("TIFF"), 40 * 40 * 4, "decodes-too-large"),
    "pixels of a GIF": ("pixels", saved("GIF"), 40 * 40, "too-many-pixels"),
    "pixels of a BMP": ("pixels", saved("BMP"), 40 * 40, "too-many-pixels"),
    "pixels of a WebP": ("pixels", saved("WEBP"), 40 * 40, "too-many-pixels"),
    "pixels of a TIFF": ("pixels", saved("TIFF"), 40 * 40, "too-many-pixels"),
    "pixels of a BigTIFF": ("pixels", saved("TIFF", big_tiff=True), 40 * 40, "too-many-pixels"),
    "pixels of an AVIF": ("pixels", saved("AVIF"), 40 * 40, "too-many-pixels"),
    "pixels of a HEIF": ("pixels", saved("HEIF"), 64 * 64, "too-many-pixels"),
    "bytes of a HEIF": ("decoded_bytes", saved("HEIF"), 64 * 64 * 4, "decodes-too-large"),
    "frames of an AVIF": ("frames", saved("AVIF", save_all=True), 3, "too-many-frames"),
}


@pytest.mark.parametrize("name", OF_FORMATS)
def test_every_format_is_counted_to_the_unit(classifier: Classifier, name: str) -> None:
    limit, payload, count, code = OF_FORMATS[name]
    assert codes(read(classifier, payload, **{limit: count})) == set()
    assert codes(read(classifier, payload, **{limit: count - 1})) == {code}


def test_what_is_too_large_for_an_image_and_inflates_too_far_is_not_inflated(classifier: Classifier) -> None:
    payload, ratio = zipped([("0.png", ZEROS)]), -(-len(ZEROS) // deflated_bytes(ZEROS))
    for limit, image_bytes, expected in (
        (ratio, len(ZEROS) - 1, {"image-too-large"}),
        (ratio - 1, len(ZEROS) - 1, {"inflates-too-far"}),
        (ratio - 1, len(ZEROS), set()),
    ):
        outcomes = read(classifier, payload, inflation_ratio=limit, image_bytes=image_bytes)
        assert codes(outcomes) == expected
        assert (outcomes[0].left_out is None) == ("inflates-too-far" not in expected)


def test_no_limit_is_forgotten_here() -> None:
    assert {field.name for field in fields(Limits)} == {*CASES, KEPT_RATIO, INFLATION_RATIO}
    assert {case.code for case in CASES.values()} <= set(ErrorCode)


def test_of_an_archive_that_costs_too_much_the_images_in_front_are_read(classifier: Classifier) -> None:
    first, *rest = read(classifier, stored(*DIGITS), archive_decoded_bytes=decoding_cost(DIGITS[0]))
    assert first.reading is not None
    assert [codes([outcome]) for outcome in rest] == [{"archive-too-costly"}] * 2
    assert [outcome.data for outcome in rest] == DIGITS[1:], "the dead letters have their bytes"


def test_bytes_of_failed_entries_are_limited_by_the_archives_size(classifier: Classifier) -> None:
    junk = [b"%05d" % number + JUNK[:40_000] for number in range(4)]
    archive = zipped([(f"{number}", each) for number, each in enumerate(junk)])
    most_bytes = 64 * 1024 + 2 * len(archive)
    assert 2 * len(junk[0]) <= most_bytes < 3 * len(junk[0])
    outcomes = read(classifier, archive, kept_ratio=2)
    assert [outcome.data for outcome in outcomes] == [*junk[:2], None, None]
    assert outcomes[2].left_out == "the failed entries of this archive take more than 2 times its own bytes"


@pytest.mark.parametrize("stop_after", [1, 2, 3])
def test_what_is_read_in_slices_comes_out_as_in_one_go(classifier: Classifier, stop_after: int) -> None:
    entries = [
        ("a.png", DIGIT),
        ("junk", JUNK),
        ("b.png", DIGITS[1]),
        ("more junk", JUNK),
        ("c.png", DIGIT),
    ]
    archive = zipped(entries)
    reader = Reader(classifier, replace(Limits(), archive_decoded_bytes=decoding_cost(DIGIT, DIGITS[1])))
    whole = reader.read([archive, DIGIT])
    assert codes(whole[0]) == {"unknown-format", "archive-too-costly"}
    asked = iter(range(1, 1_000))
    (begun,), progress = reader.resume([archive, DIGIT], should_stop=lambda: next(asked) % stop_after == 0)
    while progress is not None:
        assert (progress.items, progress.total) == (len(begun), 5)
        (more, *_), progress = reader.resume(
            [archive], resume_from=[progress], should_stop=lambda: next(asked) % stop_after == 0
        )
        begun += more
    assert [str(outcome.error) for outcome in begun] == [str(outcome.error) for outcome in whole[0]]
    for name in ("of", "name", "data", "left_out"):
        assert [getattr(outcome, name) for outcome in begun] == [getattr(outcome, name) for outcome in whole[0]]
    digits = [[each.reading and each.reading.digit for each in outcomes] for outcomes in (begun, whole[0])]
    assert digits[0] == digits[1]


def test_the_page_of_limits_has_every_setting_with_its_default_and_code() -> None:
    page = PAGE.read_text(encoding="utf-8")
    row = re.compile(r"^\| `(DIGITS_\w+)` \| `(\d+)`[^|]* \| `?([\w-]+)`? ", re.MULTILINE)
    rows = {name: (default, code) for name, default, code in row.findall(page)}
    bounds = ("DIGITS_LIMITS__", "DIGITS_ECHO__")
    fields_by_name = {name: field for name, field in variables(Settings).items() if name.startswith(bounds)}
    assert {name: row[0] for name, row in rows.items()} == {
        name: str(each.default) for name, each in fields_by_name.items()
    }
    for name, case in CASES.items():
        assert rows[f"DIGITS_LIMITS__{name.upper()}"][1] == case.code
    assert rows[f"DIGITS_LIMITS__{INFLATION_RATIO.upper()}"][1] == "inflates-too-far"
    assert {code for _, code in rows.values()} - {"none"} <= set(ErrorCode)
