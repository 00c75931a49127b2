"""The programs of docs/contract.md, taken from the page and run against a real broker and a running service.

Only the broker's address and the topics' names are replaced. A program whose language is not installed is skipped.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

import pytest

from broker.jars import jars_folder
from tests.harness.images import drawn_digits
from tests.harness.service import Service, running_service
from tests.harness.topics import Broker

PAGE: Final = (Path(__file__).parents[2] / "docs" / "contract.md").read_text()
EXAMPLES: Final = {
    language: re.search(rf"^### {language}$.*?^```\w+\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
    for language in ("Python", "Go", "Node", "Java", "kcat")
}
RUN_S: Final = 60.0
FETCH_S: Final = 400.0
"""Generous: the first run on a machine fetches and compiles a client."""


@pytest.fixture
async def service(broker: Broker) -> AsyncIterator[Service]:
    async with running_service(broker) as service:
        yield service


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where an example runs, with the image that it sends."""
    (tmp_path / "seven.png").write_bytes(next(iter(drawn_digits(1))))
    return tmp_path


def example(language: str, broker: Broker) -> str:
    """Return a program, or the commands of a shell, with a test's own address and names in it."""
    found = EXAMPLES[language]
    assert found is not None, f"docs/contract.md has no block below '### {language}'"
    text = found[1]
    for written, real in (
        ("localhost:9092", broker.cluster.bootstrap_servers),
        ("digits.requests", broker.topics.requests),
        ("digits.predictions", broker.topics.predictions),
        ("my-application", f"{broker.group_id}-reader"),
    ):
        assert written in text or written == "my-application"
        text = text.replace(written, real)
    return text


def command_of_the_page(language: str, beginning: str) -> list[str]:
    """Return a command that the page gives above a program."""
    section = PAGE.partition(f"\n### {language}\n")[2].partition("```")[0]
    found = re.search(rf"`[^`]*?({re.escape(beginning)}[^`&]*)", section)
    assert found is not None, f"docs/contract.md does not say `{beginning}…` for {language}"
    return found[1].split()


def installed(program: str) -> str:
    found = shutil.which(program)
    if found is None:
        pytest.skip(f"{program} is not installed")
    return found


async def run(folder: Path, *command: str, deadline_s: float = RUN_S, **env: str) -> str:
    """Run a command to its end, and return what it printed; it must succeed."""
    process = await asyncio.create_subprocess_exec(
        *command, cwd=folder, env=os.environ | env, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    try:
        async with asyncio.timeout(deadline_s):
            out, err = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0, err.decode()
    return out.decode()


async def is_answered(broker: Broker, printed: str) -> None:
    """Check what a program has printed, and what it has sent."""
    (result,) = (json.loads(line) for line in printed.splitlines())
    assert (result["request_id"], result["item"]["name"], result["status"]) == ("order-7", "seven.png", "recognised")
    (request,) = await broker.read(broker.topics.requests)
    assert request.key == b"customer-7"
    assert sorted(request.headers) == [("filename", b"seven.png"), ("request-id", b"order-7")]


@pytest.mark.usefixtures("service")
async def test_the_example_in_python_sends_and_reads(broker: Broker, folder: Path) -> None:
    (folder / "example.py").write_text(example("Python", broker))
    _, *arguments = command_of_the_page("Python", "python ")
    await is_answered(broker, await run(folder, sys.executable, *arguments))


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.usefixtures("service")
async def test_the_example_in_go_sends_and_reads(broker: Broker, folder: Path) -> None:
    go = installed("go")
    (folder / "main.go").write_text(example("Go", broker))
    for beginning in ("go mod init", "go get"):
        _, *arguments = command_of_the_page("Go", beginning)
        await run(folder, go, *arguments, deadline_s=FETCH_S)
    await run(folder, go, "build", "-o", "example", ".", deadline_s=FETCH_S)
    _, _, _, *arguments = command_of_the_page("Go", "go run")
    await is_answered(broker, await run(folder, str(folder / "example"), *arguments))


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.usefixtures("service")
async def test_the_example_in_node_sends_and_reads(broker: Broker, folder: Path) -> None:
    node, npm = installed("node"), installed("npm")
    (folder / "example.mjs").write_text(example("Node", broker))
    _, *arguments = command_of_the_page("Node", "npm install")
    await run(folder, npm, *arguments, deadline_s=FETCH_S)
    _, *arguments = command_of_the_page("Node", "node ")
    await is_answered(broker, await run(folder, node, *arguments))


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.usefixtures("service")
async def test_the_example_in_java_sends_and_reads(broker: Broker, folder: Path) -> None:
    java = installed("java")
    if "jdk.compiler" not in await run(folder, java, "--list-modules"):
        pytest.skip("this Java has no compiler")
    (folder / "Example.java").write_text(example("Java", broker))
    _, *arguments = command_of_the_page("Java", "java ")
    arguments = [each.replace("'jars/*'", f"{jars_folder()}/*") for each in arguments]
    await is_answered(broker, await run(folder, java, *arguments))


@pytest.mark.usefixtures("service")
async def test_the_example_with_kcat_sends_and_reads(broker: Broker, folder: Path) -> None:
    kcat = shutil.which("kcat") or installed("kafkacat")
    sending, reading = example("kcat", broker).replace("\\\n", " ").splitlines()
    shell = f'kcat() {{ "{kcat}" "$@"; }}; set -e; '
    await run(folder, "bash", "-c", shell + sending)
    await broker.everything_answered()
    printed = await run(folder, "bash", "-c", shell + reading)
    assert printed.startswith("customer-7 {")
    await is_answered(broker, printed.removeprefix("customer-7 "))
