"""The API of the REST service that came before, as its description has it:

* ``POST /predict`` with an image as the form's field ``file`` answers with the digit and the confidence;
* ``POST /predict_batch`` with several images or a zip archive answers with a list in their order;
* ``GET /health`` answers if the service can be used; Swagger is at ``/docs``;
* bad input gets an error, and never a stack trace.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest

from tests.harness.images import zipped
from tests.harness.played_gateway import PlayedGateway
from tests.harness.web import DIGIT, OTHER_DIGIT, THIRD_DIGIT, client_of

IMAGES = {"one.png": DIGIT, "two.png": OTHER_DIGIT, "three.png": THIRD_DIGIT}
EXPECTED = [len(data) % 10 for data in IMAGES.values()]
PATHS = pytest.mark.parametrize("version", ["", "/v1"])


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(PlayedGateway()) as client:
        yield client


@PATHS
async def test_an_image_is_answered_with_its_digit_and_confidence(client: httpx.AsyncClient, version: str) -> None:
    response = await client.post(f"{version}/predict", files={"file": ("seven.png", DIGIT, "image/png")})
    answer = response.json()
    assert response.status_code == 200
    assert answer["digit"] == EXPECTED[0]
    assert 0 <= answer["confidence"] <= 1
    assert answer["item"]["name"] == "seven.png"


@PATHS
async def test_several_images_are_answered_in_their_order(client: httpx.AsyncClient, version: str) -> None:
    files = [("files", (name, data, "image/png")) for name, data in IMAGES.items()]
    response = await client.post(f"{version}/predict_batch", files=files)
    results = response.json()["results"]
    assert response.status_code == 200
    assert [result["digit"] for result in results] == EXPECTED
    assert [result["item"]["name"] for result in results] == list(IMAGES)


@pytest.mark.parametrize("field", ["file", "files"])
async def test_the_images_of_a_zip_are_answered_in_their_order(client: httpx.AsyncClient, field: str) -> None:
    archive = zipped(IMAGES.items())
    response = await client.post("/predict_batch", files={field: ("digits.zip", archive, "application/zip")})
    assert response.status_code == 200
    assert [result["digit"] for result in response.json()["results"]] == EXPECTED


async def test_one_image_in_a_batch_is_a_list_of_one(client: httpx.AsyncClient) -> None:
    response = await client.post("/predict_batch", files={"files": ("one.png", DIGIT, "image/png")})
    assert [result["digit"] for result in response.json()["results"]] == EXPECTED[:1]


async def test_a_damaged_image_in_a_batch_does_not_spoil_the_others(client: httpx.AsyncClient) -> None:
    files = [("files", ("one.png", DIGIT)), ("files", ("bad.png", b"no image")), ("files", ("two.png", OTHER_DIGIT))]
    response = await client.post("/predict_batch", files=files)
    assert response.status_code == 200
    assert [result["status"] for result in response.json()["results"]] == ["recognised", "failed", "recognised"]


async def test_health_answers_that_the_service_can_be_used(client: httpx.AsyncClient) -> None:
    response = await client.get("/health")
    assert response.status_code == 200
    assert response.json()["status"] == "ok"


async def test_swagger_is_at_docs_and_asks_no_other_host(client: httpx.AsyncClient) -> None:
    page = await client.get("/docs")
    assert page.status_code == 200
    assert "swagger-ui" in page.text
    assert "http" not in page.text
    for path in ("/docs/swagger-ui.css", "/docs/swagger-ui-bundle.js", "/docs/start.js", "/openapi.json"):
        assert (await client.get(path)).status_code == 200


async def test_a_file_that_is_no_image_is_refused(client: httpx.AsyncClient) -> None:
    response = await client.post("/predict", files={"file": ("notes.txt", b"seven", "text/plain")})
    _is_problem(response, 415, "unknown-format")


async def test_a_request_without_a_file_is_refused(client: httpx.AsyncClient) -> None:
    _is_problem(await client.post("/predict", data={"name": "x"}, files=[("x", (None, "y"))]), 400, "no-file")
    _is_problem(await client.post("/predict"), 422, "empty-record")


async def test_an_empty_file_is_refused(client: httpx.AsyncClient) -> None:
    _is_problem(await client.post("/predict", files={"file": ("empty.png", b"")}), 422, "empty-record")


async def test_a_damaged_zip_is_refused(client: httpx.AsyncClient) -> None:
    archive = zipped(IMAGES.items())[:-30]
    _is_problem(await client.post("/predict_batch", content=archive), 422, "damaged-archive")


async def test_a_zip_without_images_is_refused(client: httpx.AsyncClient) -> None:
    _is_problem(await client.post("/predict_batch", content=zipped([])), 422, "empty-archive")


async def test_several_images_or_a_zip_do_not_go_to_predict(client: httpx.AsyncClient) -> None:
    files = [("file", ("one.png", DIGIT)), ("file", ("two.png", OTHER_DIGIT))]
    _is_problem(await client.post("/predict", files=files), 400, "several-files")
    _is_problem(await client.post("/predict", content=zipped(IMAGES.items())), 400, "several-files")


async def test_an_unknown_path_and_a_wrong_method_are_problem_documents(client: httpx.AsyncClient) -> None:
    _is_problem(await client.get("/predictions"), 404, "unknown-path")
    response = await client.get("/predict")
    _is_problem(response, 405, "wrong-method")
    assert response.headers["Allow"] == "POST"


def _is_problem(response: httpx.Response, status: int, code: str) -> None:
    document = response.json()
    assert response.status_code == status
    assert response.headers["Content-Type"] == "application/problem+json"
    assert document["code"] == code
    assert document["status"] == status
    assert document["type"].endswith(code)
    assert document["title"]
    assert document["detail"]
