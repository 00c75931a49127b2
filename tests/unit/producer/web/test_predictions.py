"""Requests that send images: keys, waiting, lines, and what becomes a record."""

from __future__ import annotations

import asyncio
import io
import json
import warnings
import zipfile
from typing import Any

import pytest

from contract.errors import ErrorCode
from producer.web.gateway.interface import BusyError, UnavailableError
from producer.web.settings import UploadSettings, WebSettings
from tests.harness.images import zipped
from tests.harness.played_gateway import SEEN, PlayedGateway
from tests.harness.waiting import eventually
from tests.harness.web import DIGIT, OTHER_DIGIT, client_of

SHORT = WebSettings(wait_s=0.05)
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


async def test_bare_bytes_become_the_record_with_their_headers() -> None:
    gateway = PlayedGateway()
    headers = {"Content-Type": "image/png", "traceparent": TRACE, "Correlation-Id": "c-1"}
    async with client_of(gateway) as client:
        response = await client.post("/v1/predict", content=DIGIT, headers=headers)
    (sent,) = gateway.sent
    assert response.json()["request_id"] == sent.request_id
    assert (sent.payload, sent.content_type, sent.filename, sent.once) == (DIGIT, "image/png", None, False)
    assert (sent.traceparent, sent.correlation_id) == (TRACE, "c-1")


async def test_the_answer_has_the_position_of_its_record() -> None:
    async with client_of(PlayedGateway()) as client:
        answer = (await client.post("/predict", content=DIGIT)).json()
    assert (answer["partition"], answer["offset"]) == (0, 100)
    assert answer["source"]["topic"] == "digits.requests"


async def test_a_repeated_key_sends_once_and_gets_the_same_answer() -> None:
    gateway = PlayedGateway()
    async with client_of(gateway) as client:
        first = await client.post("/predict", content=DIGIT, headers={"Idempotency-Key": "order/7"})
        quoted = await client.post("/predict", content=DIGIT, headers={"Idempotency-Key": '"order/7"'})
        found = await client.get("/requests/order%2F7")
    assert len(gateway.sent) == 1
    assert gateway.sent[0].once
    assert first.json() == quoted.json()
    assert found.json() == {"request_id": "order/7", "complete": True, "results": [first.json()]}


async def test_a_key_with_other_bytes_is_refused() -> None:
    async with client_of(PlayedGateway()) as client:
        await client.post("/predict", content=DIGIT, headers={"Idempotency-Key": "k"})
        response = await client.post("/predict", content=OTHER_DIGIT, headers={"Idempotency-Key": "k"})
    assert (response.status_code, response.json()["code"]) == (422, "idempotency-key-reused")


async def test_several_files_with_a_key_are_the_same_bytes_again() -> None:
    gateway = PlayedGateway()
    async with client_of(gateway) as client:
        for _ in range(2):
            files = [("files", ("a.png", DIGIT)), ("files", ("b.png", OTHER_DIGIT))]
            response = await client.post("/predict_batch", files=files, headers={"Idempotency-Key": "k"})
            assert response.status_code == 200
    assert len(gateway.sent) == 1


@pytest.mark.parametrize("key", ["", "two words", "x" * 256, "\t"])
async def test_a_key_that_cannot_be_an_id_is_refused(key: str) -> None:
    gateway = PlayedGateway()
    async with client_of(gateway) as client:
        response = await client.post("/predict", content=DIGIT, headers={"Idempotency-Key": key})
    assert (response.status_code, response.json()["code"]) == (400, "invalid-idempotency-key")
    assert gateway.sent == []


async def test_a_late_answer_is_fetched_at_the_location() -> None:
    gateway = PlayedGateway(hold=True)
    async with client_of(gateway, SHORT) as client:
        response = await client.post("/v1/predict", content=DIGIT, headers={"Idempotency-Key": "a b".replace(" ", "%")})
        location = response.headers["Location"]
        assert response.status_code == 202
        assert response.json() == {"request_id": "a%b", "status": "waiting", "complete": False}
        assert location == "/v1/requests/a%25b"
        assert int(response.headers["Retry-After"]) >= 1
        assert (await client.get(location)).json() == {"request_id": "a%b", "complete": False, "results": []}
        gateway.release()
        assert (await client.get(location)).json()["results"][0]["digit"] == len(DIGIT) % 10
    assert gateway.following == 0


