"""What is shown of the figures, and which of them miss their bars."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

BATCH: Final = "batch"
TIMES_BARS: Final[Mapping[str, float]] = {"32": 3.0, "256": 3.0, BATCH: 30.0}
"""By load: how many times the rate of the old design."""
FASTER_AT: Final = "32"
"""The load at which the p99 must be below that of the old design."""
REFUSED_BAR_MS: Final = 50.0
"""Within which 99 % of the refusals arrive at ten times the load."""
ANSWERED_BAR: Final = 2.0
"""How many times the p99 of the same server at the most connections the p99 of accepted requests may be."""
GROWTH_BAR_MB: Final = 64.0
"""How much memory the gateway may add under overload: as much as its answers in memory may have (`max_kept_bytes`)."""


def rates(measured: dict[str, dict[str, Any]]) -> str:
    """Return the rates of one server, and its p99, in one line."""
    each = ("{what}: {per_s:,.0f}/s, {p99_ms:,.0f} ms".format(what=what, **load) for what, load in measured.items())
    return "; ".join(each)


def overload_line(figures: dict[str, Any]) -> str:
    """Return the figures of an overload in one line."""
    return (
        "{sent_per_s:,.0f}/s of {offered_per_s:,.0f}/s sent; {answered_per_s:,.0f}/s answered, p99 "
        "{answered_p99_ms:,.0f} ms (before {before_p99_ms:,.0f} ms); {refused:,.0f} refused, p99 "
        "{refused_p99_ms:,.0f} ms; memory {memory_before_mb:.0f} to {memory_peak_mb:.0f} MB".format(**figures)
    )


def lines(measured: dict[str, Any] | None) -> Iterator[tuple[str, str]]:
    """Yield what was measured and its figure, for the table."""
    if measured:
        for what, figures in measured["loads"].items():
            sent = "archives, images" if what == BATCH else f"{what} at once"
            yield (
                f"{sent}: old / ours / times",
                "{old[per_s]:,.0f}/s / {ours[per_s]:,.0f}/s / {times:.1f}".format(**figures),
            )
            yield f"{sent}: p99, old / ours", "{old[p99_ms]:,.0f} ms / {ours[p99_ms]:,.0f} ms".format(**figures)
            yield f"{sent}: processor time of an image, old / ours", _cpu(figures)
        overload = measured["overload"]
        yield (
            "ten times the load: sent / answered / refused",
            "{sent_per_s:,.0f}/s / {answered_per_s:,.0f}/s / {refused_per_s:,.0f}/s".format(**overload),
        )
        yield (
            "ten times the load: p99 of answers, before / then",
            "{before_p99_ms:,.0f} ms / {answered_p99_ms:,.0f} ms".format(**overload),
        )
        yield "ten times the load: p99 of refusals", "{refused_p99_ms:,.0f} ms".format(**overload)
        yield (
            "ten times the load: memory of the gateway, before / peak (PSS)",
            "{memory_before_mb:.0f} MB / {memory_peak_mb:.0f} MB".format(**overload),
        )


def _cpu(figures: dict[str, Any]) -> str:
    old, ours = (figures[which]["cpu_us"] for which in ("old", "ours"))
    parts = ", ".join(f"{name} {spent:,.0f}" for name, spent in ours.items())
    return f"{sum(old.values()):,.0f} µs / {sum(ours.values()):,.0f} µs ({parts})"


def misses(measured: dict[str, Any] | None) -> Iterator[str]:
    """Name every figure that is on the wrong side of its bar."""
    if not measured:
        return
    for what, bar in TIMES_BARS.items():
        if (times := measured["loads"][what]["times"]) < bar:
            yield f"http, {what}: {times:.1f} times the rate of the old design, not {bar:.0f}"
    for what, figures in measured["loads"].items():
        if refused := figures["ours"]["refused"]:
            yield f"http, {what}: {refused:,.0f} requests were refused"
    figures = measured["loads"][FASTER_AT]
    if figures["ours"]["p99_ms"] >= figures["old"]["p99_ms"]:
        yield f"http, {FASTER_AT} at once: the p99 is not below that of the old design"
    yield from _misses_under_overload(measured["overload"])


def _misses_under_overload(overload: dict[str, float]) -> Iterator[str]:
    if not overload["refused"]:
        yield "http: nothing was refused, so there was no overload"
    if not overload["answered_per_s"]:
        yield "http: nothing was answered beside refused requests"
    if overload["refused_p99_ms"] > REFUSED_BAR_MS:
        yield f"http: refusals took {overload['refused_p99_ms']:.0f} ms, not {REFUSED_BAR_MS:.0f} ms"
    if overload["answered_p99_ms"] > ANSWERED_BAR * overload["before_p99_ms"]:
        yield f"http: accepted requests took {overload['answered_p99_ms']:.0f} ms beside refused ones"
    if overload["memory_peak_mb"] > overload["memory_before_mb"] + GROWTH_BAR_MB:
        yield f"http: the gateway grew to {overload['memory_peak_mb']:.0f} MB"
