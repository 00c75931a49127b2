"""The application: which path is answered by what."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from types import MappingProxyType
from typing import Any, Final

from fastapi import FastAPI
from fastapi.middleware.cors import CORSMiddleware
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from producer.web import openapi
from producer.web.access.guard import Guard
from producer.web.edge import Edge, Refusals
from producer.web.gateway.interface import Gateway, GatewayError
from producer.web.metrics import Metrics
from producer.web.problems import ProblemError
from producer.web.routes.documentation import Documentation
from producer.web.routes.predictions import Predictions
from producer.web.routes.presence import answer_after_leaving
from producer.web.routes.probes import Probes
from producer.web.routes.results import Results
from producer.web.settings import WebSettings
from release import version
from transport.reports.reporter import Reporter

VERSIONS: Final = ("/v1", "")
"""The paths of the API: with a version, and those of the service that came before."""
Handler = Callable[[Request], Coroutine[Any, Any, Response]]


class _Route(APIRoute):
    """Calls its handler, which takes the request and returns a response; FastAPI would first look for parameters."""

    def get_route_handler(self) -> Handler:
        handler: Handler = self.endpoint
        return handler


def create_app(
    gateway: Gateway,
    guard: Guard,
    settings: WebSettings,
    stopping: asyncio.Event,
    *,
    reporter: Reporter,
    page: Mapping[str, tuple[str, bytes]] = MappingProxyType({}),
    page_headers: Mapping[str, str] = MappingProxyType({}),
) -> Edge:
    """Make the application.

    Parameters
    ----------
    gateway
        The Kafka side; it is open for as long as requests are answered.
    guard
        Decides who may send requests.
    settings
        The limits.
    stopping
        Set when the server stops: then streams of live results end.
    reporter
        Takes unexpected errors.
    page, page_headers
        Files for a browser by their path, each with its content type, and the headers of all of them, which are
        expected to have a Content-Security-Policy.
    """
    metrics = Metrics(gateway)
    app = FastAPI(
        title="Digitstream",
        version=version(),
        summary=openapi.SUMMARY,
        description=openapi.DESCRIPTION,
        openapi_url=None,  # served below: the document is completed by ours
        docs_url=None,  # Swagger would come from another host
        redoc_url=None,
        redirect_slashes=False,
        telemetry={"tracing": False, "metrics": False, "logs": False},  # it would look for a provider at each request
    )
    app.router.route_class = _Route
    _add_api(app, gateway, guard, settings, stopping)
    _add_probes(app, Probes(gateway, metrics))
    _add_documentation(app, openapi.document(app))
    for path, (media_type, content) in page.items():
        app.add_route(path, _file(media_type, content, page_headers))
    refusals = Refusals(metrics)
    app.add_exception_handler(ProblemError, refusals.problem)
    app.add_exception_handler(GatewayError, refusals.gateway)
    app.add_exception_handler(HTTPException, refusals.http)
    app.add_exception_handler(ClientDisconnect, answer_after_leaving)
    app.add_exception_handler(Exception, refusals.unexpected)
    if settings.access.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=settings.access.cors_origins,
            allow_methods=["GET", "POST"],
            allow_headers=["Authorization", "X-API-Key", "Idempotency-Key", "Prefer", "Content-Type"],
            expose_headers=["Location", "Retry-After"],
        )
    return Edge(app, metrics, reporter)


def _add_api(app: FastAPI, gateway: Gateway, guard: Guard, settings: WebSettings, stopping: asyncio.Event) -> None:
    predictions = Predictions(gateway, guard, settings)
    results = Results(gateway, guard, settings, stopping)
    for version_prefix in VERSIONS:  # first, because paths are compared one after the other
        _add(app, "POST", f"{version_prefix}/predict", predictions.predict)
    for version_prefix in VERSIONS:
        _add(app, "POST", f"{version_prefix}/predict_batch", predictions.predict_batch)
        _add(app, "GET", f"{version_prefix}/requests/{{request_id:path}}", results.find)
        _add(app, "GET", f"{version_prefix}/results", results.live)


def _add_probes(app: FastAPI, probes: Probes) -> None:
    for version_prefix in VERSIONS:
        _add(app, "GET", f"{version_prefix}/health", probes.health)
    _add(app, "GET", "/livez", probes.livez)
    _add(app, "GET", "/readyz", probes.readyz)
    _add(app, "GET", "/metrics", probes.metrics)


def _add_documentation(app: FastAPI, document: dict[str, Any]) -> None:
    body = openapi.to_json(document).encode()

    async def show_document(_request: Request) -> Response:
        return Response(body, media_type="application/json")

    app.add_route("/openapi.json", show_document)
    pages = Documentation()
    for path in pages.paths:
        app.add_route(path, pages.show)


def _file(media_type: str, content: bytes, headers: Mapping[str, str]) -> Handler:
    async def show(_request: Request) -> Response:
        return Response(content, media_type=media_type, headers=headers)

    return show


def _add(app: FastAPI, method: str, path: str, handler: Handler) -> None:
    # The handlers read the request themselves: FastAPI would hold a body twice, once as a body and once as files.
    app.add_api_route(path, handler, methods=[method], response_model=None, **openapi.operation(method, path))
