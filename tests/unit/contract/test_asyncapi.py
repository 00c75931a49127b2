"""The AsyncAPI document is up to date and valid AsyncAPI 3."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from contract import asyncapi, headers
from contract.schema import EXAMPLES
from contract.topics import TopicSettings

DOCUMENT = asyncapi.document()
KEPT = Path(__file__).parents[3] / "docs" / "asyncapi.yaml"

REFERENCE = {"type": "object", "required": ["$ref"], "properties": {"$ref": {"type": "string"}}, "maxProperties": 1}
BINDINGS = {
    "type": "object",
    "properties": {"kafka": {"type": "object", "properties": {"bindingVersion": {"const": "0.5.0"}}}},
    "additionalProperties": False,
}
STRUCTURE = {
    "type": "object",
    "required": ["asyncapi", "info"],
    "additionalProperties": False,
    "properties": {
        "asyncapi": {"const": "3.0.0"},
        "info": {
            "required": ["title", "version"],
            "additionalProperties": False,
            "properties": {
                "title": {"type": "string"},
                "version": {"type": "string"},
                "description": {"type": "string"},
                "license": {"required": ["name"]},
            },
        },
        "defaultContentType": {"type": "string"},
        "channels": {
            "additionalProperties": {
                "additionalProperties": False,
                "properties": {
                    "address": {"type": ["string", "null"]},
                    "description": {"type": "string"},
                    "messages": {"additionalProperties": REFERENCE},
                    "bindings": BINDINGS,
                },
            }
        },
        "operations": {
            "additionalProperties": {
                "required": ["action", "channel"],
                "additionalProperties": False,
                "properties": {
                    "action": {"enum": ["send", "receive"]},
                    "channel": REFERENCE,
                    "summary": {"type": "string"},
                    "description": {"type": "string"},
                    "messages": {"type": "array", "items": REFERENCE},
                    "reply": {
                        "additionalProperties": False,
                        "properties": {"channel": REFERENCE, "messages": {"type": "array", "items": REFERENCE}},
                    },
                },
            }
        },
        "components": {
            "additionalProperties": False,
            "properties": {
                "messages": {
                    "additionalProperties": {
                        "additionalProperties": False,
                        "properties": {
                            "summary": {"type": "string"},
                            "description": {"type": "string"},
                            "contentType": {"type": "string"},
                            "headers": {"properties": {"type": {"const": "object"}}, "required": ["type"]},
                            "payload": {"type": "object"},
                            "correlationId": {
                                "required": ["location"],
                                "properties": {"location": {"pattern": r"^\$message\.(header|payload)#(/.+)*$"}},
                            },
                            "bindings": BINDINGS,
                            "examples": {"items": {"anyOf": [{"required": ["payload"]}, {"required": ["headers"]}]}},
                        },
                    }
                },
                "schemas": {"additionalProperties": {"type": "object"}},
            },
        },
    },
}
"""The parts of the specification that the document uses, as it states them."""


def references(tree: Any) -> Iterator[str]:
    if isinstance(tree, dict):
        if isinstance(tree.get("$ref"), str):
            yield tree["$ref"]
        tree = list(tree.values())
    if isinstance(tree, list):
        for branch in tree:
            yield from references(branch)


def resolve(reference: str) -> Any:
    found: Any = DOCUMENT
    for part in reference.removeprefix("#/").split("/"):
        found = found[part]
    return found


def test_the_kept_document_is_the_generated_one() -> None:
    assert KEPT.read_text() == asyncapi.to_yaml(DOCUMENT), "digit-producer schema --asyncapi > docs/asyncapi.yaml"


def test_the_yaml_equals_the_definitions() -> None:
    text = asyncapi.to_yaml(DOCUMENT)
    assert yaml.safe_load(text) == DOCUMENT
    assert "&id" not in text


def test_the_document_has_the_structure_of_asyncapi_3() -> None:
    jsonschema.Draft7Validator(STRUCTURE).validate(DOCUMENT)


def test_every_reference_has_a_target() -> None:
    found = set(references(DOCUMENT))
    assert len(found) > 10
    assert all(isinstance(resolve(reference), dict) for reference in found)


def test_operations_name_messages_of_their_own_channel() -> None:
    for operation in DOCUMENT["operations"].values():
        for side in (operation, operation.get("reply", operation)):
            channel = side["channel"]["$ref"]
            assert all(message["$ref"].startswith(f"{channel}/messages/") for message in side["messages"])


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_result_schema_inside_the_document_accepts_the_examples(name: str) -> None:
    payload = DOCUMENT["components"]["messages"]["result"]["payload"]
    jsonschema.Draft7Validator({**payload, "components": DOCUMENT["components"]}).validate(EXAMPLES[name])


def test_it_has_the_names_of_the_topics_that_are_set() -> None:
    topics = TopicSettings(requests="in", predictions="out", dead_letter="bin")
    channels = asyncapi.document(topics)["channels"]
    assert [channel["address"] for channel in channels.values()] == ["in", "out", "bin"]


def test_headers_of_requests_are_optional_and_those_of_dead_letters_are_not() -> None:
    messages = DOCUMENT["components"]["messages"]
    assert "required" not in messages["request"]["headers"]
    assert headers.ERROR_CODE in messages["deadLetter"]["headers"]["required"]
    assert headers.ITEM_NAME not in messages["deadLetter"]["headers"]["required"]
