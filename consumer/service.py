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

from consumer.memory_budget import MemoryBudget
from consumer.observe.health import Health, serving
from consumer.observe.logs import pass_over_leftovers
from consumer.observe.metrics import Metrics
from consumer.partitions.assignment import Lanes
from consumer.partitions.lane import Equipment
from consumer.partitions.pacer import Pacer
from consumer.settings import OnLostOffset, Settings
from consumer.startup.checks import check_cluster
from consumer.workers.pinned_model import PinnedModel
from consumer.workers.pool import WorkerPool
from consumer.workers.process import WorkerSpec
from consumer.workers.quarantine import CANARY, Quarantine
from release import revision, version
from transport.cluster_monitor import monitored_cluster
from transport.errors import FatalError, leaf_exceptions
from transport.group_clients import open_group_consumer
from transport.membership import Membership

if TYPE_CHECKING:
    from consumer.observe.tracing import Traces

log = structlog.get_logger()

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
    FatalError
        Nothing here can mend it; nothing was committed that is not whole.
    """
    asyncio.get_running_loop().set_exception_handler(pass_over_leftovers)
    try:
        await _serve(settings, model, _stop_signal())
    except ExceptionGroup as errors:
        for cause in leaf_exceptions(errors):
            if isinstance(cause, FatalError):
                raise cause from errors
        raise


class _Stopped(Exception):  # noqa: N818  # not an error: asked to end before it had begun
    pass


async def _serve(settings: Settings, model: PinnedModel, stopping: asyncio.Event) -> None:
    log.info("service starting", version=version(), revision=revision())
    if settings.kafka.on_lost_offset is OnLostOffset.FAIL:
        log.warning("old value of a setting", setting="DIGITS_KAFKA__ON_LOST_OFFSET=fail", action="taken as park")
    metrics = Metrics()
    health = Health(settings, metrics, model=model.info)
    async with _traced(settings, metrics) as traces, serving(health), asyncio.TaskGroup() as group:
        budget = MemoryBudget(settings.in_flight_bytes)
        workers = health.workers = _workers(settings, model, metrics, budget)
        working = group.create_task(workers.run(), name="workers")
        try:
            with contextlib.suppress(_Stopped):  # within the task group, which would wrap it
                dead_letter_bytes = await _unless(stopping, check_cluster(settings))
                await _unless(stopping, workers.ready())
                async with open_group_consumer(settings, lambda start: _unless(stopping, start)) as consumer:
                    equipment = Equipment(
                        settings,
                        consumer,
                        Quarantine(workers, CANARY.read_bytes(), service_faults=settings.service_faults),
                        budget,
                        Pacer(settings.pacing.transactions_per_s),
                        metrics,
                        Membership(consumer, settings.kafka.session_timeout_ms / 1000),
                        dead_letter_bytes,
                        traces,
                    )
                    lanes = health.lanes = Lanes(equipment, group)
                    health.consumer = consumer
                    async with monitored_cluster(consumer, settings.topics, health.report_cluster, group):
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
        from consumer.observe.tracing import traces  # noqa: PLC0415  # needs an optional extra
    except ImportError as error:
        raise FatalError(
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
        log.warning("not drained in time", records_in_hand=held, action="their next owner answers them")
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


def _workers(settings: Settings, model: PinnedModel, metrics: Metrics, budget: MemoryBudget) -> WorkerPool:
    return WorkerPool(
        worker_spec(settings, model), settings.pacing, count=settings.workers, metrics=metrics, budget=budget
    )


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
            log.warning("second signal", signal=name, action="ending at once; the next owner repeats what is open")
            os._exit(FORCED_EXIT)  # workers and brokers notice by themselves
        log.info("stopping", signal=name)
        stopping.set()

    for each in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(each, stop, each.name)
    return stopping
