"""A collector of traces that keeps what OpenTelemetry's exporters send."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

from aiohttp import web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from broker.ports import free_ports
from broker.probe import HOST


class Collector:
    """What has arrived. Made by `running_collector`."""

    def __init__(self, port: int) -> None:
        self.endpoint = f"http://{HOST}:{port}"
        self.spans: list[Span] = []
        self.resources: list[Resource] = []

    def trace(self, trace_id: str) -> dict[str, Span]:
        """Return the spans of a trace by their name."""
        return {span.name: span for span in self.spans if span.trace_id.hex() == trace_id}

    async def take(self, request: web.Request) -> web.Response:
        """Answer an exporter."""
        for each in ExportTraceServiceRequest.FromString(await request.read()).resource_spans:
            self.resources.append(each.resource)
            self.spans += [span for scope in each.scope_spans for span in scope.spans]
        return web.Response(body=ExportTraceServiceResponse().SerializeToString())


@contextlib.asynccontextmanager
async def running_collector() -> AsyncIterator[Collector]:
    """Listen for OTLP over HTTP for as long as the context lasts."""
    port = free_ports(1)[0]
    collector = Collector(port)
    application = web.Application()
    application.add_routes([web.post("/v1/traces", collector.take)])
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, HOST, port).start()
        yield collector
    finally:
        await runner.cleanup()


def attributes(carrier: Span | Resource) -> dict[str, str | int]:
    """Read the attributes of a span or a resource."""
    return {
        each.key: each.value.int_value if each.value.HasField("int_value") else each.value.string_value
        for each in carrier.attributes
    }
