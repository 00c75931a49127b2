"""`digit-producer send`, `watch` and `create-topics` against a real broker; the tests play the service."""

from __future__ import annotations

import json
import signal
import uuid
from collections.abc import Sequence
from pathlib import Path

import pytest
from aiokafka import ConsumerRecord

from broker import Cluster
from contract import headers
from contract.records import read_result
from contract.topics import MAX_RECORD_BYTES
from producer.errors import Exit
from tests.harness.images import drawn_digits, zipped
from tests.harness.played_service import answer, publish
from tests.harness.producer_command import command, ended, run, said
from tests.harness.topics import Broker, fresh_topics
from tests.harness.waiting import DEADLINE_S, eventually

WAITING = ("--wait", "--ready-timeout-s", "0", "--timeout-s", f"{DEADLINE_S:g}")
"""For the answers of the test: without a service, the command would say after three seconds that it waits for one."""


async def requests(broker: Broker, count: int) -> list[ConsumerRecord]:
    """Wait until there are this many requests."""
    return await eventually(lambda: broker.read(broker.topics.requests), lambda found: len(found) == count)


async def play(broker: Broker, found: Sequence[ConsumerRecord], *statuses: str) -> None:
    """Answer requests, each with these statuses."""
    answers = [answer(broker, request, statuses) for request in found]
    await publish(broker, [record for each in answers for record in (*each.results, *each.dead_letters)])


@pytest.fixture
def digits(tmp_path: Path) -> Path:
    for number, data in enumerate(drawn_digits(3)):
        (tmp_path / f"{number}.png").write_bytes(data)
    return tmp_path


async def test_every_file_becomes_one_record_with_its_bytes(broker: Broker, digits: Path) -> None:
    archive = zipped([("a.png", b"a")])
    (digits / "z.zip").write_bytes(archive)
    result = await run(broker, "send", str(digits), "-", "--json", "--header", "traceparent=00-a-b-01", stdin=b"?")
    assert (result.exit_code, result.err) == (Exit.OK, "")
    records = {(record.partition, record.offset): record for record in await requests(broker, 5)}
    in_order = [records[line["partition"], line["offset"]] for line in result.lines]
    assert [record.value for record in in_order] == [*drawn_digits(3), archive, b"?"]
    assert [line["name"] for line in result.lines] == [
        *(str(digits / name) for name in ("0.png", "1.png", "2.png", "z.zip")),
        "-",
    ]
    first, *_, zipfile, stdin = [dict(record.headers) for record in in_order]
    assert (first[headers.FILENAME], first[headers.CONTENT_TYPE]) == (b"0.png", b"image/png")
    assert (zipfile[headers.FILENAME], zipfile[headers.CONTENT_TYPE]) == (b"z.zip", b"application/zip")
    assert headers.FILENAME not in stdin
    assert first[headers.TRACEPARENT] == b"00-a-b-01"
    ids = [dict(record.headers)[headers.REQUEST_ID].decode() for record in in_order]
    assert ids == [line["request_id"] for line in result.lines]
    assert len({uuid.UUID(each) for each in ids}) == 5


async def test_records_with_a_key_are_in_one_partition_in_order(broker: Broker, digits: Path) -> None:
    result = await run(broker, "send", str(digits), "--key", "customer-7", "--repeat", "4")
    assert result.out == f"12 sent to {broker.topics.requests}\n"
    found = await requests(broker, 12)
    assert {record.key for record in found} == {b"customer-7"}
    assert len({record.partition for record in found}) == 1
    assert [record.value for record in found] == drawn_digits(3) * 4


async def test_waiting_ends_with_0_only_if_all_were_recognised(broker: Broker, digits: Path) -> None:
    async with command(broker, "send", str(digits), *WAITING, "--json") as process:
        await play(broker, await requests(broker, 3), "recognised")
        result = await ended(process)
    assert (result.exit_code, result.err) == (Exit.OK, "")
    assert [Path(line["name"]).name for line in result.lines] == ["0.png", "1.png", "2.png"]
    assert [(line["status"], line["digit"], line["reason"], line["error"]) for line in result.lines] == [
        ("recognised", 7, None, None)
    ] * 3


