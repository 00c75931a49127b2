"""These tests need Docker and minutes: they run where they are asked for, and then a missing Docker is a failure."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import AsyncIterator, Iterator

import pytest

from tests.compose.stack import Stack, running_stack
from tests.harness.topics import Broker


@pytest.fixture(scope="session")
def stack() -> Iterator[Stack]:
    """Kafka and one instance of the service for all tests, each of which leaves it like that."""
    if shutil.which("docker") is None:
        pytest.exit("tests/compose needs Docker with Compose: there is no command `docker`", returncode=1)
    for command in (["docker", "version"], ["docker", "compose", "version"]):
        asked = subprocess.run(command, check=False, capture_output=True, text=True)
        if asked.returncode:
            said = " ".join(asked.stderr.split())
            pytest.exit(f"tests/compose needs Docker with Compose: `{' '.join(command)}` says: {said}", returncode=1)
    with running_stack() as stack:
        yield stack


@pytest.fixture
async def broker(stack: Stack) -> AsyncIterator[Broker]:
    """The topics that the service works on."""
    async with stack.broker() as broker:
        yield broker
