"""The commands of README and docs/operations.md work as written."""

from __future__ import annotations

import asyncio
import json
import os
import re
import socket
from asyncio.subprocess import PIPE, STDOUT
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
import trustme

from consumer.settings import Settings
from tests.compose.stack import NAME, ROOT, CommandFailedError, Stack, docker, remove
from transport.settings.kafka import load

OURS: Final = f"{NAME}-make"
PORT: Final = 9092
NOT_A_USERS: Final = ("ARGS", "COMPOSE_", "DIGITS", "KAFKA_", "MAKE", "MFLAGS", "PYTHON", "REQUIREMENTS")
"""Variables that begin so could decide what happens."""


def port_is_taken() -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # connections that have ended hold it for a minute
        try:
            probe.bind(("127.0.0.1", PORT))
        except OSError:
            return True
    return False


@pytest.fixture
def project(stack: Stack) -> Iterator[str]:
    """A project and an image of our own, so that a user's are left alone, on the port that everyone has."""
    del stack  # it has looked for Docker, and has built most of what our image is made of
    remove(OURS)  # what a run that was killed has left
    if port_is_taken():
        assert not os.environ.get("CI"), f"port {PORT} is taken"
        pytest.skip(f"port {PORT} is taken, perhaps by your own `make up`")
    try:
        yield OURS
    finally:
        remove(OURS)


async def command(project: str, *words: str, **settings: str) -> str:
    """Run a command in the checkout and return what it has said; it must end well."""
    process = await asyncio.create_subprocess_exec(
        *words,
        cwd=ROOT,
        stdout=PIPE,
        stderr=STDOUT,
        env={name: value for name, value in os.environ.items() if not name.startswith(NOT_A_USERS)}
        | {"COMPOSE_PROJECT_NAME": project, "DIGITSTREAM_IMAGE": project, **settings},
    )
    said, _ = await process.communicate()
    assert process.returncode == 0, said.decode()
    return said.decode()


@pytest.mark.timeout(900)  # it may have to build the image
async def test_the_readmes_commands_make_up_send_and_make_down_work(project: str) -> None:
    mine = ("ps", "--all", "--quiet", "--filter", f"label=com.docker.compose.project={project}")
    try:
        await command(project, "make", "up")
        answers = await command(project, ".venv/bin/digit-producer", "send", "tests/data/digits", "--wait")
        rows = [line for line in answers.splitlines() if ".png" in line]
        assert len(rows) == 40, answers
        assert "failed" not in answers
        assert await docker(*mine)
    finally:
        await command(project, "make", "down", "ARGS=--volumes")
    assert await docker(*mine) == ""
    assert await docker("volume", "ls", "--quiet", "--filter", f"label=com.docker.compose.project={project}") == ""


async def test_the_override_for_external_brokers_configures_topics_and_service_alike(
    stack: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    del stack  # as above
    operations = (ROOT / "docs/operations.md").read_text(encoding="utf-8")
    (text,) = re.findall(r"^```yaml\n# docker-compose.override.yml\n(.*?)^```", operations, re.MULTILINE | re.DOTALL)
    override = tmp_path / "docker-compose.override.yml"
    override.write_text(text)
    files = ("--file", "docker-compose.yml", "--file", str(override))
    profiles = ("--profile", "web")
    services = json.loads(await docker("compose", *files, *profiles, "config", "--format", "json"))["services"]
    assert set(services) == {"topics", "consumer", "gateway"}
    assert {name for service in services.values() for name in service.get("depends_on") or {}} == {"topics"}
    lines = [
        {name: value for name, value in service["environment"].items() if name.startswith("DIGITS_KAFKA__")}
        for service in services.values()
    ]
    assert lines[0] == lines[1] == lines[2]
    mounts = [volume for service in services.values() for volume in service["volumes"]]
    assert {(mount["target"], mount["read_only"]) for mount in mounts} == {("/etc/digits", True)}
    trustme.CA().cert_pem.write_to_path(tmp_path / "ca.pem")
    (tmp_path / "password").write_text("open sesame")
    for name, value in lines[0].items():
        monkeypatch.setenv(name, value.replace("/etc/digits", str(tmp_path)))
    assert load(Settings, owns_prefix=True).kafka.has_user


@pytest.mark.timeout(900)
async def test_make_image_adds_the_tracing_packages_on_request(stack: Stack) -> None:
    del stack  # as above
    image = f"{NAME}-traced"
    try:
        await command(image, "make", "image", REQUIREMENTS="otel")
        inside = ("run", "--rm", "--network=none", "--read-only", "--tmpfs=/tmp", image)
        await docker(*inside, "python", "-c", "import consumer.observe.tracing")
        with pytest.raises(CommandFailedError, match="opentelemetry"):  # and only there
            await docker(*inside[:-1], NAME, "python", "-c", "import consumer.observe.tracing")
    finally:
        await docker("image", "rm", "--force", image)
