"""The commands that send and follow, each from its options to its exit code."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rich.text import Text

from contract.records import Result
from contract.settings import ClientSettings
from producer import display
from producer.clients import open_producer
from producer.cluster import look_around
from producer.errors import Exit
from producer.results import Unreadable, open_results
from producer.send import Envelope, Request, Sender, requests_for, wait_for_results
from producer.sources import find


@dataclass(frozen=True, slots=True, kw_only=True)
class SendOptions:
    """What `digit-producer send` is asked for."""

    paths: Sequence[str]
    key: bytes | None
    extra_headers: Sequence[tuple[str, bytes]]
    repeat: int
    wait: bool
    timeout_s: float
    as_json: bool


async def send(settings: ClientSettings, options: SendOptions) -> Exit:
    """Send files, and wait for their results if asked to."""
    requests = requests_for(find(options.paths), options.repeat)
    topics = settings.topics
    async with look_around(settings.kafka) as cluster:
        cluster.partitions(topics, "requests")
        predictions = cluster.partitions(topics, "predictions") if options.wait else []
        limit_bytes = await cluster.max_message_bytes(topics.requests)
    envelope = Envelope(topics.requests, options.key, options.extra_headers, limit_bytes)
    for request in requests:
        envelope.check(request)
    if not options.wait:
        await _put(settings, envelope, requests)
        return _report_sent(requests, topics.requests, as_json=options.as_json)
    # The end of the results is found before the first record goes out: no answer can lie before it.
    async with open_results(settings.kafka, predictions) as results:
        await _put(settings, envelope, requests)
        with display.progress() as bar:
            task = bar.add_task("answered", total=len(requests))
            await wait_for_results(results, requests, options.timeout_s, lambda _: bar.advance(task))
    return _report_results(requests, options)


async def _put(settings: ClientSettings, envelope: Envelope, requests: Sequence[Request]) -> None:
    async with open_producer(settings.kafka, max_request_bytes=envelope.max_request_bytes) as producer:
        with display.progress() as bar:
            task = bar.add_task("sent", total=len(requests))
            await Sender(producer, envelope, lambda _: bar.advance(task)).send(requests)


def _report_sent(requests: Sequence[Request], topic: str, *, as_json: bool) -> Exit:
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
        display.print_line(Text(f"{len(requests)} sent to {topic}"))
    return Exit.OK


def _report_results(requests: Sequence[Request], options: SendOptions) -> Exit:
    if options.as_json:
        for name, result in _named_results(requests):
            display.print_json({"name": name, **result.model_dump(mode="json", by_alias=True)})
    else:
        rows = [
            (name, *display.verdict(result), display.status(result), display.why(result))
            for name, result in _named_results(requests)
        ]
        display.print_table(("name", "digit", "confidence", "status", "why"), rows)
    unanswered = [request for request in requests if not request.complete]
    if unanswered:
        display.complain(
            f"{len(unanswered)} of {len(requests)} records had not all their results within {options.timeout_s:g} s, "
            f"the first of them {unanswered[0].source.label!r}: is digit-consumer running?"
        )
        return Exit.UNANSWERED
    return Exit.OK if all(request.recognised for request in requests) else Exit.NOT_ALL_WELL


def _named_results(requests: Sequence[Request]) -> Iterator[tuple[str, Result]]:
    """Each result with a name that its sender knows: the path, and for an archive the entry's name."""
    for request in requests:
        for _, result in sorted(request.results.items()):
            entry = result.item.name
            of_archive = result.item.count > 1 or entry not in (None, request.source.filename)
            label = request.source.label
            yield f"{label}: {entry or f'#{result.item.index}'}" if of_archive else label, result


async def create_topics(settings: ClientSettings, *, partitions: int, replicas: int) -> Exit:
    """Create the three topics as they should be; leave those that exist as they are."""
    configs = settings.topics.creation_configs()
    async with look_around(settings.kafka) as cluster:
        created = await cluster.create_topics(configs, partitions=partitions, replicas=replicas)
    for name in configs:
        display.print_line(Text(f"{name}: {'created' if name in created else 'exists, left as it is'}"))
    return Exit.OK


async def watch(settings: ClientSettings, *, from_beginning: bool, count: int | None, as_json: bool) -> Exit:
    """Print results as they are committed, `count` of them or without end."""
    async with look_around(settings.kafka) as cluster:
        predictions = cluster.partitions(settings.topics, "predictions")
    async with open_results(settings.kafka, predictions, from_beginning=from_beginning) as results:
        display.complain(f"following {settings.topics.predictions}, {len(predictions)} partitions; Ctrl-C ends it")
        left = count
        while left is None or left > 0:
            for result in (await results.next_batch())[:left]:
                _show(result, as_json=as_json)
                left = None if left is None else left - 1
    return Exit.OK


def _show(result: Result | Unreadable, *, as_json: bool) -> None:
    if isinstance(result, Unreadable):
        display.complain(f"{result.where} is no result: {result.why}")
    elif as_json:
        display.print_json(result.model_dump(mode="json", by_alias=True))
    else:
        digit, confidence = display.verdict(result)
        name = display.clean(result.item.name or "")
        display.print_line(
            Text.assemble(
                f"{display.clean(result.result_id):<36} {digit:>1} {confidence:>6} ",
                display.status(result),
                f"{'':<{11 - len(result.status)}}{name}  {display.clean(display.why(result))}".rstrip(),
            )
        )
