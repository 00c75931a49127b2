"""The audit passes correct topics only: every class of fault is planted once, and found."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, replace
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer, ConsumerRecord, TopicPartition
from aiokafka.admin import NewPartitions, RecordsToDelete

from broker import Cluster
from contract import headers
from contract.topics import CLOCK_TOLERANCE_MS
from producer.audit.merge import Merger
from producer.audit.report import Report
from producer.audit.run import audit as audit_topics
from producer.audit.scope import read_scope
from producer.display import print_message
from producer.errors import Exit
from tests.harness.images import drawn_digits
from tests.harness.played_service import Answer, Outgoing, answer, publish
from tests.harness.producer_command import Ended, command, ended, run
from tests.harness.raw_batches import UNREADABLE, Raw, send_batch
from tests.harness.topics import Broker, fresh_topics
from tests.harness.waiting import eventually
from transport.admin.cluster import open_cluster
from transport.clients import open_reader
from transport.reading.log_reader import OffsetRange, offset_ranges, open_range_readers
from transport.record_batch import Unreadable
from transport.settings.kafka import ClientSettings, KafkaSettings

CLEAN = {"missing": 0, "duplicated": 0, "out_of_order": 0, "inconsistent": 0}
ZIP = ("recognised", "failed", "unsure")


@dataclass
class World:
    """Requests on one partition with their answers, not yet published: an image, a failed one, a zip, an image."""

    broker: Broker
    partition: int
    answers: list[Answer]

    @property
    def results(self) -> list[Outgoing]:
        return [result for each in self.answers for result in each.results]

    @property
    def letters(self) -> list[Outgoing]:
        return [letter for each in self.answers for letter in each.dead_letters]

    async def publish(self) -> None:
        """Publish what there is and commit all requests."""
        await publish(self.broker, [*self.results, *self.letters], committed={self.partition: len(self.answers)})


async def build(broker: Broker, partitions: Iterable[int]) -> list[World]:
    about = [(headers.REQUEST_ID, b"r"), (headers.CORRELATION_ID, b"c"), ("x", b"y")]
    kinds = [("recognised",), ("failed",), ZIP, ("unsure",)]
    sent: dict[int, list[Answer]] = {}
    for partition in partitions:
        await broker.send(drawn_digits(len(kinds)), partition=partition, key=b"key", headers=about)
        sent[partition] = []
    for request in await broker.read(broker.topics.requests):
        answers = sent[request.partition]
        answers.append(answer(broker, request, kinds[len(answers)]))
    return [World(broker, partition, answers) for partition, answers in sent.items()]


@pytest.fixture
async def world(broker: Broker) -> World:
    (world,) = await build(broker, [0])
    return world


async def audit(broker: Broker) -> tuple[Ended, dict[str, int]]:
    result = await run(broker, "audit", "--json")
    (numbers,) = result.lines
    assert list(numbers) == [
        *("requests", "pending", "expired", "results", "dead_letters"),
        *("missing", "duplicated", "out_of_order", "inconsistent"),
    ]
    assert result.exit_code == (Exit.OK if numbers | CLEAN == numbers else Exit.NOT_ALL_WELL)
    return result, numbers


def faults(numbers: dict[str, int]) -> dict[str, int]:
    return {name: number for name, number in numbers.items() if name in CLEAN and number}


async def test_correct_topics_pass_the_audit(world: World) -> None:
    await world.publish()
    result, numbers = await audit(world.broker)
    assert numbers == CLEAN | {"requests": 4, "pending": 0, "expired": 0, "results": 6, "dead_letters": 2}
    assert (result.exit_code, result.err) == (Exit.OK, "")
    shown = await run(world.broker, "audit")
    assert shown.exit_code == Exit.OK
    assert "all is well" in shown.out


Fault = Callable[[int, list[Outgoing], list[Outgoing]], None]
"""Changes what will be published for one partition."""


def lose_a_result(_: int, results: list[Outgoing], __: list[Outgoing]) -> None:
    del results[0]


def lose_an_item_of_a_zip(_: int, results: list[Outgoing], __: list[Outgoing]) -> None:
    del results[4]


def lose_the_last_item_of_a_zip(_: int, results: list[Outgoing], __: list[Outgoing]) -> None:
    del results[4:]


def lose_everything(_: int, results: list[Outgoing], letters: list[Outgoing]) -> None:
    results.clear()
    letters.clear()


def double_a_result(_: int, results: list[Outgoing], __: list[Outgoing]) -> None:
    results.insert(1, results[0].copy())


def double_a_zip_later(_: int, results: list[Outgoing], __: list[Outgoing]) -> None:
    results.extend(each.copy() for each in results[2:5])


def swap_two_results(_: int, results: list[Outgoing], __: list[Outgoing]) -> None:
    results[0], results[5] = results[5], results[0]


def swap_two_items(_: int, results: list[Outgoing], __: list[Outgoing]) -> None:
    results[2], results[3] = results[3], results[2]


def swap_neighbours(_: int, results: list[Outgoing], __: list[Outgoing]) -> None:
    results[0], results[1] = results[1], results[0]


def alter(index: int, *path: str, to: Any) -> Fault:
    """Alter one field of one result."""

    def plant(_: int, results: list[Outgoing], __: list[Outgoing]) -> None:
        record = results[index].value
        for name in path[:-1]:
            record = record[name]
        assert record[path[-1]] != to
        record[path[-1]] = to

    plant.__name__ = f"alter_{'_'.join(path)}_of_{index}_to_{to}"
    return plant


def alter_letter(name: str, to: bytes) -> Fault:
    """Alter one header of the first dead letter."""

    def plant(_: int, __: list[Outgoing], letters: list[Outgoing]) -> None:
        start = max(place for place, header in enumerate(letters[0].headers) if header[0] == headers.ORIGIN_TOPIC)
        place = next(place for place in range(start, len(letters[0].headers)) if letters[0].headers[place][0] == name)
        assert letters[0].headers[place][1] != to
        letters[0].headers[place] = (name, to)

    plant.__name__ = f"alter_letter_{name}_to_{to.decode()}"
    return plant


def say_recognised_what_failed(_: int, results: list[Outgoing], __: list[Outgoing]) -> None:
    results[1].value |= {
        name: results[0].value[name] for name in ("status", "digit", "confidence", "probabilities", "error")
    }


def say_failed_what_was_recognised(_: int, results: list[Outgoing], __: list[Outgoing]) -> None:
    results[0].value |= {
        name: results[1].value[name] for name in ("status", "digit", "confidence", "probabilities", "error")
    }


def answer_what_was_never_asked(_: int, results: list[Outgoing], __: list[Outgoing]) -> None:
    foreign = results[0].copy()
    foreign.value["source"]["topic"] = "elsewhere"
    results.append(foreign)


def put_a_result_into_another_partition(partition: int, results: list[Outgoing], __: list[Outgoing]) -> None:
    results[0].partition = partition + 1


def change_the_key(_: int, results: list[Outgoing], __: list[Outgoing]) -> None:
    results[0].key = b"other"


def drop_an_echo(_: int, results: list[Outgoing], __: list[Outgoing]) -> None:
    results[0].headers = [header for header in results[0].headers if header[0] != headers.CORRELATION_ID]


def write_what_is_no_result(_: int, results: list[Outgoing], __: list[Outgoing]) -> None:
    stray = results[0].copy()
    stray.value = b"{}"
    results.append(stray)


def lose_a_letter(_: int, __: list[Outgoing], letters: list[Outgoing]) -> None:
    del letters[0]


def double_a_letter(_: int, __: list[Outgoing], letters: list[Outgoing]) -> None:
    letters.append(letters[0].copy())


def put_a_letter_into_another_partition(partition: int, _: list[Outgoing], letters: list[Outgoing]) -> None:
    letters[0].partition = partition + 1


def change_a_letters_key(_: int, __: list[Outgoing], letters: list[Outgoing]) -> None:
    letters[0].key = b"other"


def lose_a_letters_key_without_a_word(_: int, __: list[Outgoing], letters: list[Outgoing]) -> None:
    letters[0].key = None


def lose_a_letters_bytes_without_a_word(_: int, __: list[Outgoing], letters: list[Outgoing]) -> None:
    letters[0].value = None


def keep_a_letters_bytes_against_its_word(_: int, __: list[Outgoing], letters: list[Outgoing]) -> None:
    letters[0].headers.append((headers.VALUE_LEFT_OUT, b"too large"))


def write_what_is_no_letter(_: int, __: list[Outgoing], letters: list[Outgoing]) -> None:
    letters.append(Outgoing(letters[0].topic, letters[0].partition, None, b"stray", []))


PLANTED: list[tuple[Fault, dict[str, int], str]] = [
    (lose_a_result, {"missing": 1}, "missing: every result of {requests}/{p}/"),
    (lose_an_item_of_a_zip, {"missing": 1}, "missing: {requests}/{p}/2/2"),
    (lose_the_last_item_of_a_zip, {"missing": 2}, "missing: {requests}/{p}/2/2"),
    (lose_everything, {"missing": 4}, "missing: every result of {requests}/{p}/3"),
    (double_a_result, {"duplicated": 1}, "duplicated: {requests}/{p}/0/0"),
    (double_a_zip_later, {"duplicated": 3}, "duplicated: {requests}/{p}/2/1"),
    (swap_two_results, {"out_of_order": 5}, "out of order: {requests}/{p}/1/0 comes after {requests}/{p}/3/0"),
    (swap_two_items, {"out_of_order": 1}, "out of order: {requests}/{p}/2/0 comes after {requests}/{p}/2/1"),
    (swap_neighbours, {"out_of_order": 1}, "out of order: {requests}/{p}/0/0 comes after {requests}/{p}/1/0"),
    (alter(0, "result_id", to="x"), {"inconsistent": 1}, "the id x does not match"),
    (
        alter(0, "request_id", to="x"),
        {"inconsistent": 1},
        "result {requests}/{p}/0/0 has another request id than its request",
    ),
    (alter(0, "source", "timestamp_ms", to=1), {"inconsistent": 1}, "result {requests}/{p}/0/0 has another timestamp"),
    (alter(0, "source", "partition", to=99), {"inconsistent": 1, "missing": 1}, "does not belong to this partition"),
    (alter(0, "source", "partition", to=999), {"inconsistent": 1, "missing": 1}, "does not belong to this partition"),
    (
        alter(5, "source", "offset", to=2),
        {"duplicated": 1, "inconsistent": 1, "missing": 1},
        "does not match the result",
    ),
    (alter(3, "item", "count", to=4), {"inconsistent": 2}, "result {requests}/{p}/2/1 has another item count"),
    (alter(2, "item", "count", to=10**9), {"inconsistent": 2, "missing": 10**9 - 3}, "missing: {requests}/{p}/2/3"),
    (alter(0, "item", "index", to=1), {"inconsistent": 2}, "has another item count"),
    (alter(0, "status", to="failed"), {"inconsistent": 1, "missing": 1}, "is not a result"),
    (alter(0, "digit", to=10), {"inconsistent": 1, "missing": 1}, "is not a result"),
    (alter(1, "error", "code", to="out-of-memory"), {"inconsistent": 1}, "has another error code than its result"),
    (say_recognised_what_failed, {"inconsistent": 1}, "dead letter {requests}/{p}/1/0 has no failed result"),
    (say_failed_what_was_recognised, {"inconsistent": 1}, "failed result {requests}/{p}/0/0 has no dead letter"),
    (answer_what_was_never_asked, {"inconsistent": 1}, "does not belong to this partition"),
    (put_a_result_into_another_partition, {"inconsistent": 1, "missing": 1}, "does not belong to this partition"),
    (change_the_key, {"inconsistent": 1}, "result {requests}/{p}/0/0 has another key"),
    (drop_an_echo, {"inconsistent": 1}, "result {requests}/{p}/0/0 has another header"),
    (write_what_is_no_result, {"inconsistent": 1}, "is not a result"),
    (lose_a_letter, {"inconsistent": 1}, "failed result {requests}/{p}/1/0 has no dead letter"),
    (double_a_letter, {"inconsistent": 1}, "dead letter {requests}/{p}/1/0 has no failed result"),
    (put_a_letter_into_another_partition, {"inconsistent": 2}, "does not belong to this partition"),
    (change_a_letters_key, {"inconsistent": 1}, "dead letter {requests}/{p}/1/0 has another key than its result"),
    (lose_a_letters_key_without_a_word, {"inconsistent": 1}, "{requests}/{p}/1/0 has another key than its result"),
    (
        lose_a_letters_bytes_without_a_word,
        {"inconsistent": 1},
        "should have either a value or the header value-left-out",
    ),
    (
        keep_a_letters_bytes_against_its_word,
        {"inconsistent": 1},
        "should have either a value or the header value-left-out",
    ),
    (write_what_is_no_letter, {"inconsistent": 1}, "is not a dead letter: header origin-topic is missing"),
    (alter_letter(headers.ORIGIN_OFFSET, b"0"), {"inconsistent": 2}, "does not match the origin headers"),
    (alter_letter(headers.ORIGIN_TOPIC, b"elsewhere"), {"inconsistent": 2}, "does not match the origin headers"),
    (alter_letter(headers.ORIGIN_PARTITION, b"x"), {"inconsistent": 2}, "header origin-partition is not a number"),
    (alter_letter(headers.ORIGIN_TIMESTAMP_MS, b"1"), {"inconsistent": 1}, "has another timestamp than its result"),
    (alter_letter(headers.ITEM_COUNT, b"2"), {"inconsistent": 1}, "has another item count than its result"),
    (alter_letter(headers.REQUEST_ID, b"x"), {"inconsistent": 1}, "has another request id than its result"),
    (alter_letter(headers.ERROR_CODE, b"x"), {"inconsistent": 1}, "has another error code than its result"),
]


@pytest.fixture(scope="module")
async def reports(cluster: Cluster) -> tuple[str, list[Report]]:
    """The topic, and one audit for each planted fault, each on a pair of partitions of its own."""
    async with fresh_topics(cluster, partitions=2 * len(PLANTED)) as broker:
        worlds = await build(broker, range(0, 2 * len(PLANTED), 2))
        outgoing = []
        for world, (plant, _, _) in zip(worlds, PLANTED, strict=True):
            results, letters = world.results, world.letters
            plant(world.partition, results, letters)
            outgoing += [*results, *letters]
        await publish(broker, outgoing, committed=dict.fromkeys(range(0, 2 * len(PLANTED), 2), 4))
        return broker.topics.requests, await audit_in_pairs(settings_of(broker))


async def audit_in_pairs(settings: ClientSettings) -> list[Report]:
    async with open_cluster(settings.kafka, print_message) as found:
        scope = await read_scope(settings, found)
    families = scope.copartitions()
    reports = []
    async with contextlib.AsyncExitStack() as stack:
        readers = [await stack.enter_async_context(open_reader(settings.kafka)) for _ in range(3)]
        for pair in zip(families[::2], families[1::2], strict=True):
            reports.append(Report())
            for family in pair:
                await Merger(scope, family, readers, reports[-1], lambda _: None).run()
    return reports


def settings_of(broker: Broker) -> ClientSettings:
    kafka = KafkaSettings(bootstrap_servers=broker.cluster.bootstrap_servers, group_id=broker.group_id)
    return ClientSettings(kafka=kafka, topics=broker.topics)


@pytest.mark.parametrize("number", range(len(PLANTED)), ids=[each[0].__name__ for each in PLANTED])
async def test_a_planted_fault_is_found_and_named(reports: tuple[str, list[Report]], number: int) -> None:
    topic, report = reports[0], reports[1][number]
    _, expected, words = PLANTED[number]
    assert faults(asdict(report)) == expected
    assert not report.clean
    assert words.format(requests=topic, p=2 * number) in "\n".join(report.faults)


async def test_a_dead_letter_without_key_and_headers_agrees_with_its_result(world: World) -> None:
    letter = world.letters[0]
    block = max(place for place, header in enumerate(letter.headers) if header[0] == headers.ORIGIN_TOPIC)
    letter.headers[:block] = []
    letter.headers.append((headers.HEADERS_LEFT_OUT, b"they do not fit"))
    letter.key = None
    await world.publish()
    result, _ = await audit(world.broker)
    assert (result.exit_code, result.err) == (Exit.OK, "")


async def test_the_command_ends_with_1_and_names_the_first_faults(world: World) -> None:
    lose_a_result(0, world.answers[0].results, [])
    world.answers[2].results[1].value["request_id"] = "\x1b[2J"
    await world.publish()
    result, numbers = await audit(world.broker)
    assert faults(numbers) == {"missing": 1, "inconsistent": 2}
    topic = world.broker.topics.requests
    assert result.err.splitlines() == [
        f"digit-producer: inconsistent: result {topic}/0/2/1 has another request id than its request",
        f"digit-producer: inconsistent: dead letter {topic}/0/2/1 has another request id than its result",
        f"digit-producer: missing: every result of {topic}/0/0",
    ]
    shown = await run(world.broker, "audit")
    assert (shown.exit_code, shown.err) == (Exit.NOT_ALL_WELL, result.err)
    assert "not all is well" in shown.out


async def test_requests_after_the_committed_offset_are_pending(
    world: World,
) -> None:
    await publish(world.broker, [*world.results, *world.letters], committed={0: 2})
    _, numbers = await audit(world.broker)
    assert numbers == CLEAN | {"requests": 2, "pending": 2, "expired": 0, "results": 2, "dead_letters": 1}


async def test_without_a_committed_offset_the_audit_proves_nothing(world: World) -> None:
    pending = CLEAN | {"requests": 0, "pending": 4, "expired": 0, "results": 0, "dead_letters": 0}
    result = await run(world.broker, "audit", "--json")
    assert (result.exit_code, result.lines) == (Exit.NOT_ALL_WELL, [pending])
    words = f"group {world.broker.group_id!r} has committed no offset, so nothing can be proved: check the group's name"
    assert result.err == f"digit-producer: {words}\n"
    assert "not all is well" in (await run(world.broker, "audit")).out


async def test_empty_topics_pass_the_audit(broker: Broker) -> None:
    result, numbers = await audit(broker)
    assert (result.exit_code, result.err, set(numbers.values())) == (Exit.OK, "", {0})


async def test_the_name_of_a_wrong_group_fails_the_audit(world: World) -> None:
    await world.publish()
    result = await run(world.broker, "audit", "--json", DIGITS_KAFKA__GROUP_ID="mistyped")
    assert result.exit_code == Exit.NOT_ALL_WELL
    assert "group 'mistyped' has committed no offset" in result.err


@pytest.mark.parametrize("what", ["results", "letters"])
async def test_a_partition_with_results_and_no_committed_offset_is_found(broker: Broker, what: str) -> None:
    worlds = await build(broker, [0, 1])
    answered = [*worlds[1].results, *worlds[1].letters] if what == "results" else worlds[1].letters
    await publish(broker, [*worlds[0].results, *worlds[0].letters, *answered], committed={0: 4})
    result, numbers = await audit(broker)
    assert faults(numbers) == {"inconsistent": 1}
    words = f"{broker.topics.requests}/1 has results, but group {broker.group_id!r} has no committed offset there"
    assert result.err == f"digit-producer: inconsistent: {words}\n"


async def test_a_first_offset_committed_during_the_audit_is_no_fault(broker: Broker) -> None:
    worlds = await build(broker, [0, 1])
    await worlds[0].publish()
    settings = settings_of(broker)
    async with open_cluster(settings.kafka, print_message) as found:
        scope = await read_scope(settings, found)
    await worlds[1].publish()
    late = await offset_ranges(settings.kafka, [*scope.predictions, *scope.dead_letters], open_transactions=True)
    report = await audit_topics(settings, replace(scope, logs={**scope.logs, **late}), lambda _: None)
    assert (report.clean, report.pending, report.results) == (True, 4, 6)


async def test_aborted_requests_and_results_do_not_count(world: World) -> None:
    broker = world.broker
    await broker.send_in_transaction(drawn_digits(2), partition=0, abort=True)
    await broker.send(drawn_digits(1), partition=0)
    late = (await broker.read(broker.topics.requests))[-1]
    await publish(broker, [*world.results, *world.letters], abort=True)
    outgoing = [*world.results, *world.letters, *answer(broker, late).results]
    await publish(broker, outgoing, committed={0: late.offset + 1})
    assert late.offset > 5
    _, numbers = await audit(broker)
    assert numbers == CLEAN | {"requests": 5, "pending": 0, "expired": 0, "results": 7, "dead_letters": 2}


async def test_a_result_for_an_aborted_request_is_found(world: World) -> None:
    broker = world.broker
    await broker.send_in_transaction(drawn_digits(1), partition=0, abort=True)
    await broker.send(drawn_digits(1), partition=0)
    late = (await broker.read(broker.topics.requests))[-1]
    stray = answer(broker, late).results[0]
    stray.value["source"]["offset"] = 4
    stray.value["result_id"] = f"{broker.topics.requests}/0/4/0"
    outgoing = [*world.results, *world.letters, stray, *answer(broker, late).results]
    await publish(broker, outgoing, committed={0: late.offset + 1})
    result, numbers = await audit(broker)
    assert faults(numbers) == {"inconsistent": 1}
    assert f"result {broker.topics.requests}/0/4/0 answers no committed request" in result.err


async def test_requests_deleted_by_retention_are_expired(world: World) -> None:
    await world.publish()
    await world.broker.delete_requests_before(3, partition=0)
    _, numbers = await audit(world.broker)
    assert numbers == CLEAN | {"requests": 1, "pending": 0, "expired": 3, "results": 6, "dead_letters": 2}


@pytest.mark.parametrize(("kept_from", "expired"), [(1, 1), (3, 3), (6, 4)])
async def test_requests_whose_results_retention_deleted_are_expired(world: World, kept_from: int, expired: int) -> None:
    await world.publish()
    place = TopicPartition(world.broker.topics.predictions, 0)
    await world.broker.admin.delete_records({place: RecordsToDelete(before_offset=kept_from)})
    _, numbers = await audit(world.broker)
    assert (numbers["requests"], numbers["expired"], faults(numbers)) == (4, expired, {})


async def test_a_result_younger_than_others_that_are_left_is_missing_not_expired(cluster: Cluster) -> None:
    async with fresh_topics(cluster, partitions=1) as broker:
        await broker.admin.create_partitions({broker.topics.requests: NewPartitions(2)})
        await eventually(lambda: partition_counts(broker), lambda counts: sorted(counts) == [1, 1, 2])
        broker.partitions = 2
        one, other = await build(broker, [0, 1])
        gone, kept = other.results[0].copy(), other.results[0].copy()
        gone.timestamp_ms = kept.timestamp_ms = time.time_ns() // 1_000_000 - 2 * CLOCK_TOLERANCE_MS
        outgoing = [gone, kept, *other.results[1:], *one.results[1:], *one.letters, *other.letters]
        for each in outgoing:
            each.partition = 0
        await publish(broker, outgoing, committed={0: 4, 1: 4})
        place = TopicPartition(broker.topics.predictions, 0)
        await broker.admin.delete_records({place: RecordsToDelete(before_offset=1)})
        result, numbers = await audit(broker)
    assert (numbers["expired"], faults(numbers)) == (0, {"missing": 1})
    assert f"missing: every result of {broker.topics.requests}/0/0" in result.err


async def test_failed_results_without_dead_letters_after_retention_are_not_judged(world: World) -> None:
    await world.publish()
    place = TopicPartition(world.broker.topics.dead_letter, 0)
    await world.broker.admin.delete_records({place: RecordsToDelete(before_offset=1)})
    _, numbers = await audit(world.broker)
    assert (numbers["dead_letters"], faults(numbers)) == (1, {})


async def test_a_committed_offset_past_the_end_is_found(world: World) -> None:
    await publish(world.broker, [*world.results, *world.letters], committed={0: 500})
    result, numbers = await audit(world.broker)
    assert faults(numbers) == {"inconsistent": 1}
    assert f"committed offset 500 of {world.broker.topics.requests}/0 is past its end 4" in result.err


async def test_the_audit_waits_for_results_of_an_open_transaction(world: World) -> None:
    broker = world.broker
    await world.publish()
    async with AIOKafkaProducer(
        bootstrap_servers=broker.cluster.bootstrap_servers, transactional_id=f"open-{broker.group_id}"
    ) as producer:
        await producer.begin_transaction()
        await (await producer.send(broker.topics.predictions, b"undecided", partition=0))
        async with command(broker, "audit", "--json") as process:
            with pytest.raises(TimeoutError):
                await ended(process, deadline_s=3)
            await producer.abort_transaction()
            result = await ended(process)
    assert result.exit_code == Exit.OK


async def test_a_request_that_the_client_cannot_read_is_audited_too(broker: Broker) -> None:
    records = [
        Raw(digit, b"key", [(name, b"")]) for digit, name in zip(drawn_digits(3), ["a", UNREADABLE, "b"], strict=True)
    ]
    async with AIOKafkaProducer(bootstrap_servers=broker.cluster.bootstrap_servers) as producer:
        await send_batch(producer, broker.topics.requests, records, partition=0)
    answers = []
    for request in await first_requests(broker, len(records)):
        if isinstance(request, Unreadable):
            known = ConsumerRecord(
                *(request.partition.topic, request.partition.partition, request.offset, 1, 0),
                *(b"unknown to the audit", b"", None, 0, 0, ()),
            )
            answers.append(answer(broker, known, ["failed"]))
        else:
            answers.append(answer(broker, request))
    assert [len(each.dead_letters) for each in answers] == [0, 1, 0]
    (letter,) = answers[1].dead_letters
    letter.value = None
    letter.headers.append((headers.VALUE_LEFT_OUT, b"it cannot be read"))
    await publish(broker, [each for some in answers for each in (*some.results, *some.dead_letters)], committed={0: 3})
    _, numbers = await audit(broker)
    assert numbers == CLEAN | {"requests": 3, "pending": 0, "expired": 0, "results": 3, "dead_letters": 1}


async def first_requests(broker: Broker, count: int) -> list[ConsumerRecord | Unreadable]:
    partition = TopicPartition(broker.topics.requests, 0)
    async with open_range_readers(settings_of(broker).kafka, {partition: OffsetRange(0, count)}) as readers:
        return await readers[partition].next_batch()


async def test_topics_with_different_partition_counts_are_audited_by_the_modulo(cluster: Cluster) -> None:
    async with fresh_topics(cluster, partitions=2) as broker:
        grown = {broker.topics.requests: NewPartitions(6), broker.topics.predictions: NewPartitions(4)}
        await broker.admin.create_partitions(grown)
        await eventually(lambda: partition_counts(broker), lambda counts: sorted(counts) == [2, 4, 6])
        broker.partitions = 6
        worlds = await build(broker, range(6))
        interleaved = []
        for turn in zip(*(world.answers for world in worlds), strict=True):
            for each in reversed(turn):  # as six lanes commit: in whatever order between partitions
                for record in each.results:
                    record.partition %= 4
                for record in each.dead_letters:
                    record.partition %= 2
                interleaved += [*each.results, *each.dead_letters]
        await publish(broker, interleaved, committed=dict.fromkeys(range(6), 4))
        _, numbers = await audit(broker)
        assert numbers == CLEAN | {"requests": 24, "pending": 0, "expired": 0, "results": 36, "dead_letters": 12}
        await publish(broker, [worlds[5].letters[0]])
        _, numbers = await audit(broker)
        assert faults(numbers) == {"inconsistent": 1}


async def partition_counts(broker: Broker) -> list[int]:
    names = vars(broker.topics).values()
    topics = await broker.admin.describe_topics()
    return [len(topic["partitions"]) for topic in topics if topic["topic"] in names]
