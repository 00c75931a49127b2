"""The names of the record headers on requests, results and dead letters, and the meaning of each.

Values are UTF-8 text; numbers are decimal digits. If a name occurs more than once, the last one counts: a dead letter
has the headers of the request first and its own after them.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

# On requests; all are optional
REQUEST_ID: Final = "request-id"
CORRELATION_ID: Final = "correlation-id"
TRACEPARENT: Final = "traceparent"
CONTENT_TYPE: Final = "content-type"
FILENAME: Final = "filename"
SEEN: Final = "seen"

ECHOED: Final = (REQUEST_ID, CORRELATION_ID, TRACEPARENT)
"""These headers come back on every result."""

SEEN_ASKED: Final = b"true"
"""The value of the header `seen` that asks; with any other one the result is as without the header."""

ECHOED_BYTES: Final = 1024
"""The default limit of an echoed header's value: the setting DIGITS_ECHO__HEADER_BYTES of the service."""

# On dead letters. The service appends them to the headers of the request, ORIGIN_TOPIC first.
ORIGIN_TOPIC: Final = "origin-topic"
ORIGIN_PARTITION: Final = "origin-partition"
ORIGIN_OFFSET: Final = "origin-offset"
ORIGIN_TIMESTAMP_MS: Final = "origin-timestamp-ms"
ITEM_INDEX: Final = "item-index"
ITEM_COUNT: Final = "item-count"
ITEM_NAME: Final = "item-name"
RESULT_ID: Final = "result-id"
ERROR_CODE: Final = "error-code"
ERROR_MESSAGE: Final = "error-message"
VALUE_LEFT_OUT: Final = "value-left-out"
HEADERS_LEFT_OUT: Final = "headers-left-out"

# On disagreements, beside those of the origin, of the item, of the result and of the request
CHAMPION: Final = "champion"
CHALLENGER: Final = "challenger"

# On dead letters and replayed requests
ATTEMPT: Final = "attempt"
REPLAY_OF: Final = "replay-of"

SET_BY_REPLAY: Final = (REQUEST_ID, ATTEMPT, REPLAY_OF)
"""A replayed request has each of these once; they replace those of the original request."""

ABOUT: Final[Mapping[str, str]] = MappingProxyType(
    {
        REQUEST_ID: "Names the request; without it the id is `topic/partition/offset`.",
        CORRELATION_ID: "Comes back unchanged on every result.",
        TRACEPARENT: "W3C Trace Context; comes back unchanged on every result.",
        CONTENT_TYPE: "A hint for people: the service recognises the format by the bytes alone.",
        FILENAME: "Comes back as the item's name, if the request is a single image.",
        SEEN: "`true` asks for the field `seen` of the result, if the request is a single image.",
        ORIGIN_TOPIC: "Topic of the request. The first of the headers that the service appends.",
        ORIGIN_PARTITION: "Partition of the request.",
        ORIGIN_OFFSET: "Offset of the request.",
        ORIGIN_TIMESTAMP_MS: "Timestamp of the request, epoch milliseconds.",
        ITEM_INDEX: "Which image of the request failed, counted from 0.",
        ITEM_COUNT: "Images in the request.",
        ITEM_NAME: "The item's name, if it has one.",
        RESULT_ID: "Names the failed result that this dead letter belongs to.",
        ERROR_CODE: "Why the item failed: a code, as in the result.",
        ERROR_MESSAGE: "Why the item failed: one sentence for a person.",
        VALUE_LEFT_OUT: "Present if the value is null: why the bytes were left out. The request may still have them.",
        HEADERS_LEFT_OUT: "Present if headers of the request, or its key, were left out: why.",
        CHAMPION: "What the model that serves has answered, and which model that is: JSON.",
        CHALLENGER: "What the challenger has answered, and which model that is: JSON.",
        ATTEMPT: "How often the item has been tried: 1, and one more with each replay.",
        REPLAY_OF: "Names the failed result that this request repeats.",
    }
)
"""The meaning of each header, by name."""
