"""What a run comes to: its checks, its figures, and what of both goes into ``chaos-report.json``."""

from __future__ import annotations

import json
import os
import platform
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final

from rich import box
from rich.markup import escape
from rich.table import Table

from tests.chaos.load import Sent
from tests.chaos.plan import counts
from tests.chaos.predictions_reader import Answered
from tests.chaos.recovery import recoveries, summary
from tests.chaos.run import Run

SHOWN: Final = 20
"""Offenders that are named, of each check."""
FAULTS_OF_AN_AUDIT: Final = ("pending", "expired", "missing", "duplicated", "out_of_order", "inconsistent")


def report(run: Run, stalled: str | None) -> dict[str, Any]:
    """Put together everything that is worth keeping.

    Parameters
    ----------
    run
        That has ended, in whatever way.
    stalled
        Why it did not come to its end, if so.
    """
    checks = {name: list(offenders)[:SHOWN] for name, offenders in _checks(run, stalled).items()}
    timeline, began_s = run.timeline, run.timeline.began_s
    planned = counts(run.options.minutes)
    return {
        "clean": not any(checks.values()),
        "seed": run.options.seed,
        "minutes": run.options.minutes,
        "machine": {
            "cores": os.cpu_count(),
            "load": round(os.getloadavg()[1], 1),
            "system": platform.platform(),
            "python": platform.python_version(),
        },
        "requests": len(run.load.acknowledged) if run.load else 0,
        "images": run.load.images if run.load else 0,
        "faults": {str(kind): {"planned": planned[kind], "happened": timeline.counts()[kind]} for kind in planned},
        "checks": checks,
        "audit": run.audit,
        "recovery": _recovery(run),
        "faults_delayed_s": round(run.faults_delayed_s, 1),
        "faults_took_s": round(run.faults_over_s - began_s, 1) if run.faults_over_s else None,
        "results_per_second": _throughput(run),
        "time_line": [
            {
                "at_s": round(struck.began_s - began_s, 2),
                "until_s": round(struck.ended_s - began_s, 2) if struck.ended_s else None,
                "kind": str(struck.kind),
                "target": struck.target,
            }
            for struck in timeline.struck
        ],
    }


def write(data: dict[str, Any], path: Path) -> None:
    """Write it down."""
    path.write_text(json.dumps(data, indent=2) + "\n")


def tables(data: dict[str, Any]) -> Iterator[Table]:
    """Lay it out for people."""
    shown = Table("fault", "planned", "happened", box=box.SIMPLE_HEAD)
    shown.caption = f"faults delayed by {data['faults_delayed_s']} s, while a partition had no new result"
    for kind, number in data["faults"].items():
        shown.add_row(kind, str(number["planned"]), str(number["happened"]))
    yield shown
    shown = Table("recovery after", "measured", "median", "worst", "worst alone", "bar", "", box=box.SIMPLE_HEAD)
    shown.caption = "alone: no other fault fell into it. Load {load} on {cores} cores, 5 minutes' average.".format(
        **data["machine"]
    )
    for kind, each in data["recovery"].items():
        late = f"[yellow]{each['above_bar']} above the bar" if each["above_bar"] else "[green]within the bar"
        times = [f"{each[name]} s" for name in ("median_s", "max_s", "max_alone_s", "bar_s")]
        shown.add_row(f"{kind}\n  {each['from']}", str(each["measured"]), *times, late)
    yield shown
    shown = Table("check", "", box=box.SIMPLE_HEAD)
    for name, offenders in data["checks"].items():
        shown.add_row(name, "\n".join(f"[red]{escape(each)}" for each in offenders[:3]) or "[green]holds")
    yield shown


def _checks(run: Run, stalled: str | None) -> dict[str, Iterable[str]]:
    """Name what is wrong, check by check; nothing where a check holds."""
    happened = run.timeline.counts()
    missing = [kind for kind, planned in counts(run.options.minutes).items() if happened[kind] < planned]
    return {
        "the run came to its end": [stalled] if stalled else [],
        "every planned fault happened": [f"{kind}: {happened[kind]}" for kind in missing],
        "no instance ended or failed by itself": run.timeline.findings,
        "the reader never saw a result twice, or out of order": run.reader.offenders if run.reader else [],
        "every acknowledged request is answered as it should be": _wrong_answers(run),
        "nothing is answered that was not sent": _answers_to_nothing(run),
        "the audit is clean": _audit_faults(run),
        "the audit counts what was sent and seen": _audit_differences(run),
    }


def _wrong_answers(run: Run) -> Iterator[str]:
    if run.load is None or run.reader is None:
        return
    answers = {answered.request_id: answered for answered in run.reader.answers.values()}
    for request_id, sent in run.load.acknowledged.items():
        if request_id not in answers:
            yield f"request {request_id} is not answered"
        else:
            yield from (f"request {request_id} {what}" for what in _differences(sent, answers[request_id]))


def _differences(sent: Sent, answered: Answered) -> Iterator[str]:
    images = sent.payload.images
    if not len(images) == answered.count == len(answered.codes):
        yield f"has {len(answered.codes)} results of {answered.count}, and {len(images)} images"
    for index, (allowed, code) in enumerate(zip(images, answered.codes, strict=False)):
        if code not in (allowed or {None}):
            yield f"image {index}: {code}, not {' or '.join(sorted(allowed)) or 'a digit'}"


def _answers_to_nothing(run: Run) -> Iterator[str]:
    if run.load is None or run.reader is None:
        return
    left, unknown = set(run.load.acknowledged), []
    for position, answered in run.reader.answers.items():
        if answered.request_id in left:
            left.remove(answered.request_id)
        else:
            unknown.append(f"{position.partition}/{position.offset}, request {answered.request_id}")
    # A request without an acknowledgement may have been written all the same.
    yield from unknown[len(run.load.unacknowledged) :]


def _audit_faults(run: Run) -> list[str]:
    if run.audit is None:
        return [f"it did not come to an end: {run.audit_says or run.phase}"]
    counted = [f"{name}: {run.audit[name]}" for name in FAULTS_OF_AN_AUDIT if run.audit[name]]
    return counted + (run.audit_says.splitlines() if counted else [])


def _audit_differences(run: Run) -> Iterator[str]:
    if run.audit is None or run.load is None or run.reader is None:
        return
    answers = run.reader.answers
    failed = sum(code is not None for answered in answers.values() for code in answered.codes)
    seen = {"requests": len(answers), "results": run.reader.results, "dead_letters": failed}
    yield from (
        f"{name}: {run.audit[name]}, seen {number}" for name, number in seen.items() if run.audit[name] != number
    )
    sent, doubtful = len(run.load.acknowledged), len(run.load.unacknowledged)
    if not sent <= run.audit["requests"] <= sent + doubtful:
        yield f"requests: {run.audit['requests']}, acknowledged {sent}, in doubt {doubtful}"


def _recovery(run: Run) -> dict[str, dict[str, Any]]:
    given = [assignment for instance in run.instances for assignment in instance.assignments()]
    first_after = run.reader.first_after if run.reader else lambda *_: None
    return summary(recoveries(run.timeline.struck, given, first_after))


def _throughput(run: Run) -> list[int]:
    """Count results for each second since the first moment."""
    seconds: Counter[int] = Counter()
    for seen in run.reader.seen_at_s.values() if run.reader else []:
        for at_s, results in seen:
            seconds[int(at_s - run.timeline.began_s)] += results
    return [seconds[second] for second in range(max(seconds, default=-1) + 1)]
