"""Prometheus of the compose file finds every instance and accepts our rules and queries."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final

import aiohttp
import pytest
import yaml

from tests.compose.stack import LONG_S, ROOT, Stack, docker
from tests.harness import promql
from tests.harness.images import drawn_digits
from tests.harness.topics import Broker
from tests.harness.waiting import eventually

pytestmark = pytest.mark.timeout(900)  # the first to run builds the image

RULES: Final = "/etc/prometheus"
TRIED: Final = "/tried"
QUIET: Final = {"DigitstreamDeadLettersRising"}
"""What other tests on the same topics may have caused."""


class Prometheus:
    """Its HTTP API."""

    def __init__(self, address: str, http: aiohttp.ClientSession) -> None:
        self._api = f"{address}/api/v1/"
        self._http = http

    async def ask(self, path: str, **parameters: str) -> Any:
        """Return the data of an answer; one that is no success counts as not yet."""
        try:
            async with self._http.get(self._api + path, params=parameters) as answer:
                said = await answer.json()
        except (aiohttp.ClientError, TimeoutError) as error:
            raise ConnectionError(str(error)) from error
        assert said["status"] == "success", said
        return said["data"]

    async def value(self, query: str) -> float | None:
        """Return what a query with one sample yields; None if there is none."""
        result = (await self.ask("query", query=query))["result"]
        return float(result[0]["value"][1]) if result else None


@pytest.fixture
async def prometheus(stack: Stack) -> AsyncIterator[Prometheus]:
    monitoring = ("--profile", "monitoring")
    try:
        await stack.compose(*monitoring, "up", "--detach", "--wait", "--no-deps", "--no-recreate", "prometheus")
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10)) as http:
            yield Prometheus(stack.prometheus, http)
    finally:
        await stack.compose(*monitoring, "rm", "--stop", "--force", "--volumes", "prometheus")


@pytest.fixture
def with_alertmanager(tmp_path: Path) -> Path:
    """A folder with the configuration as docs/operations.md says that it is to be extended."""
    operations = (ROOT / "docs/operations.md").read_text(encoding="utf-8")
    (attached,) = re.findall(r"^```yaml\n(alerting:\n.*?)^```", operations, re.MULTILINE | re.DOTALL)
    (tmp_path / "prometheus.yml").write_text((promql.RULES.parent / "prometheus.yml").read_text() + attached)
    (tmp_path / "rules.yml").write_text(promql.RULES.read_text())
    tmp_path.chmod(0o755)  # promtool is another user
    return tmp_path


async def test_each_alert_fires_and_stays_silent_in_the_most_similar_case(
    stack: Stack, with_alertmanager: Path
) -> None:
    del stack  # it has looked for Docker
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))["services"]
    mounted = (
        "--volume",
        f"{promql.RULES.parent}:{RULES}:ro",
        "--volume",
        f"{with_alertmanager}:{TRIED}:ro",
        "--entrypoint",
        "promtool",
    )
    promtool = ("run", "--rm", "--network=none", *mounted, compose["prometheus"]["image"])
    await docker(*promtool, "check", "config", f"{RULES}/prometheus.yml")
    await docker(*promtool, "check", "config", f"{TRIED}/prometheus.yml")
    assert "SUCCESS" in await docker(*promtool, "test", "rules", f"{RULES}/rules_test.yml")


async def test_every_instance_is_scraped_and_every_query_has_data(
    stack: Stack, broker: Broker, prometheus: Prometheus
) -> None:
    await stack.scale(2)
    await stack.shared_as(4, 4)
    await broker.send([*drawn_digits(200), b"no image"])
    await broker.everything_answered(deadline_s=LONG_S)

    async def ready() -> float | None:
        return await prometheus.value('sum(digits_ready{job="digitstream"})')

    await eventually(ready, lambda instances: instances == 2, deadline_s=LONG_S)
    await eventually(
        lambda: prometheus.value('sum(digits_items_total{status="failed"})'), lambda failed: failed, deadline_s=LONG_S
    )
    for query in promql.queries():
        filled = query.replace("$namespace", ".*").replace("$job", "digitstream").replace("$instance", ".+")
        filled = filled.replace("$gateway", "digitstream-gateway")
        await prometheus.ask("query", query=filled)
    loaded = {rule["name"] for group in (await prometheus.ask("rules"))["groups"] for rule in group["rules"]}
    assert loaded == {rule.get("alert") or rule["record"] for rule in promql.rules()}

    async def alerts() -> set[str]:
        return {alert["labels"]["alertname"] for alert in (await prometheus.ask("alerts"))["alerts"]}

    # Before the first scrape nothing is up, so that DigitstreamAbsent may be pending until the next evaluation.
    await eventually(alerts, lambda pending_or_firing: pending_or_firing <= QUIET, deadline_s=LONG_S)
    await stack.scale(1)
    await stack.shared_as(8)
