"""Packs several files into one zip archive, which is one record: so all of them are sent, or none."""

from __future__ import annotations

import io
import warnings
import zipfile
from typing import Final

from producer.web.uploads.multipart import File

_TIME: Final = (1980, 1, 1, 0, 0, 0)
"""Always the same, so that the same files make the same bytes: a repeated Idempotency-Key is compared by them."""
_METADATA_ENDINGS: Final = (".ini", ".db", "\r")


def packed(files: list[File]) -> bytes:
    """Pack files into an archive without compression, and empty the list.

    Each file is dropped as soon as it is in the archive, so no more than one of them is in memory twice.

    Parameters
    ----------
    files
        In their order; the entries have the same order.
    """
    packed_files = io.BytesIO()
    files.reverse()
    with warnings.catch_warnings(), zipfile.ZipFile(packed_files, "w", zipfile.ZIP_STORED) as archive:
        # Files may have the same name. Python remembers each warning, so clients could fill the memory with names.
        warnings.filterwarnings("ignore", "Duplicate name")
        index = 0
        while files:
            file = files.pop()
            archive.writestr(zipfile.ZipInfo(_entry_name(file.name, index), _TIME), file.data.getbuffer())
            index += 1
    return packed_files.getvalue()  # without a copy: it shares the buffer


def _entry_name(name: str | None, index: int) -> str:
    """Return a name under which the service reads the entry: it skips files that operating systems add."""
    if name is None:
        return f"file-{index}"
    return f"file-{index}-{name}" if name.startswith(".") or name.lower().endswith(_METADATA_ENDINGS) else name
