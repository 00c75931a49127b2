"""Shows what was measured, and where."""

from __future__ import annotations

import os
import platform
import statistics
from collections.abc import Iterator
from typing import Any

from rich.table import Table

from benchmarks.http import figures as http_figures


def machine() -> dict[str, Any]:
    """Describe the machine, without which no figure means anything."""
    return {"cores": os.cpu_count(), "system": platform.platform(), "python": platform.python_version()}


def medians(rounds: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the median of each figure over rounds of the same form, however deep it lies."""
    return {
        name: medians([each[name] for each in rounds])
        if isinstance(first, dict)
        else statistics.median(each[name] for each in rounds)
        for name, first in rounds[0].items()
    }


def table(measured: dict[str, Any]) -> Table:
    """Lay out the figures of `benchmarks.__main__`."""
    shown = Table(
        "benchmark", "what", "measured", title="On {cores} cores, Kafka included".format(**measured["machine"])
    )
    if "compile" in measured:
        figure = "{cpu_s:.1f} s / {functions}".format(**measured["compile"])
        shown.add_row("compile", "processor time of the first start / functions compiled", figure)
    for what, figure in _idle(measured.get("idle")):
        shown.add_row("idle", what, figure)
    for rate, times in measured.get("latency", {}).items():
        figure = "{p50_ms:.0f} ms / {p99_ms:.0f} ms / {max_ms:.0f} ms".format(**times)
        shown.add_row("latency", f"at {int(rate):,} images/s: p50 / p99 / worst", figure)
    for count, figures in measured.get("partitions", {}).items():
        for what, figure in _partitions(count, figures):
            shown.add_row("partitions", what, figure)
    last = {
        "memory": _memory,
        "drain": _drain,
        "flood": _flood,
        "exchange": _exchange,
        "challenger": _challenger,
        "network": _network,
        "recovery": _recovery,
        "unwritable": _unwritable,
        "http": http_figures.lines,
    }
    for name, lines in last.items():
        for what, figure in lines(measured.get(name)):
            shown.add_row(name, what, figure)
    return shown


def misses(measured: dict[str, Any]) -> Iterator[str]:
    """Name every figure that is on the wrong side of its bar."""
    flood = measured.get("flood")
    if flood and flood["share"] < flood["bar"]:
        yield "beside a flood legal traffic keeps {share:.0%} of its rate, not {bar:.0%}".format(**flood)
    exchange = measured.get("exchange")
    if exchange and exchange["gap_of_a_partition_ms"] > exchange["bar_ms"]:
        yield "an exchange of the model leaves a gap of {gap_of_a_partition_ms:.0f} ms, not {bar_ms:.0f} ms".format(
            **exchange
        )
    for share, figures in measured.get("challenger", {"shares": {}})["shares"].items():
        if figures["kept"] < figures["bar"]:
            yield f"with a challenger of {float(share):.0%} there is {figures['kept']:.0%} of the rate without"
    network = measured.get("network")
    if network and network["share"] < network["bar"]:
        yield "the network reads {share:.0%} of the default model's rate, not {bar:.0%}".format(**network)
    for what, times in measured.get("recovery", {}).items():
        if times["max_s"] > times["bar_s"]:
            yield "killed {what}: results took {max_s:.2f} s, not {bar_s:.0f} s".format(what=what, **times)
    unwritable = measured.get("unwritable", {"lacks": {}})
    for lacks, figures in unwritable["lacks"].items():
        if figures["share"] < unwritable["bar"]:
            yield f"other partitions keep {figures['share']:.0%} of their rate, where one has no {lacks}"
    yield from http_figures.misses(measured.get("http"))


def _idle(figures: dict[str, Any] | None) -> Iterator[tuple[str, str]]:
    if figures:
        yield "processor", "{cpu_percent:.1f} % of a core".format(**figures)
        yield (
            "memory of {processes} processes: PSS / RSS".format(**figures),
            "{pss_mb:.0f} MB / {rss_mb:.0f} MB".format(**figures),
        )


def _partitions(count: str, figures: dict[str, Any]) -> Iterator[tuple[str, str]]:
    yield f"{count}: start to ready / restart", "{start_s:.1f} s / {restart_s:.1f} s".format(**figures)
    yield (
        f"{count}: idle, % of a core: service process / workers / broker",
        "{loop:.1f} % / {workers:.1f} % / {broker:.1f} %".format(**figures["idle"]),
    )
    for rate, times in figures["latency"].items():
        figure = "{p50_ms:.0f} ms / {p99_ms:.0f} ms / {max_ms:.0f} ms".format(**times)
        yield f"{count}: at {int(rate):,} images/s: p50 / p99 / worst", figure
        figure = "{classify_ms:.0f} ms / {commit_ms:.0f} ms".format(**times)
        yield f"{count}: at {int(rate):,} images/s, on average: workers / transaction", figure
        parts = "{loop_percent:.0f} % / {workers_percent:.0f} % / {broker_percent:.0f} %".format(**times)
        yield f"{count}: at {int(rate):,} images/s, of a core: service process / workers / broker", parts
    yield (
        f"{count}: peak memory of the service process: PSS / RSS",
        "{pss_peak_mb:.0f} MB / {rss_peak_mb:.0f} MB".format(**figures),
    )


def _memory(figures: dict[str, Any] | None) -> Iterator[tuple[str, str]]:
    if figures:
        yield (
            "{partitions} partitions with {records} records of {record_mib:.0f} MiB".format(**figures),
            "answered in {seconds:.0f} s".format(**figures),
        )
        yield (
            "peak memory of the service process: PSS / RSS",
            "{pss_peak_mb:.0f} MB / {rss_peak_mb:.0f} MB".format(**figures),
        )
        yield "memory of the workers at the end: RSS", "{workers_rss_mb:.0f} MB".format(**figures)


def _drain(figures: dict[str, Any] | None) -> Iterator[tuple[str, str]]:
    if figures:
        rates = [each["images_per_s"] for each in figures["rounds"]]
        spread = f" ({min(rates):,.0f} to {max(rates):,.0f} in {len(rates)} rounds)"
        yield "the service, {images:,} images".format(**figures), "{images_per_s:,.0f}/s".format(**figures) + spread
        yield "the loop written by hand", "{by_hand_images_per_s:,.0f}/s".format(**figures)
        yield "times faster, median of the rounds", "{times_by_hand:.1f}".format(**figures)
        for part in ("loop", "workers", "broker", "engine"):
            name = "the engine alone" if part == "engine" else part
            yield f"processor time an image: {name}", "{:.1f} µs".format(figures[f"{part}_cpu_us_per_image"])
        yield "(loop + workers) / the engine alone, median of the rounds", "{times_engine:.2f}".format(**figures)
        yield "memory at the end: PSS", "{memory_pss_mb:.0f} MB".format(**figures)


def _challenger(figures: dict[str, Any] | None) -> Iterator[tuple[str, str]]:
    if figures:
        yield "without a challenger", "{images_per_s:,.0f} images/s".format(**figures)
        for share, kept in figures["shares"].items():
            what = f"with a share of {float(share):.0%}: rate kept / of the share read"
            yield what, "{kept:.0%} / {read:.0%}".format(**kept)


def _network(figures: dict[str, Any] | None) -> Iterator[tuple[str, str]]:
    if figures:
        figure = "{network_per_s:,.0f}/s / {default_per_s:,.0f}/s / {share:.0%} / {bar:.0%}".format(**figures)
        yield "the network / the default model / share / bar", figure


def _flood(figures: dict[str, Any] | None) -> Iterator[tuple[str, str]]:
    if figures:
        figure = "{share:.0%} of {alone_images_per_s:,.0f}/s / {bar:.0%}".format(**figures)
        yield "beside the worst records on another partition / bar", figure


def _exchange(figures: dict[str, Any] | None) -> Iterator[tuple[str, str]]:
    if figures:
        count, without = (
            len(figures["rounds"]),
            max(each["without"]["gap_of_a_partition_ms"] for each in figures["rounds"]),
        )
        yield (
            "at {rate:,} images/s, longest gap in the results of a partition / bar".format(**figures),
            "{gap_of_a_partition_ms:.0f} ms / {bar_ms:.0f} ms".format(**figures) + f" in {count} exchanges",
        )
        yield "the same, between any two results", "{gap_ms:.0f} ms".format(**figures)
        yield "the same of a partition, without an exchange", f"{without:.0f} ms"


def _recovery(figures: dict[str, Any] | None) -> Iterator[tuple[str, str]]:
    for what, times in (figures or {}).items():
        figure = "{median_s:.2f} s / {max_s:.2f} s / {bar_s:.0f} s".format(**times)
        yield f"killed {what}: median / worst / bar", figure


def _unwritable(figures: dict[str, Any] | None) -> Iterator[tuple[str, str]]:
    if figures:
        for lacks, rates in figures["lacks"].items():
            figure = "{rate:,.0f}/s, {share:.0%}".format(**rates)
            yield f"other partitions, where one has no {lacks}: rate, share", figure
