"""The service: opens everything in order, waits, and closes in reverse. This is the map.

health    first, so that the process can be asked from its first moment
workers   load the model while the brokers are looked for
checks    brokers, topics, settings
group     join; from now on the group's callbacks start and end lanes
drain     on SIGTERM or SIGINT: stop fetching, publish what is in hand, leave the group, end the workers
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator, Awaitable
from dataclasses import asdict
from typing import Final, TypeVar

import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor
from aiokafka.errors import GroupAuthorizationFailedError, KafkaError, TopicAuthorizationFailedError

from consumer.budget import Budget
from consumer.checks import check_cluster
from consumer.errors import Fatal, describe, leaves
from consumer.health import Health, serving
from consumer.lane import Equipment
from consumer.lanes import Lanes
from consumer.metrics import Metrics
from consumer.pacer import Pacer
from consumer.pool import Pool
from consumer.process import WorkerSpec
from consumer.settings import Settings
from consumer.workers import Workers

log = structlog.get_logger()

FETCH_MAX_WAIT_MS: Final = 100
"""A partition that becomes free while a fetch is under way waits for its end: with the default of 500 ms that is
most of the latency."""
PARTITION_FETCH_BYTES: Final = 1024 * 1024
"""Per fetch; a larger record still comes, alone."""
FETCH_BYTES: Final = 16 * 1024 * 1024
LOOK_INTERVAL_S: Final = 2.0
LOOK_TIMEOUT_S: Final = 3.0
LEAVE_TIMEOUT_S: Final = 5.0
NOBODY: Final = TopicPartition("", 0)
"""A partition that no one is ever assigned."""

FORCED_EXIT: Final = 130

_T = TypeVar("_T")


async def run(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT; a second signal ends the process at once.

    Raises
    ------
    Fatal
        Nothing here can mend it; nothing was committed that is not whole.
    """
    try:
        await _serve(settings, _stop_signal())
    except ExceptionGroup as errors:
        for cause in leaves(errors):
            if isinstance(cause, Fatal):
                raise cause from errors
        raise


class _Stopped(Exception):  # noqa: N818  # not an error: asked to end before it had begun
    pass


async def _serve(settings: Settings, stopping: asyncio.Event) -> None:
    metrics = Metrics()
    health = Health(settings, metrics)
    async with serving(health), asyncio.TaskGroup() as group:
        workers = health.workers = _workers(settings, metrics)
        working = group.create_task(workers.run(), name="workers")
        try:
            with contextlib.suppress(_Stopped):  # within the task group, which would wrap it
                dead_letter_bytes = await _unless(stopping, check_cluster(settings))
                await _unless(stopping, workers.ready())
                async with _consumer(settings, stopping) as consumer:
                    equipment = Equipment(
                        settings,
                        consumer,
                        Pool(workers, service_faults=settings.service_faults),
                        Budget(settings.in_flight_bytes),
                        Pacer(settings.pacing.transactions_per_s),
                        metrics,
                        dead_letter_bytes,
                    )
                    lanes = health.lanes = Lanes(equipment, group)
                    health.consumer = consumer
                    async with _watched(consumer, health, group):
                        consumer.subscribe([settings.topics.requests], listener=lanes)
                        health.state = "running"
                        log.info("running", topic=settings.topics.requests, group=settings.kafka.group_id)
                        await stopping.wait()
                        health.state = "draining"
                        await _drain(lanes, settings.drain_s)
                    # We leave the group after the last commit: the next owner starts at offsets that stand.
        finally:
            working.cancel()  # last: until the lanes have ended they wait for the pool's answers
    log.info("ended")


async def _drain(lanes: Lanes, deadline_s: float) -> None:
    log.info("draining", deadline_s=deadline_s)
    try:
        async with asyncio.timeout(deadline_s):
            await lanes.drain()
    except TimeoutError:
        held = {lane.name: lane.in_hand for lane in lanes.current.values() if lane.in_hand}
        log.warning("not drained in time", records_in_hand=held, then="their next owner answers them")
        await lanes.on_partitions_revoked(list(lanes.current))


def _workers(settings: Settings, metrics: Metrics) -> Workers:
    spec = WorkerSpec(
        model=settings.model,
        limits=asdict(settings.limits),
        memory_bytes=settings.worker_memory_bytes,
        item_timeout_s=settings.item_timeout_s,
    )
    return Workers(spec, settings.pacing, count=settings.workers, metrics=metrics)


