"""The health server: whether the process is alive, whether it is ready, and what it is doing.

``/livez`` fails only where a restart would help; lag never enters it, since transaction markers or an
upstream's open transaction leave lag with nothing to read. ``/readyz`` is true also for a member without
partitions, false before the first join and while the brokers are away.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncIterator
from dataclasses import asdict, dataclass, field
from typing import Any, Final

import structlog
from aiohttp import web

from consumer.ending import HEALTH_S
from consumer.observe.metrics import Metrics
from consumer.partitions.assignment import Lanes
from consumer.partitions.lane import Lane
from consumer.settings import Settings
from consumer.workers.pool import WorkerPool
from engine.model.files import ModelInfo
from release import revision, version
from transport.errors import FatalError

log = structlog.get_logger()

SILENCE_SHARE: Final = 0.5
"""Of a session; heartbeats go out five times in one."""
STUCK_MARGIN_S: Final = 20.0
"""Beyond an item's timeout: a fresh worker has to start, and the batch goes through it again."""


@dataclass(slots=True)
class Health:
    """What the service shows of itself. Owner: the service's task; requests only read."""

    settings: Settings
    metrics: Metrics
    state: str = "starting"
    cluster_trouble: str = "no broker has answered yet"
    """Why nothing could be fetched or published now, as of the last look at the cluster; empty if all is well."""
    model: ModelInfo | None = None
    """The one that every worker serves."""
    workers: WorkerPool | None = None
    lanes: Lanes | None = None
    consumer: Any = None
    started_at_ms: int = field(default_factory=lambda: time.time_ns() // 1_000_000)

    def report_cluster(self, trouble: str) -> None:
        """Keep what is wrong with the cluster, empty if nothing is, and log the change."""
        if trouble and not self.cluster_trouble:
            log.warning("cluster not well", why=trouble, action="not ready until it is; the client keeps trying")
        elif not trouble and self.cluster_trouble:
            log.info("cluster well")
        self.cluster_trouble = trouble

    def stuck(self) -> list[str]:
        """Name the lanes that hold records without progress, outside waits for the brokers.

        Each is judged by itself: by what it did, and by what workers did with its own records. That they work for
        others counts only while it waits for its turn, and only as long as that can take: `consumer.workers.scheduler`.
        """
        if self.lanes is None or self.workers is None:
            return []
        limit_s = self.settings.item_timeout_s + STUCK_MARGIN_S
        now_s, moved_at_s = time.monotonic(), self.workers.moved_at_s
        return [
            lane.name
            for lane in self.lanes.current.values()
            if lane.in_hand
            and not lane.waits_for_brokers
            and now_s - max(lane.progressed_at_s, moved_at_s(lane.partition.partition)) > limit_s
        ]

    def not_ready(self) -> list[str]:
        """Name what is missing until records are answered here."""
        compiling = self.workers.compiling if self.workers else None
        reasons = [f"compiling, once: {compiling.done} of {compiling.total}"] if compiling else []
        if self.state != "running" or self.lanes is None or self.workers is None:
            return [f"the service is {self.state}", *reasons]
        if self.cluster_trouble:
            reasons.append(self.cluster_trouble)
        if not self.lanes.joined:
            reasons.append("the group is rebalancing, or not joined yet")
        elif (silent_s := self.lanes.silent_s) > self.settings.kafka.session_timeout_ms / 1000 * SILENCE_SHARE:
            reasons.append(f"the group has not answered for {silent_s:.0f} s")
        reasons += [
            f"{lane.name} is parked: {lane.parked}" if lane.parked else f"lane {lane.name} has not started"
            for lane in self.lanes.current.values()
            if not lane.started
        ]
        if self.workers.running == 0:
            reasons.append("no worker is running")
        return reasons

    def report(self) -> dict[str, Any]:
        """Everything that ``/health`` tells."""
        lanes = list(self.lanes.current.values()) if self.lanes else []
        partitions = [self._partition(lane) for lane in lanes]
        return {
            "version": version(),
            "revision": revision(),
            "state": self.state,
            "ready": not self.not_ready(),
            "not_ready": self.not_ready(),
            "stuck": self.stuck(),
            "started_at_ms": self.started_at_ms,
            "group_id": self.settings.kafka.group_id,
            "partitions": partitions,
            "lag": sum(partition["lag"] or 0 for partition in partitions),
            "last_commit_at_ms": max((lane.committed_at_ms or 0 for lane in lanes), default=0) or None,
            "workers": {"running": self.workers.running if self.workers else 0, "wanted": self.settings.workers},
            "model": asdict(self.model) if self.model else None,
        }

    def refresh_gauges(self) -> None:
        """Set the gauges that are read from the state, before they are shown."""
        lanes = list(self.lanes.current.values()) if self.lanes else []
        self.metrics.ready.set(not self.not_ready())
        self.metrics.stuck.set(len(self.stuck()))
        if self.model:
            self.metrics.serving(self.model)
        self.metrics.workers.set(self.workers.running if self.workers else 0)
        self.metrics.processes.pids = self.workers.pids if self.workers else frozenset()
        self.metrics.assigned.set(len(lanes))
        by_partition = [
            (self.metrics.lag, self._lag),
            (self.metrics.readable, self._readable),
            (self.metrics.undecided, self._undecided),
            (self.metrics.stable_offset, self._stable_offset),
            (self.metrics.oldest_age, _oldest_age_s),
            (self.metrics.committed_offset, lambda lane: lane.committed_offset),
            (self.metrics.parked, lambda lane: lane.parked is not None),
        ]
        for gauge, told_by in by_partition:
            gauge.clear()  # partitions that have gone elsewhere are no longer ours to tell of
            for lane in lanes:
                if (value := told_by(lane)) is not None:
                    gauge.labels(lane.name).set(value)

    def _partition(self, lane: Lane) -> dict[str, Any]:
        return {
            "topic": lane.partition.topic,
            "partition": lane.partition.partition,
            "started": lane.started,
            "parked": None if lane.parked is None else str(lane.parked),
            "committed_offset": lane.committed_offset,
            "lag": self._lag(lane),
            "in_hand": lane.in_hand,
            "last_commit_at_ms": lane.committed_at_ms,
        }

    def _lag(self, lane: Lane) -> int | None:
        """Offsets from the committed one to the log's end, as of the last fetch or look at the ends."""
        if lane.committed_offset is None or lane.partition not in self.consumer.assignment():
            return None
        end = self.consumer.highwater(lane.partition)
        return None if end is None else max(0, end - lane.committed_offset)

    def _stable_offset(self, lane: Lane) -> int | None:
        """Where what may be read ends, as of the last fetch or look at the ends."""
        if lane.partition not in self.consumer.assignment():
            return None
        stable: int | None = self.consumer.last_stable_offset(lane.partition)
        return stable

    def _readable(self, lane: Lane) -> int | None:
        return None if self._stable_offset(lane) is None else lane.readable_records

    def _undecided(self, lane: Lane) -> int | None:
        """Offsets from there to the log's end; both were read together."""
        stable = self._stable_offset(lane)
        return None if stable is None else max(0, self.consumer.highwater(lane.partition) - stable)


def _oldest_age_s(lane: Lane) -> float:
    return 0 if lane.oldest_at_ms is None else max(0.0, time.time() - lane.oldest_at_ms / 1000)


@contextlib.asynccontextmanager
async def serving(health: Health) -> AsyncIterator[None]:
    """Answer health requests for as long as the context lasts.

    Raises
    ------
    FatalError
        The address is taken or not ours.
    """
    runner = web.AppRunner(_application(health), access_log=None, shutdown_timeout=HEALTH_S)
    await runner.setup()
    host, port = health.settings.health.host, health.settings.health.port
    try:
        await web.TCPSite(runner, host, port).start()
    except OSError as error:
        await runner.cleanup()
        raise FatalError(
            f"the health server cannot listen on {host}:{port} (DIGITS_HEALTH__HOST, __PORT): {error}"
        ) from error
    log.info("health server listens", address="http://{}:{}".format(*runner.addresses[0][:2]))
    try:
        yield
    finally:
        await runner.cleanup()


def _application(health: Health) -> web.Application:
    async def livez(_: web.Request) -> web.Response:
        return _verdict(health.stuck(), "stuck: ")

    async def readyz(_: web.Request) -> web.Response:
        return _verdict(health.not_ready(), "not ready: ")

    async def report(_: web.Request) -> web.Response:
        return web.json_response(health.report())

    async def metrics(_: web.Request) -> web.Response:
        health.refresh_gauges()
        return web.Response(
            body=health.metrics.exposition(), headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"}
        )

    application = web.Application()
    application.add_routes(
        [
            web.get("/livez", livez),
            web.get("/readyz", readyz),
            web.get("/health", report),
            web.get("/metrics", metrics),
        ]
    )
    return application


def _verdict(reasons: list[str], prefix: str) -> web.Response:
    if reasons:
        return web.Response(status=503, text=prefix + "; ".join(reasons) + "\n")
    return web.Response(text="ok\n")
