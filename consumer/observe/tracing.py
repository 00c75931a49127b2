"""Traces of single records, for whoever sent them with a sampled ``traceparent`` (OpenTelemetry).

    the sender's span
      process REQUESTS        from fetch to commit: the request's `traceparent` is its parent
        wait                  for room in hand
        classify              waiting for a worker, and the worker
        send PREDICTIONS      the transaction

The spans of a record are made when its transaction has committed, from times that were taken on the way: what
was repeated, or lost with a lane, leaves none, and the way itself costs nothing. The sender decides what is sampled,
as the conventions have it. But anyone may set the flag, and the spans of one record cost 0.2 ms of CPU, seven
times what it takes to recognise a digit: hence the ceiling. Where tracing is off, this module is not imported; it
needs ``digitstream[otel]``.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterable

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

from consumer.ending import FLUSH_S
from consumer.observe.metrics import Metrics
from consumer.partitions.in_flight import Chunk
from consumer.partitions.requests import Request
from consumer.settings import Settings
from consumer.workers.protocol import Answer
from contract.records import request_id
from contract.traceparent import TraceParent

log = structlog.get_logger()


class Allowance:
    """So many a second, and as many at once after a pause. Owner: `Traces`."""

    def __init__(self, per_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._per_s = per_s
        self._clock = clock
        self._left = per_s
        self._seen_s = clock()

    def take(self) -> bool:
        """Take one; False if there is none left."""
        now_s = self._clock()
        self._left = min(self._per_s, self._left + (now_s - self._seen_s) * self._per_s)
        self._seen_s = now_s
        if self._left < 1:
            return False
        self._left -= 1
        return True


class Traces:
    """Records' spans. Owner: the service; each lane tells of its transactions."""

    def __init__(self, tracer: Tracer, settings: Settings, metrics: Metrics) -> None:
        self._tracer = tracer
        self._group_id = settings.kafka.group_id
        self._predictions = settings.topics.predictions
        self._allowance = Allowance(settings.tracing.records_per_s)
        self._metrics = metrics

    def committed(self, chunks: Iterable[Chunk], *, begun_s: float, committed_s: float) -> None:
        """Record the spans of those requests of a transaction whose senders sampled them.

        Parameters
        ----------
        chunks
            What the transaction answered.
        begun_s, committed_s
            When it began and ended, on the monotonic clock.
        """
        for chunk in chunks:
            for place, request in enumerate(chunk.requests):
                if request.trace is None or not request.trace.sampled:
                    continue
                if not self._allowance.take():
                    self._metrics.traces.labels("over-limit").inc()
                    continue
                self._metrics.traces.labels("recorded").inc()
                classified = chunk.answers.result()
                self._record(
                    request,
                    request.trace,
                    classified.answers[place],
                    [request.fetched_s, chunk.handed_s, classified.at_s, begun_s, committed_s],
                )

    def _record(self, request: Request, parent: TraceParent, answer: Answer, times_s: list[float]) -> None:
        fetched, handed, classified, begun, committed = _epoch_ns(times_s)
        task = request.task
        # A record of its own has one sender, so that its span is the parent; a link is for batches.
        process = self._tracer.start_span(
            f"process {task.topic}",
            _context(parent),
            SpanKind.CONSUMER,
            {
                "messaging.system": "kafka",
                "messaging.operation.name": "process",
                "messaging.operation.type": "process",
                "messaging.consumer.group.name": self._group_id,
                "messaging.destination.name": task.topic,
                "messaging.destination.partition.id": str(task.partition),
                "messaging.kafka.offset": task.offset,
                "messaging.message.body.size": len(request.value or b""),
                "digits.request_id": task.request_id or request_id(task.topic, task.partition, task.offset),
                "digits.items": len(answer.results),
                "digits.failed": len(answer.dead_letters),
            },
            start_time=fetched,
        )
        if answer.dead_letters:
            process.set_attribute("error.type", answer.dead_letters[0].code)
            process.set_status(StatusCode.ERROR, answer.dead_letters[0].message)
        within = set_span_in_context(process)
        self._tracer.start_span("wait", within, start_time=fetched).end(handed)
        self._tracer.start_span("classify", within, start_time=handed).end(classified)
        self._tracer.start_span(
            f"send {self._predictions}",
            within,
            SpanKind.PRODUCER,
            {
                "messaging.system": "kafka",
                "messaging.operation.name": "send",
                "messaging.operation.type": "send",
                "messaging.destination.name": self._predictions,
                "messaging.batch.message_count": len(answer.results),
            },
            start_time=begun,
        ).end(committed)
        process.end(committed)


@contextlib.asynccontextmanager
async def traces(settings: Settings, metrics: Metrics) -> AsyncIterator[Traces]:
    """Record traces for as long as the context lasts; the variables ``OTEL_EXPORTER_OTLP_…`` say where they go."""
    provider = await asyncio.to_thread(_begin)  # it waits for threads of its own
    log.info("tracing", records_per_s=settings.tracing.records_per_s)
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
    """Send the last spans, within a deadline: the exporter waits for its collector for half a minute."""
    loop, sent = asyncio.get_running_loop(), asyncio.Event()

    def flush() -> None:
        provider.shutdown()
        with contextlib.suppress(RuntimeError):  # too late: the loop has ended, as the process is about to
            loop.call_soon_threadsafe(sent.set)

    # A daemon, since an executor's threads are waited for when the process ends.
    threading.Thread(target=flush, name="trace flush", daemon=True).start()
    try:
        async with asyncio.timeout(FLUSH_S):
            await sent.wait()
    except TimeoutError:
        log.warning("last traces not sent", deadline_s=FLUSH_S, action="they are lost")


def _context(parent: TraceParent) -> Context:
    flags = TraceFlags(TraceFlags.SAMPLED)
    span = SpanContext(int(parent.trace_id, 16), int(parent.span_id, 16), is_remote=True, trace_flags=flags)
    return set_span_in_context(NonRecordingSpan(span), Context())


def _epoch_ns(times_s: list[float]) -> list[int]:
    """Turn times of the monotonic clock into those of a calendar, which is what spans are told in."""
    monotonic_s, epoch_ns = time.monotonic(), time.time_ns()
    return [epoch_ns - int((monotonic_s - time_s) * 1e9) for time_s in times_s]
