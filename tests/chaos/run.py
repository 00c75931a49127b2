"""One run: starts everything in order, runs load and faults at once, waits for the last answer, and audits.

brokers    three, with a relay before each
instances  three; two of them know the brokers only through the relays
load       one sender a partition, until all faults have happened and enough images are sent
faults     four tracks
reader     for the whole run
end        the last answer; instances drain and end; `digit-producer audit --json`
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import signal
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from broker import Cluster, running_broker
from broker.ports import free_ports
from broker.probe import HOST
from tests.chaos.brokers import open_view
from tests.chaos.faults import Faults
from tests.chaos.instances import Instance, three_instances
from tests.chaos.load import Load
from tests.chaos.payloads import Payloads
from tests.chaos.plan import MEMBERS, SESSION_S, plan
from tests.chaos.predictions_reader import Reader
from tests.chaos.timeline import Timeline
from tests.harness import poison
from tests.harness.producer_command import command, ended
from tests.harness.relay import relaying
from tests.harness.topics import Broker, fresh_topics
from tests.harness.waiting import eventually
from transport.clients import open_producer
from transport.errors import describe, leaf_exceptions
from transport.settings.kafka import KafkaSettings

PARTITIONS: Final = 8
STALL_S: Final = 240.0
"""A run fails if a partition with missing results has had no new one for so long."""
DELAY_FAULTS_AFTER_S: Final = 45.0
"""After this time without a new result, the next faults wait for one. A chunk with items that crash or hang takes ten
seconds, several times that on a slow machine, and the next owner of the partition begins the chunk again. Faults that
come faster would show how slow the machine is, and not what the service loses."""
LOOK_S: Final = 0.5
FEW: Final = 200
"""Unanswered requests that count as none, because some are always in flight."""
WELL_S: Final = 180.0
START_S: Final = 600.0
"""For brokers and instances to start. Code may have to be compiled first."""
TIMES_LONGER: Final = 3
"""How many times the planned minutes a busy machine may take."""
END_S: Final = 300.0
"""For the last answers and the audit."""
REQUEST_BYTES: Final = 2 * 1024 * 1024
LEADERS_RETURN: Final = {
    "leader.imbalance.check.interval.seconds": "1",
    "leader.imbalance.per.broker.percentage": "0",
}
"""A broker that is back soon leads again: leaders move more often, and the next fault has an effect."""
SETTINGS: Final = {
    "PYTHONPATH": poison.PYTHONPATH,
    "DIGITS_KAFKA__SESSION_TIMEOUT_MS": f"{SESSION_S * 1000:.0f}",
    "DIGITS_KAFKA__TRANSACTION_TIMEOUT_MS": f"{SESSION_S * 1000:.0f}",
    "DIGITS_ITEM_TIMEOUT_S": "5",
}


class StalledError(Exception):
    """The run makes no progress; the message says what is missing."""


@dataclass(frozen=True, slots=True)
class Options:
    """The options of a run."""

    seed: int
    minutes: float
    images: int


@dataclass(slots=True)
class Run:
    """The state of a run, for the display and the report. Owner: `chaos`."""

    options: Options
    timeline: Timeline
    phase: str = "starting three brokers"
    faults_planned: int = 0
    load: Load | None = None
    reader: Reader | None = None
    instances: list[Instance] = field(default_factory=list)
    faults_over_s: float | None = None
    audit: dict[str, Any] | None = None
    audit_says: str = ""
    cluster: Cluster | None = None
    may_strike: asyncio.Event = field(default_factory=asyncio.Event)
    faults_delayed_s: float = 0.0

    def unanswered(self) -> int:
        """Count acknowledged requests that have not been answered in full.

        The count is too low if a request without an acknowledgement was answered.
        """
        assert self.load is not None
        assert self.reader is not None
        return len(self.load.acknowledged) - self.reader.whole

    def unanswered_in(self, partition: int) -> int:
        """Count the unanswered requests of one partition exactly; this is slow."""
        assert self.load is not None
        assert self.reader is not None
        full = self.reader.answered_in_full()
        sent = self.load.acknowledged.values()
        return sum(each.partition == partition and each.request_id not in full for each in sent)

    async def healthy_again(self) -> None:
        """Wait until every instance is ready, its workers run, and almost everything is answered."""

        async def well() -> bool:
            healthy = [await instance.is_whole() for instance in self.instances]
            return all(healthy) and self.unanswered() < FEW

        await eventually(well, deadline_s=WELL_S)

    def all_answered(self) -> bool:
        """Return whether every acknowledged request has been answered in full; this is slow."""
        assert self.load is not None
        assert self.reader is not None
        return self.load.acknowledged.keys() <= self.reader.answered_in_full()


async def chaos(run: Run, logs: Path) -> None:
    """Carry out a run; its results are in `run`.

    Raises
    ------
    StalledError
        It makes no progress or takes too long.
    """
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)  # as Ctrl-C does
    try:
        async with asyncio.timeout(START_S + run.options.minutes * 60 * TIMES_LONGER + END_S):
            async with _everything(run, logs) as (broker, faults):
                await _strike_and_answer(run, faults)
                run.phase = "ending the instances"
                await asyncio.gather(*(instance.stop() for instance in run.instances))
                run.phase = "auditing"
                await _audit(run, broker)
                run.phase = "done"
    except (AssertionError, StalledError, TimeoutError, ExceptionGroup) as error:
        causes = leaf_exceptions(error)
        if not all(isinstance(cause, AssertionError | StalledError | TimeoutError) for cause in causes):
            raise
        raise StalledError(f"while {run.phase}: {describe(causes[0])}") from error


@contextlib.asynccontextmanager
async def _everything(run: Run, logs: Path) -> AsyncIterator[tuple[Broker, Faults]]:
    relay_ports = free_ports(MEMBERS)
    payloads = Payloads(run.options.seed)
    async with contextlib.AsyncExitStack() as stack:
        cluster = run.cluster = stack.enter_context(
            running_broker(nodes=MEMBERS, relays=relay_ports, data_dir=logs / "brokers", properties=LEADERS_RETURN)
        )
        broker = await stack.enter_async_context(fresh_topics(cluster, partitions=PARTITIONS))
        relays = [
            await stack.enter_async_context(relaying(port, node.relayed_port))
            for port, node in zip(relay_ports, cluster.nodes, strict=True)
        ]
        run.phase = "starting three instances"
        through_relays = {"DIGITS_KAFKA__BOOTSTRAP_SERVERS": ",".join(f"{HOST}:{port}" for port in relay_ports)}
        for number in range(1, MEMBERS + 1):
            env = SETTINGS | (through_relays if number < MEMBERS else {})
            run.instances.append(Instance(f"instance {number}", broker, env, logs, run.timeline))
        await stack.enter_async_context(three_instances(run.instances))
        view = await stack.enter_async_context(open_view(broker))
        kafka = KafkaSettings(bootstrap_servers=cluster.bootstrap_servers)
        producer = await stack.enter_async_context(open_producer(kafka, max_request_bytes=REQUEST_BYTES))
        rate = run.options.images / (run.options.minutes * 60) / PARTITIONS
        run.load = Load(producer, broker.topics.requests, payloads, seed=run.options.seed, images_per_s=rate)
        run.reader = Reader(kafka, broker.topics.predictions, PARTITIONS)
        yield broker, Faults(run.instances, cluster, view, relays, run.timeline, run.may_strike)


async def _strike_and_answer(run: Run, faults: Faults) -> None:
    load, reader, enough = run.load, run.reader, run.options.images
    assert load is not None
    assert reader is not None
    planned = plan(run.options.seed, run.options.minutes)
    run.faults_planned = len(planned.faults)
    async with asyncio.TaskGroup() as group:
        others = [group.create_task(reader.follow(), name="reader"), group.create_task(_guard(run), name="guard")]
        others += [group.create_task(instance.keep(), name=f"keep {instance.name}") for instance in run.instances]
        run.timeline.began_s = time.time()
        run.phase = "load, and a few kills alone"
        async with asyncio.TaskGroup() as sending:
            for partition in range(PARTITIONS):
                sending.create_task(load.send(partition, run.unanswered), name=f"sender {partition}")
            await faults.alone(planned.alone, run.healthy_again)
            run.phase = "load and faults"
            async with asyncio.TaskGroup() as striking:
                for name, each in planned.tracks.items():
                    striking.create_task(faults.track(each), name=f"track of {name}")
            run.faults_over_s = time.time()
            await eventually(lambda: enough <= load.images, deadline_s=math.inf)
            load.enough.set()
        run.phase = "waiting for the last answers"
        await eventually(
            lambda: run.unanswered() <= 0 and run.all_answered(), deadline_s=math.inf
        )  # or `_guard` ends it
        for task in others:
            task.cancel()


async def _audit(run: Run, broker: Broker) -> None:
    async with command(broker, "audit", "--json") as process:
        result = await ended(process, deadline_s=END_S)
    run.audit, run.audit_says = result.lines[0] if result.lines else None, result.err


async def _guard(run: Run) -> None:
    """Delay faults, and in the end fail, while a partition with missing results has had no new one for long."""
    assert run.reader is not None
    seen: dict[int, int] = {}
    since_s = dict.fromkeys(range(PARTITIONS), time.monotonic())
    while True:
        delay = False
        for partition in since_s:
            results = run.reader.results_in[partition]
            if results != seen.get(partition):
                seen[partition], since_s[partition] = results, time.monotonic()
            silent_s = time.monotonic() - since_s[partition]
            if silent_s <= DELAY_FAULTS_AFTER_S:
                continue
            left = run.unanswered_in(partition)
            if not left:
                since_s[partition] = time.monotonic()
            elif silent_s > STALL_S:
                raise StalledError(
                    f"no result in partition {partition} for {silent_s:.0f} s, {left:,} requests there are not answered"
                )
            else:
                delay = True
        if delay:
            run.may_strike.clear()
            run.faults_delayed_s += LOOK_S
        else:
            run.may_strike.set()
        await asyncio.sleep(LOOK_S)
