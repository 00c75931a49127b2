"""The whole hostile corpus through the real service and broker, with good digits in between."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections import defaultdict
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest
from aiokafka import AIOKafkaProducer, ConsumerRecord

from broker import Cluster
from contract.errors import ErrorCode
from contract.records import Result
from tests.data.hostile import corpus
from tests.harness.processes import high_water_mb
from tests.harness.producer_command import Ended, run
from tests.harness.raw_batches import Raw, send_batch
from tests.harness.service import Service, running_service
from tests.harness.topics import Broker, Position, fresh_topics, position
from tests.harness.waiting import eventually
from tests.hostile.case import Expected

TREE_MB: Final = 1_500.0
"""What docs/limits.md allows the service and its two workers."""
DIGITS: Final = sorted((Path(__file__).parent.parent / "data" / "digits").glob("*.png"))
ANY_TIME: Final = {"message.timestamp.after.max.ms": str(2**63 - 1)}
DEADLINE_S: Final = 240.0

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]  # one run for all tests, on a machine that may be busy


@dataclass
class Run:
    """The outcome of the corpus."""

    sent: dict[str, Position]
    digits: dict[Position, int]
    """The good ones in between."""
    results: dict[Position, list[Result]]
    dead_letters: list[ConsumerRecord]
    high_water_mb: float
    """Of all processes."""
    was_ready: bool
    worker_restarts: float
    log: str
    said: dict[str, Ended]
    """What each command printed afterwards, by its name."""


@pytest.fixture(scope="module")
async def done(cluster: Cluster) -> AsyncIterator[Run]:
    """Everything goes through one service, once."""
    async with fresh_topics(cluster, configs=ANY_TIME) as broker:
        async with running_service(broker, {"DIGITS_LOG__FORMAT": "console"}, workers=2) as service:
            sent, digits = await send_all(broker)
            await answered(broker, service, [*sent.values(), *digits])
            most_mb = high_water_mb(service.process.pid)
            was_ready, restarts = await service.is_ready(), await service.metric("digits_worker_restarts_total")
            log = service.log
        results = defaultdict(list)
        for result in await broker.results():
            results[position(result)].append(result)
        count = str(sum(map(len, results.values())))
        commands = {
            "watch": ["watch", "--from-beginning", "--count", count],
            "watch as JSON": ["watch", "--from-beginning", "--count", count, "--json"],
            "dead-letters": ["dead-letters"],
            "dead-letters as JSON": ["dead-letters", "--json"],
            "replay": ["replay", "--dry-run"],
            "audit": ["audit", "--json"],
        }
        ended_all = await asyncio.gather(*[run(broker, *arguments) for arguments in commands.values()])
        said = dict(zip(commands, ended_all, strict=True))
        yield Run(sent, digits, dict(results), await broker.dead_letters(), most_mb, was_ready, restarts, log, said)


async def send_all(broker: Broker) -> tuple[dict[str, Position], dict[Position, int]]:
    """Send the cases to all partitions in rotation, and a good digit after each."""
    sent = {}
    digits = {}
    good = itertools.cycle(DIGITS)
    async with AIOKafkaProducer(bootstrap_servers=broker.cluster.bootstrap_servers, linger_ms=0) as producer:
        for number, (name, case) in enumerate(corpus().items()):
            partition = number % broker.partitions
            record = Raw(case.value, case.key, case.headers, case.timestamp_ms, **case.as_written)
            (sent[name],) = await send_batch(producer, broker.topics.requests, [record], partition=partition)
            digit = next(good)
            record = Raw(digit.read_bytes())
            (place,) = await send_batch(producer, broker.topics.requests, [record], partition=partition)
            digits[place] = int(digit.name[0])
    return sent, digits


async def answered(broker: Broker, service: Service, sent: list[Position]) -> None:
    """Wait until all of it is committed."""
    ends = {partition: offset + 1 for partition, offset in sorted(sent)}

    async def unanswered() -> dict[int, int]:
        assert service.process.poll() is None, "the service ended"
        committed = await broker.committed_offsets()
        return {partition: end for partition, end in ends.items() if (committed[partition] or 0) < end}

    await eventually(unanswered, lambda left: not left, deadline_s=DEADLINE_S)


def ended(result: Result) -> Expected:
    if result.error is not None:
        return ErrorCode(result.error.code)
    assert result.digit is not None
    return result.digit


def test_every_case_ends_as_it_says(done: Run) -> None:
    problems = {}
    for name, case in corpus().items():
        results = done.results.get(done.sent[name], [])
        ends = [ended(result) for result in results]
        if not case.met_by(ends):
            problems[name] = f"it ends as {ends}, not {list(case.expected)}"
        elif case.names is not None and [result.item.name for result in results] != list(case.names):
            problems[name] = f"its names are {[result.item.name for result in results]}"
    assert problems == {}


def test_every_failure_is_a_dead_letter(done: Run) -> None:
    failed = sum(result.error is not None for results in done.results.values() for result in results)
    assert len(done.dead_letters) == failed


def test_good_digits_in_between_all_come_through(done: Run) -> None:
    read = {place: [result.digit for result in done.results[place]] for place in done.digits}
    assert read == {place: [digit] for place, digit in done.digits.items()}


def test_the_service_stays_alive_and_within_its_memory(done: Run) -> None:
    assert done.was_ready
    assert done.high_water_mb < TREE_MB


def test_no_worker_has_died(done: Run) -> None:
    assert done.worker_restarts == 0


def test_the_audit_is_clean(done: Run) -> None:
    audit = done.said["audit"]
    assert audit.exit_code == 0, audit.out + audit.err


def test_logs_and_output_hold_only_printable_lines(done: Run) -> None:
    texts = {"log": done.log} | {name: ended.out + ended.err for name, ended in done.said.items()}
    dirty = {name: [line for line in text.split("\n") if not line.isprintable()] for name, text in texts.items()}
    assert {name: lines for name, lines in dirty.items() if lines} == {}
    assert {name: ended.err for name, ended in done.said.items() if ended.exit_code} == {}


def test_json_output_is_valid_and_has_the_same_names(done: Run) -> None:
    names = [result.item.name for results in done.results.values() for result in results]
    watched = [json.loads(line)["item"]["name"] for line in done.said["watch as JSON"].out.splitlines()]
    assert sorted(map(str, watched)) == sorted(map(str, names))
    assert len(done.said["dead-letters as JSON"].lines) == len(done.dead_letters)
