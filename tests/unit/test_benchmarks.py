"""A benchmark with a bar ends with 1 exactly when a figure misses it. The figures of the table are those measured."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest
from typer.testing import CliRunner

from benchmarks import __main__ as command
from benchmarks import (
    drain,
    engine_alone,
    exchange,
    flood,
    large_records,
    latency,
    partitions,
    processes,
    recovery,
    report,
    unwritable,
)
from engine.errors import EngineError
from engine.model.classifier import Reading
from engine.reader import Outcome, Reader

FLOOD = {"images": 1_000, "rounds": [], "alone_images_per_s": 100.0, "beside_images_per_s": 50.0, "bar": 0.5}


def killed(max_s: float) -> dict[str, Any]:
    return {"rounds_s": [1.0, max_s], "median_s": 1.0, "max_s": max_s, "bar_s": 3.0}


@contextlib.contextmanager
def no_broker(**_: object) -> Iterator[None]:
    yield


def run(monkeypatch: pytest.MonkeyPatch, *, share: float, worst_s: float, json_file: Path) -> tuple[int, str]:
    async def flooded(*_: object, **__: object) -> dict[str, Any]:
        return FLOOD | {"share": share}

    async def recovered(*_: object, **__: object) -> dict[str, Any]:
        return {"instance": killed(2.0), "broker, last lane": killed(worst_s)}

    monkeypatch.setattr(command, "running_broker", no_broker)
    monkeypatch.setattr(flood, "measure", flooded)
    monkeypatch.setattr(recovery, "measure", recovered)
    ended = CliRunner().invoke(command.app, ["flood", "recovery", "--images", "1000", "--json", str(json_file)])
    return ended.exit_code, json_file.read_text()


@pytest.mark.parametrize(
    ("share", "worst_s", "exit_code"), [(0.5, 3.0, 0), (0.49, 3.0, 1), (0.5, 3.01, 1), (0.49, 3.01, 1)]
)
def test_a_missed_bar_sets_the_exit_code_and_the_figures_are_written(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, share: float, worst_s: float, exit_code: int
) -> None:
    ended, written = run(monkeypatch, share=share, worst_s=worst_s, json_file=tmp_path / "figures.json")
    assert ended == exit_code
    assert f'"max_s": {worst_s}' in written


def test_every_missed_bar_is_named() -> None:
    measured = {"flood": FLOOD | {"share": 0.25}, "recovery": {"instance": killed(2.0), "broker": killed(4.5)}}
    assert list(report.misses(measured)) == [
        "beside a flood legal traffic keeps 25% of its rate, not 50%",
        "killed broker: results took 4.50 s, not 3 s",
    ]


def test_a_challenger_that_costs_too_much_is_named_with_its_share() -> None:
    shares = {"0.1": {"kept": 0.95, "read": 0.5, "bar": 0.9}, "1": {"kept": 0.4, "read": 0.25, "bar": 0.5}}
    measured = {"challenger": {"images": 1_000, "images_per_s": 10_000.0, "shares": shares}}
    assert list(report.misses(measured)) == ["with a challenger of 100% there is 40% of the rate without"]
    assert rows(measured) == [
        ("challenger", "without a challenger", "10,000 images/s"),
        ("challenger", "with a share of 10%: rate kept / of the share read", "95% / 50%"),
        ("challenger", "with a share of 100%: rate kept / of the share read", "40% / 25%"),
    ]


def test_other_partitions_keep_their_rate_beside_one_that_cannot_be_written() -> None:
    rounds = [{"writable_per_s": 100.0, "unwritable_per_s": 70.0}, {"writable_per_s": 200.0, "unwritable_per_s": 160.0}]
    lacking = unwritable.summary(rounds)
    assert lacking == {"rate": 115.0, "share": 0.75}
    measured = {"unwritable": {"lacks": {"leader": {"rate": 90.0, "share": 0.9}, "replicas": lacking}, "bar": 0.8}}
    assert list(report.misses(measured)) == ["other partitions keep 75% of their rate, where one has no replicas"]
    assert rows(measured)[0] == ("unwritable", "other partitions, where one has no leader: rate, share", "90/s, 90%")


def test_the_longest_gap_is_that_of_a_partition_and_between_any_two_results() -> None:
    results = exchange.Results()
    for at_s, partition, version in ((1.0, 0, "1"), (1.1, 1, "1"), (1.3, 0, "2"), (2.0, 1, "2"), (2.1, 0, "2")):
        results.note(partition, version, at_s)
    assert results.gaps_ms() == pytest.approx({"gap_ms": 700, "gap_of_a_partition_ms": 900})
    assert results.versions == {0: ["1", "2"], 1: ["1", "2"]}
    results.note(1, "1", 2.2)
    assert results.gaps_ms() == pytest.approx({"gap_ms": 100, "gap_of_a_partition_ms": 200})
    assert results.versions[1] == ["1", "2", "1"]


@pytest.mark.parametrize(("gap_ms", "missed"), [(500.0, False), (501.0, True)])
def test_a_gap_above_its_bar_during_an_exchange_is_named(gap_ms: float, *, missed: bool) -> None:
    one = {"gap_ms": 90.0, "gap_of_a_partition_ms": gap_ms}
    rounds = [{"with": one, "without": {"gap_ms": 80.0, "gap_of_a_partition_ms": 110.0}}]
    measured = {"exchange": {"rate": 1_000, "bar_ms": exchange.GAP_BAR_MS, "rounds": rounds} | one}
    assert bool(list(report.misses(measured))) is missed
    shown = rows(measured)
    assert shown[0][2] == f"{gap_ms:.0f} ms / 500 ms in 1 exchanges"
    assert [row[2] for row in shown[1:]] == ["90 ms", "110 ms"]


def of_partitions(start_s: float, p50_ms: float) -> dict[str, Any]:
    return {
        "start_s": start_s,
        "restart_s": start_s + 1,
        "idle": {"loop": 1.0, "workers": 0.5, "broker": 6.0},
        "latency": {
            "100": {
                "images": 200,
                "p50_ms": p50_ms,
                "p99_ms": p50_ms + 50,
                "max_ms": p50_ms + 90,
                "own_cpu_percent": 15.0,
                "classify_ms": 4.0,
                "commit_ms": 12.0,
                "loop_percent": 20.0,
                "workers_percent": 10.0,
                "broker_percent": 50.0,
            }
        },
        "pss_peak_mb": 60.0,
        "rss_peak_mb": 80.0,
    }


def rows(measured: dict[str, Any]) -> list[tuple[str, ...]]:
    table = report.table({"machine": report.machine()} | measured)
    return list(zip(*([str(cell) for cell in column.cells] for column in table.columns), strict=True))


def test_latencies_are_summed_up_whatever_their_order() -> None:
    taken_ms = [float(each) for each in range(101)]
    assert latency.summary(taken_ms[::-1]) == {"images": 101, "p50_ms": 50, "p99_ms": 99, "max_ms": 100}


def test_figures_of_rounds_are_medians_however_deep_they_lie() -> None:
    rounds = [of_partitions(1.0, 30), of_partitions(9.0, 10), of_partitions(2.0, 20)]
    assert report.medians(rounds) == of_partitions(2.0, 20)


def test_each_number_of_partitions_is_measured_in_each_round_on_its_own_broker(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    brokers: list[str] = []
    measured: list[int] = []

    @contextlib.contextmanager
    def counted(**_: object) -> Iterator[None]:
        brokers.append("broker")
        yield

    async def measure(*_: object, partitions: int, **__: object) -> dict[str, Any]:
        measured.append(partitions)
        return of_partitions(len(measured), 10)

    monkeypatch.setattr(command, "running_broker", counted)
    monkeypatch.setattr(partitions, "measure", measure)
    arguments = ["partitions", "--partitions", "8", "--partitions", "64", "--partition-rounds", "3"]
    ended = CliRunner().invoke(command.app, [*arguments, "--json", str(tmp_path / "figures.json")])
    assert ended.exit_code == 0
    assert measured == [8, 64, 8, 64, 8, 64]
    assert len(brokers) == 6
    figures = json.loads((tmp_path / "figures.json").read_text())["partitions"]
    assert {count: each["start_s"] for count, each in figures.items()} == {"8": 3, "64": 4}
    assert len(figures["8"]["rounds"]) == 3


def test_the_table_has_the_figures_of_every_number_of_partitions() -> None:
    shown = rows({"partitions": {"8": of_partitions(2.0, 20), "256": of_partitions(5.0, 20) | {"latency": {}}}})
    assert shown == [
        ("partitions", "8: start to ready / restart", "2.0 s / 3.0 s"),
        ("partitions", "8: idle, % of a core: service process / workers / broker", "1.0 % / 0.5 % / 6.0 %"),
        ("partitions", "8: at 100 images/s: p50 / p99 / worst", "20 ms / 70 ms / 110 ms"),
        ("partitions", "8: at 100 images/s, on average: workers / transaction", "4 ms / 12 ms"),
        ("partitions", "8: at 100 images/s, of a core: service process / workers / broker", "20 % / 10 % / 50 %"),
        ("partitions", "8: peak memory of the service process: PSS / RSS", "60 MB / 80 MB"),
        ("partitions", "256: start to ready / restart", "5.0 s / 6.0 s"),
        ("partitions", "256: idle, % of a core: service process / workers / broker", "1.0 % / 0.5 % / 6.0 %"),
        ("partitions", "256: peak memory of the service process: PSS / RSS", "60 MB / 80 MB"),
    ]


def test_the_drain_is_compared_with_the_engine_alone_without_the_broker() -> None:
    parts = {"loop_cpu_us_per_image": 12.0, "workers_cpu_us_per_image": 60.0, "broker_cpu_us_per_image": 40.0}
    compared = drain.compared(200.0, 50.0, {"images_per_s": 20_000.0, **parts, "memory_pss_mb": 350.0})
    assert compared["times_engine"] == pytest.approx(72 / 50)
    assert compared["times_by_hand"] == 100
    shown = rows({"drain": {"images": 1_000, "rounds": [compared], **compared}})
    assert ("drain", "processor time an image: the engine alone", "50.0 µs") in shown
    assert ("drain", "(loop + workers) / the engine alone, median of the rounds", "1.44") in shown


def test_the_memory_of_large_records_is_in_the_table() -> None:
    figures = {"seconds": 31.0, "pss_peak_mb": 350.0, "rss_peak_mb": 400.0, "workers_rss_mb": 500.0}
    assert rows({"memory": {"partitions": 48, "records": 2, "record_mib": 16.0, **figures}}) == [
        ("memory", "48 partitions with 2 records of 16 MiB", "answered in 31 s"),
        ("memory", "peak memory of the service process: PSS / RSS", "350 MB / 400 MB"),
        ("memory", "memory of the workers at the end: RSS", "500 MB"),
    ]


def test_large_records_are_refused_before_they_fill_the_disk() -> None:
    large_records.check_space(6 * 10**9, 96)
    with pytest.raises(RuntimeError, match=r"need 5\.4 GB of disk, 5\.0 GB are free"):
        large_records.check_space(5 * 10**9, 96)


class ReaderOf:
    """Reads every image but those that are empty."""

    def __init__(self) -> None:
        self.batches: list[int] = []

    def read(self, payloads: list[bytes]) -> list[list[Outcome]]:
        self.batches.append(len(payloads))
        reading = Reading("recognised", 1, 1.0, [], None)
        return [[Outcome(reading=reading) if each else Outcome(error=EngineError())] for each in payloads]


def test_the_engine_alone_reads_all_images_in_the_batches_of_a_worker() -> None:
    reader = ReaderOf()
    assert engine_alone.cpu_us_per_image(cast("Reader", reader), [b"image"] * 600) > 0
    assert reader.batches == [256, 256, 88]


def test_images_that_the_engine_cannot_read_give_no_figure() -> None:
    with pytest.raises(RuntimeError, match="1 of 3 images could not be read"):
        engine_alone.cpu_us_per_image(cast("Reader", ReaderOf()), [b"image", b"", b"image"])


async def test_the_peak_of_memory_outlives_the_memory() -> None:
    async with processes.peak_memory(os.getpid()) as peak:
        before_mb = peak.in_mb()
        held = b"x" * 64_000_000
        peak.look()
        del held
        after_mb = peak.in_mb()
    assert after_mb["pss_peak_mb"] > before_mb["pss_peak_mb"] + 50
    assert after_mb["rss_peak_mb"] > 64
