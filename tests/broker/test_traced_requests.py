"""The spans and log lines of a sampled request, from the real service and a collector."""

from __future__ import annotations

from itertools import pairwise

from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from broker.ports import free_ports
from broker.probe import HOST
from contract import headers
from tests.harness import blocking_guard, poison
from tests.harness.images import drawn_digits, zipped
from tests.harness.poison import poisoned
from tests.harness.service import running_service
from tests.harness.topics import Broker
from tests.harness.trace_collector import attributes, running_collector
from tests.harness.waiting import eventually

PARENT = "b7ad6b7169203331"
DIGIT, DAMAGED, ARCHIVE, NOT_SAMPLED = ("1" * 32, "2" * 32, "3" * 32, "4" * 32)


def traceparent(trace_id: str, flags: str = "01") -> tuple[str, bytes]:
    return (headers.TRACEPARENT, f"00-{trace_id}-{PARENT}-{flags}".encode())


async def test_only_sampled_requests_are_traced_from_fetch_to_commit(broker: Broker) -> None:
    digit = drawn_digits(1)[0]
    killer = zipped([("good.png", digit), ("bad.png", poisoned("segfault"))])
    async with running_collector() as collector:
        tracing = {"DIGITS_TRACING__RECORDS_PER_S": "100", "OTEL_EXPORTER_OTLP_ENDPOINT": collector.endpoint}
        debugging = {"DIGITS_LOG__LEVEL": "debug", "PYTHONPATH": poison.PYTHONPATH}
        async with running_service(broker, tracing | debugging) as service:
            ((partition, offset),) = await broker.send([digit], partition=1, headers=[traceparent(DIGIT)])
            await broker.send([digit[:60]], partition=2, headers=[traceparent(DAMAGED)])
            await broker.send([killer], partition=3, headers=[traceparent(ARCHIVE), (headers.REQUEST_ID, b"order-7")])
            await broker.send([digit], partition=4, headers=[traceparent(NOT_SAMPLED, flags="00")])
            await broker.send([digit], partition=5, headers=[(headers.TRACEPARENT, b"00-nonsense-01")])
            await broker.send([digit], partition=6)
            await broker.everything_answered()
            await eventually(lambda: service.metric("digits_traces_total", end="recorded"), lambda count: count == 3)
            service.terminate()
            assert await service.wait() == 0
            events = service.events
    assert {span.trace_id.hex() for span in collector.spans} == {DIGIT, DAMAGED, ARCHIVE}
    assert attributes(collector.resources[0])["service.name"] == "digitstream"

    process, send = f"process {broker.topics.requests}", f"send {broker.topics.predictions}"
    spans = collector.trace(DIGIT)
    assert set(spans) == {process, "wait", "classify", send}
    assert spans[process].parent_span_id.hex() == PARENT
    assert {spans[each].parent_span_id for each in ("wait", "classify", send)} == {spans[process].span_id}
    assert (spans[process].kind, spans[send].kind) == (Span.SPAN_KIND_CONSUMER, Span.SPAN_KIND_PRODUCER)
    stages = [spans["wait"], spans["classify"], spans[send]]
    assert all(before.end_time_unix_nano <= after.start_time_unix_nano for before, after in pairwise(stages))
    assert spans[process].start_time_unix_nano == stages[0].start_time_unix_nano
    assert spans[process].end_time_unix_nano == stages[-1].end_time_unix_nano
    said = attributes(spans[process])
    assert said["messaging.destination.partition.id"] == str(partition)
    assert said["messaging.kafka.offset"] == offset
    assert said["messaging.consumer.group.name"] == broker.group_id
    assert spans[process].status.code == Status.STATUS_CODE_UNSET

    assert collector.trace(DAMAGED)[process].status.code == Status.STATUS_CODE_ERROR
    assert attributes(collector.trace(DAMAGED)[process])["error.type"] == "damaged-image"
    assert attributes(collector.trace(ARCHIVE)[process])["digits.request_id"] == "order-7"

    (quarantined,) = [event for event in events if event["event"] == "item quarantined"]
    assert (quarantined["request_id"], quarantined["trace_id"]) == ("order-7", ARCHIVE)
    ids = {trace: attributes(collector.trace(trace)[process])["digits.request_id"] for trace in (DAMAGED, ARCHIVE)}
    assert ids == {DAMAGED: f"{broker.topics.requests}/2/0", ARCHIVE: "order-7"}
    failed = {
        (event["trace_id"], event["code"], event["request_id"]) for event in events if event["event"] == "item failed"
    }
    assert failed == {(DAMAGED, "damaged-image", ids[DAMAGED]), (ARCHIVE, "worker-crashed", ids[ARCHIVE])}


async def test_an_unreachable_collector_delays_no_request(broker: Broker) -> None:
    unreachable = f"http://{HOST}:{free_ports(1)[0]}"
    settings = {"DIGITS_TRACING__RECORDS_PER_S": "1", "OTEL_EXPORTER_OTLP_ENDPOINT": unreachable}
    async with running_service(broker, settings | {"PYTHONPATH": blocking_guard.PYTHONPATH}) as service:
        await broker.send(drawn_digits(500), headers=[traceparent(DIGIT)])
        await broker.everything_answered()
        await eventually(lambda: service.metric("digits_traces_total"), lambda count: count == 500)
        recorded = await service.metric("digits_traces_total", end="recorded")
        assert 1 <= recorded < 100, "500 records took a minute and a half"
        service.terminate()
        assert await service.wait() == 0
        assert blocking_guard.ON_GUARD in service.log
