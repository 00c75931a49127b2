"""Dead letters are listed, and replayed once each, also when a replay is interrupted."""

from __future__ import annotations

import json
import signal
from asyncio.subprocess import Process
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.errors import ProducerFenced

from contract import headers
from contract.topics import MAX_RECORD_BYTES
from producer.errors import Exit
from producer.replay.dead_letter_topic import Filter
from producer.replay.selection import Plan
from tests.harness.images import drawn_digits
from tests.harness.played_service import Outgoing, answer, publish
from tests.harness.producer_command import command, ended, run
from tests.harness.topics import Broker
from tests.harness.waiting import eventually
from transport.settings.kafka import ClientSettings, KafkaSettings


async def fail(broker: Broker, count: int, *, partition: int | None = None) -> None:
    """Send this number of requests and answer all of them as failed."""
    await broker.send(drawn_digits(count), partition=partition, key=b"key")
    requests = await broker.read(broker.topics.requests)
    await publish(broker, [letter for each in requests for letter in answer(broker, each, ["failed"]).dead_letters])


def files_below(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def change(letter: Outgoing, name: str, value: bytes) -> Outgoing:
    changed = letter.copy()
    changed.headers = [(each, value if each == name else kept) for each, kept in changed.headers]
    return changed


async def replayed(broker: Broker) -> list[dict[str, bytes]]:
    """Headers of the requests that a replay has sent, in the order of their partitions and offsets."""
    found = [dict(record.headers) for record in await broker.read(broker.topics.requests)]
    return [each for each in found if headers.REPLAY_OF in each]


def once_each(found: Sequence[dict[str, bytes]], count: int) -> bool:
    ids = [each[headers.REPLAY_OF] for each in found]
    return len(ids) == count and len(set(ids)) == count


async def test_dead_letters_are_listed_and_filtered(broker: Broker) -> None:
    await fail(broker, 3, partition=2)
    listed = await run(broker, "dead-letters", "--json")
    assert (listed.exit_code, listed.err) == (Exit.OK, "")
    assert [(line["origin_partition"], line["origin_offset"]) for line in listed.lines] == [(2, 0), (2, 1), (2, 2)]
    assert listed.lines[0]["error_code"] == "damaged-image"
    assert listed.lines[0]["size_bytes"] == len(drawn_digits(1)[0])
    when = listed.lines[1]["failed_at_ms"]
    for arguments, count in (
        (["--code", "damaged-image", "--code", "unknown-format"], 3),
        (["--code", "unknown-format"], 0),
        (["--partition", "2", "--offset", "1"], 1),
        (["--partition", "3"], 0),
        (["--topic", broker.topics.requests], 3),
        (["--topic", "elsewhere"], 0),
        (["--since", "2100-01-01"], 0),
        (["--until", "2100-01-01T00:00:00+02:00"], 3),
        (["--until", "2001-09-09T01:46:40Z"], 0),
    ):
        assert len((await run(broker, "dead-letters", "--json", *arguments)).lines) == count, arguments
    assert when > 1_700_000_000_000


async def test_the_table_of_dead_letters_shows_only_printable_text(broker: Broker) -> None:
    await broker.send(drawn_digits(1))
    (request,) = await broker.read(broker.topics.requests)
    await publish(broker, answer(broker, request, ["failed"], names=["\x1b[2J[red]\n../../x"]).dead_letters)
    listed = await run(broker, "dead-letters")
    assert r"\x1b[2J[red]\n../../x" in listed.out
    assert all(line.isprintable() for line in listed.out.splitlines())


async def test_saved_files_are_named_by_their_result_alone(broker: Broker, tmp_path: Path) -> None:
    await broker.send([*drawn_digits(1), b"?"], partition=0, key=b"key")
    requests = await broker.read(broker.topics.requests)
    letters = [answer(broker, each, ["failed"], names=["/etc/passwd"]).dead_letters[0] for each in requests]
    without_bytes = change(letters[0], headers.ITEM_INDEX, b"1")
    without_bytes = change(without_bytes, headers.RESULT_ID, f"{broker.topics.requests}/0/0/1".encode())
    without_bytes.value = None
    without_bytes.headers.append((headers.VALUE_LEFT_OUT, b"too large"))
    await publish(broker, [*letters, without_bytes])
    saved = await run(broker, "dead-letters", "--save", str(tmp_path / "new" / "folder"), "--json")
    assert saved.exit_code == Exit.OK
    stem = f"{broker.topics.requests}_0_"
    found = files_below(tmp_path)
    assert found == {f"{stem}0_0.png": drawn_digits(1)[0], f"{stem}1_0.bin": b"?"}
    assert [line["saved_as"] and Path(line["saved_as"]).name for line in saved.lines] == [*sorted(found), None]


async def test_a_record_that_is_no_dead_letter_is_reported_and_skipped(broker: Broker) -> None:
    await fail(broker, 1, partition=0)
    await publish(broker, [Outgoing(broker.topics.dead_letter, 0, None, b"stray", [("note", b"mine")])])
    listed = await run(broker, "dead-letters", "--json")
    assert len(listed.lines) == 1
    where = f"{broker.topics.dead_letter}/0/2"
    assert listed.err == f"digit-producer: {where} is not a dead letter: header origin-topic is missing\n"
    assert (await run(broker, "replay")).exit_code == Exit.OK
    assert len(await replayed(broker)) == 1


async def test_a_replayed_request_is_the_original_with_three_headers_of_its_own(broker: Broker) -> None:
    original = [("x", b""), (headers.REQUEST_ID, b"r-1"), (headers.CORRELATION_ID, b"c"), ("x", b"\xff")]
    await broker.send(drawn_digits(1), partition=5, key=b"key", headers=original)
    (request,) = await broker.read(broker.topics.requests)
    await publish(broker, answer(broker, request, ["failed"]).dead_letters)
    result = await run(broker, "replay", "--json")
    assert (result.exit_code, result.err) == (Exit.OK, "")
    _, again = await broker.read(broker.topics.requests)
    assert (again.partition, again.key, again.value) == (5, b"key", request.value)
    assert list(again.headers) == [
        *(each for each in original if each[0] != headers.REQUEST_ID),
        (headers.REQUEST_ID, b"r-1"),
        (headers.REPLAY_OF, f"{broker.topics.requests}/5/0/0".encode()),
        (headers.ATTEMPT, b"2"),
    ]
    (line,) = result.lines
    assert line["replayed_as"] == {"topic": broker.topics.requests, "partition": 5, "offset": again.offset}


async def test_an_entry_of_an_archive_is_replayed_as_a_single_image(broker: Broker) -> None:
    about = [(headers.FILENAME, b"scans.zip"), (headers.CONTENT_TYPE, b"application/zip"), ("x", b"y")]
    await broker.send([b"PK"], headers=about)
    (request,) = await broker.read(broker.topics.requests)
    played = answer(broker, request, ["recognised", "failed"], names=["a.png", "b.png"])
    await publish(broker, played.dead_letters)
    assert (await run(broker, "replay")).exit_code == Exit.OK
    (again,) = await replayed(broker)
    assert again[headers.FILENAME] == b"b.png"
    assert headers.CONTENT_TYPE not in again
    assert again["x"] == b"y"
    assert again[headers.REQUEST_ID] == f"{broker.topics.requests}/{request.partition}/{request.offset}".encode()
    values = {record.value for record in await broker.read(broker.topics.requests)}
    assert values == {b"PK", b"entry 1"}


async def test_a_repeated_filter_continues_and_another_filter_skips_nothing(broker: Broker) -> None:
    await fail(broker, 10)
    assert (await run(broker, "replay", "--limit", "4")).out == "4 sent again, 0 skipped (--dry-run shows why)\n"
    assert once_each(await replayed(broker), 4)
    assert (await run(broker, "replay")).out.startswith("6 sent again")
    assert (await run(broker, "replay")).out.startswith("0 sent again")
    assert once_each(await replayed(broker), 10)
    assert (await run(broker, "replay", "--code", "damaged-image")).out.startswith("10 sent again")
    assert len(await replayed(broker)) == 20


async def test_a_dry_run_shows_the_plan_and_sends_nothing(broker: Broker) -> None:
    await fail(broker, 3)
    before = await run(broker, "replay", "--dry-run", "--json", "--limit", "2")
    assert [line["obstacle"] for line in before.lines] == [None, None]
    assert "would be sent" in (await run(broker, "replay", "--dry-run")).out
    assert await replayed(broker) == []
    assert (await run(broker, "replay")).out.startswith("3 sent again")
    assert (await run(broker, "replay", "--dry-run", "--json")).lines == []


async def test_dead_letters_that_cannot_be_sent_are_skipped_with_a_reason(broker: Broker) -> None:
    await broker.send(drawn_digits(5), partition=0, key=b"key")
    requests = await broker.read(broker.topics.requests)
    tired, empty, large, bare, fine = (answer(broker, each, ["failed"]).dead_letters[0] for each in requests)
    empty.value = None
    empty.headers.append((headers.VALUE_LEFT_OUT, b"it is a bomb"))
    large.value = bytes(MAX_RECORD_BYTES + 64 * 1024)
    bare.key = None
    bare.headers.append((headers.HEADERS_LEFT_OUT, b"they do not fit"))
    await publish(broker, [change(tired, headers.ATTEMPT, b"3"), empty, large, bare, fine])
    shown = await run(broker, "replay", "--dry-run", "--json")
    result = await run(broker, "replay", "--json")
    assert result.exit_code == Exit.OK
    obstacles = [line["obstacle"] for line in result.lines]
    assert [line["obstacle"] for line in shown.lines] == obstacles
    assert obstacles[:2] == ["attempted 3 times", "no bytes: it is a bomb"]
    assert "bytes do not fit the requests topic" in obstacles[2]
    assert obstacles[3:] == ["key or headers are not complete: they do not fit", None]
    assert len(await replayed(broker)) == 1
    assert (await run(broker, "replay", "--max-attempts", "4")).out.startswith("2 sent again")


async def test_attempts_are_counted_up_to_the_maximum(broker: Broker) -> None:
    await fail(broker, 1, partition=0)
    for attempt in (2, 3):
        assert (await run(broker, "replay")).out.startswith("1 sent again")
        latest = (await broker.read(broker.topics.requests))[-1]
        assert dict(latest.headers)[headers.ATTEMPT] == str(attempt).encode()
        await publish(broker, answer(broker, latest, ["failed"]).dead_letters)
    assert (await run(broker, "replay")).out == "0 sent again, 1 skipped (--dry-run shows why)\n"


async def test_dead_letters_that_arrive_during_a_replay_wait_for_the_next(broker: Broker) -> None:
    await fail(broker, 6, partition=0)
    async with command(broker, "replay", "--rate", "3") as process:
        await eventually(lambda: replayed(broker))
        played = answer(broker, (await broker.read(broker.topics.requests))[-1], ["failed"])
        await publish(broker, played.dead_letters)
        assert (await ended(process)).out.startswith("6 sent again")
    assert (await run(broker, "replay")).out.startswith("1 sent again")


async def some_are_sent(broker: Broker, process: Process) -> None:
    await eventually(lambda: replayed(broker), lambda found: 0 < len(found) < 60)
    assert process.returncode is None


async def test_a_replay_that_is_killed_and_repeated_sends_each_once(broker: Broker) -> None:
    await fail(broker, 60)
    async with command(broker, "replay", "--rate", "5") as process:
        await some_are_sent(broker, process)
        process.kill()
    assert (await run(broker, "replay")).exit_code == Exit.OK
    assert once_each(await replayed(broker), 60)


async def test_ctrl_c_leaves_no_transaction_open(broker: Broker) -> None:
    await fail(broker, 60)
    async with command(broker, "replay", "--rate", "5") as process:
        await some_are_sent(broker, process)
        process.send_signal(signal.SIGINT)
        assert (await ended(process)).exit_code == Exit.INTERRUPTED
    assert len(await replayed(broker)) < 60  # `read` waits for open transactions
    assert (await run(broker, "replay")).exit_code == Exit.OK
    assert once_each(await replayed(broker), 60)


async def test_a_second_replay_with_the_same_filter_takes_over(broker: Broker) -> None:
    await fail(broker, 60)
    async with command(broker, "replay", "--rate", "5") as first:
        await some_are_sent(broker, first)
        first.send_signal(signal.SIGSTOP)
        assert (await run(broker, "replay")).exit_code == Exit.OK
        first.send_signal(signal.SIGCONT)
        result = await ended(first)
    assert result.exit_code == Exit.KAFKA
    assert "another producer with this transactional id took over" in result.err
    assert len(result.err.splitlines()) == 1
    assert once_each(await replayed(broker), 60)


def plan_group(broker: Broker) -> str:
    """The name under which a replay without any option keeps its progress."""
    kafka = KafkaSettings(bootstrap_servers=broker.cluster.bootstrap_servers, group_id=broker.group_id)
    return Plan(Filter(), max_attempts=3, limit=None, rate_per_s=None).group(ClientSettings(kafka=kafka))


async def test_a_replay_that_wakes_after_a_takeover_sends_nothing(broker: Broker) -> None:
    # 1. An earlier run has sent its requests and its progress, and stalls before it commits.
    await fail(broker, 3, partition=0)
    group = plan_group(broker)
    earlier = AIOKafkaProducer(bootstrap_servers=broker.cluster.bootstrap_servers, transactional_id=group)
    async with earlier:
        await earlier.begin_transaction()
        stale = [(headers.REPLAY_OF, b"stale")]
        await (await earlier.send(broker.topics.requests, b"stale", partition=0, headers=stale))
        await earlier.send_offsets_to_transaction({TopicPartition(broker.topics.dead_letter, 0): 3}, group)
        # 2. Another run of the same filter sends all letters.
        assert (await run(broker, "replay")).out.startswith("3 sent again")
        # 3. The earlier run wakes and commits.
        with pytest.raises(ProducerFenced):
            await earlier.commit_transaction()
    found = await replayed(broker)
    assert once_each(found, 3)
    assert b"stale" not in {each[headers.REPLAY_OF] for each in found}


def test_the_order_of_codes_does_not_change_a_filters_name() -> None:
    one, other = Filter(codes=("b", "a", "a")), Filter(codes=("a", "b"))
    assert one.fingerprint(3) == other.fingerprint(3)
    different: list[Any] = [one.fingerprint(4), Filter(codes=("a",)).fingerprint(3), Filter(since_ms=1).fingerprint(3)]
    assert len({one.fingerprint(3), *different}) == 4
    assert json.dumps(different).isascii()
