"""The service: opens everything in order, waits, and closes in reverse. Read it first.

health    first, so that the process can be asked from its first moment
workers   load the model while the brokers are looked for
checks    brokers, topics, settings
group     join; from now on the group's callbacks start and end lanes
drain     on SIGTERM or SIGINT: stop fetching, publish what is in flight, leave the group, end the workers
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition

from consumer.disagreements import Disagreements
from consumer.exchange.exchanger import Exchanger
from consumer.exchange.gate import Gate
from consumer.exchange.golden import GOLDEN, GoldenSet, GoldenSetError
from consumer.exchange.newest import newest_result_of
from consumer.exchange.rollout import Rollout
from consumer.memory_budget import MemoryBudget
from consumer.observe.drift import Drift
from consumer.observe.failures import FailureLog
from consumer.observe.faults import FaultReports
from consumer.observe.health import Health, Phase, ServiceStatus
from consumer.observe.metrics import Metrics
from consumer.observe.server import serving
from consumer.partitions.assignment import Assignment
from consumer.partitions.endpoints import Classifier
from consumer.partitions.in_flight import InFlightWindow
from consumer.partitions.lane import Lane
from consumer.partitions.observers import LaneObserver, Observers
from consumer.partitions.opening.takeover import KafkaPartitions
from consumer.partitions.publisher import Publisher, SlotProducers
from consumer.partitions.state import PartitionState
from consumer.settings import OnLostOffset, Settings
from consumer.startup.checks import check_cluster
from consumer.startup.model import FetchedChallenger
from consumer.stopping import Stopped, stop_signal, unless
from consumer.workers.canary import CANARY
from consumer.workers.observers import WorkerObserver, WorkerObservers
from consumer.workers.pool import WorkerPool
from consumer.workers.processes.pinned_model import PinnedModel
from consumer.workers.processes.spec import WorkerSpec
from consumer.workers.quarantine import Quarantine
from release import revision, version
from transport.cluster_monitor import monitored_cluster
from transport.errors import FatalError, InvalidSettingError, leaf_exceptions
from transport.group.consumers import open_group_consumer
from transport.group.lookups import SharedLookups
from transport.group.membership import Membership
from transport.group.offsets import GroupOffsets
from transport.logs import log_unawaited_errors
from transport.metadata import live_servers
from transport.reports.reporter import Reporter
from transport.sink.leftovers import LeftTransactions
from transport.sink.producer import new_ids, open_producers
from transport.source.fetching import Fetching

log = structlog.get_logger()


async def run(settings: Settings, model: PinnedModel, reporter: Reporter, challenger: FetchedChallenger) -> None:
    """Serve until SIGTERM or SIGINT; a second signal ends the process at once.

    Parameters
    ----------
    settings
        Of the service.
    model
        The model that the workers load; changes of its files have no effect any more.
    reporter
        Takes what the service reports of its own faults. What ends it is reported by the caller.
    challenger
        Another model, which workers read a share of the pictures with; or why there is none.

    Raises
    ------
    FatalError
        The service cannot go on. No incomplete transaction was committed.
    """
    asyncio.get_running_loop().set_exception_handler(log_unawaited_errors)
    try:
        await _serve(settings, model, reporter, challenger, stop_signal())
    except ExceptionGroup as errors:
        for cause in leaf_exceptions(errors):
            if isinstance(cause, FatalError):
                raise cause from errors
        raise


async def _serve(
    settings: Settings,
    model: PinnedModel,
    reporter: Reporter,
    challenger: FetchedChallenger,
    stopping: asyncio.Event,
) -> None:
    log.info("service starting", version=version(), revision=revision())
    if settings.kafka.on_lost_offset is OnLostOffset.FAIL:
        log.warning("old value of a setting", setting="DIGITS_KAFKA__ON_LOST_OFFSET=fail", action="taken as park")
    metrics, status = Metrics(), ServiceStatus()
    faults = FaultReports(reporter, settings.topics.requests)
    budget = MemoryBudget(settings.in_flight_bytes)
    if challenger.model is not None:
        metrics.begin_challenge()
    disagreements = Disagreements(settings, metrics.disagreement_ended)
    of_workers = WorkerObservers([metrics, faults, disagreements])
    workers = worker_pool(settings, model, budget, of_workers, challenger)
    status.drift = Drift(workers, settings.drift)
    health = Health(settings, workers, status)
    async with (
        _exchanger(settings, model, workers, _rollout(settings, status), of_workers) as status.exchanger,
        _traced(settings, metrics) as traces,
        serving(health, metrics, settings.health),
        asyncio.TaskGroup() as group,
    ):
        observer = Observers([metrics, FailureLog(), faults, status.drift, *traces])
        working = group.create_task(workers.run(), name="workers")
        exchanging = group.create_task(status.exchanger.run(), name="model")
        publishing = group.create_task(disagreements.run(), name="disagreements")
        try:
            with contextlib.suppress(Stopped):  # within the task group, which would wrap it
                dead_letter_bytes = await unless(stopping, check_cluster(settings))
                await unless(stopping, workers.ready())
                async with (
                    open_group_consumer(settings, lambda start: unless(stopping, start)) as consumer,
                    assigned_lanes(
                        settings,
                        consumer,
                        Quarantine(workers, CANARY.read_bytes(), service_faults=settings.service_faults),
                        budget,
                        group,
                        dead_letter_bytes=dead_letter_bytes,
                        observer=observer,
                    ) as assignment,
                ):
                    status.assignment = assignment
                    async with monitored_cluster(consumer, settings.topics, status.report_cluster, group):
                        consumer.subscribe([settings.topics.requests], listener=assignment)
                        status.phase = Phase.RUNNING
                        log.info("running", topic=settings.topics.requests, group=settings.kafka.group_id)
                        await stopping.wait()
                        status.phase = Phase.DRAINING
                        exchanging.cancel()
                        publishing.cancel()
                        await _drain(assignment, settings.shutdown_timeout_s)
                    # We leave the group after the last commit: the next owner starts at offsets that stand.
        finally:
            exchanging.cancel()
            publishing.cancel()
            working.cancel()  # last: until the lanes have ended they wait for the workers' answers
    log.info("ended")


@contextlib.asynccontextmanager
async def assigned_lanes(
    settings: Settings,
    consumer: AIOKafkaConsumer,
    classifier: Classifier,
    budget: MemoryBudget,
    group: asyncio.TaskGroup,
    *,
    dead_letter_bytes: int,
    observer: LaneObserver,
) -> AsyncIterator[Assignment]:
    """Give the assignment of this instance: what lanes share is made here, and what each has of its own by `lane`.

    Parameters
    ----------
    settings
        Of the service.
    consumer
        The group member, started and not yet subscribed.
    classifier, budget
        Shared by all lanes.
    group
        The tasks of lanes and publisher run in it.
    dead_letter_bytes
        The largest record that the dead-letter topic takes.
    observer
        Receives the events.
    """
    membership = Membership(consumer)
    ids = new_ids(settings)
    left = LeftTransactions(consumer, settings, ids, group)
    async with open_producers(settings, live_servers(consumer), ids, len(SlotProducers._fields)) as producers:
        publisher = Publisher(
            SlotProducers(*producers),
            GroupOffsets(consumer),
            settings,
            observer=observer,
        )
        fetching = Fetching(consumer, settings.kafka.request_timeout_ms / 1000, budget, group)
        partitions = KafkaPartitions(
            consumer,
            membership,
            fetching=fetching,
            publisher=publisher,
            left=left,
            lookups=SharedLookups(consumer, group),
            settings=settings,
        )

        def lane(partition: TopicPartition, state: PartitionState) -> Lane:
            return Lane(
                partition,
                state,
                partitions=partitions,
                classifier=classifier,
                window=InFlightWindow(budget),
                publisher=publisher,
                settings=settings,
                dead_letter_bytes=dead_letter_bytes,
                observer=observer,
            )

        shared = {
            group.create_task(fetching.run(), name="fetching"),
            group.create_task(publisher.run(), name="publisher"),
        }
        try:
            yield Assignment(lane, membership, observer, group)
        finally:
            for task in shared:  # the lanes have ended
                task.cancel()
            await asyncio.wait(shared)


@contextlib.asynccontextmanager
async def _traced(settings: Settings, metrics: Metrics) -> AsyncIterator[list[LaneObserver]]:
    """Give the observer that records traces; none where tracing is off."""
    if not settings.tracing.records_per_s:
        yield []
        return
    try:
        from consumer.observe.tracing import traces  # noqa: PLC0415  # needs an optional extra
    except ImportError as error:
        raise FatalError(
            f"DIGITS_TRACING__RECORDS_PER_S is set, but tracing is not installed ({error}): "
            "pip install 'digitstream[otel]'"
        ) from error
    async with traces(settings, metrics) as opened:
        yield [opened]


async def _drain(assignment: Assignment, timeout_s: float) -> None:
    log.info("draining", timeout_s=timeout_s)
    try:
        async with asyncio.timeout(timeout_s):
            await assignment.drain()
    except TimeoutError:
        left = {lane.name: lane.records_in_flight for lane in assignment.lanes.values() if lane.records_in_flight}
        log.warning("not drained in time", records_in_flight=left, action="left to the next owner")
        await assignment.on_partitions_revoked(list(assignment.lanes))


@contextlib.asynccontextmanager
async def _exchanger(
    settings: Settings, model: PinnedModel, workers: WorkerPool, rollout: Rollout, observer: WorkerObserver
) -> AsyncIterator[Exchanger]:
    """Give what exchanges the model; its models are in memory until the workers have ended."""
    path = settings.model_golden or GOLDEN
    try:
        gate = Gate(CANARY.read_bytes(), GoldenSet.read(path), settings.model_golden_margin)
    except GoldenSetError as error:
        raise InvalidSettingError("DIGITS_MODEL_GOLDEN", path, str(error)) from error
    exchanger = Exchanger(settings, model, workers, gate, rollout=rollout, observer=observer)
    exchanger.listen()
    try:
        yield exchanger
    finally:
        exchanger.close()


def _rollout(settings: Settings, status: ServiceStatus) -> Rollout:
    """Make what knows which instance is next; the assignment comes into the status later."""

    def own() -> set[int]:
        return set() if status.assignment is None else {each.partition for each in status.assignment.lanes}

    return Rollout(own, lambda partition: newest_result_of(partition, settings), settings.model_probation_s)


def worker_pool(
    settings: Settings,
    model: PinnedModel,
    budget: MemoryBudget,
    observer: WorkerObserver,
    challenger: FetchedChallenger = FetchedChallenger(None),  # noqa: B008  # it cannot change
) -> WorkerPool:
    """Make the worker pool, which starts no process before it runs."""
    if challenger.problem:
        log.error("challenger left out", why=challenger.problem, action="serving without it")
    return WorkerPool(
        WorkerSpec.of(settings, model, challenger.model),
        settings.pacing,
        count=settings.workers,
        budget=budget,
        observer=observer,
        challenger_problem=challenger.problem,
    )
