"""A challenger beside the model that serves, on a real broker: it changes no answer, and disagreements arrive."""

from __future__ import annotations

import json
import re
from pathlib import Path

from aiokafka import ConsumerRecord

from contract.disagreements import Disagreement
from engine.model.files import ModelFiles
from models import default_model
from producer.disagreements.folder import LINES
from producer.errors import Exit
from tests.harness.disagreements import disputed_digit
from tests.harness.images import drawn_digits, zipped
from tests.harness.models import worse_model
from tests.harness.producer_command import run
from tests.harness.service import running_service
from tests.harness.topics import Broker
from tests.harness.waiting import eventually

DIGITS = drawn_digits(200)
TIMES = re.compile(rb'"(received|classified)_at_ms":[0-9]+')


def said(record: ConsumerRecord) -> tuple[bytes, bytes | None, object]:
    """Give all that a record says, apart from the times in it."""
    return TIMES.sub(b"", record.value), record.key, record.headers


async def test_results_are_the_same_bytes_and_disagreements_arrive(broker: Broker, tmp_path: Path) -> None:
    worse = worse_model("2", tmp_path / "worse").info
    odd = disputed_digit(tmp_path / "worse")
    disputed = f"{broker.topics.requests}.disputed"
    other = {
        "DIGITS_KAFKA__GROUP_ID": f"{broker.group_id}-other",
        "DIGITS_KAFKA__AUTO_OFFSET_RESET": "earliest",
        "DIGITS_TOPICS__PREDICTIONS": f"{broker.topics.predictions}.other",
        "DIGITS_TOPICS__DEAD_LETTER": f"{broker.topics.dead_letter}.other",
        "DIGITS_TOPICS__DISAGREEMENTS": disputed,
    }
    configs: dict[str, dict[str, str]] = {name: {} for variable, name in other.items() if "TOPICS" in variable}
    await broker.cluster.create_topics(configs, partitions=broker.partitions)
    archive = zipped([("a.png", DIGITS[0]), ("b.png", b"no picture")])
    payloads = [*DIGITS, archive, b"no picture"]
    await broker.send(payloads, headers=[("request-id", b"mine")])
    async with running_service(broker):
        await broker.everything_answered()
    challenged = {"DIGITS_CHALLENGER": str(tmp_path / "worse"), "DIGITS_CHALLENGER_SHARE": "1"}
    async with running_service(broker, other | challenged) as service:
        assert (await service.health())["challenger"]["sha256"] == worse.sha256
        await eventually(lambda: service.metric("digits_items_total"), lambda count: count >= len(payloads) + 1)

        async def published() -> float:
            await broker.send([odd], partition=0)  # a busy worker leaves out some, so there are more until it has time
            return await service.metric("digits_disagreements_total", end="published")

        await eventually(published)
        assert await service.metric("digits_challenger_compared_total", verdict="differ") > 0
    for ours, theirs in ((broker.topics.predictions, "PREDICTIONS"), (broker.topics.dead_letter, "DEAD_LETTER")):
        without, with_it = await broker.read(ours), await broker.read(other[f"DIGITS_TOPICS__{theirs}"])
        for partition in range(broker.partitions):
            expected = [said(each) for each in without if each.partition == partition]
            assert [said(each) for each in with_it if each.partition == partition][: len(expected)] == expected
    records = await broker.read(disputed)
    assert records
    serving = ModelFiles.read(default_model()).info
    for record in records:
        about = Disagreement.read(record.headers)
        assert record.value in [*DIGITS, odd]
        assert about.topic == broker.topics.requests
        assert (about.champion.model.sha256, about.challenger.model.sha256) == (serving.sha256, worse.sha256)
        assert (about.champion.status, about.champion.digit) != (about.challenger.status, about.challenger.digit)
    folder = tmp_path / "disputed"
    exported = await run(broker, "disagreements", "--to", str(folder), stdin=None, **other)
    assert exported.exit_code == Exit.OK
    lines = [json.loads(line) for line in (folder / LINES).read_text().splitlines()]
    assert {line["result_id"] for line in lines} == {Disagreement.read(each.headers).result_id for each in records}
    assert all((folder / line["file"]).read_bytes() in [*DIGITS, odd] for line in lines)


async def test_a_challenger_that_cannot_be_used_does_not_stop_the_service(broker: Broker, tmp_path: Path) -> None:
    await broker.send(DIGITS[:3])
    async with running_service(broker, {"DIGITS_CHALLENGER": str(tmp_path / "nowhere")}) as service:
        await broker.everything_answered()
        health = await service.health()
        assert (health["challenger"], await service.metric("digits_challenger_left_out")) == (None, 1)
        assert "nowhere" in health["challenger_problem"]
        assert [event["event"] for event in service.events if event["level"] == "error"] == ["challenger left out"]
