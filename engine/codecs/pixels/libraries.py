"""The two general decoders: OpenCV, which is 2 to 5 times as fast, and Pillow, which reads more."""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Iterator
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from engine.codecs.formats import Format
from engine.codecs.pixels.eight_bit import eight_bit, high_bytes
from engine.codecs.pixels.room import PIXEL_BYTES, Charge, check_size
from engine.errors import DamagedImage, TooManyPixels
from engine.limits import Limits

cv2.utils.logging.setLogLevel(
    cv2.utils.logging.LOG_LEVEL_SILENT
)  # our exceptions report a damaged picture; OpenCV would also write to standard error
cv2.setNumThreads(1)  # a worker has one core, and a thread pool does not survive a fork

_RGB_CHANNELS: Final = 3


def by_opencv(data: bytes, flags: int) -> NDArray[np.uint8]:
    """Decode a checked file by OpenCV.

    Parameters
    ----------
    data
        The file.
    flags
        ``cv2.IMREAD_...``

    Returns
    -------
    pixels
        As of `engine.codecs.decode.Picture`.

    Raises
    ------
    DamagedImage
        If it cannot be decoded.
    """
    pixels: NDArray[np.uint8] | None = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    if pixels is None:
        raise DamagedImage("The image's pixels cannot be decoded: it is damaged, or takes more memory than there is.")
    if pixels.dtype == np.uint16:
        pixels = high_bytes(pixels)
    if pixels.ndim == 3:  # noqa: PLR2004  # height, width, channels
        order = cv2.COLOR_BGR2RGB if pixels.shape[2] == _RGB_CHANNELS else cv2.COLOR_BGRA2RGBA
        cv2.cvtColor(pixels, order, dst=pixels)
    return pixels


def by_pillow(data: bytes, kind: Format, limits: Limits, charge: Charge) -> NDArray[np.uint8]:
    """Decode a file whose parts are checked, and whose size is not, by Pillow.

    Parameters
    ----------
    data, limits, charge
        As of `engine.codecs.decode.decode`.
    kind
        The only format that Pillow may find in it.

    Returns
    -------
    pixels
        As of `engine.codecs.decode.Picture`.

    Raises
    ------
    EngineError
        If the image is too large or too small. Pillow raises any exception for a damaged one.
    """
    with opened_by_pillow(data, kind, limits, charge) as image:
        image.load()
        return eight_bit(image)


@contextlib.contextmanager
def opened_by_pillow(data: bytes, kind: Format, limits: Limits, charge: Charge) -> Iterator[Image.Image]:
    """Open an image by Pillow and check its size; no pixel is decoded yet. Parameters and errors as of `by_pillow`."""
    # Pillow warns of invalid metadata, which is not used, and of many pixels, for which the engine has a limit.
    with warnings.catch_warnings(action="ignore"):
        try:
            image: Image.Image = Image.open(io.BytesIO(data), formats=[kind])
        except Image.DecompressionBombError as error:
            raise TooManyPixels("The image has more pixels than the limit.") from error
        check_size(*image.size, PIXEL_BYTES, limits, charge)
        yield image
