"""The tags of TIFF that affect how a picture is read, by their numbers in the specification.

Other tags are only counted [1]_.

References
----------
.. [1] Adobe, TIFF Revision 6.0, 1992.
"""

from __future__ import annotations

from typing import Final

from engine.codecs.headers.exif import ORIENTATION

KIND: Final = 254
"""What a directory describes, in flags."""
WIDTH, HEIGHT, BITS, PLANAR = 256, 257, 258, 284
STRIPS, STRIP_HEIGHT, STRIP_BYTES = 273, 278, 279
TILES, TILE_WIDTH, TILE_HEIGHT, TILE_BYTES = 324, 322, 323, 325
SAMPLES, SAMPLE_FORMAT = 277, 339
DIRECTORIES: Final = 330
"""Further directories that belong to this one."""

LISTS: Final = frozenset({BITS, STRIPS, STRIP_BYTES, TILES, TILE_BYTES})
"""Tags of several numbers."""
SIZES: Final = frozenset({WIDTH, HEIGHT, SAMPLES, PLANAR, STRIP_HEIGHT, TILE_WIDTH, TILE_HEIGHT})
"""Tags of one number."""
READ: Final = LISTS | SIZES | {ORIENTATION, KIND, DIRECTORIES, SAMPLE_FORMAT}
"""Tags whose values are read; those of all others are only counted."""
TEXTS: Final = frozenset({269, 270, 271, 272, 285, 305, 306, 315, 316, 33_432})
"""Names, programs, dates: they may come twice."""
