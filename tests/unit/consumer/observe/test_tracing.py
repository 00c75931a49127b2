"""What is traced, and what is not even looked at."""

from __future__ import annotations

import subprocess
import sys

import pytest

from consumer import service
from consumer.observe.metrics import Metrics
from consumer.settings import Settings, TracingSettings
from contract.traceparent import TraceParent
from transport.errors import FatalError

TRACE, SPAN = b"0af7651916cd43dd8448eb211c80319c", b"b7ad6b7169203331"


@pytest.mark.parametrize(("flags", "sampled"), [(b"00", False), (b"01", True), (b"03", True), (b"02", False)])
def test_the_header_names_the_trace_and_whether_it_is_sampled(flags: bytes, sampled: bool) -> None:  # noqa: FBT001  # a case
    parent = TraceParent.parse(b"-".join([b"00", TRACE, SPAN, flags]))
    assert parent == TraceParent(TRACE.decode(), SPAN.decode(), sampled)


def test_a_later_version_may_have_more_fields() -> None:
    assert TraceParent.parse(b"-".join([b"01", TRACE, SPAN, b"01", b"more"])) is not None


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"nonsense",
        b"-".join([b"00", TRACE, SPAN]),
        b"-".join([b"00", TRACE, SPAN, b"01", b"more"]),
        b"-".join([b"ff", TRACE, SPAN, b"01"]),
        b"-".join([b"00", b"0" * 32, SPAN, b"01"]),
        b"-".join([b"00", TRACE, b"0" * 16, b"01"]),
        b"-".join([b"00", TRACE.upper(), SPAN, b"01"]),
        b"-".join([b"00", TRACE, SPAN, b"01"]) + b"\n",
        b"\xff" * 55,
    ],
)
def test_what_is_not_well_formed_is_no_trace(value: bytes) -> None:
    assert TraceParent.parse(value) is None


def test_where_it_is_off_nothing_of_it_is_imported() -> None:
    command = "import sys, consumer.cli; sys.exit(any(name.startswith('opentelemetry') for name in sys.modules))"
    assert subprocess.run([sys.executable, "-c", command], check=False).returncode == 0


async def test_without_the_packages_the_start_names_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "consumer.observe.tracing", None)
    with pytest.raises(FatalError, match=r"DIGITS_TRACING__RECORDS_PER_S .* pip install 'digitstream\[otel\]'"):
        async with service._traced(Settings(tracing=TracingSettings(records_per_s=1)), Metrics()):
            pytest.fail("it went on without")
