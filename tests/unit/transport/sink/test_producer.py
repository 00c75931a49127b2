"""A transactional producer against brokers in memory: its requests, their epochs, and what it concludes."""

from __future__ import annotations

import asyncio
import struct
from collections import defaultdict
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest
import structlog
from aiokafka import TopicPartition
from aiokafka.errors import (
    IncompatibleBrokerVersion,
    KafkaConnectionError,
    KafkaError,
    NodeNotReadyError,
    RequestTimedOutError,
)
from structlog.testing import capture_logs

from tests.harness.outgoing_records import OutgoingRecord, build_batches
from tests.harness.waiting import eventually
from transport.errors import FatalError, OwnershipLost
from transport.protocol.offsets import Member
from transport.protocol.requests import Prepared
from transport.settings.kafka import GroupSettings
from transport.sink import producer as module
from transport.sink.batches import OutgoingBatch
from transport.sink.outcomes import NotCommitted, OutcomeUnknown, PartitionsUnavailable
from transport.sink.producer import TransactionalProducer

P0, P1, P2 = (TopicPartition("predictions", number) for number in range(3))
R0, R1 = (TopicPartition("requests", number) for number in range(2))
MEMBER = Member("group", 3, "member-1")
COORDINATOR, GROUP_COORDINATOR = 7, 8
PRODUCER_ID = 1_000
NAMES = {0: "produce", 18: "versions", 22: "epoch", 24: "add", 25: "add group", 26: "end", 28: "offsets"}
PRODUCER = struct.Struct(">qhi")
Code = int | dict[TopicPartition, int] | Exception


class Sent(NamedTuple):
    """A request, and where in a transaction it belongs."""

    name: str
    node: int
    epoch: int | None
    content: Any


class Brokers:
    """Takes the place of the connections: answers each request with success, or with what a test has put in.

    Attributes
    ----------
    answers
        By the name of a request: error codes (of all partitions, or by partition), or errors of the connection.
    """

    def __init__(self, version: int) -> None:
        self.version = version
        self.epoch = 0
        self.sent: list[Sent] = []
        self.answers: defaultdict[str, list[Code]] = defaultdict(list)
        self.leaders: dict[TopicPartition, int | None] = {P0: 1, P1: 2, P2: 1}
        self.looked_up: list[str] = []
        self.refreshed = 0
        self.forgotten = 0

    @property
    def names(self) -> list[str]:
        return [each.name for each in self.sent]

    def leader(self, partition: TopicPartition) -> int | None:
        return self.leaders[partition]

    async def transaction_coordinator(self, transactional_id: str) -> int:
        return await self._look_up(transactional_id, COORDINATOR)

    async def group_coordinator(self, group_id: str) -> int:
        return await self._look_up(group_id, GROUP_COORDINATOR)

    async def _look_up(self, key: str, node: int) -> int:
        self.looked_up.append(key)
        if self.answers["look up"]:
            error = self.answers["look up"].pop(0)
            if isinstance(error, Exception):
                raise error
        return node

    def forget_coordinators(self) -> None:
        self.forgotten += 1

    async def find_brokers(self) -> None:
        self.forgotten += 1

    async def refresh(self) -> None:
        self.refreshed += 1

    async def send(self, node: int, request: Prepared) -> Any:
        fields, name = request.struct, NAMES[request.struct.API_KEY]
        self.sent.append(Sent(name, node, *self._content(name, fields)))
        await asyncio.sleep(0)
        answers = self.answers[name]
        code = answers.pop(0) if answers else 0
        if isinstance(code, Exception):
            raise code
        return getattr(self, f"_{name.replace(' ', '_')}")(fields, code)

    def _content(self, name: str, fields: Any) -> tuple[int | None, Any]:
        if name == "produce":
            stamps = {
                TopicPartition(topic, number): PRODUCER.unpack_from(batch, 43)
                for topic, partitions, _ in fields.topics
                for number, batch, _ in partitions
            }
            (epoch,) = {epoch for _, epoch, _ in stamps.values()}
            assert {producer_id for producer_id, *_ in stamps.values()} == {PRODUCER_ID}
            return epoch, {partition: sequence for partition, (*_, sequence) in stamps.items()}
        if name == "versions":
            return None, None
        return fields.epoch, fields.transactional_id if name == "epoch" else fields

    def _versions(self, _: Any, code: int) -> Any:
        name = b"transaction.version"
        features = bytes([2, len(name) + 1]) + name + struct.pack(">hhB", self.version, 0, 0)
        return SimpleNamespace(error_code=code, tags={2: features} if self.version else {})

    def _epoch(self, _: Any, code: int) -> Any:
        self.epoch += not code
        return SimpleNamespace(error_code=code, producer_id=PRODUCER_ID, epoch=self.epoch)

    def _end(self, _: Any, code: int) -> Any:
        self.epoch += self.version == 2 and not code
        return SimpleNamespace(error_code=code, producer_id=PRODUCER_ID, epoch=self.epoch)

    def _add_group(self, _: Any, code: int) -> Any:
        return SimpleNamespace(error_code=code)

    def _by_partition(self, fields: Any, code: Code) -> Any:
        def answer(topic: str, each: Any) -> tuple[int, Code]:
            number = each if isinstance(each, int) else int(each[0])
            return number, code.get(TopicPartition(topic, number), 0) if isinstance(code, dict) else code

        return SimpleNamespace(
            topics=[(topic, [answer(topic, each) for each in partitions]) for topic, partitions, *_ in fields.topics]
        )

    _produce = _offsets = _add = _by_partition


