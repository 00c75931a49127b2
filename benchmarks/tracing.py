"""What a traced record costs of CPU: ``python -m benchmarks.tracing``; needs ``digitstream[otel]``, and no broker."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Final

from aiokafka import TopicPartition
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

from consumer.observe.metrics import Metrics
from consumer.observe.tracing import Traces
from consumer.partitions.in_flight import ReadyPart
from consumer.partitions.observers import Publication
from consumer.settings import Settings, TracingSettings
from consumer.workers.tasks import Part, SampledRecord

RECORDS: Final = 20_000
CHUNK: Final = 250
SAMPLED: Final = SampledRecord(0, "order-7", "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331", 600, 1, 0, "", "")


class Encoding(SpanExporter):
    """Does all that the exporter does but for the network."""

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Encode spans, and drop them."""
        encode_spans(spans).SerializeToString()
        return SpanExportResult.SUCCESS


def main() -> None:
    """Measure records that are traced, over the limit, and without a trace."""
    for what, records_per_s, sampled in (
        ("traced", 1e9, [SAMPLED]),
        ("over the limit", 1, [SAMPLED]),
        ("without a trace", 1, []),
    ):
        print(f"{what}: {_cost_us(records_per_s, sampled):.1f} µs of CPU a record")


def _cost_us(records_per_s: float, sampled: list[SampledRecord]) -> float:
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(Encoding(), max_queue_size=8 * RECORDS))
    settings = Settings(tracing=TracingSettings(records_per_s=records_per_s))
    traces = Traces(provider.get_tracer("benchmark"), settings, Metrics())
    now_s = time.monotonic()
    part = Part(CHUNK, [], sampled=sampled * CHUNK, sampled_records=len(sampled) * CHUNK)
    partition = TopicPartition("digits.requests", 0)
    publication = Publication(partition, [ReadyPart(part, now_s, now_s, now_s)], now_s, now_s, 0)
    began_s = time.process_time()
    for _ in range(RECORDS // CHUNK):
        traces.committed(publication)
    provider.shutdown()
    return (time.process_time() - began_s) / RECORDS * 1e6


if __name__ == "__main__":
    main()
