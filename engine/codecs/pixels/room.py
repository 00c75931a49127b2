"""Holds an image's size against the limits, and reports its cost, before a pixel is decoded."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from engine.errors import DecodesTooLarge, ImageTooSmall, SideTooLong, TooManyPixels
from engine.limits import Limits

Charge = Callable[[int], None]
"""Called with the bytes that a decoder is about to allocate, or with as many as would take as long as what is next.

It raises an `EngineError` if they are too many.
"""

PIXEL_BYTES: Final = 4
"""Bytes of a decoded pixel, except in PNG and JPEG, whose headers define it: most decoders produce four channels."""


def free(_decoded_bytes: int) -> None:
    """Stand in for `Charge`."""


def check_size(width: int, height: int, pixel_bytes: int, limits: Limits, charge: Charge) -> None:
    """Refuse an image that is too large or too small, and charge for its pixels.

    Parameters
    ----------
    width, height
        In px, as the headers say.
    pixel_bytes
        What the decoder holds of each pixel.
    limits, charge
        As of `engine.codecs.decode.decode`.

    Raises
    ------
    TooManyPixels, SideTooLong, DecodesTooLarge, ImageTooSmall
        As their names say.
    """
    pixels = width * height
    if pixels > limits.pixels:
        raise TooManyPixels(f"The image has {width:,} x {height:,} pixels; at most {limits.pixels:,} are allowed.")
    if width > limits.side_max_px or height > limits.side_max_px:
        raise SideTooLong(
            f"The image has {width:,} x {height:,} pixels; its sides may have at most {limits.side_max_px:,}."
        )
    if pixels * pixel_bytes > limits.decoded_bytes:
        raise DecodesTooLarge(
            f"The image decodes to {pixels * pixel_bytes:,} bytes; at most {limits.decoded_bytes:,} are allowed."
        )
    if width < limits.side_min_px or height < limits.side_min_px:
        raise ImageTooSmall(
            f"The image has {width:,} x {height:,} pixels; its sides must have at least {limits.side_min_px}."
        )
    charge(pixels * pixel_bytes)
