"""The OpenAPI document: it is current, complete, and what the server answers fits it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import jsonschema
import pytest

from contract.errors import ErrorCode
from producer.web.gateway.interface import BusyError
from producer.web.problems import Refusal, status_of
from producer.web.settings import ServeSettings, WebSettings
from tests.harness.images import zipped
from tests.harness.openapi import served
from tests.harness.played_gateway import PlayedGateway
from tests.harness.web import DIGIT, client_of
from transport.settings.kafka import variables

KEPT = Path(__file__).parents[4] / "docs" / "openapi.json"
DOCUMENT: dict[str, Any] = json.loads(KEPT.read_text(encoding="utf-8"))


async def test_the_kept_document_is_current() -> None:
    assert KEPT.read_text(encoding="utf-8") == await served(), (
        "make it again: python -m tests.harness.openapi > docs/openapi.json"
    )


def test_every_path_of_the_api_is_in_the_document() -> None:
    assert DOCUMENT["openapi"].startswith("3.1")
    assert {(method, path) for path, methods in DOCUMENT["paths"].items() for method in methods} == {
        ("post", "/v1/predict"),
        ("post", "/v1/predict_batch"),
        ("get", "/v1/requests/{request_id}"),
        ("get", "/v1/results"),
        ("get", "/health"),
        ("get", "/livez"),
        ("get", "/readyz"),
        ("get", "/metrics"),
    }


def test_every_reference_leads_somewhere() -> None:
    for reference in _references(DOCUMENT):
        found: Any = DOCUMENT
        for part in reference.removeprefix("#/").split("/"):
            found = found[part]


def test_every_code_is_in_the_document_and_has_a_status() -> None:
    codes = DOCUMENT["components"]["schemas"]["Problem"]["properties"]["code"]["examples"]
    assert set(codes) == {*(each.value for each in Refusal), *(each.value for each in ErrorCode)}
    assert all(400 <= status_of(code) < 500 for code in ErrorCode)


def test_every_example_fits_its_schema() -> None:
    checked = 0
    for methods in DOCUMENT["paths"].values():
        for operation in methods.values():
            for answer in operation["responses"].values():
                for content in answer.get("content", {}).values():
                    if "example" in content:
                        _check(content["example"], content["schema"])
                        checked += 1
    assert checked > 5


@pytest.mark.parametrize(
    ("gateway", "content", "path"),
    [
        (PlayedGateway(), DIGIT, "/v1/predict"),
        (PlayedGateway(), DIGIT, "/v1/predict?seen=true"),
        (PlayedGateway(), b"no image", "/v1/predict"),
        (PlayedGateway(most_answers=0), DIGIT, "/v1/predict"),
        (PlayedGateway(refusal=BusyError("Busy.", 1)), DIGIT, "/v1/predict"),
        (PlayedGateway(), zipped([("a.png", DIGIT), ("b.txt", b"no image")]), "/v1/predict_batch"),
        (PlayedGateway(most_answers=1), zipped([("a.png", DIGIT), ("b.png", DIGIT)]), "/v1/predict_batch"),
        (PlayedGateway(), zipped([]), "/v1/predict_batch"),
    ],
)
async def test_what_the_server_answers_fits_the_document(gateway: PlayedGateway, content: bytes, path: str) -> None:
    async with client_of(gateway, WebSettings(wait_s=0.05)) as client:
        response = await client.post(path, content=content, headers={"Idempotency-Key": "k"})
        _fits(response, DOCUMENT["paths"][path.partition("?")[0]]["post"])
        _fits(await client.get("/v1/requests/k"), DOCUMENT["paths"]["/v1/requests/{request_id}"]["get"])
        for probe in ("/health", "/livez", "/readyz"):
            _fits(await client.get(probe), DOCUMENT["paths"][probe]["get"])


def _fits(response: httpx.Response, operation: dict[str, Any]) -> None:
    answers = operation["responses"]
    answer = answers.get(str(int(response.status_code))) or answers["default"]
    _check(response.json(), answer["content"][response.headers["Content-Type"]]["schema"])
    for name, header in answer.get("headers", {}).items():
        assert not header.get("required") or name in response.headers


def _check(value: object, schema: dict[str, Any]) -> None:
    jsonschema.validate(value, schema | {"components": DOCUMENT["components"]}, jsonschema.Draft202012Validator)


def _references(part: object) -> Iterator[str]:
    if isinstance(part, dict):
        for name, value in part.items():
            if name == "$ref":
                yield value
            yield from _references(value)
    elif isinstance(part, list):
        for value in part:
            yield from _references(value)


def test_the_page_for_callers_names_every_code_and_only_settings_that_exist() -> None:
    page = (KEPT.parent / "http.md").read_text(encoding="utf-8")
    assert [code for code in Refusal if f"`{code}`" not in page] == []
    known = variables(ServeSettings)
    named = set(re.findall(r"DIGITS_WEB__[A-Z_]*[A-Z]", page))
    assert named <= set(known)
    table = re.findall(r"^\| (`[A-Z_`, ]+) \|", page, re.MULTILINE)
    assert len(table) > 5
    assert {f"DIGITS_WEB__{name}" for row in table for name in re.findall(r"[A-Z_]+", row)} <= set(known)
