"""The service as a process, with images that crash its workers or make them hang."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from contract.dead_letters import DeadLetter
from tests.harness import poison
from tests.harness.images import drawn_digits, zipped
from tests.harness.poison import poisoned, poisoned_workers
from tests.harness.processes import is_alive, workers_of
from tests.harness.service import running_service
from tests.harness.topics import Broker, position
from tests.harness.waiting import eventually

POISON = {"PYTHONPATH": poison.PYTHONPATH}
PATIENT = POISON | {"DIGITS_ITEM_TIMEOUT_S": "600"}


async def test_a_harmful_entry_in_a_zip_of_500_is_one_dead_letter(broker: Broker) -> None:
    guilty = [poisoned("segfault"), poisoned("busy")]
    digits = drawn_digits(500)
    archives = [zipped([(f"{i}.png", bad if i == 250 else digit) for i, digit in enumerate(digits)]) for bad in guilty]
    async with running_service(broker, POISON | {"DIGITS_ITEM_TIMEOUT_S": "2"}, workers=2) as service:
        for partition, archive in enumerate(archives):
            await broker.send([archive], partition=partition)
        await broker.send(digits, partition=5)
        await broker.everything_answered()
        # The service counts when it has the answer to its commit, a moment after the offset can be seen.
        await eventually(lambda: service.metric("digits_failures_total", code="worker-crashed"), lambda n: n == 1)
        await eventually(lambda: service.metric("digits_failures_total", code="worker-timeout"), lambda n: n == 1)
        await eventually(lambda: service.metric("digits_worker_restarts_total"), lambda restarts: restarts >= 3)
        quarantined = [event for event in service.events if event["event"] == "item quarantined"]
        assert sorted((event["item"], event["code"]) for event in quarantined) == [
            (250, "worker-crashed"),
            (250, "worker-timeout"),
        ]
        await eventually(lambda: workers_of(service.process.pid), lambda workers: len(workers) == 2)
        await eventually(service.is_ready)
    failed = {position(result): result.item.index for result in await broker.results() if result.error}
    assert failed == {(0, 0): 250, (1, 0): 250}
    assert len(await broker.results()) == 1_500
    letters = await broker.dead_letters()
    assert [record.value for record in letters] == guilty
    assert [DeadLetter.read(record.headers).error_code for record in letters] == ["worker-crashed", "worker-timeout"]


async def test_while_an_image_in_a_zip_hangs_other_partitions_are_answered(broker: Broker, tmp_path: Path) -> None:
    digits = drawn_digits(500)
    guilty = poisoned("busy", tmp_path)
    archive = zipped([(f"{i}.png", guilty if i == 250 else digit) for i, digit in enumerate(digits)])
    async with running_service(broker, PATIENT, workers=2):
        await broker.send([archive], partition=0)
        await eventually(lambda: poisoned_workers(tmp_path))
        await broker.send(digits, partition=5)
        await eventually(broker.committed_offsets, lambda committed: committed[5] == 500)
        assert (await broker.committed_offsets())[0] is None, "it still hangs"


async def test_a_second_signal_ends_the_service_and_its_workers_at_once(broker: Broker, tmp_path: Path) -> None:
    await broker.send([poisoned("busy", tmp_path)], partition=0)
    async with running_service(broker, PATIENT | {"DIGITS_SHUTDOWN_TIMEOUT_S": "600"}, workers=2) as service:
        await eventually(lambda: poisoned_workers(tmp_path))
        workers = workers_of(service.process.pid)
        service.terminate()
        await eventually(lambda: [event for event in service.events if event["event"] == "draining"])
        assert (await service.get("/readyz"))[1] == "not ready: the service is draining\n"
        service.terminate()
        assert await service.wait() == 130
        await eventually(lambda: [pid for pid in workers if is_alive(pid)], lambda left: not left)
    assert await broker.results() == []


async def test_a_drain_ends_at_its_deadline_and_the_next_owner_continues(broker: Broker, tmp_path: Path) -> None:
    (stuck,) = await broker.send([poisoned("wait", tmp_path)], partition=0)
    async with running_service(broker, PATIENT | {"DIGITS_SHUTDOWN_TIMEOUT_S": "1"}, workers=2) as service:
        await eventually(lambda: poisoned_workers(tmp_path))
        service.terminate()
        assert await service.wait() == 0
        (warning,) = [event for event in service.events if event["event"] == "not drained in time"]
        assert warning["records_in_flight"] == {f"{broker.topics.requests}/0": 1}
    assert await broker.results() == []
    async with running_service(broker, POISON):
        await broker.everything_answered()
    assert [position(result) for result in await broker.results()] == [stuck]


async def test_no_worker_outlives_a_service_that_is_killed(broker: Broker, tmp_path: Path) -> None:
    await broker.send([poisoned("busy", tmp_path)], partition=0)
    async with running_service(broker, PATIENT, workers=2) as service:
        (busy,) = await eventually(lambda: poisoned_workers(tmp_path))  # in C code that holds the interpreter's lock
        workers = workers_of(service.process.pid)
        (idle,) = set(workers) - {busy}
        os.kill(idle, signal.SIGSTOP)
        service.kill()
        await service.wait()
        await eventually(lambda: [pid for pid in workers if is_alive(pid)], lambda left: not left)