class Clock:
    """The loop's time, which only pauses move. Each pause is noted."""

    def __init__(self) -> None:
        self.now_s = 1_000.0
        self.pauses_s: list[float] = []
        self.time = lambda: self.now_s

    async def sleep(self, seconds: float) -> None:
        self.now_s += seconds
        self.pauses_s.append(seconds)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    clocked = SimpleNamespace(
        gather=asyncio.gather, timeout=asyncio.timeout, sleep=clock.sleep, get_running_loop=lambda: clock
    )
    monkeypatch.setattr(module, "asyncio", clocked)
    return clock


@pytest.fixture(params=[2, 1], ids=["version 2", "version 1"])
def brokers(request: pytest.FixtureRequest) -> Brokers:
    return Brokers(request.param)


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    with capture_logs():
        yield
    structlog.reset_defaults()


def producer_of(brokers: Any) -> TransactionalProducer:
    return TransactionalProducer(brokers, "group.x", GroupSettings())


def batches(*partitions: TopicPartition, records: int = 3) -> dict[TopicPartition, list[OutgoingBatch]]:
    return {each: list(build_batches([OutgoingRecord(None, b"x", [])] * records)) for each in partitions}


async def commit(producer: TransactionalProducer, *partitions: TopicPartition, records: int = 3) -> None:
    await producer.commit(batches(*partitions, records=records), {R0: 5, R1: 6}, MEMBER)


BEGIN = ["versions", "epoch"]
TRANSACTION = {2: ["produce", "produce", "offsets", "end"], 1: ["add", "add group"]}
TRANSACTION[1] += TRANSACTION[2]


async def test_a_transaction_is_written_to_all_leaders_at_once_and_then_ended(brokers: Brokers) -> None:
    await commit(producer_of(brokers), P0, P1)
    assert brokers.names == BEGIN + TRANSACTION[brokers.version]
    assert {each.epoch for each in brokers.sent[2:]} == {1}
    nodes = {(each.name, each.node) for each in brokers.sent}
    assert nodes >= {("produce", 1), ("produce", 2), ("offsets", GROUP_COORDINATOR), ("end", COORDINATOR)}
    assert {node for name, node in nodes if name not in {"produce", "offsets"}} == {COORDINATOR}
    (offsets,) = (each.content for each in brokers.sent if each.name == "offsets")
    assert (offsets.group_id, offsets.generation, offsets.member_id) == MEMBER[:3]
    assert offsets.topics == [("requests", [(0, 5, -1, "", {}), (1, 6, -1, "", {})], {})]
    assert brokers.sent[-1].content.commit is True


async def test_partitions_of_one_leader_share_a_request(brokers: Brokers) -> None:
    await commit(producer_of(brokers), P0, P2)
    assert [set(each.content) for each in brokers.sent if each.name == "produce"] == [{P0, P2}]


async def test_batches_of_a_partition_follow_each_other_in_its_sequence(brokers: Brokers) -> None:
    several = {P0: [*batches(P0)[P0], *batches(P0, records=4)[P0], *batches(P0)[P0]], **batches(P2)}
    await producer_of(brokers).commit(several, {R0: 5}, MEMBER)
    assert [each.content for each in brokers.sent if each.name == "produce"] == [{P0: 0, P2: 0}, {P0: 3}, {P0: 7}]