async def test_a_client_may_wait_for_less_than_the_limit() -> None:
    async with client_of(PlayedGateway(hold=True), WebSettings(wait_s=300)) as client:
        response = await client.post("/predict", content=DIGIT, headers={"Prefer": "respond-async, wait=0"})
    assert response.status_code == 202


async def test_a_part_of_a_batch_is_answered_with_202() -> None:
    archive = zipped([("a.png", DIGIT), ("b.png", OTHER_DIGIT)])
    async with client_of(PlayedGateway(most_answers=1), SHORT) as client:
        response = await client.post("/predict_batch", content=archive)
    assert response.status_code == 202
    assert [result["item"]["name"] for result in response.json()["results"]] == ["a.png"]


async def test_lines_come_in_order_and_the_last_one_says_what_is_missing() -> None:
    archive = zipped([("a.png", DIGIT), ("b.png", OTHER_DIGIT)])
    gateway = PlayedGateway()
    async with client_of(gateway, SHORT) as client:
        whole = await client.post("/predict_batch", content=archive, headers={"Accept": "application/x-ndjson"})
        gateway.most_answers = 1
        part = await client.post("/predict_batch", content=archive, headers={"Accept": "application/x-ndjson"})
    assert whole.headers["Content-Type"] == "application/x-ndjson"
    assert [line["item"]["index"] for line in _lines(whole.text)] == [0, 1]
    assert [line["status"] for line in _lines(part.text)] == ["recognised", "waiting"]
    assert gateway.following == 0


async def test_a_request_of_another_gateway_is_found_in_the_log() -> None:
    gateway = PlayedGateway()
    async with client_of(gateway) as client:
        await client.post("/predict", content=DIGIT, headers={"Idempotency-Key": "k"})
        gateway.forgets = True
        response = await client.post("/predict", content=DIGIT, headers={"Idempotency-Key": "k"})
    assert response.json()["digit"] == len(DIGIT) % 10


async def test_an_unsure_image_is_an_answer() -> None:
    async with client_of(PlayedGateway(reads=lambda _: ("unsure", 4))) as client:
        response = await client.post("/predict", content=DIGIT)
    assert (response.status_code, response.json()["status"]) == (200, "unsure")


@pytest.mark.parametrize(
    ("code", "status"),
    [(ErrorCode.TOO_MANY_PIXELS, 413), (ErrorCode.UNKNOWN_FORMAT, 415), (ErrorCode.WORKER_CRASHED, 422)],
)
async def test_a_failed_image_is_a_problem_with_the_code_of_its_result(code: ErrorCode, status: int) -> None:
    async with client_of(PlayedGateway(reads=lambda _: ("failed", code))) as client:
        response = await client.post("/predict", content=DIGIT)
    problem = response.json()
    assert (response.status_code, problem["status"], problem["code"]) == (status, status, code.value)
    assert problem["source"]["partition"] == 3
    assert (problem["detail"], problem["offset"]) == (code.sentence, 100)


async def test_a_busy_gateway_says_when_to_repeat_before_the_body_is_read() -> None:
    gateway = PlayedGateway(refusal=BusyError("120 requests are waiting.", 7))
    async with client_of(gateway) as client:
        response = await client.post("/predict", content=DIGIT)
    assert (response.status_code, response.json()["code"], response.headers["Retry-After"]) == (503, "busy", "7")
    assert response.json()["detail"] == "120 requests are waiting."


async def test_what_is_wrong_with_kafka_is_not_shown_to_clients() -> None:
    gateway = PlayedGateway(refusal=UnavailableError("Kafka does not answer.", why="broker-3.internal:9092"))
    async with client_of(gateway) as client:
        response = await client.post("/predict", content=DIGIT)
    assert (response.status_code, response.json()["code"]) == (503, "unavailable")
    assert "internal" not in response.text


async def test_an_unexpected_error_shows_no_stack_trace() -> None:
    async with client_of(PlayedGateway(refusal=RuntimeError("secret"))) as client:
        response = await client.post("/predict", content=DIGIT)
    assert (response.status_code, response.json()["code"]) == (500, "unexpected-error")
    assert "secret" not in response.text
    assert "Traceback" not in response.text


