"""Traces of single records whose sender sampled them with its ``traceparent`` (OpenTelemetry).

    the sender's span
      process REQUESTS        from fetch to commit: the request's `traceparent` is its parent
        wait                  the wait for room in the in-flight window
        classify              the wait for a worker, and the work in the worker
        send PREDICTIONS      the transaction

The spans of a record are created after its transaction has committed, from times that were measured before. So
processing a record costs nothing more, and there are no spans of an attempt that did not commit. The sender decides
which records are sampled, as the conventions of OpenTelemetry say. Since any sender may set the flag, and the spans of
one record cost 0.2 ms of processor time, seven times as much as recognising a digit, there is a limit. This module
needs ``digitstream[otel]``; it is not imported if tracing is off.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import AsyncIterator

import structlog
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, OTELResourceDetector, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import (
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    StatusCode,
    TraceFlags,
    Tracer,
    set_span_in_context,
)

from consumer.observe.metrics import Metrics
from consumer.partitions.in_flight import ReadyPart
from consumer.partitions.observers import LaneObserver, Publication
from consumer.settings import Settings
from consumer.shutdown_timeouts import TRACE_FLUSH_TIMEOUT_S
from consumer.workers.tasks import SampledRecord
from transport.rate_limiter import RateLimiter

log = structlog.get_logger()


class Traces(LaneObserver):
    """Creates the spans of sampled records. Owner: the service."""

    def __init__(self, tracer: Tracer, settings: Settings, metrics: Metrics) -> None:
        self._tracer = tracer
        self._group_id = settings.kafka.group_id
        self._predictions = settings.topics.predictions
        per_s = settings.tracing.records_per_s
        self._limiter = RateLimiter(per_s, burst=max(1.0, per_s))
        self._counter = metrics.traces

    def committed(self, publication: Publication) -> None:
        """Create spans for the sampled requests of a transaction, within the limit."""
        for ready in publication.parts:
            if not ready.part.sampled_records:
                continue
            recorded = 0
            for sampled in ready.part.sampled:
                if self._limiter.try_acquire():
                    recorded += 1
                    self._record(publication, ready, sampled)
            self._counter.labels("recorded").inc(recorded)
            self._counter.labels("over-limit").inc(max(0, ready.part.sampled_records - recorded))

    def _record(self, publication: Publication, ready: ReadyPart, sampled: SampledRecord) -> None:
        fetched, submitted, classified, begun, committed = _epoch_ns(
            [ready.fetched_s, ready.submitted_s, ready.classified_s, publication.begun_s, publication.committed_s]
        )
        topic, partition = publication.partition
        # One record has one sender, so the sender's span is the parent. Links are for spans of batches.
        process = self._tracer.start_span(
            f"process {topic}",
            _context(sampled),
            SpanKind.CONSUMER,
            {
                "messaging.system": "kafka",
                "messaging.operation.name": "process",
                "messaging.operation.type": "process",
                "messaging.consumer.group.name": self._group_id,
                "messaging.destination.name": topic,
                "messaging.destination.partition.id": str(partition),
                "messaging.kafka.offset": sampled.offset,
                "messaging.message.body.size": sampled.record_bytes,
                "digits.request_id": sampled.request_id,
                "digits.items": sampled.items,
                "digits.failed": sampled.failed,
            },
            start_time=fetched,
        )
        if sampled.failed:
            process.set_attribute("error.type", sampled.code)
            process.set_status(StatusCode.ERROR, sampled.message)
        within = set_span_in_context(process)
        self._tracer.start_span("wait", within, start_time=fetched).end(submitted)
        self._tracer.start_span("classify", within, start_time=submitted).end(classified)
        self._tracer.start_span(
            f"send {self._predictions}",
            within,
            SpanKind.PRODUCER,
            {
                "messaging.system": "kafka",
                "messaging.operation.name": "send",
                "messaging.operation.type": "send",
                "messaging.destination.name": self._predictions,
                "messaging.batch.message_count": sampled.items,
            },
            start_time=begun,
        ).end(committed)
        process.end(committed)


@contextlib.asynccontextmanager
async def traces(settings: Settings, metrics: Metrics) -> AsyncIterator[Traces]:
    """Record traces while the context is open. The variables ``OTEL_EXPORTER_OTLP_…`` set where they are sent."""
    provider = await asyncio.to_thread(_begin)  # it blocks until its own threads run
    log.info("tracing enabled", records_per_s=settings.tracing.records_per_s)
    try:
        yield Traces(provider.get_tracer("digitstream"), settings, metrics)
    finally:
        await _end(provider)


def _begin() -> TracerProvider:
    resource = Resource.create({SERVICE_NAME: "digitstream"}).merge(OTELResourceDetector().detect())
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return provider


async def _end(provider: TracerProvider) -> None:
    """Send the last spans within a deadline, since the exporter itself waits half a minute for its collector."""
    loop, sent = asyncio.get_running_loop(), asyncio.Event()

    def flush() -> None:
        provider.shutdown()
        with contextlib.suppress(RuntimeError):  # the deadline is over, and the loop has ended
            loop.call_soon_threadsafe(sent.set)

    # A daemon thread: the process would wait for the thread of an executor when it exits.
    threading.Thread(target=flush, name="trace flush", daemon=True).start()
    try:
        async with asyncio.timeout(TRACE_FLUSH_TIMEOUT_S):
            await sent.wait()
    except TimeoutError:
        log.warning("last traces not sent", timeout_s=TRACE_FLUSH_TIMEOUT_S, action="dropped")


def _context(parent: SampledRecord) -> Context:
    flags = TraceFlags(TraceFlags.SAMPLED)
    span = SpanContext(int(parent.trace_id, 16), int(parent.span_id, 16), is_remote=True, trace_flags=flags)
    return set_span_in_context(NonRecordingSpan(span), Context())


def _epoch_ns(times_s: list[float]) -> list[int]:
    """Convert times of the monotonic clock, in seconds, to ns since 1970, the unit of spans."""
    monotonic_s, epoch_ns = time.monotonic(), time.time_ns()
    return [epoch_ns - int((monotonic_s - time_s) * 1e9) for time_s in times_s]