async def test_the_next_transaction_has_a_new_epoch_or_continues_the_sequences(brokers: Brokers) -> None:
    producer = producer_of(brokers)
    for _ in range(3):
        await commit(producer, P0)
    assert brokers.names.count("epoch") == 1
    produced = [(each.epoch, each.content[P0]) for each in brokers.sent if each.name == "produce"]
    assert produced == ([(1, 0), (2, 0), (3, 0)] if brokers.version == 2 else [(1, 0), (1, 3), (1, 6)])


async def test_sequences_begin_again_after_the_largest_number(brokers: Brokers) -> None:
    producer = producer_of(brokers)
    await commit(producer, P0)
    producer._sequences[P0] = 2**31 - 2
    await producer.commit({P0: batches(P0)[P0] + batches(P0)[P0]}, {R0: 5}, MEMBER)
    assert [each.content[P0] for each in brokers.sent if each.name == "produce"][1:] == [2**31 - 2, 1]


async def test_a_transaction_of_offsets_alone_is_committed(brokers: Brokers) -> None:
    await commit(producer_of(brokers))
    assert brokers.names == [*BEGIN, *(["add group"] if brokers.version == 1 else []), "offsets", "end"]


@pytest.mark.parametrize("version", [0, 1, 2, 3])
async def test_transactions_of_version_2_are_used_where_the_cluster_has_them(version: int) -> None:
    brokers = Brokers(version)
    await commit(producer_of(brokers), P0)
    assert ("add" in brokers.names) == (version < 2)


# What each refusal means.


@pytest.mark.parametrize(("name", "code"), [("offsets", 22), ("produce", 19), ("produce", 10)])
async def test_a_refused_transaction_is_ended_before_its_error_is_raised(
    brokers: Brokers, name: str, code: int
) -> None:
    brokers.answers |= {name: [code], "epoch": [0, 51]}
    producer = producer_of(brokers)
    with pytest.raises((OwnershipLost, PartitionsUnavailable, FatalError)):
        await commit(producer, P0)
    assert brokers.names[-2:] == BEGIN
    await commit(producer, P0)
    assert brokers.names.count("epoch") == 3
    brokers.answers |= {name: [code], "epoch": [TimeoutError()]}
    with pytest.raises((OwnershipLost, PartitionsUnavailable, FatalError)):
        await commit(producer, P0)


BROKEN = [KafkaConnectionError("closed"), RequestTimedOutError("silent"), NodeNotReadyError("away"), TimeoutError()]


@pytest.mark.parametrize("error", [*BROKEN, 47, 90, 120, 15, 999], ids=str)
@pytest.mark.parametrize("name", ["produce", "offsets"])
async def test_a_failure_before_the_end_means_not_committed(brokers: Brokers, name: str, error: Code) -> None:
    brokers.answers[name] = [error]
    with pytest.raises(NotCommitted):
        await commit(producer_of(brokers), P0)
    assert "end" not in brokers.names


@pytest.mark.parametrize("error", [*BROKEN, 47, 90, 15], ids=str)
@pytest.mark.parametrize("name", ["add", "add group"])
async def test_a_failure_of_version_1_to_add_means_not_committed(name: str, error: Code) -> None:
    brokers = Brokers(1)
    brokers.answers[name] = [error]
    with pytest.raises(NotCommitted):
        await commit(producer_of(brokers), P0)
    assert "produce" not in brokers.names


@pytest.mark.parametrize("error", [*BROKEN, 47, 90, 15], ids=str)
async def test_a_failure_of_the_end_leaves_the_outcome_unknown(brokers: Brokers, error: Code) -> None:
    brokers.answers["end"] = [error]
    with pytest.raises(OutcomeUnknown):
        await commit(producer_of(brokers), P0)
    assert brokers.names.count("end") == 1


@pytest.mark.parametrize("name", ["produce", "offsets", "end"])
async def test_no_request_is_sent_again_in_the_epoch_of_a_failure(brokers: Brokers, name: str) -> None:
    producer = producer_of(brokers)
    await commit(producer, P0)
    brokers.answers[name] = [RequestTimedOutError("silent")]
    with pytest.raises((NotCommitted, OutcomeUnknown)):
        await commit(producer, P0)
    used, count = brokers.epoch, len(brokers.sent)
    await producer.settle()
    await commit(producer, P0)
    later = brokers.sent[count:]
    assert [each.name for each in later][:2] == BEGIN
    assert {each.epoch for each in later[2:]} == {used + 1}
    assert [each.content[P0] for each in later if each.name == "produce"] == [0]


