"""Requests that Schemathesis makes of the OpenAPI document, as it allows them and as it does not."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
import schemathesis
from hypothesis import HealthCheck, given
from hypothesis import settings as bounded
from schemathesis import Case, GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.schemas import APIOperation
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from contract.errors import ErrorCode
from producer.web.problems import Refusal
from producer.web.settings import WebSettings
from tests.harness.played_gateway import PlayedGateway
from tests.harness.web_server import running_server

DOCUMENT: Final = Path(__file__).parents[4] / "docs" / "openapi.json"
EXAMPLES: Final = 25
"""For each operation and each mode."""
CHECKS: Final = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
OUTCOMES: Final[list[tuple[str, Any]]] = [
    ("recognised", 7),
    ("unsure", 7),
    *(("failed", code) for code in ErrorCode),
]
CODES: Final = {*(each.value for each in Refusal), *(each.value for each in ErrorCode)}


def _operations() -> Iterator[APIOperation[Any, Any, Any, Any]]:
    for found in schemathesis.openapi.from_path(DOCUMENT).get_all_operations():
        assert isinstance(found, Ok)
        yield found.ok()


RUNS: Final = [
    pytest.param(operation, mode, id=f"{operation.label}-{mode.value}")
    for operation in _operations()
    for mode in GenerationMode
    if mode is GenerationMode.POSITIVE or "parameters" in operation.definition.raw  # else there is nothing to violate
]


def read(data: bytes) -> tuple[str, Any]:
    """Play the model, so that any bytes may have any result."""
    return OUTCOMES[zlib.crc32(data) % len(OUTCOMES)]


@pytest.mark.parametrize(("operation", "mode"), RUNS)
async def test_no_request_gets_an_answer_that_is_not_in_the_document(
    operation: APIOperation[Any, Any, Any, Any], mode: GenerationMode
) -> None:
    statuses: set[int] = set()
    async with running_server(PlayedGateway(reads=read), web=WebSettings(live_s=0.01)) as server:

        @bounded(
            max_examples=EXAMPLES,
            derandomize=True,
            database=None,
            suppress_health_check=list(HealthCheck),
        )
        @given(case=operation.as_strategy(generation_mode=mode))
        def check(case: Case[Any]) -> None:
            response = case.call_and_validate(base_url=server.url, checks=CHECKS, timeout=60)
            statuses.add(response.status_code)
            if response.headers["content-type"] == ["application/problem+json"]:
                assert response.json()["code"] in CODES

        await asyncio.to_thread(check)
    assert statuses
