"""`digit-producer send --wait` waits for the service to start, and after that for its results."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import TopicPartition
from typer.testing import CliRunner
from typer.testing import Result as Ended

from contract.records import Result
from contract.schema import EXAMPLES
from producer.cli import app
from producer.commands import send
from producer.errors import Exit
from transport.admin.cluster import ConsumerGroup, GroupMember
from transport.errors import KafkaRequestError

MEMBER = GroupMember("digit-consumer-1", "digit-consumer", "10.0.0.1", frozenset())
ID = "order-7"
TIMEOUT_S = 0.3


@dataclass
class Kafka:
    """A cluster, a producer and the results of one request, in memory."""

    members: Callable[[], list[GroupMember]]
    """Is called each time the command asks for the members of the group."""
    answers: Callable[[], bool]
    """Whether the result is there, each time the command polls for results."""
    sent: list[bytes] = field(default_factory=list)
    group_reads: int = 0
    """How often the group was read."""

    def partitions(self, topics: Any, role: str) -> list[TopicPartition]:
        return [TopicPartition(getattr(topics, role), 0)]

    async def max_message_bytes(self, _: str) -> int | None:
        return None

    async def describe_group(self, _: str) -> ConsumerGroup:
        self.group_reads += 1
        return ConsumerGroup("Stable", self.members())

    async def send(self, topic: str, value: bytes, **_: Any) -> asyncio.Future[Any]:
        self.sent.append(value)
        acknowledged: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        acknowledged.set_result(SimpleNamespace(topic=topic, partition=0, offset=0))
        return acknowledged

    async def next_batch(self, poll_ms: int) -> list[Result]:
        if self.sent and self.answers():
            source = EXAMPLES["recognised"]["source"] | {"partition": 0, "offset": 0}
            return [Result.model_validate(EXAMPLES["recognised"] | {"request_id": ID, "source": source})]
        await asyncio.sleep(poll_ms / 1000)
        return []


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., Ended]:
    """Run the command against a `Kafka`."""
    (tmp_path / "seven.png").write_bytes(b"\x89PNG\r\n\x1a\n")

    def run(kafka: Kafka, *options: str) -> Ended:
        @contextlib.asynccontextmanager
        async def opened(*_: Any, **__: Any) -> AsyncIterator[Kafka]:
            yield kafka

        for name in ("open_cluster", "open_producer", "open_results"):
            monkeypatch.setattr(send, name, opened)
        monkeypatch.setattr(send, "WAIT_MESSAGE_S", 0.05)
        arguments = ["send", str(tmp_path / "seven.png"), "--wait", "--request-id", ID, *options]
        ended = CliRunner().invoke(app, arguments, catch_exceptions=False)
        assert len(kafka.sent) == 1, ended.output
        return ended

    return run


def test_the_time_until_the_service_starts_does_not_count_as_waiting_for_results(run: Callable[..., Ended]) -> None:
    started_s = time.monotonic()

    def is_up() -> bool:
        return time.monotonic() > started_s + 3 * TIMEOUT_S

    kafka = Kafka(members=lambda: [MEMBER] if is_up() else [], answers=lambda: kafka.group_reads > 0 and is_up())
    ended = run(kafka, "--timeout-s", str(TIMEOUT_S), "--ready-timeout-s", "60")
    assert ended.exit_code == Exit.OK, ended.output
    assert "waiting for digit-consumer: group 'digitstream' has no member yet" in ended.stderr


def test_a_service_that_does_not_start_in_time_leaves_the_record_unanswered(run: Callable[..., Ended]) -> None:
    kafka = Kafka(members=list, answers=lambda: False)
    ended = run(kafka, "--timeout-s", "0.1", "--ready-timeout-s", "0.2")
    assert ended.exit_code == Exit.UNANSWERED
    assert "has no member yet" in ended.stderr
    assert "1 of 1 records lack results after 0.1 s" in ended.stderr


def test_a_result_ends_the_wait_for_a_service_that_shows_no_member(run: Callable[..., Ended]) -> None:
    kafka = Kafka(members=list, answers=lambda: kafka.group_reads > 0)
    ended = run(kafka, "--ready-timeout-s", "60")
    assert (ended.exit_code, ended.stderr) == (Exit.OK, "")


def test_a_service_that_is_up_is_not_waited_for(run: Callable[..., Ended]) -> None:
    kafka = Kafka(members=lambda: [MEMBER], answers=lambda: kafka.group_reads > 0)
    ended = run(kafka, "--ready-timeout-s", "60")
    assert (ended.exit_code, ended.stderr, kafka.group_reads) == (Exit.OK, "", 1)


def test_a_user_who_may_not_see_the_group_waits_for_the_results_alone(run: Callable[..., Ended]) -> None:
    def refuse() -> list[GroupMember]:
        raise KafkaRequestError("this user may not do that with group digitstream (ACL)")

    kafka = Kafka(members=refuse, answers=lambda: kafka.group_reads > 0)
    ended = run(kafka, "--ready-timeout-s", "60")
    assert (ended.exit_code, ended.stderr) == (Exit.OK, "")
