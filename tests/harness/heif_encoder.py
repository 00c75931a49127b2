"""Registers an encoder with Pillow, which then writes HEIF as ``image.save(file, "HEIF")``."""

from __future__ import annotations

import pillow_heif

pillow_heif.register_heif_opener(thumbnails=False)
