"""Health: stuck, ready, and what is missing; and the gauges that are read from it."""

from __future__ import annotations

import json
import re
import time
from dataclasses import dataclass, field

import aiohttp
import pytest
from aiokafka import TopicPartition

from broker.ports import free_ports
from consumer.observe.gauges import StateCollector
from consumer.observe.health import STUCK_MARGIN_S, Health, Phase, ServiceStatus
from consumer.observe.metrics import Metrics
from consumer.observe.server import serving
from consumer.partitions.state import OffsetLost
from consumer.settings import HealthSettings, Settings
from consumer.workers.protocol import Compiling
from engine.model.files import ModelInfo
from transport.errors import FatalError
from transport.reading.log_ends import LogEnds

LONG_AGO_S = 1_000.0
PARTITION = TopicPartition("requests", 0)
MODEL = ModelInfo("compact", "1", "0" * 64)


@dataclass
class Lane:
    """What health reads of a lane."""

    partition: TopicPartition = PARTITION
    started: bool = True
    records_in_flight: int = 0
    bytes_in_flight: int = 0
    readable_records: int = 0
    oldest_at_ms: int | None = None
    waits_for_brokers: bool = False
    progressed_at_s: float = field(default_factory=time.monotonic)
    parked: OffsetLost | None = None
    committed_offset: int | None = 40
    committed_at_ms: int | None = 1_000
    ends: LogEnds | None = field(default_factory=lambda: LogEnds(100, 90))

    @property
    def name(self) -> str:
        return f"{self.partition.topic}/{self.partition.partition}"


@dataclass
class Assignment:
    """What health reads of the assignment."""

    lanes: dict[TopicPartition, Lane] = field(default_factory=dict)
    joined: bool = True
    silent_s: float = 0.0


@dataclass
class Workers:
    """What health reads of the worker pool."""

    running: int = 2
    pids: frozenset[int] = frozenset()
    compiling: Compiling | None = None
    model: ModelInfo = MODEL
    challenger: ModelInfo | None = None
    challenger_problem: str = ""
    progressed_s: float = 0.0
    by_partition_s: dict[int, float] = field(default_factory=dict)

    def progressed_at_s(self, partition: int) -> float:
        return self.by_partition_s.get(partition, self.progressed_s)


def health(
    *lanes: Lane,
    workers: Workers | None = None,
    joined: bool = True,
    silent_s: float = 0.0,
    phase: Phase = Phase.RUNNING,
    problem: str = "",
) -> Health:
    """Give the health of a service that runs well, but for what is said here."""
    by_partition = {lane.partition: lane for lane in lanes}
    status = ServiceStatus(phase, problem, Assignment(by_partition, joined, silent_s))
    return Health(Settings(), workers or Workers(progressed_s=time.monotonic()), status)


def shown(health: Health) -> str:
    """Give the metrics that a scrape shows."""
    metrics = Metrics()
    metrics.registry.register(StateCollector(health))
    return metrics.exposition().decode()


def test_a_service_that_runs_is_ready_and_not_stuck() -> None:
    running = health(Lane(records_in_flight=5))
    assert running.not_ready() == []
    assert running.stuck() == []


def test_while_the_group_is_silent_it_is_not_ready() -> None:
    session_s = Settings().kafka.session_timeout_ms / 1000
    assert health(silent_s=session_s / 5).not_ready() == []
    assert health(silent_s=session_s * 0.6).not_ready() == ["the group has not answered for 6 s"]


def test_a_member_without_partitions_is_ready() -> None:
    assert health().not_ready() == []


def test_before_it_runs_it_is_not_ready_and_not_stuck() -> None:
    starting = Health(Settings(), Workers(), ServiceStatus())
    assert starting.not_ready() == ["the service is starting"]
    assert starting.stuck() == []
    assert health(phase=Phase.DRAINING).not_ready() == ["the service is draining"]


def test_what_is_missing_until_it_is_ready_is_named() -> None:
    away = "no broker answers"
    unwell = health(Lane(started=False), workers=Workers(running=0), joined=False, problem=away)
    assert unwell.not_ready() == [
        "no broker answers",
        "the group is rebalancing, or not joined yet",
        "lane requests/0 has not started",
        "no worker is running",
    ]


