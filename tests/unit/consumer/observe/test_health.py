"""The health server tells the truth: alive, ready, stuck; and it says what is missing."""

from __future__ import annotations

import json
import re
import time
from dataclasses import dataclass, field
from typing import Any, cast

import aiohttp
import pytest
from aiokafka import TopicPartition

from broker.ports import free_ports
from consumer.observe.health import STUCK_MARGIN_S, Health, serving
from consumer.observe.metrics import Metrics
from consumer.partitions.assignment import Lanes
from consumer.partitions.position import OffsetLost
from consumer.settings import HealthSettings, Settings
from consumer.workers.pool import WorkerPool
from consumer.workers.protocol import Compiling
from engine.model.files import ModelInfo
from transport.errors import FatalError

LONG_AGO_S = 1_000.0
PARTITION = TopicPartition("requests", 0)
MODEL = ModelInfo("compact", "1", "0" * 64)


@dataclass
class LaneState:
    """What health reads of a lane."""

    partition: TopicPartition = PARTITION
    started: bool = True
    in_hand: int = 0
    readable_records: int = 0
    oldest_at_ms: int | None = None
    waits_for_brokers: bool = False
    progressed_at_s: float = field(default_factory=time.monotonic)
    parked: OffsetLost | None = None
    committed_offset: int | None = 40
    committed_at_ms: int | None = 1_000

    @property
    def name(self) -> str:
        return f"{self.partition.topic}/{self.partition.partition}"


@dataclass
class LanesState:
    current: dict[TopicPartition, LaneState] = field(default_factory=dict)
    joined: bool = True
    silent_s: float = 0.0


@dataclass
class WorkersState:
    running: int = 2
    pids: frozenset[int] = frozenset()
    compiling: Compiling | None = None
    moved_s: float = 0.0
    moved_by_partition_s: dict[int, float] = field(default_factory=dict)

    def moved_at_s(self, partition: int) -> float:
        return self.moved_by_partition_s.get(partition, self.moved_s)


@dataclass
class ConsumerState:
    end: int | None = 100
    stable: int | None = 90

    def assignment(self) -> set[TopicPartition]:
        return {PARTITION}

    def highwater(self, _: TopicPartition) -> int | None:
        return self.end

    def last_stable_offset(self, _: TopicPartition) -> int | None:
        return self.stable


def health(
    *lanes: LaneState, workers: WorkersState | None = None, joined: bool = True, silent_s: float = 0.0, **more: Any
) -> Health:
    """Give the health of a service that runs well, but for what is said here."""
    by_partition = {lane.partition: lane for lane in lanes}
    well: dict[str, Any] = {
        "settings": Settings(),
        "state": "running",
        "cluster_trouble": "",
        "consumer": ConsumerState(),
    }
    return Health(
        **well | more,
        metrics=Metrics(),
        model=MODEL,
        workers=cast("WorkerPool", workers or WorkersState(moved_s=time.monotonic())),
        lanes=cast("Lanes", LanesState(by_partition, joined, silent_s)),
    )


def told(shown: Health) -> str:
    return shown.metrics.exposition().decode()


def test_a_service_that_runs_is_ready_and_not_stuck() -> None:
    running = health(LaneState(in_hand=5))
    assert running.not_ready() == []
    assert running.stuck() == []


def test_while_the_group_is_silent_it_is_not_ready() -> None:
    session_s = Settings().kafka.session_timeout_ms / 1000
    assert health(silent_s=session_s / 5).not_ready() == []
    assert health(silent_s=session_s * 0.6).not_ready() == ["the group has not answered for 6 s"]


def test_a_member_without_partitions_is_ready() -> None:
    assert health().not_ready() == []


def test_before_it_runs_it_is_not_ready_and_not_stuck() -> None:
    starting = Health(Settings(), Metrics())
    assert starting.not_ready() == ["the service is starting"]
    assert starting.stuck() == []
    assert health(state="draining").not_ready() == ["the service is draining"]


