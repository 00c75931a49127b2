"""``make demo``: real digits through a real broker, and a table of what came back beside what was expected.

Starts a broker (or uses the one named by DIGITS_KAFKA__BOOTSTRAP_SERVERS), creates topics of its own, runs the
service, sends with ``digit-producer`` as any user would. Exit code 0 only if every result is as expected.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from rich import box
from rich.console import Console
from rich.table import Table

from broker import BrokerError, Cluster, running_broker
from broker.jars import jars_folder
from producer.display import print_message
from tests.harness.progress import progress_lines
from tests.harness.service import START_DEADLINE_S, Service, ServiceEndedError, starting_service
from tests.harness.topics import Broker, RunningElsewhere, fresh_topics
from tests.harness.waiting import eventually
from transport.clients import wait_for_brokers
from transport.errors import KafkaRequestError
from transport.settings.kafka import KafkaSettings

DATA: Final = Path(__file__).parents[1] / "data"
SENT: Final = (DATA / "digits", DATA / "digits.zip", DATA / "photo_7.jpg", DATA / "no_digit.png", DATA / "damaged.png")
ANSWER_DEADLINE_S: Final = 60
EXIT_FAILED: Final = 1
EXIT_INTERRUPTED: Final = 130

console = Console(highlight=False, width=None if sys.stdout.isatty() else 120)


def expected(name: str) -> str:
    """Say what should come back for a file: its digit, which is in its name, or what is wrong with it."""
    stem = Path(name).stem
    wrong = {"no_digit": "not-a-digit", "damaged": "damaged-image"}
    return wrong.get(stem) or stem.removeprefix("photo_").split("_")[0]


def outcome(result: Mapping[str, Any]) -> str:
    """Say what came back, in the same words."""
    if result["error"] is not None:
        return str(result["error"]["code"])
    return str(result["digit"] if result["reason"] is None else result["reason"])


def say(text: str) -> None:
    """Show a line as it is."""
    console.print(text, markup=False, highlight=False)


async def send(broker: Broker) -> list[dict[str, Any]]:
    """Send everything and return the results, one for each image."""
    command = (sys.executable, "-m", "producer", "send", *map(str, SENT), "--wait", "--json")
    process = await asyncio.create_subprocess_exec(
        *command,
        f"--timeout-s={ANSWER_DEADLINE_S}",
        stdout=asyncio.subprocess.PIPE,
        env=os.environ | broker.environment,
    )
    with progress_lines(say, "waiting for the results"):
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
    with contextlib.ExitStack() as stack:
        if named:
            asyncio.run(wait_for_brokers(KafkaSettings(bootstrap_servers=named), print_message))
            yield RunningElsewhere(named)
            return
        with progress_lines(say, "looking for Kafka's jars, which Maven fetches once"):
            jars_folder()
        with progress_lines(say, "Kafka starts"):
            own = stack.enter_context(running_broker())
        yield own


@contextlib.asynccontextmanager
async def topics(cluster: Cluster | RunningElsewhere) -> AsyncIterator[Broker]:
    """Create the demo's topics, and delete them on a broker that goes on without us."""
    async with fresh_topics(cluster) as broker:
        yield broker
        if isinstance(cluster, RunningElsewhere):
            await broker.admin.delete_topics(list(broker.topics.model_dump().values()))


async def ready(service: Service) -> None:
    """Wait for the service, and show what it waits for itself."""
    why = "it starts"

    async def look() -> bool:
        nonlocal why
        is_ready = await service.is_ready()
        if not is_ready:
            why = (await service.get("/readyz"))[1].strip().removeprefix("not ready: ")
        return is_ready

    with progress_lines(say, lambda: f"waiting for the service: {why}"):
        await eventually(look, deadline_s=START_DEADLINE_S)


async def demo(running: Cluster | RunningElsewhere) -> bool:
    """Run it all; return whether every result is as expected."""
    async with topics(running) as broker, starting_service(broker, workers=None) as service:
        await ready(service)
        model = (await service.health())["model"]
        console.print(f"The service is ready: model {model['name']} {model['version']}, 2 workers.")
        results = await send(broker)
        console.print("Sent: a folder of digits, a zip, a photo, a picture without a digit, a damaged file.")
        as_expected = show(results) and len(results) > len(SENT)
        letters = len(await broker.dead_letters())
        console.print(f"Dead letters: {letters} (the damaged file, with its bytes and the reason).")
    return as_expected and letters == 1


def main() -> int:
    """Run it; return the exit code. The broker starts outside of the event loop, where Ctrl-C reaches it."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # also where it was ignored, as in a script's background
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    started_s = time.monotonic()
    try:
        with cluster() as running:
            console.print(f"Kafka answers at {running.bootstrap_servers}.")
            as_expected = asyncio.run(demo(running))
    except (BrokerError, KafkaRequestError, ServiceEndedError) as error:
        console.print(f"demo: {error}", style="red", markup=False, soft_wrap=True)
        return EXIT_FAILED
    except KeyboardInterrupt:
        console.print("demo: interrupted; nothing is left running")
        return EXIT_INTERRUPTED
    console.print(f"Done in {time.monotonic() - started_s:.0f} s.")
    return 0 if as_expected else EXIT_FAILED
