"""What a traced record costs of CPU: ``python -m benchmarks.tracing``; needs ``digitstream[otel]``, and no broker."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Final

from aiokafka import TopicPartition
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

from consumer.observe.metrics import Metrics
from consumer.observe.tracing import Traces
from consumer.partitions.in_flight import Chunk, Classified
from consumer.partitions.observers import Publication
from consumer.partitions.requests import Request
from consumer.settings import Settings, TracingSettings
from consumer.workers.protocol import Answer, Task
from contract.traceparent import TraceParent

RECORDS: Final = 20_000
CHUNK: Final = 250
SAMPLED: Final = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


class Encoding(SpanExporter):
    """Does all that the exporter does but for the network."""

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Encode spans, and drop them."""
        encode_spans(spans).SerializeToString()
        return SpanExportResult.SUCCESS


async def main() -> None:
    """Measure records that are traced, over the limit, and without a trace."""
    for what, records_per_s, trace in (
        ("traced", 1e9, TraceParent.parse(SAMPLED)),
        ("over the limit", 1, TraceParent.parse(SAMPLED)),
        ("without a trace", 1, None),
    ):
        print(f"{what}: {await _cost_us(records_per_s, trace):.1f} µs of CPU a record")


async def _cost_us(records_per_s: float, trace: TraceParent | None) -> float:
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(Encoding(), max_queue_size=8 * RECORDS))
    settings = Settings(tracing=TracingSettings(records_per_s=records_per_s))
    traces = Traces(provider.get_tracer("benchmark"), settings, Metrics(settings.topics))
    now_s = time.monotonic()
    task = Task(b"", "digits.requests", 0, 0, 0, 0, "order-7", None)
    request = Request(task, None, b"", [], None, [], now_s, 0, trace)

    async def answered() -> Classified:
        return Classified([Answer([b"{}"], [], 1, 0, 2)] * CHUNK, now_s)

    chunk = Chunk([request] * CHUNK, asyncio.create_task(answered()), 0, CHUNK)
    await chunk.answers
    partition = TopicPartition("digits.requests", 0)
    publication = Publication(partition, [chunk], [], {}, now_s, now_s, 0)
    began_s = time.process_time()
    for _ in range(RECORDS // CHUNK):
        traces.committed(publication)
    provider.shutdown()
    return (time.process_time() - began_s) / RECORDS * 1e6


if __name__ == "__main__":
    asyncio.run(main())
