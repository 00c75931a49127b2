"""``make demo``: real digits through a real broker, and a table of what came back beside what was expected.

Starts a broker (or uses the one named by DIGITS_KAFKA__BOOTSTRAP_SERVERS), creates topics of its own, runs the
service, sends with ``digit-producer`` as any user would. Exit code 0 only if every result is as expected.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from rich import box
from rich.console import Console
from rich.table import Table

from broker import BrokerError, Cluster, running_broker
from tests.harness.broker import Broker, RunningElsewhere, fresh_topics
from tests.harness.service import ServiceEndedError, running_service

DATA: Final = Path(__file__).parent / "data"
SENT: Final = (DATA / "digits", DATA / "digits.zip", DATA / "photo_7.jpg", DATA / "no_digit.png", DATA / "damaged.png")
ANSWER_DEADLINE_S: Final = 60

console = Console(highlight=False, width=None if sys.stdout.isatty() else 120)


def expected(name: str) -> str:
    """Say what should come back for a file: its digit, which its name tells, or what is wrong with it."""
    stem = Path(name).stem
    wrong = {"no_digit": "not-a-digit", "damaged": "damaged-image"}
    return wrong.get(stem) or stem.removeprefix("photo_").split("_")[0]


def outcome(result: Mapping[str, Any]) -> str:
    """Say what came back, in the same words."""
    if result["error"] is not None:
        return str(result["error"]["code"])
    return str(result["digit"] if result["reason"] is None else result["reason"])


async def send(broker: Broker) -> list[dict[str, Any]]:
    """Send everything and return the results, one for each image."""
    command = (sys.executable, "-m", "producer", "send", *map(str, SENT), "--wait", "--json")
    process = await asyncio.create_subprocess_exec(
        *command,
        f"--timeout-s={ANSWER_DEADLINE_S}",
        stdout=asyncio.subprocess.PIPE,
        env=os.environ | broker.environment,
    )
    output, _ = await process.communicate()
    return [json.loads(line) for line in output.splitlines()]


def show(results: list[dict[str, Any]]) -> bool:
    """Print the table; return whether all is as expected."""
    table = Table("image", "result", "confidence", "expected", "", box=box.SIMPLE_HEAD)
    surprises = 0
    for result in results:
        name = result["item"]["name"]
        right = outcome(result) == expected(name)
        surprises += not right
        confidence = "" if result["confidence"] is None else f"{result['confidence']:.4f}"
        mark = "[green]as expected" if right else "[bold red]not as expected"
        table.add_row(name, outcome(result), confidence, expected(name), mark)
    console.print(table)
    console.print(f"{len(results) - surprises} of {len(results)} results are as expected.")
    return surprises == 0


@contextlib.contextmanager
def cluster() -> Iterator[Cluster | RunningElsewhere]:
    """Start a broker, or take the one that is named."""
    named = os.environ.get("DIGITS_KAFKA__BOOTSTRAP_SERVERS")
    if named:
        yield RunningElsewhere(named)
        return
    with running_broker() as own:
        yield own


@contextlib.asynccontextmanager
async def topics(cluster: Cluster | RunningElsewhere) -> AsyncIterator[Broker]:
    """Create the demo's topics, and delete them on a broker that goes on without us."""
    async with fresh_topics(cluster) as broker:
        yield broker
        if isinstance(cluster, RunningElsewhere):
            await broker.admin.delete_topics(list(broker.topics.model_dump().values()))


async def demo() -> bool:
    """Run it all; return whether every result is as expected."""
    started_s = time.monotonic()
    with cluster() as running:
        console.print(f"Kafka answers at {running.bootstrap_servers}.")
        async with topics(running) as broker, running_service(broker) as service:
            model = (await service.health())["model"]
            console.print(f"The service is ready: model {model['name']} {model['version']}, 2 workers.")
            results = await send(broker)
            console.print("Sent: a folder of digits, a zip, a photo, a picture without a digit, a damaged file.")
            as_expected = show(results) and len(results) > len(SENT)
            letters = len(await broker.dead_letters())
            console.print(f"Dead letters: {letters} (the damaged file, with its bytes and the reason).")
    console.print(f"Done in {time.monotonic() - started_s:.0f} s.")
    return as_expected and letters == 1


if __name__ == "__main__":
    try:
        sys.exit(0 if asyncio.run(demo()) else 1)
    except (BrokerError, ServiceEndedError) as error:
        console.print(f"[red]demo: {error}", style="red")
        sys.exit(1)
