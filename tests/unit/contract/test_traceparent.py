"""The header `traceparent` is parsed as W3C Trace Context says."""

from __future__ import annotations

import pytest

from contract.traceparent import TraceParent, may_be_sampled

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


@pytest.mark.parametrize(
    ("value", "sampled"),
    [
        (f"00-{TRACE}-{SPAN}-01", True),
        (f"00-{TRACE}-{SPAN}-00", False),
        (f"00-{TRACE}-{SPAN}-03", True),
        (f"01-{TRACE}-{SPAN}-01-later", True),
    ],
)
def test_a_well_formed_header_names_trace_and_span(value: str, sampled: bool) -> None:  # noqa: FBT001  # a parameter
    assert TraceParent.parse(value.encode()) == TraceParent(TRACE, SPAN, sampled)
    assert may_be_sampled(value.encode()) == sampled


@pytest.mark.parametrize(
    "value",
    [
        "",
        f"00-{TRACE}-{SPAN}",
        f"00-{TRACE}-{SPAN}-01-more",
        f"ff-{TRACE}-{SPAN}-01",
        f"00-{TRACE.upper()}-{SPAN}-01",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE}-{SPAN}-01\n",
    ],
)
def test_a_header_that_is_not_well_formed_is_ignored(value: str) -> None:
    assert TraceParent.parse(value.encode()) is None
