"""Whether the service is alive, whether it is ready, and what it is doing.

*Stuck* means that only a restart would help. Lag never counts: transaction markers, or an upstream's open transaction,
leave lag where there is nothing to read. *Ready* is true also for a member without partitions; it is false before the
first join, and while the brokers are away.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any, Final

import structlog

from consumer.observe import drift_gauges
from consumer.observe.drift import Drift
from consumer.observe.views import AssignmentView, ExchangerView, LaneView, RefusalView, WorkersView
from consumer.settings import Settings
from release import revision, version

log = structlog.get_logger()

SILENCE_SHARE: Final = 0.5
"""Of a session; heartbeats go out five times in one."""
STUCK_MARGIN_S: Final = 20.0
"""Beyond an item's timeout: a fresh worker has to start, and the batch goes through it again."""


class Phase(StrEnum):
    """Of the service's life."""

    STARTING = "starting"
    RUNNING = "running"
    DRAINING = "draining"


@dataclass(slots=True)
class ServiceStatus:
    """How far the service has come. Owner: the service's task; health only reads."""

    phase: Phase = Phase.STARTING
    cluster_problem: str = "no broker has answered yet"
    """Why nothing could be fetched or published now, as of the last look at the cluster; empty if all is well."""
    assignment: AssignmentView | None = None
    """None before the service joins the group."""
    exchanger: ExchangerView | None = None
    """None in tests that need none."""
    drift: Drift | None = None
    """As above."""
    started_at_ms: int = field(default_factory=lambda: time.time_ns() // 1_000_000)

    def report_cluster(self, problem: str) -> None:
        """Keep what is wrong with the cluster, empty if nothing is, and log the change."""
        if problem and not self.cluster_problem:
            log.warning("cluster not ready", why=problem, action="retrying")
        elif not problem and self.cluster_problem:
            log.info("cluster ready")
        self.cluster_problem = problem


class Health:
    """Judges the service by its state. It keeps none itself.

    Parameters
    ----------
    settings
        Of the service.
    workers, status
        What it reads.
    """

    def __init__(self, settings: Settings, workers: WorkersView, status: ServiceStatus) -> None:
        self._settings = settings
        self._status = status
        self.workers = workers

    @property
    def lanes(self) -> Sequence[LaneView]:
        """All lanes of this instance."""
        return [] if self._status.assignment is None else list(self._status.assignment.lanes.values())

    @property
    def refused_model(self) -> RefusalView | None:
        """The model that the location has now, if it was refused; None if all is well."""
        return None if self._status.exchanger is None else self._status.exchanger.refused

    @property
    def drift(self) -> Drift | None:
        """What compares readings with the model's reference."""
        return self._status.drift

    def stuck(self) -> list[str]:
        """Name the lanes that have records in flight and make no progress, outside waits for the brokers.

        Each is judged by itself: by what it did, and by what workers did with its own records. That they work for
        others counts only while its records wait in the scheduler, and only as long as that can take: see
        `consumer.workers.scheduler`.
        """
        limit_s = self._settings.item_timeout_s + STUCK_MARGIN_S
        now_s, workers = time.monotonic(), self.workers
        return [
            lane.name
            for lane in self.lanes
            if lane.records_in_flight
            and not lane.waits_for_brokers
            and now_s - max(lane.progressed_at_s, workers.progressed_at_s(lane.partition.partition)) > limit_s
        ]

    def not_ready(self) -> list[str]:
        """Name what is missing until records are answered here."""
        compiling, status = self.workers.compiling, self._status
        reasons = [f"compiling, once: {compiling.done} of {compiling.total}"] if compiling else []
        if status.phase != Phase.RUNNING or status.assignment is None:
            return [f"the service is {status.phase}", *reasons]
        if status.cluster_problem:
            reasons.append(status.cluster_problem)
        session_s = self._settings.kafka.session_timeout_ms / 1000
        if not status.assignment.joined:
            reasons.append("the group is rebalancing, or not joined yet")
        elif (silent_s := status.assignment.silent_s) > session_s * SILENCE_SHARE:
            reasons.append(f"the group has not answered for {silent_s:.0f} s")
        reasons += [
            f"{lane.name} is parked: {lane.parked}" if lane.parked else f"lane {lane.name} has not started"
            for lane in self.lanes
            if not lane.started
        ]
        if self.workers.running == 0:
            reasons.append("no worker is running")
        return reasons

    def report(self) -> dict[str, Any]:
        """Return the report of ``/health``, ready for JSON."""
        partitions = [_partition(lane) for lane in self.lanes]
        exchanger = self._status.exchanger
        not_ready = self.not_ready()
        return {
            "version": version(),
            "revision": revision(),
            "state": self._status.phase,
            "ready": not not_ready,
            "not_ready": not_ready,
            "stuck": self.stuck(),
            "started_at_ms": self._status.started_at_ms,
            "group_id": self._settings.kafka.group_id,
            "partitions": partitions,
            "lag": sum(partition["lag"] or 0 for partition in partitions),
            "last_commit_at_ms": max((lane.committed_at_ms or 0 for lane in self.lanes), default=0) or None,
            "workers": {"running": self.workers.running, "wanted": self._settings.workers},
            "model": asdict(self.workers.model),
            "challenger": None if self.workers.challenger is None else asdict(self.workers.challenger),
            "challenger_problem": self.workers.challenger_problem or None,
            "refused_model": _refusal(self.refused_model),
            "model_problem": None if exchanger is None else exchanger.problem or None,
            "model_waits_for": None if exchanger is None else exchanger.waits or None,
            "model_on_probation": exchanger is not None and exchanger.on_probation,
            "drift": drift_gauges.report(self.drift),
        }


def lag(lane: LaneView) -> int | None:
    """Return the offsets from the committed one to the log's end; None if either is not known."""
    ends = lane.ends
    if ends is None or ends.end is None or lane.committed_offset is None:
        return None
    return max(0, ends.end - lane.committed_offset)


def _refusal(refused: RefusalView | None) -> dict[str, str] | None:
    if refused is None:
        return None
    named = {"name": refused.name, "version": refused.version, "manifest_sha256": refused.manifest_sha256}
    return {**named, "why": refused.why}


def _partition(lane: LaneView) -> dict[str, Any]:
    return {
        "topic": lane.partition.topic,
        "partition": lane.partition.partition,
        "started": lane.started,
        "parked": None if lane.parked is None else str(lane.parked),
        "committed_offset": lane.committed_offset,
        "lag": lag(lane),
        "records_in_flight": lane.records_in_flight,
        "last_commit_at_ms": lane.committed_at_ms,
    }