def test_what_is_missing_until_it_is_ready_is_named() -> None:
    away = "no broker answers"
    unwell = health(LaneState(started=False), workers=WorkersState(running=0), joined=False, cluster_trouble=away)
    assert unwell.not_ready() == [
        "no broker answers",
        "the group is rebalancing, or not joined yet",
        "lane requests/0 has not started",
        "no worker is running",
    ]


def test_records_in_hand_without_progress_for_too_long_are_stuck() -> None:
    still_s = Settings().item_timeout_s + STUCK_MARGIN_S
    now_s = time.monotonic()
    stuck = LaneState(in_hand=1, progressed_at_s=now_s - still_s - 1)
    assert health(stuck, workers=WorkersState(moved_s=now_s - LONG_AGO_S)).stuck() == ["requests/0"]
    stuck.progressed_at_s = now_s - still_s + 5
    assert health(stuck, workers=WorkersState(moved_s=now_s - LONG_AGO_S)).stuck() == []


@pytest.mark.parametrize(
    "lane",
    [
        LaneState(in_hand=0, progressed_at_s=-LONG_AGO_S),
        LaneState(in_hand=1, waits_for_brokers=True, progressed_at_s=-LONG_AGO_S),
    ],
    ids=["nothing in hand, whatever the lag", "waiting for the broker"],
)
def test_what_a_restart_would_not_help_is_not_stuck(lane: LaneState) -> None:
    assert health(lane, workers=WorkersState(moved_s=-LONG_AGO_S)).stuck() == []


def test_a_lane_whose_own_records_move_in_the_workers_is_not_stuck() -> None:
    lane = LaneState(in_hand=1, progressed_at_s=-LONG_AGO_S)
    assert health(lane, workers=WorkersState(moved_s=time.monotonic())).stuck() == []


def test_a_lane_that_does_not_move_is_stuck_however_much_is_done_for_others() -> None:
    now_s = time.monotonic()
    stuck = LaneState(in_hand=1, progressed_at_s=now_s - LONG_AGO_S)
    other = LaneState(TopicPartition("requests", 1), in_hand=1, progressed_at_s=now_s)
    workers = WorkersState(moved_by_partition_s={0: now_s - LONG_AGO_S, 1: now_s})
    assert health(stuck, other, workers=workers).stuck() == ["requests/0"]


def test_a_parked_partition_is_named_and_not_ready_but_not_stuck() -> None:
    shown = health(LaneState(started=False, parked=OffsetLost("the committed offset 3 is not in the log", 3)))
    assert shown.not_ready() == ["requests/0 is parked: the committed offset 3 is not in the log"]
    assert shown.stuck() == []
    assert [partition["parked"] for partition in shown.report()["partitions"]] == [
        "the committed offset 3 is not in the log"
    ]
    shown.refresh_gauges()
    assert 'digits_parked{partition="requests/0"} 1.0' in told(shown)


def test_the_report_tells_lag_commits_workers_and_model() -> None:
    report = health(LaneState(in_hand=3)).report()
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
            "in_hand": 3,
            "last_commit_at_ms": 1_000,
        }
    ]


@pytest.mark.parametrize(
    ("lane", "consumer"),
    [
        (LaneState(committed_offset=None), ConsumerState()),
        (LaneState(), ConsumerState(end=None)),
        (LaneState(partition=TopicPartition("requests", 7)), ConsumerState()),
    ],
    ids=["not started", "not fetched yet", "just revoked"],
)
def test_lag_that_is_not_known_is_null(lane: LaneState, consumer: ConsumerState) -> None:
    report = health(lane, consumer=consumer).report()
    assert [partition["lag"] for partition in report["partitions"]] == [None]
    assert report["lag"] == 0


def test_gauges_tell_of_stuck_lanes_and_of_the_model() -> None:
    shown = health(LaneState(in_hand=1, progressed_at_s=-LONG_AGO_S), workers=WorkersState(moved_s=-LONG_AGO_S))
    shown.refresh_gauges()
    assert "digits_stuck_lanes 1.0" in told(shown)
    assert f'digits_model_info{{name="compact",sha256="{MODEL.sha256}",version="1"}} 1.0' in told(shown)


