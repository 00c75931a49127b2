"""`digit-producer send`: sends files, and with ``--wait`` prints their results."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Final

import typer

from contract import headers
from contract.headers import ECHOED_BYTES
from engine.errors import in_utf8
from producer import display
from producer.commands.send_report import report_results, report_sent
from producer.commands.shared import AsJson, load_settings, run
from producer.display import print_message
from producer.errors import Exit
from producer.send.requests import OWN_HEADERS, Envelope, OutgoingRequest, requests_for
from producer.send.results import Results, open_results
from producer.send.sender import Sender, wait_for_results
from producer.send.sources import find
from transport.admin.cluster import ClusterAdmin, open_cluster
from transport.clients import open_producer
from transport.errors import KafkaRequestError
from transport.settings.kafka import ClientSettings

WAIT_MESSAGE_S: Final = 3.0
"""How often a line says what the command waits for."""

EXAMPLES = """\
Examples:
  digit-producer send seven.png scans/ archive.zip --wait
  digit-producer send photos/ --key customer-7 --wait --json
  convert drawing.svg png:- | digit-producer send - --wait"""

HINTS: Final = {headers.REQUEST_ID: "; use --request-id"}


def send(
    paths: Annotated[
        list[str],
        typer.Argument(
            metavar="PATH", help="Files, zip archives, folders (all files in them, by name); - is standard input."
        ),
    ],
    *,
    key: Annotated[
        str | None, typer.Option(help="Key of the records; records with the same key keep their order.")
    ] = None,
    header: Annotated[
        list[str] | None, typer.Option(metavar="NAME=VALUE", help="An additional header; may be given several times.")
    ] = None,
    request_id: Annotated[
        str | None,
        typer.Option(
            metavar="ID", help="The id of the request, if only one is sent; by default each has a random one."
        ),
    ] = None,
    repeat: Annotated[int, typer.Option(min=1, help="How many times to send everything.")] = 1,
    wait: Annotated[bool, typer.Option("--wait", help="Wait for the results and print them.")] = False,
    timeout_s: Annotated[
        float, typer.Option(min=0, help="With --wait: how long to wait after the last one was sent.")
    ] = 60,
    ready_timeout_s: Annotated[
        float, typer.Option(min=0, help="With --wait: how long to wait for digit-consumer to start, before that.")
    ] = 120,
    as_json: AsJson = False,
) -> None:
    """Send images and archives: the bytes of each file become one record."""
    options = SendOptions(
        paths=paths,
        key=None if key is None else os.fsencode(key),  # the bytes as they were given, also if they are not UTF-8
        extra_headers=_headers(header or []),
        request_id=None if request_id is None else _checked_id(request_id),
        repeat=repeat,
        wait=wait,
        timeout_s=timeout_s,
        ready_timeout_s=ready_timeout_s,
        as_json=as_json,
    )
    run(_send(load_settings(), options))


@dataclass(frozen=True, slots=True, kw_only=True)
class SendOptions:
    """The options of `digit-producer send`."""

    paths: Sequence[str]
    key: bytes | None
    extra_headers: Sequence[tuple[str, bytes]]
    request_id: str | None
    repeat: int
    wait: bool
    timeout_s: float
    ready_timeout_s: float
    as_json: bool


async def _send(settings: ClientSettings, options: SendOptions) -> Exit:
    requests = requests_for(find(options.paths), options.repeat, options.request_id)
    topics = settings.topics
    async with open_cluster(settings.kafka, print_message) as cluster:
        cluster.partitions(topics, "requests")
        predictions = cluster.partitions(topics, "predictions") if options.wait else []
        limit_bytes = await cluster.max_message_bytes(topics.requests)
    envelope = Envelope(topics.requests, options.key, options.extra_headers, limit_bytes)
    for request in requests:
        envelope.check(request)
    if not options.wait:
        await _write(settings, envelope, requests)
        return report_sent(requests, topics.requests, as_json=options.as_json)
    # The results are opened before the first record is sent, so none of its results can come before that position.
    async with open_results(settings.kafka, predictions) as results:
        await _write(settings, envelope, requests)
        with display.progress() as bar:
            task = bar.add_task("answered", total=len(requests))

            def on_answered(_: OutgoingRequest) -> None:
                bar.advance(task)

            await _wait_for_service(settings, results, requests, options.ready_timeout_s, on_answered)
            await wait_for_results(results, requests, options.timeout_s, on_answered)
    return report_results(requests, options.timeout_s, as_json=options.as_json)


async def _wait_for_service(
    settings: ClientSettings,
    results: Results,
    requests: Sequence[OutgoingRequest],
    timeout_s: float,
    on_answered: Callable[[OutgoingRequest], None],
) -> None:
    """Return once the group has a member, a result has come, or the time is over; print meanwhile what is awaited."""
    group, started_s = settings.kafka.group_id, time.monotonic()
    async with open_cluster(settings.kafka, print_message) as cluster:
        while not any(request.results for request in requests) and not await _has_member(cluster, group):
            left_s = started_s + timeout_s - time.monotonic()
            if left_s <= 0:
                return
            await wait_for_results(results, requests, min(WAIT_MESSAGE_S, left_s), on_answered)
            if not any(request.results for request in requests):
                print_message(
                    f"waiting for digit-consumer: group {group!r} has no member yet (the first start of the service "
                    f"compiles for a minute) … {time.monotonic() - started_s:.0f} s"
                )


async def _has_member(cluster: ClusterAdmin, group: str) -> bool:
    """Return whether a group has a member; True also if this user may not see that (ACL)."""
    try:
        return bool((await cluster.describe_group(group)).members)
    except KafkaRequestError:
        return True


def _headers(given: list[str]) -> list[tuple[str, bytes]]:
    pairs = [item.partition("=") for item in given]
    for name, equals, value in pairs:
        if not name or not equals:
            raise typer.BadParameter("a header has the form NAME=VALUE", param_hint="--header")
        if not _is_utf8(name + value):
            raise typer.BadParameter("name and value have to be UTF-8", param_hint="--header")
        if name in OWN_HEADERS:
            raise typer.BadParameter(
                f"{name} is set for each file by this command{HINTS.get(name, '')}", param_hint="--header"
            )
    return [(name, value.encode()) for name, _, value in pairs]


def _checked_id(given: str) -> str:
    """Refuse an id that the service would not repeat, or that is empty or not UTF-8."""
    if not _is_utf8(given):
        raise typer.BadParameter("the id has to be UTF-8", param_hint="--request-id")
    size_bytes = len(given.encode())
    if not 0 < size_bytes <= ECHOED_BYTES:
        raise typer.BadParameter(
            f"the id has {size_bytes:,} bytes; it has to have 1 to {ECHOED_BYTES:,} (DIGITS_ECHO__HEADER_BYTES)",
            param_hint="--request-id",
        )
    return given


def _is_utf8(argument: str) -> bool:
    return in_utf8(argument) == argument


async def _write(settings: ClientSettings, envelope: Envelope, requests: Sequence[OutgoingRequest]) -> None:
    async with open_producer(settings.kafka, max_request_bytes=envelope.max_request_bytes) as producer:
        with display.progress() as bar:
            task = bar.add_task("sent", total=len(requests))
            await Sender(producer, envelope, lambda _: bar.advance(task)).send(requests)
