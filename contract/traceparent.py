"""Parses the header ``traceparent`` of W3C Trace Context: which trace a request belongs to."""

from __future__ import annotations

import re
from typing import Final, NamedTuple, Self

_FORM: Final = re.compile(rb"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?", re.DOTALL)
_SAMPLED: Final = 1
_FLAGS_END_AT: Final = 54
_SAMPLED_DIGITS: Final = b"13579bdf"


def may_be_sampled(value: bytes) -> bool:
    """Return whether `TraceParent.parse` could find a sampled span. Most spans are not, and to parse takes longer."""
    return value[_FLAGS_END_AT : _FLAGS_END_AT + 1] in _SAMPLED_DIGITS


class TraceParent(NamedTuple):
    """The span of the sender, and whether it is sampled."""

    trace_id: str
    """32 hexadecimal digits."""
    span_id: str
    """16 hexadecimal digits."""
    sampled: bool

    @classmethod
    def parse(cls, value: bytes) -> Self | None:
        """Parse the header's value; None if it is not well formed."""
        form = _FORM.fullmatch(value)
        if form is None:
            return None
        version, trace_id, span_id, flags, more = form.groups()
        # Later versions may add parts at the end, version 00 has none; ff is not a version; ids of zeros are invalid.
        if version == b"ff" or (version == b"00" and more) or not int(trace_id, 16) or not int(span_id, 16):
            return None
        return cls(trace_id.decode(), span_id.decode(), bool(int(flags, 16) & _SAMPLED))