async def test_a_commit_after_a_failure_settles_by_itself(brokers: Brokers) -> None:
    producer = producer_of(brokers)
    brokers.answers["offsets"] = [47]
    with pytest.raises(NotCommitted):
        await commit(producer, P0)
    await commit(producer, P0)
    assert brokers.names.count("epoch") == 2


async def test_a_cancelled_transaction_is_settled_before_the_next(brokers: Brokers) -> None:
    producer = producer_of(brokers)
    await producer.settle()
    answering = asyncio.Event()
    send = brokers.send

    async def silent(node: int, request: Prepared) -> Any:
        answer = await send(node, request)
        await answering.wait()
        return answer

    brokers.send = silent  # type: ignore[method-assign]  # until the transaction is cancelled
    committing = asyncio.create_task(commit(producer, P0))
    await eventually(lambda: {"produce", "add"} & set(brokers.names))
    committing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await committing
    answering.set()
    await commit(producer, P0)
    assert brokers.names.count("epoch") == 2
    assert brokers.sent[-1].epoch == 2


@pytest.mark.parametrize("code", [22, 25, 27, 82])
async def test_offsets_of_a_stale_member_are_lost(brokers: Brokers, code: int) -> None:
    brokers.answers["offsets"] = [code]
    with pytest.raises(OwnershipLost, match=r"^the group refuses the offsets: "):
        await commit(producer_of(brokers), P0)
    assert "end" not in brokers.names


@pytest.mark.parametrize(
    ("name", "code", "sentence"),
    [
        ("produce", 29, r"topic predictions may not be written to \(ACL: Write on the topic\)"),
        ("offsets", 29, r"topic requests may not be read \(ACL: Read on the topic\)"),
        ("offsets", 30, r"group group may not be joined \(ACL: Read on the group\)"),
        ("produce", 53, r"transactional id group\.x\.0 may not be used .*"),
        ("offsets", 53, r"transactional id group\.x\.0 may not be used .*"),
        ("epoch", 53, r"transactional id group\.x\.0 may not be used .*"),
        ("end", 53, r"transactional id group\.x\.0 may not be used .*"),
        ("produce", 10, r".*MessageSizeTooLargeError.*"),
        ("epoch", 50, r".*InvalidTransactionTimeout.*"),
    ],
)
async def test_what_a_later_attempt_would_not_change_is_fatal_and_says_why(
    brokers: Brokers, name: str, code: int, sentence: str
) -> None:
    brokers.answers[name] = [code]
    with pytest.raises(FatalError, match=rf"^cannot commit: {sentence}$"):
        await commit(producer_of(brokers), P0)


@pytest.mark.parametrize(
    ("name", "code", "sentence"),
    [
        ("add", 29, r"topic predictions may not be written to \(ACL: Write on the topic\)"),
        ("add", 53, r"transactional id group\.x\.0 may not be used .*"),
        ("add group", 30, r"group group may not be joined \(ACL: Read on the group\)"),
    ],
)
async def test_a_right_that_version_1_lacks_is_named(name: str, code: int, sentence: str) -> None:
    brokers = Brokers(1)
    brokers.answers[name] = [code]
    with pytest.raises(FatalError, match=rf"^cannot commit: {sentence}$"):
        await commit(producer_of(brokers), P0)


async def test_what_is_fatal_goes_before_a_stale_member_and_that_before_a_partition(brokers: Brokers) -> None:
    brokers.answers |= {"produce": [19, 29], "offsets": [22]}
    with pytest.raises(FatalError):
        await commit(producer_of(brokers), P0, P1)
    brokers.answers |= {"produce": [19, KafkaConnectionError("closed")], "offsets": [22]}
    with pytest.raises(OwnershipLost):
        await commit(producer_of(brokers), P0, P1)


@pytest.mark.parametrize("name", ["versions", "epoch"])
async def test_brokers_that_are_too_old_are_fatal_and_not_asked_again(brokers: Brokers, name: str) -> None:
    brokers.answers[name] = [IncompatibleBrokerVersion("the broker understands versions 0 to 1 of request 22")]
    with pytest.raises(FatalError, match=r"^cannot commit: .*understands versions 0 to 1"):
        await commit(producer_of(brokers), P0)


# Partitions that cannot be written to.