async def test_files_that_an_archive_would_hide_keep_their_place() -> None:
    gateway = PlayedGateway()
    names = [".DS_Store", "../../etc/passwd", "C:\\x\\thumbs.db", "a\x00b.png"]
    async with client_of(gateway) as client:
        await client.post("/predict_batch", files=[("files", (name, DIGIT)) for name in names])
    with zipfile.ZipFile(io.BytesIO(gateway.sent[0].payload)) as archive:
        assert archive.namelist()[:3] == ["file-0-.DS_Store", "passwd", "file-2-thumbs.db"]
        assert len(archive.namelist()) == 4


async def test_files_of_the_same_name_are_all_read_and_leave_no_warning() -> None:
    files = [("files", ("image.png", data)) for data in (DIGIT, OTHER_DIGIT)]
    with warnings.catch_warnings(record=True) as left:
        warnings.simplefilter("always")
        async with client_of(PlayedGateway()) as client:
            response = await client.post("/predict_batch", files=files)
    results = response.json()["results"]
    assert [result["digit"] for result in results] == [len(DIGIT) % 10, len(OTHER_DIGIT) % 10]
    assert [result["item"]["name"] for result in results] == ["image.png"] * 2
    assert left == []


async def test_no_body_stays_in_memory_while_its_answer_is_awaited() -> None:
    gateway = PlayedGateway(hold=True)
    settings = WebSettings(upload=UploadSettings(bodies_bytes=len(DIGIT)))
    async with client_of(gateway, settings) as client:
        waiting = asyncio.create_task(client.post("/predict", content=DIGIT))
        await eventually(lambda: gateway.following == 1)
        gateway.hold = False
        assert (await client.post("/predict", content=DIGIT)).status_code == 200
        gateway.release()
        assert (await waiting).status_code == 200


@pytest.mark.parametrize("path", ["/v1/predict", "/predict"])
async def test_a_client_who_asks_gets_the_picture_that_the_model_saw(path: str) -> None:
    gateway = PlayedGateway()
    async with client_of(gateway) as client:
        asked = await client.post(f"{path}?seen=true", content=DIGIT)
        plain = await client.post(path, content=DIGIT)
    assert [sent.seen for sent in gateway.sent] == [True, False]
    assert asked.json()["seen"] == SEEN
    assert "seen" not in plain.json()


@pytest.mark.parametrize("query", ["seen", "seen=", "seen=false", "seen=1", "seen=TRUE", "seen=true%00", "Seen=true"])
async def test_any_other_wish_than_true_is_none(query: str) -> None:
    gateway = PlayedGateway()
    async with client_of(gateway) as client:
        response = await client.post(f"/predict?{query}", content=DIGIT)
    assert response.status_code == 200
    assert "seen" not in response.json()
    assert not gateway.sent[0].seen


async def test_what_the_model_saw_is_shown_only_to_requests_that_ask_for_it() -> None:
    gateway = PlayedGateway()
    key = {"Idempotency-Key": "k"}
    async with client_of(gateway) as client:
        await client.post("/predict?seen=true", content=DIGIT, headers=key)
        again = [await client.post(path, content=DIGIT, headers=key) for path in ("/predict", "/predict?seen=true")]
        found = [await client.get(path) for path in ("/requests/k", "/requests/k?seen=true")]
    assert len(gateway.sent) == 1
    assert [response.json().get("seen") for response in again] == [None, SEEN]
    assert [response.json()["results"][0].get("seen") for response in found] == [None, SEEN]


async def test_a_key_that_was_sent_without_the_wish_keeps_its_answer() -> None:
    gateway = PlayedGateway()
    async with client_of(gateway) as client:
        first = await client.post("/predict", content=DIGIT, headers={"Idempotency-Key": "k"})
        again = await client.post("/predict?seen=true", content=DIGIT, headers={"Idempotency-Key": "k"})
    assert len(gateway.sent) == 1
    assert again.json() == first.json()


async def test_a_failed_image_has_no_picture_that_the_model_saw() -> None:
    async with client_of(PlayedGateway()) as client:
        response = await client.post("/predict?seen=true", content=b"no image")
    assert response.status_code == 415
    assert "seen" not in response.json()


async def test_an_unknown_request_is_not_found() -> None:
    async with client_of(PlayedGateway()) as client:
        response = await client.get("/v1/requests/nothing")
    assert (response.status_code, response.json()["code"]) == (404, "unknown-request")


def _lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]
