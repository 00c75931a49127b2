"""The store of the models dies while an instance fetches from it: the old model answers until the store is back."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from broker import NotInstalledError
from broker.ports import free_ports
from tests.harness.exchange import LONG_S, Models, has_moved, load, versions
from tests.harness.models import retrained_model, version_of
from tests.harness.relay import relaying
from tests.harness.s3_server import S3Server, running_s3_server
from tests.harness.service import Service, running_service
from tests.harness.topics import Broker
from tests.harness.waiting import eventually

SLOW_BYTES_PER_S: Final = 250_000
"""A model takes more than two seconds, so there is time to kill the store meanwhile."""


@contextlib.contextmanager
def s3_server(folder: Path, *, at_port: int | None = None) -> Iterator[S3Server]:
    """Run a server whose objects outlast it; skip the test where none can be started, unless this is the CI."""
    objects = folder.parent / "objects"
    for each in (folder, objects):
        each.mkdir(exist_ok=True)
    try:
        with running_s3_server(folder, objects=objects, at_port=at_port) as server:
            yield server
    except NotInstalledError as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(error))


async def problem(service: Service) -> str | None:
    why: str | None = (await service.health())["model_problem"]
    return why


@pytest.mark.slow  # a slow line, and a server that starts twice
async def test_a_store_that_is_killed_during_a_fetch_delays_the_exchange_and_nothing_else(
    broker: Broker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    models, (by_relay,) = Models("s3://models", tmp_path / "cache"), free_ports(1)
    with s3_server(tmp_path / "first") as server:
        server.bucket("models")
        for name, value in server.variables().items():
            monkeypatch.setenv(name, value)
        models.promote(version_of("1"))
        slowly = models.settings | server.variables(port=by_relay) | {"DIGITS_MODEL_TIMEOUT_S": "20"}
        async with (
            relaying(by_relay, server.port, bytes_per_s=SLOW_BYTES_PER_S) as relay,
            running_service(broker, slowly) as service,
            load(broker) as sending,
        ):
            await eventually(lambda: len(sending.sent) > 200)
            before_bytes, second = relay.line.carried_bytes, retrained_model("2", tmp_path / "second")
            models.promote(second)
            is_fetching_bytes = before_bytes + len(second.arrays_npz) // 4
            await eventually(lambda: relay.line.carried_bytes > is_fetching_bytes, deadline_s=LONG_S)
            server.process.kill()
            for connection in relay.connections:  # or the kernel would deliver what it has taken already: all of it
                connection.cancel()
            assert await eventually(lambda: problem(service), deadline_s=LONG_S)
            so_far = len(sending.sent)
            await eventually(lambda: len(sending.sent) > so_far + 200)
            health = await service.health()
            assert (health["ready"], health["model"]["version"]) == (True, "1")
            assert health["refused_model"] is None
            with s3_server(tmp_path / "again", at_port=server.port):
                await has_moved(service, "2")
                assert await problem(service) is None
                so_far = len(sending.sent)
                await eventually(lambda: len(sending.sent) > so_far + 200)
    assert await versions(broker) == {partition: ["1", "2"] for partition in range(8)}
