"""Names of the record headers, on requests, results and dead letters."""

from __future__ import annotations

from typing import Final

REQUEST_ID: Final = "request-id"
"""Names the request; without it the id is ``topic/partition/offset``."""
CORRELATION_ID: Final = "correlation-id"
TRACEPARENT: Final = "traceparent"
"""W3C Trace Context, https://www.w3.org/TR/trace-context/."""
CONTENT_TYPE: Final = "content-type"
FILENAME: Final = "filename"

ECHOED: Final = (REQUEST_ID, CORRELATION_ID, TRACEPARENT)
"""Come back as headers of every result."""

# On dead letters
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
"""Says why a dead letter has no value; the bytes are at the origin."""

# On dead letters and replayed requests
ATTEMPT: Final = "attempt"
REPLAY_OF: Final = "replay-of"
"""On a replayed request: the ``result_id`` of the failure it repeats."""
