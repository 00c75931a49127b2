"""The picture that the model saw, from a worker of the real service through the topics to an HTTP client."""

from __future__ import annotations

import base64

import numpy as np

from contract import headers
from contract.records import read_result
from engine.codecs.decode import decode
from engine.limits import Limits
from engine.model.classifier import Classifier
from models import default_model
from producer.web.settings import WebSettings
from tests.harness.gateways import TIMEOUT_S, running_gateway
from tests.harness.images import zipped
from tests.harness.producer_command import AUDIT_S, command, ended
from tests.harness.service import running_service
from tests.harness.topics import Broker
from tests.harness.web import DIGIT, OTHER_DIGIT, client_of

PATIENT = WebSettings(wait_s=TIMEOUT_S)
KEY = {"Idempotency-Key": "seven"}


async def test_clients_who_ask_get_what_the_model_saw_also_from_another_gateway(broker: Broker) -> None:
    archive = zipped([("a.png", DIGIT), ("b.png", OTHER_DIGIT)])
    async with running_service(broker):
        async with running_gateway(broker) as gateway, client_of(gateway, PATIENT) as client:
            asked = await client.post("/v1/predict?seen=true", content=DIGIT, headers=KEY)
            plain = await client.post("/v1/predict", content=DIGIT)
            batch = await client.post("/v1/predict_batch?seen=true", content=archive)
        async with running_gateway(broker) as restarted, client_of(restarted, PATIENT) as client:
            found = [await client.get(f"/v1/requests/seven{query}") for query in ("", "?seen=true")]
            again = await client.post("/v1/predict?seen=true", content=DIGIT, headers=KEY)
    (expected,) = Classifier.load(default_model()).prepare([decode(DIGIT, Limits())]).digits
    shown = decode(base64.b64decode(asked.json()["seen"], validate=True), Limits()).pixels
    np.testing.assert_array_equal(shown, np.rint(expected * 255))
    assert "seen" not in plain.json()
    assert [result.get("seen") for result in batch.json()["results"]] == [None, None]
    assert [response.json()["results"][0].get("seen") for response in found] == [None, asked.json()["seen"]]
    assert again.json() == asked.json()

    sent = [dict(record.headers).get(headers.SEEN) for record in await broker.read(broker.topics.requests)]
    assert sorted(map(str, sent)) == ["None", "b'true'", "b'true'"]
    results = [read_result(record.value) for record in await broker.read(broker.topics.predictions)]
    assert [result.seen for result in results if result.seen is not None] == [asked.json()["seen"]]
    async with command(broker, "audit", "--json") as audit:
        assert (await ended(audit, AUDIT_S)).exit_code == 0
