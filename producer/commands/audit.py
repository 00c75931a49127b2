"""`digit-producer audit`: proves that every request was answered once and in order."""

from __future__ import annotations

from dataclasses import asdict

from rich.text import Text

from engine.terminal import print_table
from producer import display
from producer.audit.report import Report
from producer.audit.run import audit as audit_topics
from producer.audit.scope import read_scope
from producer.commands.shared import AsJson, load_settings, run
from producer.display import print_message
from producer.errors import Exit
from transport.admin.cluster import open_cluster
from transport.settings.kafka import ClientSettings

EXAMPLES = """\
Examples:
  digit-producer audit && echo all is well
  digit-producer audit --json"""

MEANINGS = {
    "requests": "below the group's committed offset",
    "pending": "requests from there on",
    "expired": "requests that retention has deleted, or whose results it has deleted",
    "results": "of these requests",
    "dead_letters": "of these requests",
    "missing": "images without a result",
    "duplicated": "results of an image after its first one",
    "out_of_order": "results that come after one of a later image",
    "inconsistent": "results or dead letters that contradict others, or the group's offsets",
}


def audit(*, as_json: AsJson = False) -> None:
    """Read all three topics and prove that every request was answered once and in order.

    The exit code is 0 only if no fault is found. It is never 0 if there are
    records but the group has committed no offset. The first faults are named.

    The audit assumes that the number of partitions has never changed: after
    partitions were added to the predictions topic, it reports older results
    as not belonging into their partition.
    """
    run(_audit(load_settings(), as_json=as_json))


async def _audit(settings: ClientSettings, *, as_json: bool) -> Exit:
    async with open_cluster(settings.kafka, print_message) as cluster:
        scope = await read_scope(settings, cluster)
    with display.progress() as bar:
        task = bar.add_task("read", total=scope.offsets)
        report = await audit_topics(settings, scope, lambda records: bar.advance(task, records))
    _show(report, as_json=as_json)
    for fault in report.faults:
        print_message(fault)
    return Exit.OK if report.clean else Exit.NOT_ALL_WELL


def _show(report: Report, *, as_json: bool) -> None:
    numbers = asdict(report)
    del numbers["faults"], numbers["unproven"]
    if as_json:
        display.print_json(numbers)
        return
    rows = [(name.replace("_", " "), f"{number:,}", MEANINGS[name]) for name, number in numbers.items()]
    print_table(("", "count", ""), rows)
    except_expired = f", except {report.expired:,} expired requests that cannot be judged" if report.expired else ""
    conclusion = (
        Text(f"all is well{except_expired}", style="green") if report.clean else Text("not all is well", style="red")
    )
    display.print_line(conclusion)
