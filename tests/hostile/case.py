"""One hostile record and the only end that it may have."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

from PIL import Image

import tests.harness.heif_encoder  # noqa: F401  # Pillow then writes HEIF
from contract.errors import ErrorCode

READ: Final = "read"
"""A prediction, whichever: what is to be seen is not ours to say."""
Expected = int | ErrorCode | Literal["read"]
"""Of one item: the digit that is read, the code that it fails with, or `READ`."""

SEVEN: Final = (Path(__file__).parent.parent / "data" / "digits" / "7_50021.png").read_bytes()
"""A digit that is read as 7; most cases hide it somewhere."""
DIGIT: Final = 7
SIDE_PX: Final = 112


@dataclass(frozen=True, slots=True)
class Case:
    """A record as it is sent, and what each of its items must end in, in order."""

    value: bytes | None
    expected: Sequence[Expected]
    names: Sequence[str | None] | None = None
    """The items' names as results must give them; None where the case does not care."""
    key: bytes | None = None
    headers: Sequence[tuple[str, bytes | None]] = ()
    timestamp_ms: int | None = None
    as_written: Mapping[str, Any] = field(default_factory=dict)
    """Further fields of `tests.harness.raw_batches.Raw`: what no client of ours can send by itself."""

    def met_by(self, ends: Sequence[Expected]) -> bool:
        """Say whether the items ended as they must; a prediction is given as its digit."""
        return len(ends) == len(self.expected) and all(
            end == expected or (expected == READ and not isinstance(end, str))
            for end, expected in zip(ends, self.expected, strict=True)
        )


Cases = Mapping[str, Case]


def seven(mode: str = "L", *, side_px: int = SIDE_PX) -> Image.Image:
    """Draw the 7 in any of Pillow's modes, large enough for every encoder to keep it legible."""
    return Image.open(io.BytesIO(SEVEN)).resize((side_px, side_px), Image.Resampling.BICUBIC).convert(mode)


def encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    """Encode as Pillow does."""
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def read(value: bytes, **options: Any) -> Case:
    """Make a case that hides the 7 and must not keep us from reading it."""
    return Case(value, [DIGIT], **options)


def fails(value: bytes | None, code: ErrorCode, **options: Any) -> Case:
    """Make a case that is lost as a whole."""
    return Case(value, [code], **options)
