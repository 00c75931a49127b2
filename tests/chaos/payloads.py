"""What is sent: digits of many sizes and formats, zips, what cannot be read, and what ends or holds its worker."""

from __future__ import annotations

import io
import itertools
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from PIL import Image

import tests.harness.heif_encoder  # noqa: F401  # Pillow then writes HEIF
from contract.errors import ErrorCode
from tests.chaos.plan import dice
from tests.harness.images import drawn_digits, zipped
from tests.harness.poison import poisoned

FORMATS: Final = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "HEIF")
LARGEST_PX: Final = 256
ZIP_ENTRIES: Final = 80
ZIPS: Final = 0.04
"""Share of all requests."""
FAULTY: Final = 0.03
"""Share of requests that cannot be read."""
DAMAGED_ENTRIES: Final = 0.02
"""Share of a zip's entries."""
POISON_EVERY: Final = 1_500
"""Requests from one that harms its worker to the next: each costs two workers, or the item timeout."""


@dataclass(frozen=True, slots=True)
class Payload:
    """A request's value, and for each of its images the codes with which it may fail: none, if it must not."""

    value: bytes | None
    images: tuple[frozenset[str], ...]


GOOD: Final[frozenset[str]] = frozenset()
CRASH: Final = frozenset({str(ErrorCode.WORKER_CRASHED)})
HANG: Final = CRASH | {str(ErrorCode.WORKER_TIMEOUT)}
"""A worker that hangs may be killed from outside, twice. The service then reports a crash."""
HOARD: Final = HANG | {str(ErrorCode.OUT_OF_MEMORY)}
"""On a busy machine the item timeout may come before the memory's limit."""


class Payloads:
    """All that may be sent, made once, since it takes a second or two; any number of senders may mix it."""

    def __init__(self, seed: int) -> None:
        chance, digits = dice(seed, "payloads"), drawn_digits(200, seed=seed)
        pictures = [_picture(digit, chance) for digit in digits[:120]]
        self._singles = [Payload(value, (GOOD,)) for value in digits + pictures]
        self._zips = [_archive(digits, chance) for _ in range(30)]
        self._faulty = _faulty()
        self._poison = _poison()

    def mixed(self, chance: random.Random) -> Iterator[Payload]:
        """Yield one payload after the other, without end."""
        poison = itertools.cycle(chance.sample(self._poison, len(self._poison)))
        until_poison = chance.randrange(POISON_EVERY)
        while True:
            for _ in range(until_poison):
                yield self._harmless(chance)
            yield next(poison)
            until_poison = POISON_EVERY

    def _harmless(self, chance: random.Random) -> Payload:
        kind = chance.random()
        if kind < ZIPS:
            return chance.choice(self._zips)
        return chance.choice(self._faulty if kind < ZIPS + FAULTY else self._singles)


def _picture(digit: bytes, chance: random.Random) -> bytes:
    """Enlarge a digit, on a random background, in a random format."""
    side = chance.randrange(28, LARGEST_PX)
    ink = Image.open(io.BytesIO(digit)).resize((side, side), Image.Resampling.BICUBIC)
    paper = Image.new("RGB", (side, side), (chance.randrange(60), chance.randrange(60), chance.randrange(60)))
    paper.paste(Image.new("RGB", (side, side), "white"), mask=ink)
    encoded = io.BytesIO()
    paper.save(encoded, chance.choice(FORMATS))
    return encoded.getvalue()


def _archive(digits: Sequence[bytes], chance: random.Random) -> Payload:
    """Pack some digits; now and then one is damaged."""
    chosen = chance.choices(digits, k=chance.randrange(1, ZIP_ENTRIES))
    bad = {place for place in range(len(chosen)) if chance.random() < DAMAGED_ENTRIES}
    entries = [(f"{place}.png", digit[:40] if place in bad else digit) for place, digit in enumerate(chosen)]
    damaged = frozenset({str(ErrorCode.DAMAGED_IMAGE)})
    return Payload(zipped(entries), tuple(damaged if place in bad else GOOD for place in range(len(chosen))))


def _faulty() -> list[Payload]:
    digit = drawn_digits(1)[0]
    archive = zipped([("0.png", digit)])
    values = {
        ErrorCode.EMPTY_RECORD: (None, b""),
        ErrorCode.UNKNOWN_FORMAT: (b"not an image", b"<svg/>"),
        ErrorCode.DAMAGED_IMAGE: (digit[:40], digit[: len(digit) // 2]),
        ErrorCode.DAMAGED_ARCHIVE: (archive[: len(archive) // 2],),
        ErrorCode.EMPTY_ARCHIVE: (zipped([]),),
        ErrorCode.NESTED_ARCHIVE: (zipped([("0.zip", archive)]),),
    }
    return [Payload(value, (frozenset({str(code)}),)) for code, some in values.items() for value in some]


def _poison() -> list[Payload]:
    digit, internal = drawn_digits(1)[0], frozenset({str(ErrorCode.INTERNAL_ERROR)})
    packed = zipped([("0.png", digit), ("1.png", poisoned("segfault")), ("2.png", digit)])
    often = [
        Payload(poisoned("segfault"), (CRASH,)),
        Payload(poisoned("kill"), (CRASH,)),
        Payload(poisoned("internal"), (internal,)),
        Payload(packed, (GOOD, CRASH, GOOD)),
    ]
    return [*often, *often, Payload(poisoned("busy"), (HANG,)), Payload(poisoned("memory"), (HOARD,))]
