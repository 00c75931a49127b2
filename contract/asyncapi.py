"""The wire contract as an AsyncAPI 3 document, derived from the definitions that the code itself uses.

https://www.asyncapi.com/docs/reference/specification/v3.0.0, with the Kafka bindings 0.5.0.
"""

from __future__ import annotations

from importlib.metadata import version
from typing import Any, Final

import yaml

from contract import headers
from contract.errors import ErrorCode
from contract.schema import EXAMPLES, result_definitions
from contract.topics import TopicSettings

BINDING_VERSION: Final = "0.5.0"
NUMBERS: Final = frozenset(
    {
        headers.ORIGIN_PARTITION,
        headers.ORIGIN_OFFSET,
        headers.ORIGIN_TIMESTAMP_MS,
        headers.ITEM_INDEX,
        headers.ITEM_COUNT,
        headers.ATTEMPT,
    }
)
"""Headers whose value is a decimal number."""
REQUEST_HEADERS: Final = (
    *headers.ECHOED,
    headers.CONTENT_TYPE,
    headers.FILENAME,
    headers.SEEN,
    headers.ATTEMPT,
    headers.REPLAY_OF,
)
DEAD_LETTER_HEADERS: Final = (
    headers.ORIGIN_TOPIC,
    headers.ORIGIN_PARTITION,
    headers.ORIGIN_OFFSET,
    headers.ORIGIN_TIMESTAMP_MS,
    headers.ITEM_INDEX,
    headers.ITEM_COUNT,
    headers.RESULT_ID,
    headers.REQUEST_ID,
    headers.ERROR_CODE,
    headers.ERROR_MESSAGE,
    headers.ATTEMPT,
)
"""The headers of every dead letter; further ones are optional."""


def document(topics: TopicSettings | None = None) -> dict[str, Any]:
    """Return the AsyncAPI document for these topic names, by default the default ones."""
    topics = topics or TopicSettings()
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Digitstream",
            "version": version("digitstream"),
            "description": "Put images or zip archives of handwritten digits on one topic, get one prediction per "
            "image on another: exactly once, and in order within a partition. Read the predictions with "
            "`isolation.level=read_committed`.",
            "license": {"name": "MIT"},
        },
        "defaultContentType": "application/json",
        "channels": {
            "requests": _channel(topics, topics.requests, "request", "Images and zip archives come in here."),
            "predictions": _channel(topics, topics.predictions, "result", "One result per image goes out here."),
            "deadLetters": _channel(topics, topics.dead_letter, "deadLetter", "Original bytes of what failed."),
        },
        "operations": _operations(),
        "components": _components(),
    }


def to_yaml(tree: dict[str, Any]) -> str:
    """Return a document as YAML, in the order of its keys."""
    return yaml.dump(tree, Dumper=_PlainDumper, sort_keys=False, allow_unicode=True, width=110)


class _PlainDumper(yaml.SafeDumper):
    """Writes equal parts twice instead of using anchors, which not every AsyncAPI tool reads."""

    def ignore_aliases(self, data: object) -> bool:  # noqa: ARG002  # the base class asks per object
        return True


def _channel(topics: TopicSettings, name: str, message: str, description: str) -> dict[str, Any]:
    configs: dict[str, Any] = dict(topics.creation_configs()[name])
    configs["max.message.bytes"] = int(configs["max.message.bytes"])
    configs["cleanup.policy"] = [configs["cleanup.policy"]]  # the binding requires a list
    return {
        "address": name,
        "description": description,
        "messages": {message: {"$ref": f"#/components/messages/{message}"}},
        "bindings": {"kafka": {"topicConfiguration": configs, "bindingVersion": BINDING_VERSION}},
    }


def _operations() -> dict[str, Any]:
    return {
        "answerRequest": {
            "action": "receive",
            "channel": {"$ref": "#/channels/requests"},
            "summary": "Classify every image of a request.",
            "description": "A request has as many results as it has images, at least one. They are written to the "
            "partition of the same number, in the order of the requests, in one transaction.",
            "messages": [{"$ref": "#/channels/requests/messages/request"}],
            "reply": {
                "channel": {"$ref": "#/channels/predictions"},
                "messages": [{"$ref": "#/channels/predictions/messages/result"}],
            },
        },
        "publishDeadLetter": {
            "action": "send",
            "channel": {"$ref": "#/channels/deadLetters"},
            "summary": "Write the bytes of every failed item, in the same transaction as its failed result.",
            "messages": [{"$ref": "#/channels/deadLetters/messages/deadLetter"}],
        },
    }


def _components() -> dict[str, Any]:
    result, definitions = result_definitions("#/components/schemas/{model}")
    return {
        "messages": {
            "request": {
                "summary": "An image (PNG, JPEG, HEIC, AVIF, WebP, GIF, BMP, TIFF), or a zip archive of such images.",
                "contentType": "application/octet-stream",
                "headers": _headers(required=(), optional=REQUEST_HEADERS),
                "payload": _bytes("The bytes of the file, unchanged; the service recognises the format by them alone."),
                "correlationId": _request_id_header(),
                "bindings": _key("Optional. Requests of one key keep their order; it comes back unchanged."),
            },
            "result": {
                "summary": "The answer to one image.",
                "contentType": "application/json",
                "headers": _headers(required=(), optional=headers.ECHOED),
                "payload": {"$ref": "#/components/schemas/Result"},
                "correlationId": _request_id_header(),
                "bindings": _key("The key of the request."),
                "examples": [{"name": name, "payload": example} for name, example in EXAMPLES.items()],
            },
            "deadLetter": {
                "summary": "The original bytes of a failed item: the value of the request, or for an entry of an "
                "archive the bytes of the entry.",
                "description": "The headers of the request come first, these after them.",
                "contentType": "application/octet-stream",
                "headers": _headers(
                    required=DEAD_LETTER_HEADERS,
                    optional=(headers.ITEM_NAME, headers.VALUE_LEFT_OUT, headers.HEADERS_LEFT_OUT),
                ),
                "payload": _bytes(f"Null if the header `{headers.VALUE_LEFT_OUT}` is present."),
                "correlationId": _request_id_header(),
                "bindings": _key("The key of the request."),
            },
        },
        "schemas": {"Result": result, **definitions},
    }


def _headers(*, required: tuple[str, ...], optional: tuple[str, ...]) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "object", "properties": {name: _header(name) for name in (*required, *optional)}}
    if required:
        schema["required"] = list(required)
    return schema


def _header(name: str) -> dict[str, Any]:
    header: dict[str, Any] = {"type": "string", "description": headers.ABOUT[name]}
    if name in NUMBERS:
        header["pattern"] = "^-?[0-9]+$"
    if name == headers.SEEN:
        header["examples"] = [headers.SEEN_ASKED.decode()]
    if name == headers.ERROR_CODE:
        header["examples"] = [code.value for code in ErrorCode]
    return header


def _bytes(description: str) -> dict[str, Any]:
    return {"type": ["string", "null"], "format": "binary", "description": description}


def _key(description: str) -> dict[str, Any]:
    return {"kafka": {"key": _bytes(description), "bindingVersion": BINDING_VERSION}}


def _request_id_header() -> dict[str, Any]:
    return {"location": f"$message.header#/{headers.REQUEST_ID}"}