@contextlib.asynccontextmanager
async def _consumer(settings: Settings, stopping: asyncio.Event) -> AsyncIterator[AIOKafkaConsumer]:
    consumer = AIOKafkaConsumer(
        **settings.kafka.client_options(),
        group_id=settings.kafka.group_id,
        enable_auto_commit=False,  # offsets are committed with the results, in the lanes' transactions
        auto_offset_reset="none",  # where to start is decided by the lane alone, see consumer.position
        isolation_level="read_committed",  # what an upstream transaction aborted is not answered
        partition_assignment_strategy=(RoundRobinPartitionAssignor,),
        session_timeout_ms=settings.kafka.session_timeout_ms,
        heartbeat_interval_ms=settings.kafka.session_timeout_ms // 5,
        rebalance_timeout_ms=settings.kafka.session_timeout_ms,
        fetch_max_wait_ms=FETCH_MAX_WAIT_MS,
        max_partition_fetch_bytes=PARTITION_FETCH_BYTES,
        fetch_max_bytes=FETCH_BYTES,
    )
    try:
        try:
            await _unless(stopping, consumer.start())
        except KafkaError as error:
            raise Fatal(f"the consumer does not start: {describe(error)}") from error
        yield consumer
    finally:
        with contextlib.suppress(KafkaError, TimeoutError):  # the session times out by itself if this does not arrive
            async with asyncio.timeout(LEAVE_TIMEOUT_S):
                await consumer.stop()


@contextlib.asynccontextmanager
async def _watched(consumer: AIOKafkaConsumer, health: Health, group: asyncio.TaskGroup) -> AsyncIterator[None]:
    watches = [
        group.create_task(_look_after(consumer, health), name="broker watch"),
        group.create_task(_stay_in_group(consumer), name="group watch"),
    ]
    try:
        yield
    finally:
        for watch in watches:
            watch.cancel()
        await asyncio.wait(watches)  # before the consumer stops: what polls a stopped one fails


async def _stay_in_group(consumer: AIOKafkaConsumer) -> None:
    """Poll without taking anything, for as long as the service lives.

    A member that never polls is put out of the group, also one without partitions; and errors of the group
    reach whoever polls. (With an empty list `getmany` would take from every partition.)
    """
    while True:
        try:
            await consumer.getmany(NOBODY, timeout_ms=1000)
        except GroupAuthorizationFailedError as error:
            raise Fatal(f"group {error} may not be joined (ACL: Read on the group)") from error
        except TopicAuthorizationFailedError as error:
            raise Fatal(f"topics {error} may not be read (ACL: Read and Describe on the topic)") from error
        except KafkaError as error:
            if consumer._coordinator._coordination_task.done():  # noqa: SLF001  # nothing public tells that it gave up
                raise Fatal(f"the group is lost: {describe(error)}") from error
            log.warning("group error", why=describe(error), then="the client tries again")
            await asyncio.sleep(LOOK_INTERVAL_S)


async def _look_after(consumer: AIOKafkaConsumer, health: Health) -> None:
    """Ask the cluster for its topics every few seconds; whether it answers is what `/readyz` needs to know."""
    topics = health.settings.topics
    while True:
        reason = ""
        try:
            async with asyncio.timeout(LOOK_TIMEOUT_S):
                found = await consumer.topics()
            gone = {topics.requests, topics.predictions, topics.dead_letter} - found
            if gone:
                reason = f"topics are gone: {', '.join(sorted(gone))}"
        except (KafkaError, TimeoutError) as error:
            reason = describe(error)
        if reason and health.broker_reachable:
            log.warning("cluster not reachable", why=reason, then="not ready until it is; the client keeps trying")
        elif not reason and not health.broker_reachable:
            log.info("cluster reachable")
        health.broker_reachable = not reason
        await asyncio.sleep(LOOK_INTERVAL_S)


async def _unless(stopping: asyncio.Event, starting: Awaitable[_T]) -> _T:
    """Await a step of the start, or give up when asked to stop.

    Raises
    ------
    _Stopped
        SIGTERM or SIGINT came first.
    """
    step = asyncio.ensure_future(starting)
    stop = asyncio.ensure_future(stopping.wait())
    try:
        await asyncio.wait({step, stop}, return_when=asyncio.FIRST_COMPLETED)
        if not step.done():
            raise _Stopped
        return step.result()
    finally:
        stop.cancel()
        if not step.done():
            step.cancel()
            await asyncio.gather(step, return_exceptions=True)


def _stop_signal() -> asyncio.Event:
    stopping = asyncio.Event()

    def stop(name: str) -> None:
        if stopping.is_set():
            log.warning("second signal", signal=name, then="ending at once; the next owner repeats what is open")
            os._exit(FORCED_EXIT)  # workers and brokers notice by themselves
        log.info("stopping", signal=name)
        stopping.set()

    for each in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(each, stop, each.name)
    return stopping
