"""``/docs``: Swagger, from files of the package `fastapi-offline`, so that a browser asks no other host."""

from __future__ import annotations

from importlib.resources import files
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

_PAGE: Final = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>Digitstream: HTTP API</title>
<link rel="stylesheet" href="docs/swagger-ui.css">
<div id="swagger-ui"></div>
<script src="docs/swagger-ui-bundle.js"></script>
<script src="docs/start.js"></script>
</html>
"""
_START: Final = """SwaggerUIBundle({ url: "openapi.json", dom_id: "#swagger-ui", validatorUrl: null });
"""
_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""Swagger sets styles of elements."""


class Documentation:
    """Serves the page and its files. Owner: the application."""

    def __init__(self) -> None:
        static = files("fastapi_offline").joinpath("static")
        self._files = {
            "/docs": (_PAGE.encode(), "text/html; charset=utf-8"),
            "/docs/start.js": (_START.encode(), "text/javascript; charset=utf-8"),
            "/docs/swagger-ui.css": (static.joinpath("swagger-ui.css").read_bytes(), "text/css; charset=utf-8"),
            "/docs/swagger-ui-bundle.js": (
                static.joinpath("swagger-ui-bundle.js").read_bytes(),
                "text/javascript; charset=utf-8",
            ),
        }
        self.paths = list(self._files)

    async def show(self, request: Request) -> Response:
        """Serve a file."""
        path: str = request.scope["path"]
        content, media_type = self._files[path.removeprefix(request.scope.get("root_path", ""))]
        headers = {"Content-Security-Policy": _POLICY, "Cache-Control": "no-cache"}
        return Response(content, media_type=media_type, headers=headers)
