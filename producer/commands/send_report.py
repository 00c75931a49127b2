"""What `digit-producer send` prints at its end: where the requests are, or their results."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from contract.records import Result
from engine.terminal import print_table
from producer import display
from producer.display import print_message
from producer.errors import Exit
from producer.send.requests import OutgoingRequest

LISTED: Final = 10
"""How many of the records without all their results are named."""


def report_sent(requests: Sequence[OutgoingRequest], topic: str, *, as_json: bool) -> Exit:
    """Print where the requests are, or how many there are; return the exit code."""
    if as_json:
        for request in requests:
            display.print_json(
                {
                    "name": request.source.label,
                    "request_id": request.request_id,
                    "topic": topic,
                    "partition": request.partition,
                    "offset": request.offset,
                }
            )
    else:
        display.print_line(f"{len(requests)} sent to {topic}")
    return Exit.OK


def report_results(requests: Sequence[OutgoingRequest], timeout_s: float, *, as_json: bool) -> Exit:
    """Print the results, and which requests lack some after `timeout_s`; return the exit code."""
    if as_json:
        for name, result in _named_results(requests):
            display.print_json({"name": name, **result.model_dump(mode="json", by_alias=True)})
    elif any(request.results for request in requests):
        rows = [
            (name, *display.digit_and_confidence(result), display.status(result), display.explanation(result))
            for name, result in _named_results(requests)
        ]
        print_table(("name", "digit", "confidence", "status", "why"), rows)
    unanswered = [request for request in requests if not request.complete]
    if unanswered:
        print_message(
            f"{len(unanswered)} of {len(requests)} records lack results after {timeout_s:g} s: "
            f"{_listed(unanswered)}; check with `digit-producer status` whether digit-consumer runs"
        )
        return Exit.UNANSWERED
    return Exit.OK if all(request.recognised for request in requests) else Exit.NOT_ALL_WELL


def _listed(unanswered: Sequence[OutgoingRequest]) -> str:
    """Name the first records that lack results, with the number of results they have."""
    names = [f"{request.source.label!r} ({_result_count(request)})" for request in unanswered[:LISTED]]
    more = len(unanswered) - len(names)
    return ", ".join([*names, *([f"and {more:,} more"] if more else [])])


def _result_count(request: OutgoingRequest) -> str:
    first = next(iter(request.results.values()), None)
    return "no result" if first is None else f"{len(request.results):,} of {first.item.count:,} results"


def _named_results(requests: Sequence[OutgoingRequest]) -> Iterator[tuple[str, Result]]:
    """Yield each result with a name that its sender knows: the path, and for an archive also the entry's name."""
    for request in requests:
        for _, result in sorted(request.results.items()):
            entry = result.item.name
            of_archive = result.item.count > 1 or entry not in (None, request.source.filename)
            label = request.source.label
            yield f"{label}: {entry or f'#{result.item.index}'}" if of_archive else label, result