def test_records_in_flight_without_progress_for_too_long_are_stuck() -> None:
    still_s = Settings().item_timeout_s + STUCK_MARGIN_S
    now_s = time.monotonic()
    stuck = Lane(records_in_flight=1, progressed_at_s=now_s - still_s - 1)
    assert health(stuck, workers=Workers(progressed_s=now_s - LONG_AGO_S)).stuck() == ["requests/0"]
    stuck.progressed_at_s = now_s - still_s + 5
    assert health(stuck, workers=Workers(progressed_s=now_s - LONG_AGO_S)).stuck() == []


@pytest.mark.parametrize(
    "lane",
    [
        Lane(records_in_flight=0, progressed_at_s=-LONG_AGO_S),
        Lane(records_in_flight=1, waits_for_brokers=True, progressed_at_s=-LONG_AGO_S),
    ],
    ids=["nothing in flight, whatever the lag", "waiting for the broker"],
)
def test_what_a_restart_would_not_help_is_not_stuck(lane: Lane) -> None:
    assert health(lane, workers=Workers(progressed_s=-LONG_AGO_S)).stuck() == []


def test_a_lane_whose_records_make_progress_in_workers_is_not_stuck() -> None:
    lane = Lane(records_in_flight=1, progressed_at_s=-LONG_AGO_S)
    assert health(lane, workers=Workers(progressed_s=time.monotonic())).stuck() == []


def test_a_lane_without_progress_is_stuck_whatever_is_done_for_others() -> None:
    now_s = time.monotonic()
    stuck = Lane(records_in_flight=1, progressed_at_s=now_s - LONG_AGO_S)
    other = Lane(TopicPartition("requests", 1), records_in_flight=1, progressed_at_s=now_s)
    workers = Workers(by_partition_s={0: now_s - LONG_AGO_S, 1: now_s})
    assert health(stuck, other, workers=workers).stuck() == ["requests/0"]


def test_a_parked_partition_is_named_and_not_ready_but_not_stuck() -> None:
    parked = health(Lane(started=False, parked=OffsetLost("the committed offset 3 is not in the log", 3)))
    assert parked.not_ready() == ["requests/0 is parked: the committed offset 3 is not in the log"]
    assert parked.stuck() == []
    assert [partition["parked"] for partition in parked.report()["partitions"]] == [
        "the committed offset 3 is not in the log"
    ]
    assert 'digits_parked{partition="requests/0"} 1.0' in shown(parked)


def test_the_report_has_lag_commits_workers_and_model() -> None:
    report = health(Lane(records_in_flight=3)).report()
    assert report["lag"] == 60
    assert report["last_commit_at_ms"] == 1_000
    assert report["workers"] == {"running": 2, "wanted": 2}
    assert report["model"] == {"name": "compact", "version": "1", "sha256": "0" * 64}
    assert report["partitions"] == [
        {
            "topic": "requests",
            "partition": 0,
            "started": True,
            "parked": None,
            "committed_offset": 40,
            "lag": 60,
            "records_in_flight": 3,
            "last_commit_at_ms": 1_000,
        }
    ]


@pytest.mark.parametrize(
    "lane",
    [Lane(committed_offset=None), Lane(ends=LogEnds(None, None)), Lane(ends=None)],
    ids=["not started", "not fetched yet", "just revoked"],
)
def test_a_lag_that_is_not_known_is_null(lane: Lane) -> None:
    report = health(lane).report()
    assert [partition["lag"] for partition in report["partitions"]] == [None]
    assert report["lag"] == 0


def test_gauges_show_stuck_lanes_the_model_and_what_is_in_flight() -> None:
    stuck = Lane(records_in_flight=1, bytes_in_flight=700, progressed_at_s=-LONG_AGO_S)
    other = Lane(TopicPartition("requests", 1), records_in_flight=2, bytes_in_flight=50)
    metrics = shown(health(stuck, other, workers=Workers(by_partition_s={0: -LONG_AGO_S, 1: time.monotonic()})))
    assert "digits_stuck_lanes 1.0" in metrics
    assert "digits_records_in_flight 3.0" in metrics
    assert "digits_in_flight_bytes 750.0" in metrics
    assert f'digits_model_info{{name="compact",sha256="{MODEL.sha256}",version="1"}} 1.0' in metrics


def test_gauges_have_no_sample_for_a_lag_that_is_not_known() -> None:
    metrics = shown(health(Lane(ends=LogEnds(None, None))))
    assert {"lag", "readable", "undecided", "stable"}.isdisjoint(
        name.split("_")[1] for name in re.findall(r"^(digits_\w+){partition=", metrics, re.MULTILINE)
    )


