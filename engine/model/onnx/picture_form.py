"""The form in which a model in ONNX expects its pictures: order of the axes, channels, range of the values."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

_CHANNELS: Final = (1, 3)
_SIDES_PX: Final = range(8, 257)


@dataclass(frozen=True, slots=True)
class PictureForm:
    """The sizes of one picture in the model's input, and its values: (ink x white - mean) / std."""

    sizes: tuple[int, ...]
    """Without the number of pictures: (c, s, s), (s, s, c), (s, s) or (s * s,), with c = 1 or 3."""
    dtype: str
    mean: float = 0.0
    std: float = 1.0

    def __post_init__(self) -> None:
        """Check the sizes and the range.

        Raises
        ------
        ValueError
            No square picture fits into the sizes, or the range is not one.
        """
        if self.layout is None or self.side_px not in _SIDES_PX:
            raise ValueError(
                f"its input of the sizes {list(self.sizes)} is no square picture with one or three channels, and "
                f"{_SIDES_PX[0]} to {_SIDES_PX[-1]} px a side"
            )
        if not (math.isfinite(self.mean) and math.isfinite(self.std) and self.std > 0):
            raise ValueError(f"mean {self.mean} and standard deviation {self.std} are no range of values")

    @property
    def layout(self) -> str | None:
        """Return the order of the axes in the usual letters; None if no picture fits."""
        match self.sizes:
            case (pixels,) if math.isqrt(pixels) ** 2 == pixels:
                return "flat"
            case (height, width) if height == width:
                return "nhw"
            case (channels, height, width) if channels in _CHANNELS and height == width:
                return "nchw"
            case (height, width, channels) if channels in _CHANNELS and height == width:
                return "nhwc"
        return None

    @property
    def side_px(self) -> int:
        """Return the side of the square picture."""
        return math.isqrt(self.sizes[0]) if self.layout == "flat" else self.sizes[1]

    def of(self, values: NDArray[np.float64]) -> NDArray[Any]:
        """Convert n pictures (n, side, side), of ink times white, to the model's input."""
        scaled = (values - self.mean) / self.std
        if self.dtype == "uint8":
            scaled = np.clip(np.rint(scaled), 0, 255)
        if self.layout == "nchw":
            scaled = scaled[:, None]
        elif self.layout == "nhwc":
            scaled = scaled[..., None]
        sizes = (len(values), *self.sizes)
        shaped = scaled.reshape(sizes) if self.layout == "flat" else np.broadcast_to(scaled, sizes)
        return np.ascontiguousarray(shaped, dtype=self.dtype)
