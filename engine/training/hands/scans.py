"""Reads scanned digits in the format of the Optical Recognition of Handwritten Digits data set [1]_.

After a header each digit is 32 lines of 32 characters, 0 paper and 1 ink, and a line with its label.

References
----------
.. [1] E. Alpaydin, C. Kaynak, "Optical Recognition of Handwritten Digits", UCI Machine Learning Repository, 1998.
"""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.training.data.labelled import DataError, read_compressed

SCANS: Final = "optdigits-orig.tra.gz"
"""The file's name in the folder of other hands."""
SCAN_PX: Final = 32

_DIGIT: Final = re.compile(rb"((?:[01]{32}\r?\n){32}) *([0-9])\r?(?:\n|\Z)")
_INK: Final = ord("1")


class Scans(NamedTuple):
    """n black and white scans, in the order of their writers."""

    bitmaps: NDArray[np.uint8]
    """(n, 32, 32): 0 paper, 255 ink."""
    labels: NDArray[np.int64]
    """(n,): 0 to 9."""

    def part(self, chosen: slice) -> Scans:
        """Select some of them."""
        return Scans(self.bitmaps[chosen], self.labels[chosen])


def read_scans(folder: Path) -> Scans:
    """Read the file `SCANS` of a folder.

    Parameters
    ----------
    folder
        Of other hands.

    Raises
    ------
    DataError
        If it cannot be read, or something but digits follows its header.
    """
    path = folder / SCANS
    content = read_compressed(path)
    found = list(_DIGIT.finditer(content))
    if not found:
        raise DataError(f"{path} has no digits of {SCAN_PX} lines of {SCAN_PX} characters 0 and 1")
    between = [b"", *(content[a.end() : b.start()] for a, b in pairwise(found))]
    damaged = next((number for number, rest in enumerate(between) if rest.strip()), None)
    if damaged is not None or content[found[-1].end() :].strip():
        raise DataError(f"{path} has lines that are no digit after digit {damaged or len(found)}")
    rows = np.array([np.frombuffer(re.sub(rb"\s", b"", one[1]), np.uint8) for one in found])
    bitmaps = np.where(rows == _INK, 255, 0).astype(np.uint8).reshape(-1, SCAN_PX, SCAN_PX)
    return Scans(bitmaps, np.array([int(one[2]) for one in found], np.int64))
