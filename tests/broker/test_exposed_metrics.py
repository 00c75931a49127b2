"""A running service and a gateway expose the metrics that dashboard and alerts query."""

from __future__ import annotations

import re
from pathlib import Path

from aiokafka import AIOKafkaProducer
from prometheus_client.parser import text_string_to_metric_families

from models import default_model
from producer.web.settings import AccessSettings, WebSettings
from tests.harness import promql
from tests.harness.gateways import running_gateway
from tests.harness.images import drawn_digits
from tests.harness.service import running_service
from tests.harness.topics import Broker
from tests.harness.waiting import eventually
from tests.harness.web import add_key, client_of

OF_PROMETHEUS = {"up", "ALERTS"}
OF_THE_SCRAPE = {"job", "instance", "namespace"}


async def test_every_metric_that_dashboard_and_alerts_ask_for_is_exposed_with_its_labels(
    broker: Broker, tmp_path: Path
) -> None:
    async with running_service(broker, {"DIGITS_CHALLENGER": str(default_model())}) as service:
        digits = drawn_digits(8) * 260  # drift is shown from 1,000 readings on, of which the older ones count less
        await broker.send(digits)
        await eventually(lambda: service.metric("digits_records_total"), lambda done: done == len(digits))
        assert await service.metric("digits_fetched_bytes_total") >= sum(map(len, digits))
        published = [
            len(record.value) + len(record.key or b"") for record in await broker.read(broker.topics.predictions)
        ]
        assert await service.metric("digits_published_bytes_total", topic="predictions") == sum(published)
        assert await service.metric("digits_request_age_seconds_count") >= 1
        assert await service.metric("digits_worker_cpu_seconds_total") > 0
        assert await service.metric("digits_worker_resident_memory_bytes") > 0
        _, text = await service.get("/metrics")
        of_the_gateway = await metrics_of_a_gateway(broker, tmp_path / "keys.toml")
    values: dict[str, dict[str, set[str]]] = {}
    families = [*text_string_to_metric_families(text), *text_string_to_metric_families(of_the_gateway)]
    for family in families:
        for sample in family.samples:
            labels = values.setdefault(sample.name, {})
            for label, value in sample.labels.items():
                labels.setdefault(label, set()).add(value)
    for rule in promql.rules():
        if "record" in rule:
            values[rule["record"]] = {}

    asked = [(query, selector) for query in promql.queries() for selector in promql.selectors(query)]
    assert len(asked) > 40, "the queries were not found"
    for query, selector in asked:
        if selector.name in OF_PROMETHEUS:
            continue
        assert selector.name in values, query
        exposed = values[selector.name]
        for label, pattern in selector.labels:
            assert label in exposed.keys() | OF_THE_SCRAPE, query
            wanted = pattern.split("|") if label not in OF_THE_SCRAPE else []
            assert set(wanted) <= exposed.get(label, set()), query
    for query in promql.queries():
        of_its_own = {label for each in promql.selectors(query) for label in values.get(each.name, ())} | OF_THE_SCRAPE
        assert promql.grouped(query) <= of_its_own, query


async def metrics_of_a_gateway(broker: Broker, keys_file: Path) -> str:
    """Return what a gateway exposes when it has answered a request without a key and one with it."""
    headers = {"X-API-Key": add_key(keys_file, "shop")}
    settings = WebSettings(wait_s=60, access=AccessSettings(keys_file=keys_file))
    async with running_gateway(broker) as gateway, client_of(gateway, settings) as client:
        await eventually(gateway.state, lambda state: state.keys_ready and state.delay_s is not None)
        digit = drawn_digits(1)[0]
        for more in ({}, {"Idempotency-Key": "k"}):
            response = await client.post("/v1/predict", content=digit, headers=headers | more)
            assert response.status_code == 200
        for path in ("/results", "/v1/results", "/livez", "/readyz", "/nowhere", "/metrics"):
            await client.get(path)

        async def exposed() -> str:
            return (await client.get("/metrics")).text

        # A delay is known again when the marker of the transaction no longer counts as lag.
        text = await eventually(exposed, lambda text: "digits_gateway_delay_seconds" in text)
    samples = {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
    assert samples["digits_gateway_answer_seconds_count",] == 2
    assert samples["digits_gateway_key_transactions_total", "committed"] == 1
    assert samples["digits_gateway_key_transactions_total", "failed"] == 0
    assert samples["digits_gateway_keys_held",] == 1
    return text


async def test_aborted_records_and_markers_leave_no_lag(broker: Broker) -> None:
    await broker.send(drawn_digits(1), partition=0)
    await broker.send_in_transaction(drawn_digits(150), partition=0, abort=True)
    async with running_service(broker) as service:
        await eventually(lambda: service.metric("digits_records_total"), lambda done: done == 1)
        await eventually(lambda: service.metric("digits_lag_records"), lambda lag: lag == 0)
        name = f"{broker.topics.requests}/0"
        assert await service.metric("digits_committed_offset", partition=name) == 152
        await eventually(lambda: service.metric("digits_readable_records"), lambda left: left == 0)
        assert await service.metric("digits_undecided_records") == 0
        assert await service.metric("digits_stable_offset") == 152


async def test_lag_hidden_by_an_open_transaction_has_its_own_metric(broker: Broker) -> None:
    upstream = AIOKafkaProducer(**broker.cluster.client_options, transactional_id=f"upstream-{broker.group_id}")
    async with running_service(broker) as service, upstream:
        async with upstream.transaction():
            for digit in drawn_digits(5):
                await upstream.send_and_wait(broker.topics.requests, digit, partition=0)
            await broker.send(drawn_digits(3), partition=0)  # of another sender, after it
            await eventually(lambda: service.metric("digits_undecided_records"), lambda hidden: hidden == 8)
            assert await service.metric("digits_lag_records") == 8
            assert await service.metric("digits_readable_records") == 0
            assert await service.metric("digits_stable_offset") == 0
            assert await service.metric("digits_records_total") == 0
        await eventually(lambda: service.metric("digits_records_total"), lambda done: done == 8)
        await eventually(lambda: service.metric("digits_undecided_records"), lambda hidden: hidden == 0)


def test_a_legend_names_only_labels_that_its_query_keeps() -> None:
    for panel in promql.dashboard()["panels"]:
        for target in panel.get("targets", []):
            named = set(re.findall(r"{{(\w+)}}", target["legendFormat"]))
            assert named <= (promql.grouped(target["expr"].replace("$__rate_interval", "1m")) or OF_THE_SCRAPE), panel[
                "title"
            ]
