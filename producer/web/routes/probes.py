"""``/health``, ``/livez``, ``/readyz`` and ``/metrics``: the state of the server, for machines. They need no key."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from prometheus_client import generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from starlette.requests import Request
from starlette.responses import Response

from producer.web.gateway.interface import Gateway
from producer.web.metrics import Metrics
from producer.web.routes.answers import response
from release import version


class Probes:
    """Answers the probes. Owner: the application."""

    def __init__(self, gateway: Gateway, metrics: Metrics) -> None:
        self._gateway = gateway
        self._metrics = metrics

    async def health(self, _request: Request) -> Response:
        """Show the state."""
        state = self._gateway.state()
        content: dict[str, Any] = {
            "status": "ok" if state.ready else "unavailable",
            "version": version(),
            "reason": state.why_not_ready,
            "keys": {"ready": state.keys_ready, "reason": state.why_keys_not_ready},
            "lag": state.lag,
            "answered_per_s": round(state.answered_per_s, 1),
            "delay_s": state.delay_s,
            "waiting": state.waiting,
        }
        return response(content, HTTPStatus.OK if state.ready else HTTPStatus.SERVICE_UNAVAILABLE)

    async def livez(self, _request: Request) -> Response:
        """Return 200: the event loop runs. A restart would not help if Kafka is away."""
        return response({"status": "ok"})

    async def readyz(self, _request: Request) -> Response:
        """Return 200 if requests can be sent and results be read, otherwise 503."""
        state = self._gateway.state()
        if state.ready:
            return response({"status": "ok"})
        return response({"status": "unavailable", "reason": state.why_not_ready}, HTTPStatus.SERVICE_UNAVAILABLE)

    async def metrics(self, _request: Request) -> Response:
        """Return the metrics in the text format of Prometheus."""
        return Response(generate_latest(self._metrics.registry), media_type=CONTENT_TYPE_LATEST)
