"""The OpenAPI 3.1 document: FastAPI lists the paths, this module has what they take and answer, with examples.

docs/openapi.json is made of it: ``python -m tests.harness.openapi > docs/openapi.json``; a test compares.
"""

from __future__ import annotations

import json
import re
from typing import Any, Final

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from contract.errors import ErrorCode
from contract.schema import EXAMPLES, result_definitions
from producer.web.gateway.interface import MAX_ID_CHARACTERS
from producer.web.problems import MEDIA_TYPE, TYPE_PREFIX, Refusal

SUMMARY: Final = "Reads images of handwritten digits."
DESCRIPTION: Final = (
    "Each request becomes one record of the requests topic, and its results are read from the predictions topic, where "
    "they are written exactly once. All paths below `/v1` also exist without it, as in the service that came before. "
    "An error is a problem document (RFC 9457): `code` says what is wrong."
)
JSON: Final = "application/json"
NDJSON: Final = "application/x-ndjson"
_REF: Final = "#/components/schemas/{model}"
_IMAGES: Final = ("image/png", "image/jpeg", "image/*", "application/octet-stream")
_SECURITY: Final[list[dict[str, list[str]]]] = [{"apiKey": []}, {"bearer": []}]
_TAGS: Final = {"predict": "digits", "predict_batch": "digits", "requests": "results", "results": "results"}


def operation(method: str, path: str) -> dict[str, Any]:
    """Return what the document says about a path, as arguments of `FastAPI.add_api_route`."""
    name = path.removeprefix("/v1").strip("/").partition("/")[0]
    shown = path.startswith("/v1/") is (name in _TAGS)
    found: dict[str, Any] = {
        "include_in_schema": shown,
        "name": name,
        "operation_id": name,
        "tags": [_TAGS.get(name, "state")],
        "summary": _SUMMARIES[name],
        "description": _DESCRIPTIONS.get(name, ""),
    }
    extra: dict[str, Any] = {"responses": _RESPONSES[name]}
    if name in _TAGS:
        extra["security"] = _SECURITY
        extra["responses"] = extra["responses"] | {"default": _problem("The request was refused, or failed.")}
        extra["parameters"] = _PARAMETERS[name]
    if method == "POST":
        extra["requestBody"] = _BODIES[name]
    return found | {"openapi_extra": extra}


def document(app: FastAPI) -> dict[str, Any]:
    """Return the whole document."""
    made = get_openapi(
        title=app.title,
        version=app.version,
        openapi_version="3.1.0",
        summary=app.summary,
        description=app.description,
        routes=app.routes,
        license_info={"name": "MIT", "identifier": "MIT"},
        servers=[{"url": "/"}],
    )
    for path in list(made["paths"]):
        operations = made["paths"].pop(path)
        for each in operations.values():
            # FastAPI adds its own answer 200, and its own parameter for a part of the path.
            each["responses"] = _RESPONSES[each["operationId"]] | {
                status: answer for status, answer in each["responses"].items() if status == "default"
            }
            if each["operationId"] == "requests":
                each["parameters"] = _PARAMETERS["requests"]
        made["paths"][path.replace(":path}", "}")] = operations
    result, definitions = result_definitions(_REF)
    made["components"] = {
        "schemas": {"Result": result, "Problem": _PROBLEM, **_SCHEMAS, **definitions},
        "securitySchemes": {
            "apiKey": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
            "bearer": {"type": "http", "scheme": "bearer", "description": "An API key, or a token with the scopes."},
        },
    }
    return made


def to_json(document: dict[str, Any]) -> str:
    """Return the document as text, in the order of its keys."""
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def _ref(name: str) -> dict[str, Any]:
    return {"$ref": _REF.format(model=name)}


def _content(kind: str, schema: dict[str, Any], example: Any = None) -> dict[str, Any]:
    return {kind: {"schema": schema} | ({} if example is None else {"example": example})}


def _problem(description: str) -> dict[str, Any]:
    return {"description": description, "content": _content(MEDIA_TYPE, _ref("Problem"))}