def test_gauges_do_not_call_a_lag_zero_that_is_not_known() -> None:
    shown = health(LaneState(), consumer=ConsumerState(end=None, stable=None))
    shown.refresh_gauges()
    assert {"lag", "readable", "undecided", "stable"}.isdisjoint(
        name.split("_")[1] for name in re.findall(r"^(digits_\w+){partition=", told(shown), re.MULTILINE)
    )


def test_gauges_tell_what_waits_for_us_what_is_hidden_and_since_when(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = health(LaneState(in_hand=3, readable_records=7, oldest_at_ms=1_000_000))
    monkeypatch.setattr(time, "time", lambda: 1_002.5)
    shown.refresh_gauges()
    for name, value in (
        ("lag_records", 60),
        ("readable_records", 7),
        ("undecided_records", 10),
        ("stable_offset", 90),
        ("committed_offset", 40),
        ("parked", 0),
        ("oldest_request_age_seconds", 2.5),
    ):
        assert f'digits_{name}{{partition="requests/0"}} {float(value)}' in told(shown)


def test_a_request_of_which_its_senders_clock_says_that_it_comes_tomorrow_is_not_old() -> None:
    shown = health(LaneState(oldest_at_ms=time.time_ns() // 1_000_000 + 86_400_000))
    shown.refresh_gauges()
    assert 'digits_oldest_request_age_seconds{partition="requests/0"} 0.0' in told(shown)


def test_gauges_forget_partitions_that_have_gone() -> None:
    shown = health(LaneState())
    shown.refresh_gauges()
    assert 'digits_lag_records{partition="requests/0"} 60.0' in told(shown)
    shown.lanes = cast("Lanes", LanesState())
    shown.refresh_gauges()
    assert "{partition=" not in told(shown)
    assert "digits_assigned_partitions 0.0" in told(shown)


async def test_the_server_answers_with_codes_that_a_probe_understands() -> None:
    port = free_ports(1)[0]
    unwell = health(
        LaneState(in_hand=1, progressed_at_s=-LONG_AGO_S),
        workers=WorkersState(moved_s=-LONG_AGO_S),
        joined=False,
        settings=Settings(health=HealthSettings(port=port)),
    )
    async with serving(unwell), aiohttp.ClientSession(f"http://127.0.0.1:{port}") as http:

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
        unwell.lanes = cast("Lanes", LanesState())
        assert await get("/livez") == (200, "ok\n")
        assert await get("/readyz") == (200, "ok\n")


async def test_a_port_that_is_taken_is_a_fatal_error_that_names_it() -> None:
    port = free_ports(1)[0]
    settings = Settings(health=HealthSettings(port=port))
    async with serving(Health(settings, Metrics())):
        with pytest.raises(FatalError, match=rf"cannot listen on 127\.0\.0\.1:{port} \(DIGITS_HEALTH__HOST, __PORT\)"):
            async with serving(Health(settings, Metrics())):
                pytest.fail("two servers on one port")


async def test_the_server_listens_on_the_address_that_is_set_and_on_no_other() -> None:
    port = free_ports(1)[0]
    settings = Settings(health=HealthSettings(host="127.0.0.2", port=port))
    async with serving(Health(settings, Metrics())), aiohttp.ClientSession() as http:
        async with http.get(f"http://127.0.0.2:{port}/livez") as answer:
            assert answer.status == 200
        with pytest.raises(aiohttp.ClientConnectionError):
            await http.get(f"http://127.0.0.1:{port}/livez")


def test_while_the_engine_is_compiled_it_says_how_far_it_is() -> None:
    starting = health(state="starting", workers=WorkersState(running=0, compiling=Compiling(12, 37)))
    assert starting.not_ready() == ["the service is starting", "compiling, once: 12 of 37"]
    assert starting.report()["not_ready"] == starting.not_ready()
