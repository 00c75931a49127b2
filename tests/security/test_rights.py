"""The rights that docs/security.md lists suffice, each is needed, and the one that is missing is named."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import GroupAuthorizationFailedError, TopicAuthorizationFailedError, for_code
from typer.testing import CliRunner, Result

from broker import Cluster
from broker.security import ADMIN
from consumer.settings import Settings
from consumer.startup.checks import check_cluster
from producer.cli import app
from producer.errors import Exit
from tests.harness.acls import Right, allow, documented, take_away
from tests.harness.disagreements import disputed_digit
from tests.harness.images import drawn_digits
from tests.harness.models import worse_model
from tests.harness.played_service import answer, publish
from tests.harness.service import START_DEADLINE_S, Service, running_service, starting_service
from tests.harness.topics import Broker, position
from tests.harness.waiting import eventually
from tests.security.conftest import User
from transport.errors import FatalError
from transport.settings.kafka import ClientSettings

SERVICE = documented("### The service")
READ_RESULTS = documented("\nThe service reads its own results")
SETTINGS = documented("\nOne more right is recommended.")
WRITE_DISAGREEMENTS = documented("\nWith a topic for the disagreements")
READ_DISAGREEMENTS = documented("\n`disagreements`")
KEDA = documented("### KEDA")
COMMANDS = {
    name: documented(f"\n`{name}`") for name in ("send", "watch", "dead-letters", "replay", "audit", "unsure", "status")
}
CREATE_TOPICS = documented("\n`create-topics`")
EVERY = pytest.mark.parametrize("missing", SERVICE, ids=str)
BY_ALL_MEANS = pytest.mark.parametrize("user", ["certificate", "password"], indirect=True)


def sentence(missing: Right, broker: Broker) -> str:
    """Say what the service has to say without this right."""
    right = missing.of(broker)
    match right.kind:
        case "topic":
            done = {"Read": "read", "Write": "written to"}[right.operation]
            return f"topic {right.name} may not be {done} (ACL: {right.operation} on the topic)"
        case "group":
            return f"group {right.name} may not be joined (ACL: Read on the group)"
        case _:
            right_to = "Write on ids that begin with the group's name and a dot"
            return f"transactional id {right.name}# may not be used (ACL: {right_to})"


def without_own_part(why: str) -> str:
    """Leave out what is new in each process of a transactional id."""
    return re.sub(r"(transactional id [^.]+\.)\S+ ", r"\1# ", why)


async def rights_but(broker: Broker, user: User, rights: Sequence[Right], missing: Right | None = None) -> None:
    await allow(broker.cluster, user.name, [each.of(broker) for each in rights if each != missing])  # type: ignore[arg-type]  # ours, not just any


def fatal(service: Service) -> str:
    (event,) = [event for event in service.events if event["event"] == "fatal"]
    return str(event["why"])


@EVERY
@BY_ALL_MEANS
async def test_the_start_ends_with_the_name_of_the_right_that_is_missing(
    secure_broker: Broker, user: User, missing: Right, monkeypatch: pytest.MonkeyPatch
) -> None:
    await rights_but(secure_broker, user, SERVICE, missing)
    for name, value in (secure_broker.environment | user.environment).items():
        monkeypatch.setenv(name, value)
    with pytest.raises(FatalError) as caught:
        await check_cluster(Settings())
    assert without_own_part(str(caught.value)) == sentence(missing, secure_broker)


async def test_all_that_is_missing_is_named_at_once_and_the_exit_code_is_1(secure_broker: Broker, user: User) -> None:
    missing = [right for right in SERVICE if right.operation == "Write" and right.kind == "topic"]
    missing += [right for right in SERVICE if right.kind == "group"]
    in_sight = [right._replace(operation="Describe") for right in missing]
    await rights_but(secure_broker, user, [*in_sight, *(right for right in SERVICE if right not in missing)])
    async with starting_service(secure_broker, user.environment) as service:
        assert await service.wait(deadline_s=START_DEADLINE_S) == 1
        named = fatal(service).split("; ")
    assert sorted(named) == sorted(sentence(right, secure_broker) for right in missing)


@EVERY
@pytest.mark.parametrize("user", ["password"], indirect=True)
async def test_it_works_with_the_documented_rights_and_stops_without_one(
    secure_broker: Broker, secure_cluster: Cluster, user: User, missing: Right
) -> None:
    await rights_but(secure_broker, user, SERVICE)
    async with running_service(secure_broker, user.environment) as service:
        await secure_broker.send([*drawn_digits(10), b"no image"])
        await secure_broker.everything_answered()
        await take_away(secure_cluster, user.name, missing.of(secure_broker))
        await secure_broker.send([*drawn_digits(20), b"no image"])
        assert await service.wait(deadline_s=START_DEADLINE_S) == 1
        why = fatal(service)
        assert "Traceback" not in service.log
    assert without_own_part(why).endswith(sentence(missing, secure_broker))
    committed = await secure_broker.committed_offsets()
    answered = [position(result) for result in await secure_broker.results()]
    assert answered == [(each, offset) for each, end in committed.items() for offset in range(end or 0)]
    failed = [result for result in await secure_broker.results() if result.error]
    assert len(await secure_broker.dead_letters()) == len(failed)


@pytest.mark.parametrize("sees_settings", [True, False])
async def test_a_large_dead_letter_has_its_bytes_where_the_topics_settings_may_be_read(
    secure_broker: Broker, user: User, *, sees_settings: bool
) -> None:
    await rights_but(secure_broker, user, [*SERVICE, *READ_RESULTS, *(SETTINGS if sees_settings else [])])
    large = b"no image" * 200_000
    async with running_service(secure_broker, user.environment) as service:
        await secure_broker.send([large, b"no image"], partition=0)
        await secure_broker.everything_answered()
        warnings = [event["event"] for event in service.events if event["level"] == "warning"]
    assert warnings == ([] if sees_settings else 3 * ["topic settings not read"])
    values = [letter.value for letter in await secure_broker.dead_letters()]
    assert values == [large if sees_settings else None, b"no image"]


@pytest.fixture
async def answered(secure_broker: Broker) -> Broker:
    """Two requests, one answered with a result, the other with a failed one."""
    await secure_broker.send(drawn_digits(2), partition=0)
    requests = await secure_broker.read(secure_broker.topics.requests)
    answers = [
        answer(secure_broker, request, [status])
        for request, status in zip(requests, ("recognised", "failed"), strict=True)
    ]
    records = [record for each in answers for record in (*each.results, *each.dead_letters)]
    await publish(secure_broker, records, committed={0: 2})
    return secure_broker


@pytest.mark.parametrize("may_read", [True, False])
async def test_the_right_to_read_results_is_needed_only_without_an_offset(
    secure_broker: Broker, user: User, *, may_read: bool
) -> None:
    await secure_broker.send(drawn_digits(3), partition=0)
    requests = await secure_broker.read(secure_broker.topics.requests)
    await publish(secure_broker, answer(secure_broker, requests[0]).results)  # and nothing is committed
    await rights_but(secure_broker, user, [*SERVICE, *(READ_RESULTS if may_read else [])])
    async with starting_service(secure_broker, user.environment) as service:
        if may_read:
            await secure_broker.everything_answered()
        else:
            assert await service.wait(deadline_s=START_DEADLINE_S) == 1
            missing = f"topic {secure_broker.topics.predictions} may not be read (ACL: Read on the topic)"
            assert fatal(service).startswith(f"{missing}: the results are read since the group has no offset in ")
            assert "DIGITS_KAFKA__AUTO_OFFSET_RESET=earliest" in fatal(service)
        warned = [event["event"] for event in service.events if event["event"] == "results not readable"]
    assert warned == ([] if may_read else ["results not readable"])
    answered = [position(result) for result in await secure_broker.results()]
    assert answered == [(0, offset) for offset in range(3 if may_read else 1)]


async def test_asking_for_rights_leaves_no_trace(answered: Broker, user: User, monkeypatch: pytest.MonkeyPatch) -> None:
    async def traces() -> list[object]:
        topics = (answered.topics.predictions, answered.topics.dead_letter)
        return [await answered.committed_offsets(), *[await answered.end_offsets(topic) for topic in topics]]

    await rights_but(answered, user, SERVICE)
    before = await traces()
    for name, value in (answered.environment | user.environment).items():
        monkeypatch.setenv(name, value)
    await check_cluster(Settings())
    assert await traces() == before


async def invoke(broker: Broker, user: User, *arguments: str) -> Result:
    """Run a command of `digit-producer` in this process: it starts an event loop of its own."""
    env = broker.environment | user.environment
    return await asyncio.to_thread(lambda: CliRunner().invoke(app, arguments, env=env))


@pytest.mark.parametrize("command", COMMANDS)
async def test_each_command_of_the_producer_works_with_its_rights_and_names_what_it_lacks(
    answered: Broker, secure_cluster: Cluster, user: User, command: str, tmp_path: Path
) -> None:
    image = tmp_path / "a.png"
    image.write_bytes(drawn_digits(1)[0])
    arguments = {
        "send": [str(image)],
        "watch": ["--from-beginning", "--count", "1"],
        "unsure": ["--to", str(tmp_path / "unsure")],
    }.get(command, [])
    rights = [right.of(answered) for right in COMMANDS[command]]
    await allow(secure_cluster, user.name, rights)
    for right in rights:
        await take_away(secure_cluster, user.name, right)
        outcome = await invoke(answered, user, command, *arguments)
        assert (outcome.exit_code, outcome.stdout) == (Exit.KAFKA, "")
        assert "ACL" in outcome.stderr
        assert right.name.rstrip(".") in outcome.stderr
        assert outcome.stderr.count("\n") == 1
        await allow(secure_cluster, user.name, [right])
    outcome = await invoke(answered, user, command, *arguments)
    assert (outcome.exit_code, outcome.stderr.partition("digit-producer: ")[2]) in {
        (Exit.OK, ""),
        (Exit.OK, f"following {answered.topics.predictions}, 2 partitions; press Ctrl-C to end\n"),
    }


@pytest.mark.parametrize("sees_settings", [True, False])
async def test_send_refuses_a_large_file_first_where_it_may_read_the_limit(
    secure_broker: Broker, user: User, tmp_path: Path, *, sees_settings: bool
) -> None:
    (tmp_path / "a.png").write_bytes(drawn_digits(1)[0])
    (tmp_path / "b.png").write_bytes(bytes(20_000_000))
    rights = [*COMMANDS["send"], *(each for each in SETTINGS if each.name == "digits.requests" and sees_settings)]
    await rights_but(secure_broker, user, rights)
    outcome = await invoke(secure_broker, user, "send", str(tmp_path))
    sent = sum((await secure_broker.end_offsets(secure_broker.topics.requests)).values())
    assert (outcome.exit_code, sent) == ((Exit.USAGE, 0) if sees_settings else (Exit.KAFKA, 1))
    assert "max.message.bytes" in outcome.stderr


@pytest.mark.parametrize("sees_settings", [True, False])
async def test_replay_leaves_out_a_large_dead_letter_where_it_may_read_the_limit(
    secure_broker: Broker, user: User, *, sees_settings: bool
) -> None:
    await secure_broker.send(drawn_digits(2), partition=0)
    for request in await secure_broker.read(secure_broker.topics.requests):
        given = answer(secure_broker, request, ["failed"])
        if request.offset == 0:
            given.dead_letters[0].value = bytes(17_400_000)
        await publish(secure_broker, given.dead_letters)
    rights = [*COMMANDS["replay"], *(each for each in SETTINGS if each.name == "digits.requests" and sees_settings)]
    await rights_but(secure_broker, user, rights)
    outcome = await invoke(secure_broker, user, "replay")
    sent = len(await secure_broker.read(secure_broker.topics.requests)) - 2
    assert (outcome.exit_code, sent) == ((Exit.OK, 1) if sees_settings else (Exit.KAFKA, 0)), outcome.output


async def test_send_waits_for_its_answers_with_its_rights_and_those_of_watch(
    secure_broker: Broker, secure_cluster: Cluster, user: User, by_certificate: Callable[[str], User], tmp_path: Path
) -> None:
    image = tmp_path / "a.png"
    image.write_bytes(drawn_digits(1)[0])
    rights = [right.of(secure_broker) for right in (*COMMANDS["send"], *COMMANDS["watch"])]
    await allow(secure_cluster, user.name, rights)
    async with running_service(secure_broker, by_certificate(ADMIN).environment):
        outcome = await invoke(secure_broker, user, "send", str(image), "--wait", "--json")
        assert (outcome.exit_code, outcome.stdout.count('"status"')) == (Exit.OK, 1), outcome.output
        for right in rights:
            await take_away(secure_cluster, user.name, right)
            outcome = await invoke(secure_broker, user, "send", str(image), "--wait")
            assert (outcome.exit_code, outcome.stdout) == (Exit.KAFKA, "")
            assert right.name in outcome.stderr
            await allow(secure_cluster, user.name, [right])


async def test_disagreements_are_published_and_exported_with_the_rights_for_them(
    secure_broker: Broker, secure_cluster: Cluster, user: User, tmp_path: Path
) -> None:
    (write,) = [right.of(secure_broker) for right in WRITE_DISAGREEMENTS]
    (read,) = [right.of(secure_broker) for right in READ_DISAGREEMENTS]
    await secure_cluster.create_topics({write.name: {}}, partitions=secure_broker.partitions)
    worse_model("2", tmp_path / "worse")
    odd = disputed_digit(tmp_path / "worse")
    env = user.environment | {"DIGITS_TOPICS__DISAGREEMENTS": write.name, "DIGITS_CHALLENGER_SHARE": "1"}
    env |= {"DIGITS_CHALLENGER": str(tmp_path / "worse")}
    await rights_but(secure_broker, user, SERVICE)
    async with starting_service(secure_broker, env) as service:
        assert await service.wait(deadline_s=START_DEADLINE_S) == 1
        assert fatal(service) == f"topic {write.name} may not be written to (ACL: Write on the topic)"
    await allow(secure_cluster, user.name, [write])
    async with running_service(secure_broker, env) as service:

        async def published() -> float:
            await secure_broker.send([odd])  # a busy worker leaves out some, so there are more until it has time
            return await service.metric("digits_disagreements_total", end="published")

        await eventually(published)
    export = ("disagreements", "--to", str(tmp_path / "disputed"))
    outcome = await invoke(secure_broker, User(user.name, env), *export)
    assert outcome.exit_code == Exit.KAFKA
    assert f"topic {write.name} (ACL)" in outcome.stderr
    await allow(secure_cluster, user.name, [read])
    outcome = await invoke(secure_broker, User(user.name, env), *export)
    assert (outcome.exit_code, outcome.stderr) == (Exit.OK, "")
    assert "new disagreements" in outcome.stdout


async def lag(options: dict[str, Any], broker: Broker) -> int:
    """Ask for what KEDA asks: the topic's partitions, the group's offsets in them, and where they end."""
    admin = AIOKafkaAdminClient(**options)
    try:
        await admin.start()
        (topic,) = await admin.describe_topics([broker.topics.requests])
        if topic["error_code"]:
            raise for_code(topic["error_code"])
        partitions = [TopicPartition(topic["topic"], each["partition"]) for each in topic["partitions"]]
        committed = await admin.list_consumer_group_offsets(broker.group_id, partitions=partitions)
        async with AIOKafkaConsumer(**options) as consumer:
            ends = await consumer.end_offsets(partitions)
    finally:
        await admin.close()
    return sum(end - max(0, committed[partition].offset) for partition, end in ends.items())


async def test_keda_learns_the_lag_with_its_rights_and_not_without_one_of_them(
    answered: Broker, secure_cluster: Cluster, user: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in user.environment.items():
        monkeypatch.setenv(name, value)
    options = ClientSettings().kafka.client_options()
    rights = [right.of(answered) for right in KEDA]
    await answered.send(drawn_digits(5))
    await allow(secure_cluster, user.name, rights)
    assert await lag(options, answered) == 5
    for right in rights:
        await take_away(secure_cluster, user.name, right)
        with pytest.raises((TopicAuthorizationFailedError, GroupAuthorizationFailedError)):
            await lag(options, answered)
        await allow(secure_cluster, user.name, [right])


async def test_topics_are_created_only_with_the_right_to_each(
    secure_broker: Broker, secure_cluster: Cluster, user: User
) -> None:
    new = {"requests": "digits.requests", "predictions": "digits.predictions", "dead_letter": "digits.dead-letter"}
    env = {f"DIGITS_TOPICS__{role.upper()}": name for role, name in new.items()}
    other = User(user.name, user.environment | env)
    await allow(secure_cluster, user.name, CREATE_TOPICS[1:])
    outcome = await invoke(secure_broker, other, "create-topics")
    assert outcome.exit_code == Exit.KAFKA
    assert "'digits.requests' is refused" in outcome.stderr
    await allow(secure_cluster, user.name, CREATE_TOPICS[:1])
    outcome = await invoke(secure_broker, other, "create-topics")
    assert (outcome.exit_code, outcome.stderr) == (Exit.OK, "")
    created = await eventually(secure_broker.admin.list_topics, lambda names: set(new.values()) <= set(names))
    assert set(new.values()) <= set(created)
