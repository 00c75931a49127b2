"""The HTTP server of the compose file (profile `web`), as a browser and a program on this machine use it."""

from __future__ import annotations

import asyncio
import json
import re
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final

import aiohttp
import pytest

from tests.compose.stack import LONG_S, ROOT, Stack
from tests.harness.producer_command import run
from tests.harness.topics import Broker
from tests.harness.waiting import eventually

pytestmark = pytest.mark.timeout(900)  # the first to run builds the image

WEB: Final = ("--profile", "web")
UP: Final = ("up", "--detach", "--wait")
SEVEN: Final = (ROOT / "tests/data/digits/7_50021.png").read_bytes()
OTHER_SEVEN: Final = (ROOT / "tests/data/digits/7_50037.png").read_bytes()


@pytest.fixture
async def gateway(stack: Stack, broker: Broker) -> AsyncIterator[str]:
    """The address of a gateway that is ready; at the end it is removed."""
    del broker
    try:
        await stack.compose(*WEB, *UP, "--build", "--no-recreate", "gateway")
        yield stack.gateway
    finally:
        await stack.compose(*WEB, "rm", "--stop", "--force", "gateway")


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=LONG_S)) as session:
        yield session


async def test_the_page_and_swagger_are_at_the_published_port(gateway: str, http: aiohttp.ClientSession) -> None:
    for path in ("/", "/docs"):
        async with http.get(gateway + path) as answer:
            assert (answer.status, answer.content_type) == (200, "text/html")


async def test_a_page_of_another_site_cannot_send_under_its_own_name(gateway: str, http: aiohttp.ClientSession) -> None:
    async with http.post(f"{gateway}/predict", data=SEVEN, headers={"Host": "attacker.example"}) as answer:
        assert answer.status == 403


async def test_a_seven_is_read_once_also_when_it_is_sent_again_after_a_restart(
    stack: Stack, broker: Broker, gateway: str, http: aiohttp.ClientSession
) -> None:
    async def send(**headers: str) -> tuple[int, Any, str | None]:
        named = {"Idempotency-Key": "compose-1"} | headers
        async with http.post(f"{gateway}/v1/predict", data=SEVEN, headers=named) as answer:
            return answer.status, await answer.json(), answer.headers.get("Location")

    status, _, location = await send(Prefer="wait=0")
    assert (status, location) == (202, "/v1/requests/compose-1")

    async def poll() -> Any:
        async with http.get(f"{gateway}{location}") as answer:
            return await answer.json()

    found = await eventually(poll, lambda answer: answer["complete"], deadline_s=LONG_S)
    (result,) = found["results"]
    assert (result["digit"], result["status"]) == (7, "recognised")

    status, again, _ = await send()
    assert (status, again["result_id"]) == (200, result["result_id"])
    await stack.compose(*WEB, "restart", "gateway")
    await stack.compose(*WEB, *UP, "--no-recreate", "gateway")
    status, again, _ = await send()
    assert (status, again["result_id"]) == (200, result["result_id"])
    audit = await run(broker, "audit", "--json")  # not by offsets: a request with a key has a transaction's marker, too
    assert (audit.exit_code, json.loads(audit.out)["pending"]) == (0, 0), audit.out


async def test_with_the_documented_override_a_key_is_needed_and_made_by_one_command(
    stack: Stack, gateway: str, http: aiohttp.ClientSession, tmp_path: Path
) -> None:
    operations = (ROOT / "docs/operations.md").read_text(encoding="utf-8")
    (text,) = re.findall(
        r"^```yaml\n# docker-compose.override.yml, with keys\n(.*?)^```", operations, re.MULTILINE | re.DOTALL
    )
    (make_key,) = re.findall(
        r"^docker compose (--profile web run .* digit-producer api-key \w+) >>", operations, re.MULTILINE
    )
    keys = tmp_path / "keys"
    keys.mkdir()
    override = tmp_path / "override.yml"
    override.write_text(text.replace("./keys", str(keys)))
    made = await asyncio.create_subprocess_exec(
        *("docker", *stack.options, *make_key.split()), cwd=ROOT, stdout=PIPE, stderr=PIPE
    )
    entry, said = await made.communicate()
    assert made.returncode == 0, said
    (keys / "keys.toml").write_bytes(entry)
    (key,) = re.findall(r"ds_[\w-]+", said.decode())

    await stack.compose("--file", str(override), *WEB, *UP, "--no-deps", "gateway")
    async with http.post(f"{gateway}/predict", data=OTHER_SEVEN) as refused:
        assert refused.status == 401
    async with http.post(f"{gateway}/predict", data=OTHER_SEVEN, headers={"X-API-Key": key}) as answered:
        assert (answered.status, (await answered.json())["digit"]) == (200, 7)
