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
from typing import TYPE_CHECKING, Final, TypeVar

import structlog
from aiokafka import AIOKafkaConsumer
from aiokafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor
from aiokafka.errors import KafkaError

from consumer.budget import Budget
from consumer.checks import check_cluster
from consumer.ending import LEAVE_TIMEOUT_S
from consumer.errors import Fatal, describe, leaves
from consumer.group import Membership
from consumer.health import Health, serving
from consumer.lane import Equipment
from consumer.lanes import Lanes
from consumer.log import pass_over_leftovers
from consumer.metadata import MAX_AGE_MS, temper
from consumer.metrics import Metrics
from consumer.pacer import Pacer
from consumer.pinned import PinnedModel
from consumer.pool import CANARY, Pool
from consumer.process import WorkerSpec
from consumer.settings import OnLostOffset, Settings
from consumer.watch import watched
from consumer.workers import Workers
from contract.batches import read_untrusted
from contract.closing import closed, hung_up
from release import revision, version

if TYPE_CHECKING:
    from consumer.tracing import Traces

log = structlog.get_logger()

FETCH_MAX_WAIT_MS: Final = 100
"""A partition that becomes free while a fetch is under way waits for its end: with the default of 500 ms that is
most of the latency."""
PARTITION_FETCH_BYTES: Final = 1024 * 1024
"""Per fetch; a larger record still comes, alone."""
FETCH_BYTES: Final = 16 * 1024 * 1024
FORCED_EXIT: Final = 130

_T = TypeVar("_T")


async def run(settings: Settings, model: PinnedModel) -> None:
    """Serve until SIGTERM or SIGINT; a second signal ends the process at once.

    Parameters
    ----------
    settings
        How.
    model
        With which model, whatever becomes of its files from here on.

    Raises
    ------
    Fatal
        Nothing here can mend it; nothing was committed that is not whole.
    """
    asyncio.get_running_loop().set_exception_handler(pass_over_leftovers)
    try:
        await _serve(settings, model, _stop_signal())
    except ExceptionGroup as errors:
        for cause in leaves(errors):
            if isinstance(cause, Fatal):
                raise cause from errors
        raise


class _Stopped(Exception):  # noqa: N818  # not an error: asked to end before it had begun
    pass


async def _serve(settings: Settings, model: PinnedModel, stopping: asyncio.Event) -> None:
    log.info("service starting", version=version(), revision=revision())
    if settings.kafka.on_lost_offset is OnLostOffset.FAIL:
        log.warning("old value of a setting", setting="DIGITS_KAFKA__ON_LOST_OFFSET=fail", then="taken as park")
    metrics = Metrics()
    health = Health(settings, metrics, model=model.info)
    async with _traced(settings, metrics) as traces, serving(health), asyncio.TaskGroup() as group:
        budget = Budget(settings.in_flight_bytes)
        workers = health.workers = _workers(settings, model, metrics, budget)
        working = group.create_task(workers.run(), name="workers")
        try:
            with contextlib.suppress(_Stopped):  # within the task group, which would wrap it
                dead_letter_bytes = await _unless(stopping, check_cluster(settings))
                await _unless(stopping, workers.ready())
                async with _consumer(settings, stopping) as consumer:
                    equipment = Equipment(
                        settings,
                        consumer,
                        Pool(workers, CANARY.read_bytes(), service_faults=settings.service_faults),
                        budget,
                        Pacer(settings.pacing.transactions_per_s),
                        metrics,
                        Membership(consumer, settings.kafka.session_timeout_ms / 1000),
                        dead_letter_bytes,
                        traces,
                    )
                    lanes = health.lanes = Lanes(equipment, group)
                    health.consumer = consumer
                    async with watched(consumer, health, group):
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


@contextlib.asynccontextmanager
async def _traced(settings: Settings, metrics: Metrics) -> AsyncIterator[Traces | None]:
    if not settings.tracing.records_per_s:
        yield None
        return
    try:
        from consumer.tracing import traces  # noqa: PLC0415  # needs an optional extra
    except ImportError as error:
        raise Fatal(
            f"DIGITS_TRACING__RECORDS_PER_S is set, but tracing is not installed ({error}): "
            "pip install 'digitstream[otel]'"
        ) from error
    async with traces(settings, metrics) as opened:
        yield opened


async def _drain(lanes: Lanes, deadline_s: float) -> None:
    log.info("draining", deadline_s=deadline_s)
    try:
        async with asyncio.timeout(deadline_s):
            await lanes.drain()
    except TimeoutError:
        held = {lane.name: lane.in_hand for lane in lanes.current.values() if lane.in_hand}
        log.warning("not drained in time", records_in_hand=held, then="their next owner answers them")
        await lanes.on_partitions_revoked(list(lanes.current))


def worker_spec(settings: Settings, model: PinnedModel) -> WorkerSpec:
    """Return what every worker is started with."""
    return WorkerSpec(
        model=model,
        limits=asdict(settings.limits),
        results_bytes=settings.echo.results_bytes,
        memory_bytes=settings.worker_memory_bytes,
        item_timeout_s=settings.item_timeout_s,
        record_timeout_s=settings.record_timeout_s,
    )


def _workers(settings: Settings, model: PinnedModel, metrics: Metrics, budget: Budget) -> Workers:
    return Workers(
        worker_spec(settings, model), settings.pacing, count=settings.workers, metrics=metrics, budget=budget
    )


@contextlib.asynccontextmanager
async def _consumer(settings: Settings, stopping: asyncio.Event) -> AsyncIterator[AIOKafkaConsumer]:
    read_untrusted()
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
        # Below the session: a heartbeat to a broker that hangs is given up while another coordinator still knows us.
        # To join may take longer, while the group waits for a member; then it is asked again, and nothing is lost.
        request_timeout_ms=settings.kafka.request_timeout_ms,
        metadata_max_age_ms=MAX_AGE_MS,
        fetch_max_wait_ms=FETCH_MAX_WAIT_MS,
        max_partition_fetch_bytes=PARTITION_FETCH_BYTES,
        fetch_max_bytes=FETCH_BYTES,
    )
    temper(consumer._client, settings.kafka.request_timeout_ms, settings.topics.names)  # noqa: SLF001  # it takes no client from outside
    try:
        try:
            await _unless(stopping, consumer.start())
        except KafkaError as error:
            raise Fatal(f"the consumer does not start: {describe(error)}") from error
        yield consumer
    finally:
        if not await closed(consumer.stop, LEAVE_TIMEOUT_S):  # our session times out by itself
            await hung_up(consumer._client, LEAVE_TIMEOUT_S)  # noqa: SLF001  # what stop() does last


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
