"""`digit-producer audit`: a proof that all was answered, once, in order."""

from __future__ import annotations

from dataclasses import asdict

from rich.text import Text

from producer import display
from producer.audit.report import Report
from producer.audit.run import audit as audit_topics
from producer.audit.scope import survey
from producer.commands.shared import AsJson, load_settings, run
from producer.display import complain
from producer.errors import Exit
from transport.admin.cluster import look_around
from transport.settings.kafka import ClientSettings

EXAMPLES = """\
Examples:
  digit-producer audit && echo all is well
  digit-producer audit --json"""

MEANINGS = {
    "requests": "below the group's committed offset",
    "pending": "requests from there on",
    "expired": "requests that retention has taken, or part of their answers",
    "results": "of these requests",
    "dead_letters": "of these requests",
    "missing": "images without a result",
    "duplicated": "results beside the first",
    "out_of_order": "results behind one of a later image",
    "inconsistent": "results or dead letters that contradict others, or the group's offsets",
}


def audit(*, as_json: AsJson = False) -> None:
    """Read all three topics and prove that every request was answered once, in order.

    Ends with 0 only if all is well, and never where the group has committed
    nothing though there are records. Names the first faults.

    The present number of partitions is taken for that of always: results from
    before the predictions topic was given more are said not to belong there.
    """
    run(_audit(load_settings(), as_json=as_json))


async def _audit(settings: ClientSettings, *, as_json: bool) -> Exit:
    async with look_around(settings.kafka, complain) as cluster:
        scope = await survey(settings, cluster)
    with display.progress() as bar:
        task = bar.add_task("read", total=scope.offsets)
        report = await audit_topics(settings, scope, lambda records: bar.advance(task, records))
    _show(report, as_json=as_json)
    for offender in report.offenders:
        display.complain(offender)
    return Exit.OK if report.clean else Exit.NOT_ALL_WELL


def _show(report: Report, *, as_json: bool) -> None:
    numbers = asdict(report)
    del numbers["offenders"], numbers["unproven"]
    if as_json:
        display.print_json(numbers)
        return
    rows = [(name.replace("_", " "), f"{number:,}", MEANINGS[name]) for name, number in numbers.items()]
    display.print_table(("", "count", ""), rows)
    judged = f", but for {report.expired:,} requests that cannot be judged" if report.expired else ""
    verdict = Text(f"all is well{judged}", style="green") if report.clean else Text("not all is well", style="red")
    display.print_line(verdict)
