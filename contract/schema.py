"""The result record as JSON Schema, derived from `contract.records`."""

from __future__ import annotations

from typing import Any, Final

from pydantic.json_schema import GenerateJsonSchema

from contract.errors import ErrorCode
from contract.records import Reason, Result, Status

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
SCHEMA_ID: Final = "urn:digitstream:result:1"
"""The id of the schema, independent of where it is stored; the number is that of the field `schema`."""
ANSWER: Final = ("digit", "confidence", "probabilities")
"""The fields that are null exactly when `error` is set."""


def result_schema() -> dict[str, Any]:
    """Return the JSON Schema of a result, without references to other documents.

    The rules between fields (what `failed` and `unsure` imply) are part of it. Unknown fields and unknown codes are
    valid, because both may be added.
    """
    schema, definitions = result_definitions("#/$defs/{model}")
    return {"$schema": DIALECT, "$id": SCHEMA_ID, **schema, "$defs": definitions}


def result_definitions(ref_template: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the schema of a result, and by name the schemas that it refers to with `ref_template`."""
    schema = Result.model_json_schema(ref_template=ref_template, schema_generator=_Untitled)
    definitions = schema.pop("$defs")
    definitions["Error"]["properties"]["code"]["examples"] = [code.value for code in ErrorCode]
    schema["properties"]["reason"]["examples"] = [reason.value for reason in Reason]
    schema["allOf"] = [
        _exactly_when(Status.FAILED, set_fields=("error",), null_fields=ANSWER),
        _exactly_when(Status.UNSURE, set_fields=("reason",), null_fields=()),
    ]
    return schema, definitions


class _Untitled(GenerateJsonSchema):
    """Leaves out titles that only repeat a field's name: code generators would make a type of each."""

    def field_title_should_be_set(self, schema: Any) -> bool:  # noqa: ARG002  # pydantic asks per schema
        return False


def _exactly_when(status: Status, *, set_fields: tuple[str, ...], null_fields: tuple[str, ...]) -> dict[str, Any]:
    null: dict[str, Any] = {"type": "null"}
    value: dict[str, Any] = {"not": null}
    return {
        "if": {"properties": {"status": {"const": status.value}}},
        "then": {"properties": dict.fromkeys(set_fields, value) | dict.fromkeys(null_fields, null)},
        "else": {"properties": dict.fromkeys(set_fields, null) | dict.fromkeys(null_fields, value)},
    }


_COMMON: Final[dict[str, Any]] = {
    "schema": 1,
    "source": {"topic": "digits.requests", "partition": 3, "offset": 1042, "timestamp_ms": 1767225600000},
    "model": {"name": "compact", "version": "1", "sha256": "9f" * 32},
    "timing": {"received_at_ms": 1767225600008, "classified_at_ms": 1767225600011},
}

EXAMPLES: Final[dict[str, dict[str, Any]]] = {
    "recognised": {
        **_COMMON,
        "result_id": "digits.requests/3/1042/0",
        "request_id": "order-7",
        "item": {"index": 0, "count": 1, "name": "seven.png"},
        "status": "recognised",
        "digit": 7,
        "confidence": 0.9987,
        "probabilities": [0, 0.0001, 0.0002, 0.0001, 0.0001, 0, 0, 0.9987, 0.0001, 0.0007],
        "reason": None,
        "error": None,
    },
    "unsure": {
        **_COMMON,
        "result_id": "digits.requests/3/1042/0",
        "request_id": "digits.requests/3/1042",
        "item": {"index": 0, "count": 1, "name": None},
        "status": "unsure",
        "digit": 4,
        "confidence": 0.5312,
        "probabilities": [0.0004, 0.0011, 0.0009, 0.0002, 0.5312, 0.0003, 0.0001, 0.0093, 0.0015, 0.455],
        "reason": Reason.LOW_CONFIDENCE.value,
        "error": None,
    },
    "failed": {
        **_COMMON,
        "result_id": "digits.requests/3/1042/12",
        "request_id": "batch-2026-01-01",
        "item": {"index": 12, "count": 500, "name": "scans/012.png"},
        "status": "failed",
        "digit": None,
        "confidence": None,
        "probabilities": None,
        "reason": None,
        "error": {"code": ErrorCode.DAMAGED_IMAGE.value, "message": ErrorCode.DAMAGED_IMAGE.sentence},
    },
}
"""An example of a result for each status."""