def test_gauges_show_what_waits_what_is_undecided_and_since_when(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time", lambda: 1_002.5)
    metrics = shown(health(Lane(records_in_flight=3, readable_records=7, oldest_at_ms=1_000_000)))
    for name, value in (
        ("lag_records", 60),
        ("readable_records", 7),
        ("undecided_records", 10),
        ("stable_offset", 90),
        ("committed_offset", 40),
        ("parked", 0),
        ("oldest_request_age_seconds", 2.5),
    ):
        assert f'digits_{name}{{partition="requests/0"}} {float(value)}' in metrics


def test_a_request_with_a_timestamp_in_the_future_is_not_old() -> None:
    metrics = shown(health(Lane(oldest_at_ms=time.time_ns() // 1_000_000 + 86_400_000)))
    assert 'digits_oldest_request_age_seconds{partition="requests/0"} 0.0' in metrics


def test_gauges_forget_partitions_that_are_not_assigned_any_more() -> None:
    lane = Lane()
    assignment = Assignment({PARTITION: lane})
    status = ServiceStatus(Phase.RUNNING, "", assignment)
    metrics = Metrics()
    metrics.registry.register(StateCollector(Health(Settings(), Workers(), status)))
    assert 'digits_lag_records{partition="requests/0"} 60.0' in metrics.exposition().decode()
    assignment.lanes.clear()
    assert "{partition=" not in metrics.exposition().decode()
    assert "digits_assigned_partitions 0.0" in metrics.exposition().decode()


def served() -> tuple[Health, Metrics]:
    return health(), Metrics()


async def test_the_server_answers_with_status_codes_for_probes() -> None:
    port = free_ports(1)[0]
    lane = Lane(records_in_flight=1, progressed_at_s=-LONG_AGO_S)
    assignment = Assignment({PARTITION: lane}, joined=False)
    unwell = Health(Settings(), Workers(progressed_s=-LONG_AGO_S), ServiceStatus(Phase.RUNNING, "", assignment))
    async with (
        serving(unwell, Metrics(), HealthSettings(port=port)),
        aiohttp.ClientSession(f"http://127.0.0.1:{port}") as http,
    ):

        async def get(path: str) -> tuple[int, str]:
            async with http.get(path) as answer:
                return answer.status, await answer.text()

        assert await get("/livez") == (503, "stuck: requests/0\n")
        assert await get("/readyz") == (503, "not ready: the group is rebalancing, or not joined yet\n")
        status, report = await get("/health")
        assert (status, json.loads(report)["stuck"]) == (200, ["requests/0"])
        status, metrics = await get("/metrics")
        assert status == 200
        assert "digits_ready 0.0" in metrics
        assignment.lanes.clear()
        assignment.joined = True
        assert await get("/livez") == (200, "ok\n")
        assert await get("/readyz") == (200, "ok\n")


async def test_a_port_that_is_taken_is_a_fatal_error_that_names_it() -> None:
    port = free_ports(1)[0]
    settings = Settings(health=HealthSettings(port=port))
    async with serving(*served(), settings.health):
        with pytest.raises(FatalError, match=rf"cannot listen on 127\.0\.0\.1:{port} \(DIGITS_HEALTH__HOST, __PORT\)"):
            async with serving(*served(), settings.health):
                pytest.fail("two servers on one port")


async def test_the_server_listens_on_the_address_that_is_set_and_on_no_other() -> None:
    port = free_ports(1)[0]
    settings = Settings(health=HealthSettings(host="127.0.0.2", port=port))
    async with serving(*served(), settings.health), aiohttp.ClientSession() as http:
        async with http.get(f"http://127.0.0.2:{port}/livez") as answer:
            assert answer.status == 200
        with pytest.raises(aiohttp.ClientConnectionError):
            await http.get(f"http://127.0.0.1:{port}/livez")


def test_while_the_engine_is_compiled_readiness_shows_the_progress() -> None:
    starting = health(phase=Phase.STARTING, workers=Workers(running=0, compiling=Compiling(12, 37)))
    assert starting.not_ready() == ["the service is starting", "compiling, once: 12 of 37"]
    assert starting.report()["not_ready"] == starting.not_ready()
