"""The error codes of the wire contract: why an item failed, in the order of a record's journey.

::

    record ──► archive ──► entry ──► picture ──► digit ──► result
      │           │          │          │          │          │
      └ of the    └ of the   └ of one   └ of its   └ of the   └ of what would
        record      whole      entry      pixels     service     be published

Codes may be added and are never removed, so a reader accepts codes that it does not know.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final, Self


class ErrorCode(StrEnum):
    """An error code. `sentence` explains it to the sender of the request."""

    sentence: str

    def __new__(cls, code: str, sentence: str = "") -> Self:
        """Bind the sentence to the member; its value stays the plain code."""
        member = str.__new__(cls, code)
        member._value_ = code
        member.sentence = sentence
        return member

    # The record
    UNREADABLE_RECORD = (
        "unreadable-record",
        "The record cannot be parsed, for example because a header name is not UTF-8.",
    )
    EMPTY_RECORD = "empty-record", "The record has no value, or an empty one."
    RECORD_TOO_LARGE = "record-too-large", "The record's value has more bytes than the limit."
    KEY_TOO_LARGE = "key-too-large", "The record's key has more bytes than the limit."
    HEADER_TOO_LARGE = "header-too-large", "A header that would be echoed has more bytes than the limit."
    TOO_MANY_HEADERS = "too-many-headers", "The record has more headers than the limit."
    UNKNOWN_FORMAT = "unknown-format", "The bytes are neither an accepted image format nor a zip archive."

    # The archive as a whole
    DAMAGED_ARCHIVE = "damaged-archive", "The zip archive is cut short or its directory is damaged."
    EMPTY_ARCHIVE = "empty-archive", "The zip archive has no entry that could be an image."
    TOO_MANY_ENTRIES = "too-many-entries", "The zip archive has more entries than the limit."
    ARCHIVE_TOO_LARGE = "archive-too-large", "The archive's entries inflate to more bytes than the limit."
    ARCHIVE_OVERLAPS = "archive-overlaps", "Entries of the zip archive share the same bytes."

    # One entry of an archive
    NAME_TOO_LONG = (
        "name-too-long",
        "The name, an entry's or the header `filename`, has more characters than the limit.",
    )
    ENCRYPTED_ENTRY = "encrypted-entry", "The entry is encrypted."
    UNKNOWN_COMPRESSION = "unknown-compression", "The entry's compression method is not supported."
    ENTRY_TOO_LARGE = "entry-too-large", "The entry inflates to more bytes than the limit."
    INFLATES_TOO_FAR = "inflates-too-far", "The entry inflates to more times its packed bytes than the limit."
    DAMAGED_ENTRY = "damaged-entry", "The entry's bytes do not match its size or checksum."
    NESTED_ARCHIVE = "nested-archive", "The entry is itself a zip archive."
    ARCHIVE_TOO_COSTLY = (
        "archive-too-costly",
        "The images of the archive decode to more bytes than the limit; this entry is beyond it.",
    )

    # The picture
    IMAGE_TOO_LARGE = "image-too-large", "The image's file has more bytes than the limit."
    TOO_MANY_PIXELS = "too-many-pixels", "The image has more pixels than the limit."
    SIDE_TOO_LONG = "side-too-long", "The image is wider or higher than the limit."
    DECODES_TOO_LARGE = "decodes-too-large", "The image decodes to more bytes than the limit."
    TOO_MANY_FRAMES = "too-many-frames", "The image has more frames or pages than the limit."
    TOO_MANY_PARTS = "too-many-parts", "The image's file has more parts than the limit."
    TOO_MANY_SCANS = "too-many-scans", "The JPEG file has more scans than the limit."
    IMAGE_TOO_SMALL = "image-too-small", "The image is narrower or lower than the limit."
    DAMAGED_IMAGE = "damaged-image", "The image is cut short or cannot be decoded."

    # The service
    WORKER_CRASHED = "worker-crashed", "The process that classified this item died."
    WORKER_TIMEOUT = "worker-timeout", "Classifying this item took longer than the limit."
    RECORD_TIMEOUT = "record-timeout", "The time limit of the record had passed before this item was classified."
    OUT_OF_MEMORY = "out-of-memory", "Classifying this item took more memory than the limit."
    INTERNAL_ERROR = "internal-error", "The service failed at this item in an unforeseen way."

    # What would be published
    RESULTS_TOO_LARGE = (
        "results-too-large",
        "The results of this record would take more bytes than the limit.",
    )


UNECHOED: Final = frozenset({ErrorCode.KEY_TOO_LARGE, ErrorCode.HEADER_TOO_LARGE, ErrorCode.TOO_MANY_HEADERS})
"""With these codes, key or headers are too large to be repeated in each result, so none of them is."""
