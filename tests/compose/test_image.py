"""What is in the image, and how a container of it starts and ends."""

from __future__ import annotations

import json
from datetime import datetime
from importlib.metadata import version
from typing import Final

import pytest

from tests.compose.stack import LONG_S, NAME, CommandFailedError, Stack, docker, inspect
from tests.harness.images import drawn_digits
from tests.harness.topics import Broker, Position, position
from tests.harness.waiting import eventually

pytestmark = pytest.mark.timeout(900)  # the first to run builds the image

LABELS: Final = "org.opencontainers.image."
KILL_A_WORKER: Final = """
import os, pathlib, signal
for process in pathlib.Path("/proc").glob("[0-9]*"):
    if b"consumer.workers.worker" in (process / "cmdline").read_bytes():
        os.kill(int(process.name), signal.SIGKILL)
        break
"""


async def inside(container: str, *command: str) -> str:
    return await docker("exec", container, *command)


async def started_at_ms(container: str) -> float:
    return datetime.fromisoformat((await inspect(container))["State"]["StartedAt"]).timestamp() * 1000


async def test_the_image_has_its_labels_user_and_command(stack: Stack) -> None:
    del stack  # it has built it
    (image,) = json.loads(await docker("image", "inspect", NAME))
    labels = {name.removeprefix(LABELS): text for name, text in image["Config"]["Labels"].items()}
    assert (labels["title"], labels["version"], labels["licenses"]) == ("Digitstream", version("digitstream"), "MIT")
    assert image["Config"]["User"] == "10001:10001"
    assert image["Config"]["Cmd"] == ["digit-consumer", "run"]


async def test_the_image_is_complete_and_as_small_as_documented(stack: Stack) -> None:
    (container,) = await stack.containers()
    left_over = r"find /opt/digitstream -name pip -o -name pip-\* -o -name tests -type d -o -name \*.whl"
    assert await inside(container, "sh", "-c", left_over) == ""
    (image,) = json.loads(await docker("image", "inspect", NAME))
    (base,) = json.loads(await docker("image", "inspect", image["Config"]["Labels"][f"{LABELS}base.name"]))
    assert base["RootFS"]["Layers"] == image["RootFS"]["Layers"][: len(base["RootFS"]["Layers"])]
    assert image["Size"] - base["Size"] < 520_000_000  # 505 MB, and other patch levels of the packages


async def test_a_container_has_no_privileges_no_compiler_and_writes_only_to_tmp(stack: Stack) -> None:
    (container,) = await stack.containers()
    status = dict(line.split(":\t") for line in (await inside(container, "cat", "/proc/1/status")).splitlines())
    assert (status["CapEff"], status["CapBnd"], status["NoNewPrivs"]) == ("0" * 16, "0" * 16, "1")
    assert await inside(container, "sh", "-c", "for tool in gcc cc c++ ld make; do command -v $tool; done; true") == ""
    for folder in ("/", "/opt/digitstream", "/var"):
        with pytest.raises(CommandFailedError, match="Read-only file system"):
            await inside(container, "touch", f"{folder}/a-file")
    await inside(container, "sh", "-c", "touch /tmp/a-file && rm /tmp/a-file")


async def test_a_read_only_container_without_tmp_reports_what_it_needs(stack: Stack) -> None:
    del stack
    with pytest.raises(CommandFailedError, match="give the container a /tmp of its own"):
        await docker("run", "--rm", "--read-only", "--network=none", NAME)


async def test_a_container_drains_and_starts_again_without_compiling(stack: Stack, broker: Broker) -> None:
    (container,) = await stack.containers()
    await docker("stop", container)
    assert (await inspect(container))["State"]["ExitCode"] == 0
    assert "ended" in (await stack.compose("logs", "--no-log-prefix", "consumer")).splitlines()[-1]

    sent = await broker.send(drawn_digits(1))
    await docker("start", container)
    await broker.everything_answered(deadline_s=LONG_S)
    (answered_at_ms,) = [
        result.timing.classified_at_ms for result in await broker.results() if position(result) == Position(*sent[0])
    ]
    took_s = (answered_at_ms - await started_at_ms(container)) / 1000
    print(f"first prediction {took_s:.1f} s after the start")  # noqa: T201  # `make test-compose ARGS=-rP` shows it
    # Compared by content, because an index that does not fit is written again under its old name.
    compiled = ("sh", "-c", 'cd "$0" && find . -type f -exec sha256sum {} + | sort')
    in_image, in_use = [
        await inside(container, *compiled, each)
        for each in ("/opt/digitstream/compiled", "/tmp/compiled")  # noqa: S108  # in a container
    ]
    assert in_image
    assert in_use == in_image
    await stack.shared_as(8)


async def test_the_first_process_reaps_orphaned_children(stack: Stack) -> None:
    (container,) = await stack.containers()
    await inside(container, "python", "-c", KILL_A_WORKER)

    async def workers_and_zombies() -> tuple[int, str]:
        states = await inside(container, "sh", "-c", "cat /proc/[0-9]*/stat | grep ') Z ' || true")
        return (await stack.health(container))["workers"]["running"], states

    await eventually(workers_and_zombies, lambda found: found == (2, ""), deadline_s=LONG_S)
    await stack.shared_as(8)
