"""What the real service reports to Sentry, and that a receiver that hangs holds up neither requests nor the end."""

from __future__ import annotations

import os
import signal

from broker.probe import HOST
from contract import headers
from release import version
from tests.harness import blocking_guard, poison
from tests.harness.images import drawn_digits
from tests.harness.poison import poisoned
from tests.harness.processes import environment_of, workers_of
from tests.harness.sentry_receiver import KEY, Receiver, running_receiver
from tests.harness.service import START_DEADLINE_S, running_service, starting_service
from tests.harness.topics import Broker
from tests.harness.waiting import eventually

SECRET = "open sesame"  # noqa: S105  # made up


def reported(receiver: Receiver) -> dict[str, str]:
    return {"DIGITS_SENTRY_DSN": receiver.dsn, "DIGITS_SENTRY_ENVIRONMENT": "test-bench"}


def named(request_id: bytes) -> list[tuple[str, bytes]]:
    return [(headers.REQUEST_ID, request_id), (headers.FILENAME, b"a-private-name.png"), ("other", SECRET.encode())]


async def test_faults_are_reported_with_their_place_and_nothing_secret(broker: Broker) -> None:
    digit = drawn_digits(1)[0]
    with running_receiver() as receiver:
        environment = reported(receiver) | {"PYTHONPATH": poison.PYTHONPATH, "OTEL_EXPORTER_OTLP_HEADERS": SECRET}
        async with running_service(broker, environment | {"DIGITS_LOG__LEVEL": "debug"}) as service:
            workers = [environment_of(pid) for pid in workers_of(service.process.pid)]
            await broker.send([digit, digit[:60]], partition=2, headers=named(b"order-6"))
            await broker.send([poisoned("segfault")], partition=3, headers=named(b"order-7"))
            await broker.everything_answered()
            await broker.send([digit, poisoned("internal")], partition=4, headers=named(b"order-8"))
            await broker.everything_answered()
            await eventually(lambda: len(receiver.events), lambda count: count >= 4)
            service.terminate()
            assert await service.wait() == 0
            log = service.log
    crashed, internal = receiver.event(request_id="order-7"), receiver.event(request_id="order-8")
    assert crashed["tags"] == {
        "code": "worker-crashed",
        "topic": broker.topics.requests,
        "partition": "3",
        "offset": "0",
        "item": "0",
        "items": "1",
        "request_id": "order-7",
    }
    assert (internal["tags"]["partition"], internal["tags"]["offset"]) == ("4", "1")
    assert "internal-error RuntimeError at tests/harness/poison.py:" in internal["message"]
    deaths = [event for event in receiver.events if event["message"].startswith("worker replaced")]
    assert {event["tags"]["offset"] for event in deaths} == {"0"}
    assert len(receiver.events) == len(deaths) + 2, "a damaged image is no fault"
    assert {event["release"] for event in receiver.events} == {f"digitstream@{version()}"}
    assert {event["environment"] for event in receiver.events} == {"test-bench"}
    sent = b"".join(receiver.bodies)
    for unwanted in (SECRET, KEY, "POISON", "a-private-name", "PNG", "IHDR"):
        assert unwanted.encode() not in sent
    assert KEY not in log
    assert workers
    assert not [each for each in workers if KEY.encode() in each]


async def test_a_fatal_end_is_reported_with_its_reason(broker: Broker) -> None:
    with running_receiver() as receiver:
        settings = reported(receiver) | {"DIGITS_KAFKA__BOOTSTRAP_SERVERS": f"{HOST}:1", "DIGITS_KAFKA__WAIT_S": "0.1"}
        async with starting_service(broker, settings) as service:
            assert await service.wait(deadline_s=START_DEADLINE_S) == 1
            (fatal,) = [event for event in service.events if event["level"] == "error"]
    (event,) = receiver.events
    assert event["level"] == "fatal"
    assert event["exception"]["values"][-1]["value"] == fatal["why"]
    assert event["exception"]["values"][-1]["stacktrace"]["frames"]


async def test_a_receiver_that_hangs_delays_no_request_and_no_end(broker: Broker) -> None:
    with running_receiver() as receiver:
        receiver.answers.clear()
        settings = reported(receiver) | {"PYTHONPATH": blocking_guard.PYTHONPATH}
        async with running_service(broker, settings) as service:
            for pid in workers_of(service.process.pid):
                os.kill(pid, signal.SIGKILL)
            await eventually(receiver.asked.is_set)
            await broker.send(drawn_digits(50))
            await broker.everything_answered()
            service.terminate()
            assert await service.wait() == 0
            assert blocking_guard.ON_GUARD in service.log
        assert receiver.bodies == [], "it has answered: this test proves nothing"