_PROBLEM: Final[dict[str, Any]] = {
    "type": "object",
    "required": ["type", "title", "status", "detail", "code"],
    "properties": {
        "type": {"type": "string", "pattern": f"^{re.escape(TYPE_PREFIX)}"},
        "title": {"type": "string"},
        "status": {"type": "integer", "minimum": 400, "maximum": 599},
        "detail": {"type": "string"},
        "code": {
            "type": "string",
            "description": "A code of the server, or of a failed result. Codes may be added.",
            "examples": list(dict.fromkeys([*(each.value for each in Refusal), *(each.value for each in ErrorCode)])),
        },
        "request_id": {"type": "string", "description": "If the request is in the topic."},
    },
    "examples": [
        {
            "type": TYPE_PREFIX + Refusal.BUSY,
            "title": Refusal.BUSY.sentence,
            "status": int(Refusal.BUSY.status),
            "detail": "120,000 requests are waiting.",
            "code": Refusal.BUSY.value,
        }
    ],
}
_POSITION: Final = {
    "partition": {"type": "integer", "minimum": 0, "description": "Of the result's record in the predictions topic."},
    "offset": {"type": "integer", "minimum": 0, "description": "Of the result's record in the predictions topic."},
}
_SHOWN: Final = EXAMPLES["recognised"] | {"request_id": "order-7", "partition": 3, "offset": 877}
_RESULTS: Final = {"type": "array", "items": _ref("ShownResult"), "description": "In the order of the images."}
_ID: Final = {"type": "string", "description": "The Idempotency-Key, or an id that the server made."}
_SCHEMAS: Final[dict[str, Any]] = {
    "ShownResult": {
        "allOf": [_ref("Result"), {"type": "object", "properties": _POSITION, "required": list(_POSITION)}]
    },
    "Results": {
        "type": "object",
        "required": ["request_id", "complete", "results"],
        "properties": {
            "request_id": _ID,
            "complete": {"type": "boolean", "description": "True if every image has its result."},
            "results": _RESULTS,
        },
    },
    "Waiting": {
        "type": "object",
        "required": ["request_id", "status", "complete"],
        "properties": {
            "request_id": _ID,
            "status": {"const": "waiting"},
            "complete": {"const": False},
            "results": _RESULTS | {"description": "The results so far, if there are any."},
        },
    },
    "State": {
        "type": "object",
        "required": ["status"],
        "properties": {
            "status": {"enum": ["ok", "unavailable"]},
            "version": {"type": "string"},
            "reason": {"type": ["string", "null"]},
            "lag": {"type": ["integer", "null"], "description": "Requests that are not answered yet, of all senders."},
            "answered_per_s": {"type": "number"},
            "delay_s": {"type": ["number", "null"], "description": "How long a new request would wait."},
            "waiting": {"type": "integer"},
        },
    },
}
_REQUEST_ID: Final[dict[str, Any]] = {
    "name": "request_id",
    "in": "path",
    "required": True,
    "schema": {"type": "string", "minLength": 1, "maxLength": MAX_ID_CHARACTERS, "pattern": "^[!-~]+$"},
    "example": "order-7",
}
_KEY: Final[dict[str, Any]] = {
    "name": "Idempotency-Key",
    "in": "header",
    "description": "Becomes the request's id. The same key sends once, and gives the same answer.",
    "schema": {"type": "string", "minLength": 1, "maxLength": MAX_ID_CHARACTERS, "pattern": "^[!-~]+$"},
    "example": "order-7",
}
_PREFER: Final[dict[str, Any]] = {
    "name": "Prefer",
    "in": "header",
    "description": "`wait=SECONDS`: how long to wait for the results, up to the server's limit; then it answers 202.",
    "schema": {"type": "string"},
    "example": "wait=2",
}
_SEEN: Final[dict[str, Any]] = {
    "name": "seen",
    "in": "query",
    "description": "`true`: the result of a single image has `seen`, the picture that the model saw, if the image was "
    "sent with this parameter, too.",
    "schema": {"type": "boolean", "default": False},
}
_PARAMETERS: Final = {
    "predict": [_KEY, _PREFER, _SEEN],
    "predict_batch": [_KEY, _PREFER, _SEEN],
    "requests": [_REQUEST_ID, _SEEN],
    "results": [_SEEN],
}
_FILE: Final = {"type": "string", "format": "binary"}
_BODIES: Final[dict[str, Any]] = {
    "predict": {
        "required": True,
        "description": "The image, as the field `file` of a form or as bare bytes, whose format is recognised.",
        "content": {
            **_content("multipart/form-data", {"type": "object", "properties": {"file": _FILE}, "required": ["file"]}),
            **{kind: {"schema": _FILE} for kind in _IMAGES},
        },
    },
    "predict_batch": {
        "required": True,
        "description": "Several images as the fields `files` of a form, or one zip archive, in a form or bare.",
        "content": {
            **_content(
                "multipart/form-data",
                {
                    "type": "object",
                    "properties": {"files": {"type": "array", "items": _FILE, "minItems": 1}},
                    "required": ["files"],
                },
            ),
            "application/zip": {"schema": _FILE},
        },
    },
}
_WAITING_EXAMPLE: Final = {"request_id": "order-7", "status": "waiting", "complete": False}
_ACCEPTED: Final[dict[str, Any]] = {
    "description": "Sent, and not answered yet: ask for the results at `Location`.",
    "headers": {
        "Location": {"required": True, "schema": {"type": "string"}, "example": "/v1/requests/order-7"},
        "Retry-After": {"required": True, "schema": {"type": "integer", "minimum": 1}},
    },
    "content": _content(JSON, _ref("Waiting"), _WAITING_EXAMPLE),
}
_RESULTS_EXAMPLE: Final = {"request_id": "order-7", "complete": True, "results": [_SHOWN]}
_UP: Final = {"description": "It works.", "content": _content(JSON, _ref("State"), {"status": "ok"})}
_DOWN: Final = {
    "description": "Requests cannot be sent, or results not be read.",
    "content": _content(JSON, _ref("State"), {"status": "unavailable", "reason": "Kafka does not answer."}),
}
_RESPONSES: Final[dict[str, dict[str, Any]]] = {
    "predict": {
        "200": {
            "description": "The digit; its `status` is `recognised` or `unsure`.",
            "content": _content(JSON, _ref("ShownResult"), _SHOWN),
        },
        "202": _ACCEPTED,
        "413": _problem("The image, or something in it, is larger than a limit."),
        "415": _problem("The bytes are no image of an accepted format."),
        "422": _problem("The image is damaged, or the key was used for other bytes."),
        "429": _problem("The client sends too much."),
        "503": _problem("Too much is waiting, or Kafka does not answer: repeat after `Retry-After`."),
    },
    "predict_batch": {
        "200": {
            "description": "A result for each image; those that failed are among them.",
            "content": {
                **_content(JSON, _ref("Results"), _RESULTS_EXAMPLE),
                **_content(NDJSON, {"type": "string", "description": "One ShownResult a line, as they come."}),
            },
        },
        "202": _ACCEPTED,
        "413": _problem("The body or the archive is larger than a limit."),
        "415": _problem("The bytes are neither an image nor an archive."),
        "422": _problem("The archive is damaged or has no image, or the key was used for other bytes."),
        "429": _problem("The client sends too much."),
        "503": _problem("Too much is waiting, or Kafka does not answer: repeat after `Retry-After`."),
    },
    "requests": {
        "200": {"description": "The results so far.", "content": _content(JSON, _ref("Results"), _RESULTS_EXAMPLE)},
        "404": _problem("There is no such request of this client."),
    },
    "results": {
        "200": {
            "description": "Events `result` (a ShownResult), and `lost` with a count if the reader is too slow.",
            "content": _content("text/event-stream", {"type": "string"}),
        }
    },
    "health": {"200": _UP, "503": _DOWN},
    "livez": {"200": _UP},
    "readyz": {"200": _UP, "503": _DOWN},
    "metrics": {"200": {"description": "Metrics.", "content": _content("text/plain", {"type": "string"})}},
}
_SUMMARIES: Final = {
    "predict": "Read one image",
    "predict_batch": "Read several images, or a zip archive",
    "requests": "Show the results of a request so far",
    "results": "Show live results, as server-sent events",
    "health": "Show the state",
    "livez": "Return 200 if the server runs",
    "readyz": "Return 200 if requests can be sent and results be read",
    "metrics": "Show the metrics for Prometheus",
}
_DESCRIPTIONS: Final = {
    "predict": "A failed image is answered by a problem document with the code of its result. Scope `predict`.",
    "predict_batch": "`Accept: application/x-ndjson` gives a line of JSON for each result. Scope `predict`.",
    "requests": "Of this client's own requests, as long as they are in the topics. Scope `read`.",
    "results": "Of this client's own requests. Scope `read`.",
}