@pytest.mark.parametrize("status", ["unsure", "failed"])
async def test_waiting_ends_with_1_if_one_was_not_recognised(broker: Broker, digits: Path, status: str) -> None:
    async with command(broker, "send", str(digits), *WAITING) as process:
        found = await requests(broker, 3)
        await play(broker, found[:1], status)
        await play(broker, found[1:], "recognised")
        result = await ended(process)
    assert (result.exit_code, result.err) == (Exit.NOT_ALL_WELL, "")
    assert [line.split()[0] for line in result.out.splitlines() if ".png" in line] == [
        str(digits / name) for name in ("0.png", "1.png", "2.png")
    ]
    assert {"unsure": "low-confidence", "failed": "damaged-image: The image is cut short"}[status] in result.out


async def test_the_results_of_an_archive_are_shown_entry_by_entry(broker: Broker, tmp_path: Path) -> None:
    (tmp_path / "scans.zip").write_bytes(zipped([("a", b"a"), ("b", b"b"), ("c", b"c")]))
    async with command(broker, "send", str(tmp_path / "scans.zip"), *WAITING, "--json") as process:
        (request,) = await requests(broker, 1)
        played = answer(broker, request, ["recognised", "failed", "recognised"], names=["a", "b", "c"])
        await publish(broker, reversed(played.results))  # in whatever order they come
        result = await ended(process)
    assert result.exit_code == Exit.NOT_ALL_WELL
    assert [(Path(line["name"]).name, line["status"]) for line in result.lines] == [
        ("scans.zip: a", "recognised"),
        ("scans.zip: b", "failed"),
        ("scans.zip: c", "recognised"),
    ]


async def test_aborted_results_do_not_count_and_repeated_ones_count_once(broker: Broker, digits: Path) -> None:
    async with command(broker, "send", str(digits / "0.png"), *WAITING, "--json") as process:
        (request,) = await requests(broker, 1)
        played = answer(broker, request, ["recognised", "recognised"])
        await publish(broker, answer(broker, request, ["failed", "failed"]).results, abort=True)
        await publish(broker, [played.results[0], played.results[0]])
        await publish(broker, [played.results[1]])
        result = await ended(process)
    assert result.exit_code == Exit.OK
    assert len(result.lines) == 2


async def test_without_results_in_time_it_ends_with_4_and_names_the_file(broker: Broker, digits: Path) -> None:
    result = await run(broker, "send", str(digits), "--wait", "--ready-timeout-s", "0", "--timeout-s", "0.5")
    assert result.exit_code == Exit.UNANSWERED
    assert "3 of 3 records lack results after 0.5 s" in result.err
    assert all(f"{name}.png' (no result)" in result.err for name in range(3))
    assert result.out == "", "a table without rows"
    assert len(result.err.splitlines()) == 1


async def test_a_record_beyond_the_topics_limit_is_refused_before_anything_is_sent(
    broker: Broker, digits: Path
) -> None:
    (digits / "large.zip").write_bytes(bytes(MAX_RECORD_BYTES + 64 * 1024 - 60))
    result = await run(broker, "send", str(digits))
    assert result.exit_code == Exit.USAGE
    assert "large.zip' is too large: it has 16,842,692 bytes; topic" in result.err
    assert "takes 16,842,752 (max.message.bytes)" in result.err
    assert await broker.read(broker.topics.requests) == []


async def test_the_largest_record_that_a_topic_takes_is_taken(broker: Broker, tmp_path: Path) -> None:
    (tmp_path / "large.zip").write_bytes(bytes(MAX_RECORD_BYTES))
    assert (await run(broker, "send", str(tmp_path / "large.zip"))).exit_code == Exit.OK
    (request,) = await requests(broker, 1)
    assert len(request.value) == MAX_RECORD_BYTES


async def test_watch_shows_only_results_after_its_start(broker: Broker, digits: Path) -> None:
    await run(broker, "send", str(digits))
    found = await requests(broker, 3)
    await play(broker, found[:1], "failed")
    async with command(broker, "watch", "--json", "--count", "2") as process:
        assert "following" in await said(process)
        await play(broker, found[1:], "recognised")
        result = await ended(process)
    assert (result.exit_code, result.err) == (Exit.OK, "")
    assert {line["status"] for line in result.lines} == {"recognised"}
    assert [read_result(json.dumps(line).encode()) for line in result.lines]


