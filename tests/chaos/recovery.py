"""How soon results came again, worked out after the run from what was seen during it."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

from tests.chaos.instances import Assignment
from tests.chaos.plan import Kind
from tests.chaos.timeline import Struck

BARS_S: Final[Mapping[Kind, float]] = MappingProxyType(
    {Kind.INSTANCE_KILLED: 3.0, Kind.WORKER_KILLED: 2.0, Kind.BROKER_KILLED: 5.0}
)
FROM: Final[Mapping[Kind, str]] = MappingProxyType(
    {
        Kind.INSTANCE_KILLED: "from the group's new generation to a result of a partition taken over",
        Kind.WORKER_KILLED: "from the kill to a result of its instance",
        Kind.BROKER_KILLED: "from new leaders and coordinators to a result of a partition it led",
    }
)

FirstAfter = Callable[[int, float], float | None]
"""When the first result came in a partition after a moment; None if none did."""


@dataclass(frozen=True, slots=True)
class Recovered:
    """Results that came again after a fault."""

    took_s: float
    alone: bool
    """True if no other fault fell into it."""


def recoveries(
    struck: Sequence[Struck], assignments: Iterable[Assignment], first_after: FirstAfter
) -> dict[Kind, list[Recovered]]:
    """Work out every recovery that has a bar; a fault that held up nothing has none.

    Parameters
    ----------
    struck
        All faults.
    assignments
        Of all instances.
    first_after
        What a reader saw.
    """
    given = sorted(assignments, key=lambda assignment: assignment.at_s)
    found: dict[Kind, list[Recovered]] = {kind: [] for kind in BARS_S}
    for fault in struck:
        if fault.kind in found:
            spans = [(begin, end) for begin, end in _spans(fault, given, first_after) if end is not None]
            if spans:
                begin, end = min(spans, key=lambda span: span[1] - span[0])
                found[fault.kind].append(Recovered(end - begin, alone=not _others(fault, struck, end)))
    return found


def summary(recovered: Mapping[Kind, Sequence[Recovered]]) -> dict[str, dict[str, Any]]:
    """Return the figures of the recoveries for the report."""
    return {
        str(kind): {
            "from": FROM[kind],
            "bar_s": BARS_S[kind],
            "measured": len(each),
            "median_s": _rounded(statistics.median, [one.took_s for one in each]),
            "max_s": _rounded(max, [one.took_s for one in each]),
            "above_bar": sum(one.took_s > BARS_S[kind] for one in each),
            "max_alone_s": _rounded(max, [one.took_s for one in each if one.alone]),
        }
        for kind, each in recovered.items()
    }


def _spans(fault: Struck, given: Sequence[Assignment], first_after: FirstAfter) -> Iterable[tuple[float, float | None]]:
    """Yield for each partition concerned when it could go on, and when it did."""
    for partition in fault.partitions:
        if fault.kind is Kind.INSTANCE_KILLED:
            generations = (each.at_s for each in given if each.at_s > fault.began_s and partition in each.partitions)
            begin = next(generations, None)
        else:
            begin = fault.whole_s if fault.kind is Kind.BROKER_KILLED else fault.began_s
        if begin is not None:
            yield begin, first_after(partition, begin)


def _others(fault: Struck, struck: Sequence[Struck], until_s: float) -> bool:
    return any(
        other is not fault and other.began_s < until_s and (other.ended_s or until_s) > fault.began_s
        for other in struck
    )


def _rounded(figure: Callable[[list[float]], float], times_s: list[float]) -> float | None:
    return round(figure(times_s), 2) if times_s else None