@pytest.mark.parametrize("code", [3, 5, 6, 7, 19, 20, 56, 74, 75])
async def test_a_partition_that_cannot_be_written_to_is_named_and_no_other(brokers: Brokers, code: int) -> None:
    producer = producer_of(brokers)
    brokers.answers["produce"] = [{P2: code}]
    with pytest.raises(PartitionsUnavailable, match=r"^predictions/2: ") as caught:
        await commit(producer, P0, P2)
    assert set(caught.value.partitions) == {P2}
    assert brokers.refreshed == 1
    assert "end" not in brokers.names
    await commit(producer, P0)
    assert brokers.names.count("epoch") == 2


async def test_unavailable_partitions_of_several_leaders_are_all_named(brokers: Brokers) -> None:
    brokers.answers["produce"] = [19, {P1: 6}]
    with pytest.raises(PartitionsUnavailable) as caught:
        await commit(producer_of(brokers), P0, P1)
    assert set(caught.value.partitions) == {P0, P1}


async def test_a_partition_without_leader_is_named_before_anything_is_sent(brokers: Brokers) -> None:
    producer = producer_of(brokers)
    await commit(producer, P0)
    count = len(brokers.sent)
    brokers.leaders[P1] = None
    with pytest.raises(PartitionsUnavailable) as caught:
        await commit(producer, P0, P1)
    assert set(caught.value.partitions) == {P1}
    assert len(brokers.sent) == count
    assert brokers.refreshed == 1, "it looks for a new leader"
    await commit(producer, P0)
    assert brokers.names.count("epoch") == 1, "no epoch is used up"


async def test_a_partition_that_version_1_cannot_add_is_named_and_no_other() -> None:
    brokers = Brokers(1)
    brokers.answers["add"] = [{P1: 3, P0: 55}]  # 55: not attempted, since another one failed
    with pytest.raises(PartitionsUnavailable) as caught:
        await commit(producer_of(brokers), P0, P1)
    assert set(caught.value.partitions) == {P1}


# Requests that are refused for the moment.


@pytest.mark.parametrize("name", ["produce", "offsets", "end"])
async def test_a_request_is_repeated_while_the_last_markers_are_written(
    brokers: Brokers, clock: Clock, name: str
) -> None:
    brokers.answers[name] = [51] * 4
    await commit(producer_of(brokers), P0)
    assert brokers.names.count(name) == 5
    assert clock.pauses_s == [0.002, 0.003, 0.005, 0.005]
    assert {each.epoch for each in brokers.sent if each.name == name} == {1}


async def test_only_the_partitions_that_were_refused_are_sent_again(brokers: Brokers, clock: Clock) -> None:
    brokers.answers["produce"] = [{P0: 51}]
    several = {**batches(P2), P0: [*batches(P0)[P0], *batches(P0)[P0]]}
    await producer_of(brokers).commit(several, {R0: 5}, MEMBER)
    produced = [each.content for each in brokers.sent if each.name == "produce"]
    assert produced == [{P2: 0, P0: 0}, {P0: 0}, {P0: 3}]
    assert clock.pauses_s == [0.002]


@pytest.mark.parametrize("code", [14, 16])
@pytest.mark.parametrize("name", ["offsets", "end"])
async def test_a_coordinator_that_has_moved_is_looked_up_and_asked_again(
    brokers: Brokers, clock: Clock, name: str, code: int
) -> None:
    brokers.answers[name] = [code, code]
    await commit(producer_of(brokers), P0)
    key = "group" if name == "offsets" else "group.x.0"
    assert brokers.names.count(name) == 3
    assert brokers.forgotten == 2
    assert brokers.looked_up[-3:].count(key) >= 2
    assert clock.now_s > 1_000


@pytest.mark.parametrize(("name", "kind"), [("offsets", NotCommitted), ("end", OutcomeUnknown)])
async def test_a_coordinator_that_stays_away_is_named_and_no_markers_are_blamed(
    brokers: Brokers, clock: Clock, name: str, kind: type[Exception]
) -> None:
    producer = producer_of(brokers)
    brokers.answers[name] = [16] * 10_000
    with pytest.raises(kind, match=r"NotCoordinator"):
        await commit(producer, P0)
    assert clock.now_s - 1_000 < 1.5
    brokers.answers.clear()
    brokers.answers["epoch"] = [51, 51]  # its transaction is aborted now
    await producer.settle()
    assert producer.transactional_id == "group.x.0"


