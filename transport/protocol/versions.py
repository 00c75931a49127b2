"""The request for what a broker understands: versions of requests, and the version of transactions.

References
----------
.. [1] Apache Kafka, Protocol Guide: ApiVersions (18).
.. [2] KIP-584: Versioning scheme for features.
"""

from __future__ import annotations

from io import BytesIO
from typing import Any, Final

from aiokafka.protocol.api import RequestStruct, Response, ResponseHeader_v0
from aiokafka.protocol.types import CompactArray, Int16, Schema

from transport.protocol.requests import NAME, NO_TAGS, TAGS, THROTTLE, Prepared

TRANSACTION_VERSION: Final = "transaction.version"
VERSION_2: Final = 2
FINALIZED_FEATURES: Final = 2
"""Tag of the finalized features in the answer to ApiVersions."""


class _ApiVersionsAnswer(Response):  # type: ignore[misc]  # aiokafka ships no types, here and below
    API_KEY = 18
    API_VERSION = 3
    SCHEMA = Schema(
        ("error_code", Int16),
        ("api_keys", CompactArray(("key", Int16), ("first", Int16), ("last", Int16), TAGS)),
        THROTTLE,
        TAGS,
    )


class _ApiVersions(RequestStruct):  # type: ignore[misc]
    API_KEY = 18
    API_VERSION = 3
    FLEXIBLE_VERSION = True
    RESPONSE_TYPE = _ApiVersionsAnswer
    SCHEMA = Schema(("client_software_name", NAME), ("client_software_version", NAME), TAGS)

    def parse_response_header(self, read_buffer: BytesIO | bytes) -> Any:
        """Parse the header, which is never flexible: a client does not know yet what the broker understands."""
        return ResponseHeader_v0.decode(read_buffer)


def api_versions() -> Prepared:
    """Make the request for what a broker understands; `transaction_version` reads the answer."""
    return Prepared(_ApiVersions("digitstream", "1", NO_TAGS))


_FEATURES: Final = CompactArray(("name", NAME), ("last", Int16), ("first", Int16), TAGS)


def transaction_version(answer: Any) -> int:
    """Return the version of transactions that a cluster has, from the answer to `api_versions`; 0 if it says nothing.

    See KIP-584 for finalized features.
    """
    encoded = answer.tags.get(FINALIZED_FEATURES)
    features = _FEATURES.decode(BytesIO(encoded)) if encoded else []
    return next((int(last) for name, last, *_ in features or () if name == TRANSACTION_VERSION), 0)
