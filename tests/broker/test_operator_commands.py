"""The commands of an operator: `check`, `create-topics` and `status`, against a real cluster."""

from __future__ import annotations

import asyncio
import os
import sys
from asyncio.subprocess import PIPE

import pytest
from aiokafka.admin import NewPartitions

from broker import Cluster
from producer.errors import Exit
from tests.harness.images import drawn_digits
from tests.harness.producer_command import run
from tests.harness.service import running_service
from tests.harness.topics import Broker, fresh_topics
from tests.harness.waiting import eventually


async def checked(broker: Broker, *options: str, **env: str) -> tuple[int, list[list[str]]]:
    """Run `digit-consumer check`; give its exit code, and the words of its lines."""
    outside = {name: value for name, value in os.environ.items() if not name.startswith("DIGITS_")}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "consumer", "check", *options),
        stdout=PIPE,
        env=outside | broker.environment | env,
    )
    output, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, [line.split() for line in output.decode().splitlines()]


async def test_check_of_a_service_that_can_start_says_so_and_joins_no_group(broker: Broker) -> None:
    exit_code, lines = await checked(broker)
    assert [line[:2] for line in lines] == [
        ["ok", subject] for subject in ("settings", "model", "client", "brokers", *["topics"] * 3, "rights")
    ]
    assert exit_code == 0
    groups = await broker.admin.list_consumer_groups()
    assert broker.group_id not in {name for name, _ in groups}


@pytest.mark.parametrize(
    ("env", "expected", "wrong"),
    [
        ({"DIGITS_TOPICS__REQUESTS": "nowhere"}, 1, ["topics"]),
        ({"DIGITS_KAFKA__BOOTSTRAP_SERVERS": "127.0.0.1:1", "DIGITS_KAFKA__WAIT_S": "0.1"}, 1, ["brokers"]),
        ({"DIGITS_MODEL": "/nowhere"}, 2, ["model"]),
    ],
    ids=["topic", "broker", "model"],
)
async def test_check_names_what_would_stop_the_start(
    broker: Broker, env: dict[str, str], expected: int, wrong: list[str]
) -> None:
    exit_code, lines = await checked(broker, **env)
    assert [line[1] for line in lines if line[0] == "WRONG"] == wrong
    assert exit_code == expected
    assert {line[1] for line in lines} == {"settings", "model", "client", "brokers", "topics", "rights"}


async def test_topics_that_do_not_fit_are_named_by_create_topics_and_by_check(cluster: Cluster) -> None:
    async with fresh_topics(cluster, partitions=2, configs={"cleanup.policy": "compact"}) as broker:
        good = await run(broker, "create-topics", "--check", DIGITS_TOPICS__REQUESTS=broker.topics.predictions + "-new")
        assert good.exit_code == Exit.NOT_ALL_WELL
        assert "-new: is missing" in good.out
        await broker.admin.create_partitions({broker.topics.predictions: NewPartitions(3)})
        unfit = [
            f"digit-producer: {broker.topics.requests}: cleanup.policy is compact, should be delete: ",
            f"digit-producer: {broker.topics.predictions}: partition count is 3, should be 2 like the requests topic: ",
        ]
        for options, expected in (["--check"], Exit.NOT_ALL_WELL), ([], Exit.OK):
            ended = await run(broker, "create-topics", *options)
            assert ended.exit_code == expected
            lines = ended.err.splitlines()
            assert len(lines) == 2
            assert all(line.startswith(begin) for line, begin in zip(lines, unfit, strict=True))
        _, found = await checked(broker)
        assert [line[1:3] for line in found if line[0] == "WRONG"] == [
            ["topics", f"{broker.topics.requests}:"],
            ["topics", f"{broker.topics.predictions}:"],
        ]


async def test_topics_as_create_topics_makes_them_pass_its_own_check(broker: Broker) -> None:
    new = {f"DIGITS_TOPICS__{role.upper()}": f"{name}-new" for role, name in broker.topics.by_role.items()}
    assert (await run(broker, "create-topics", "--partitions", "2", stdin=None, **new)).err == ""
    again = await run(broker, "create-topics", "--check", stdin=None, **new)
    assert (again.exit_code, again.err) == (Exit.OK, "")


async def test_status_shows_offsets_and_owners(broker: Broker) -> None:
    async with running_service(broker):
        await broker.send(drawn_digits(3), partition=1)
        await broker.everything_answered()
        status = await run(broker, "status", "--json", "--interval-s", "0.2")
        table = await run(broker, "status", "--interval-s", "0.2")
    assert status.exit_code == table.exit_code == Exit.OK
    (shown,) = status.lines
    (member,) = shown["members"]
    assert (shown["group_id"], shown["state"]) == (broker.group_id, "Stable")
    assert {row["owner"] for row in shown["partitions"]} == {member["member_id"]}
    row = shown["partitions"][1]
    assert (row["log_start"], row["committed"], row["end"], row["lag"]) == (0, 3, 3, 0)
    assert member["member_id"] in table.out
    assert "127.0.0.1" in table.out


async def test_status_of_an_unknown_group_shows_that_no_service_runs(broker: Broker) -> None:
    await broker.send(drawn_digits(2), partition=0)
    status = await run(broker, "status", "--interval-s", "0.2")
    assert status.exit_code == Exit.OK
    assert "(the brokers do not know it)" in status.out
    assert status.out.endswith("the group has no members: digit-consumer does not run\n")
    (shown,) = (await run(broker, "status", "--json", "--interval-s", "0.2")).lines
    assert (shown["partitions"][0]["committed"], shown["partitions"][0]["lag"]) == (None, 2)


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (["--topic", "nowhere"], "--topic nowhere: there is no such topic"),
        (["--partition", "8"], "has the partitions 0 to 7"),
        (["--partition", "0", "--offset", "2"], "--offset 2: the next record there will have offset 2"),
    ],
)
async def test_a_position_without_a_request_is_refused(broker: Broker, options: list[str], why: str) -> None:
    await broker.send(drawn_digits(2), partition=0)
    for command in (["dead-letters"], ["replay"], ["replay", "--dry-run"]):
        ended = await run(broker, *command, *options)
        assert ended.exit_code == Exit.USAGE
        assert why in ended.err


async def test_a_request_has_the_id_that_it_is_sent_with(broker: Broker) -> None:
    sent = await run(broker, "send", "-", "--request-id", "order-7", "--json", stdin=drawn_digits(1)[0])
    assert [line["request_id"] for line in sent.lines] == ["order-7"]
    (record,) = await eventually(lambda: broker.read(broker.topics.requests), lambda found: len(found) == 1)
    assert dict(record.headers)["request-id"] == b"order-7"