async def test_the_coordinator_of_the_group_is_known_before_batches_fill_the_line(brokers: Brokers) -> None:
    brokers.answers["look up"] = [0, KafkaConnectionError("closed")]
    with pytest.raises(NotCommitted):
        await commit(producer_of(brokers), P0)
    assert brokers.looked_up == ["group.x.0", "group"]
    assert "produce" not in brokers.names


# Markers that cannot be written.


async def test_an_epoch_is_asked_for_again_while_markers_are_written(brokers: Brokers, clock: Clock) -> None:
    producer = producer_of(brokers)
    brokers.answers["epoch"] = [51] * 20
    await producer.settle()
    assert producer.transactional_id == "group.x.0"
    assert clock.pauses_s == [0.005] * 20


async def test_another_id_is_taken_when_markers_are_blocked_for_too_long(brokers: Brokers, clock: Clock) -> None:
    producer = producer_of(brokers)
    refusals = round(module.BLOCKED_S / module.CONCURRENT_PAUSES_S[-1]) + 1
    brokers.answers["epoch"] = [51] * (refusals + 3)
    await producer.settle()
    assert clock.now_s - 1_000 == pytest.approx(module.BLOCKED_S, abs=0.03)
    await commit(producer, P0)
    assert {each.content for each in brokers.sent if each.name == "epoch"} == {"group.x.0", "group.x.1"}
    assert brokers.sent[-1].content.transactional_id == "group.x.1"


@pytest.mark.parametrize("name", ["produce", "offsets"])
async def test_a_transaction_blocked_by_the_markers_of_the_last_takes_another_id(
    brokers: Brokers, clock: Clock, name: str
) -> None:
    producer = producer_of(brokers)
    brokers.answers[name] = [51] * 10_000
    with pytest.raises(NotCommitted, match="ConcurrentTransactions"):
        await commit(producer, P0)
    blocked_s = clock.now_s
    assert blocked_s - 1_000 == pytest.approx(module.BLOCKED_S, abs=0.02)
    brokers.answers.clear()
    brokers.answers["epoch"] = [51]
    await producer.settle()
    asked = [each.content for each in brokers.sent if each.name == "epoch"]
    assert asked == ["group.x.0"] * 2 + ["group.x.1"], "the old id's transaction is ended first"
    assert clock.now_s == blocked_s, "it has waited long enough"


async def test_a_short_wait_for_markers_is_forgotten_when_the_transaction_fails_later(
    brokers: Brokers, clock: Clock
) -> None:
    producer = producer_of(brokers)

    brokers.answers |= {"produce": [51], "offsets": [51]}
    send = brokers.send

    async def silent_at_the_end(node: int, request: Prepared) -> Any:
        if NAMES[request.struct.API_KEY] == "end":
            clock.now_s += 5
            raise RequestTimedOutError
        return await send(node, request)

    brokers.send = silent_at_the_end  # type: ignore[method-assign]  # as its name says
    with pytest.raises(OutcomeUnknown):
        await commit(producer, P0)
    brokers.answers["epoch"] = [51, 51]
    await producer.settle()
    assert producer.transactional_id == "group.x.0"


async def test_settling_goes_on_while_no_broker_answers(brokers: Brokers, clock: Clock) -> None:
    away: list[Code] = [*BROKEN, 16, 15, 47]
    brokers.answers["epoch"] = list(away)
    brokers.answers["look up"] = [KafkaError("no coordinator yet")]
    await producer_of(brokers).settle()
    assert brokers.names.count("epoch") == len(away) + 1
    assert brokers.forgotten == len(away) + 1
    assert clock.pauses_s == [0.1, 0.25, 0.5, *[1.0] * (len(away) - 2)]


async def test_brokers_wait_for_replicas_for_less_time_than_the_producer_waits_for_them(brokers: Brokers) -> None:
    """Otherwise the producer gives the leader up in the moment in which it names the partition."""
    timeouts_ms: list[int] = []
    send = brokers.send

    async def noted(node: int, request: Prepared) -> Any:
        if NAMES[request.struct.API_KEY] == "produce":
            timeouts_ms.append(request.struct.timeout_ms)
        return await send(node, request)

    brokers.send = noted  # type: ignore[method-assign]  # only notes
    await commit(producer_of(brokers), P0)
    assert max(timeouts_ms) <= 0.6 * GroupSettings().kafka.request_timeout_ms