async def test_watch_from_the_beginning_shows_committed_results_as_printable_text(broker: Broker, digits: Path) -> None:
    await run(broker, "send", str(digits / "0.png"))
    (request,) = await requests(broker, 1)
    await publish(broker, answer(broker, request, ["failed"]).results, abort=True)
    await publish(broker, answer(broker, request, ["unsure"], names=["\x1b[2J[red]no\nline\u202e"]).results)
    result = await run(broker, "watch", "--from-beginning", "--count", "1")
    assert result.exit_code == Exit.OK
    (line,) = result.out.splitlines()
    assert line.isprintable()
    assert r"\x1b[2J[red]no\nline\u202e" in line
    assert "unsure" in line


async def test_watch_skips_and_reports_a_record_that_is_no_result(broker: Broker, digits: Path) -> None:
    await run(broker, "send", str(digits / "0.png"))
    (request,) = await requests(broker, 1)
    good = answer(broker, request).results[0]
    bad = good.copy()
    bad.value = {**good.value, "status": "per\x1bhaps"}
    await publish(broker, [bad, good])
    result = await run(broker, "watch", "--from-beginning", "--count", "2", "--json")
    assert len(result.lines) == 1
    assert f"{bad.topic}/{bad.partition}/0 is not a result: " in result.err
    assert all(line.isprintable() for line in result.err.splitlines())


async def test_ctrl_c_ends_watch_with_0_and_send_with_130(broker: Broker, digits: Path) -> None:
    async with command(broker, "watch") as process:
        assert "following" in await said(process)
        process.send_signal(signal.SIGINT)
        result = await ended(process)
        assert (result.exit_code, result.err) == (Exit.OK, "")
    async with command(broker, "send", str(digits), "--wait") as process:
        await requests(broker, 3)
        process.send_signal(signal.SIGINT)
        result = await ended(process)
        assert (result.exit_code, result.out) == (Exit.INTERRUPTED, "")


async def test_topics_with_their_own_limits_are_respected(cluster: Cluster, digits: Path) -> None:
    async with fresh_topics(cluster, partitions=1, configs={"max.message.bytes": "1000"}) as broker:
        (digits / "large.png").write_bytes(bytes(1000))
        result = await run(broker, "send", str(digits / "large.png"))
        assert result.exit_code == Exit.USAGE
        result = await run(broker, "send", "-", stdin=bytes(1000))
        assert result.exit_code == Exit.USAGE
        assert "'-' is too large: it has 1,000 bytes; topic" in result.err


async def test_a_thousand_files_go_out_through_a_bounded_window(broker: Broker, tmp_path: Path) -> None:
    for number, data in enumerate(drawn_digits(1000)):
        (tmp_path / f"{number:04}.png").write_bytes(data)
    assert (await run(broker, "send", str(tmp_path), "--key", "k")).exit_code == Exit.OK
    assert [record.value for record in await requests(broker, 1000)] == drawn_digits(1000)


async def test_create_topics_creates_missing_ones_and_leaves_the_others(broker: Broker) -> None:
    missing = f"{broker.topics.dead_letter}-new"
    created = await run(broker, "create-topics", "--partitions", "3", DIGITS_TOPICS__DEAD_LETTER=missing)
    assert created.exit_code == Exit.OK
    (misfit,) = created.err.splitlines()
    assert misfit.startswith(f"digit-producer: {missing}: partition count is 3, should be 8 like the requests topic: ")
    assert created.out.splitlines() == [
        f"{broker.topics.requests}: exists, not changed",
        f"{broker.topics.predictions}: exists, not changed",
        f"{missing}: created",
    ]
    topics = {topic["topic"]: len(topic["partitions"]) for topic in await broker.admin.describe_topics()}
    assert (topics[missing], topics[broker.topics.requests]) == (3, 8)
    refused = await run(broker, "create-topics", "--replicas", "2", DIGITS_TOPICS__DEAD_LETTER=f"{missing}-2")
    assert refused.exit_code == Exit.KAFKA
    assert refused.err.startswith(f"digit-producer: topic '{missing}-2' is refused by ")
    assert len(refused.err.splitlines()) == 1
