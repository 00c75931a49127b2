"""What a replay takes from the dead-letter topic, in which order, and what stands in the way of sending it.

How far a filter has got is the committed offset of a consumer group named after it: the same filter
goes on behind it, another one starts from the beginning.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from typing import Final

from aiokafka import TopicPartition

from contract import headers
from producer.replay.dead_letters import Filter, Found, Stranger, read_letters
from transport.admin.cluster import Cluster
from transport.reading.log_reader import Span, spans
from transport.reading.record_batch import batch_bytes
from transport.settings.kafka import ClientSettings

_OF_THE_ARCHIVE: Final = (headers.FILENAME, headers.CONTENT_TYPE)


@dataclass(frozen=True, slots=True)
class Plan:
    """What `digit-producer replay` is asked for."""

    which: Filter
    max_attempts: int
    limit: int | None
    """Requests to send at most; None is no limit."""
    rate_per_s: float | None
    """Requests a second at most; None is as fast as it goes."""

    def group(self, settings: ClientSettings) -> str:
        """Name the group that keeps the filter's progress. Limit and rate are no part of it: they choose nothing."""
        return f"{settings.kafka.group_id}.replay.{self.which.fingerprint(self.max_attempts)}"


@dataclass(frozen=True, slots=True)
class Survey:
    """What there is to do, as of now."""

    requests: Sequence[TopicPartition]
    limit_bytes: int | None
    """What the requests topic takes, None if unknown."""
    letters: dict[TopicPartition, Span]
    """The dead letters behind the filter's progress."""


@dataclass(frozen=True, slots=True)
class Chosen:
    """A dead letter that the filter takes."""

    found: Found
    target: TopicPartition
    obstacle: str | None
    """Why it cannot be sent; None if it can."""


@dataclass(frozen=True, slots=True)
class Step:
    """One record of the dead-letter topic is behind us."""

    partition: TopicPartition
    next_offset: int
    chosen: Chosen | None
    """None if the filter does not take it."""


async def survey(settings: ClientSettings, cluster: Cluster, plan: Plan) -> Survey:
    """Look where the filter stands. For `replay` this comes after its producer has started."""
    letters = cluster.partitions(settings.topics, "dead_letter")
    progress = await cluster.committed(plan.group(settings))
    now = await spans(settings.kafka, letters, open_transactions=False)
    return Survey(
        requests=cluster.partitions(settings.topics, "requests"),
        limit_bytes=await cluster.max_message_bytes(settings.topics.requests),
        letters={
            partition: Span(max(span.start, progress.get(partition, 0)), span.end) for partition, span in now.items()
        },
    )


async def preview(settings: ClientSettings, cluster: Cluster, plan: Plan) -> AsyncGenerator[Chosen, None]:
    """Tell what `replay` would take now, in its order, and do nothing."""
    async with contextlib.aclosing(steps(settings, await survey(settings, cluster, plan), plan)) as all_steps:
        async for step in all_steps:
            if step.chosen is not None:
                yield step.chosen


async def steps(settings: ClientSettings, found: Survey, plan: Plan) -> AsyncGenerator[Step, None]:
    """Go through the letters, up to the plan's limit."""
    left = plan.limit
    async with contextlib.aclosing(read_letters(settings.kafka, found.letters)) as letters:
        async for letter in letters:
            chosen = None
            if not isinstance(letter, Stranger) and plan.which.takes(letter):
                target = found.requests[letter.letter.origin_partition % len(found.requests)]
                chosen = Chosen(letter, target, _obstacle(letter, plan.max_attempts, found.limit_bytes))
            yield Step(letter.partition, letter.offset + 1, chosen)
            if left is not None and chosen is not None and chosen.obstacle is None:
                left -= 1
                if left == 0:
                    return


def _obstacle(found: Found, max_attempts: int, limit_bytes: int | None) -> str | None:
    letter = found.letter
    if found.value is None:
        return f"no bytes: {letter.value_left_out or 'left out'}"
    if letter.headers_left_out is not None:
        return f"key or headers are not as they were: {letter.headers_left_out}"
    if letter.attempt >= max_attempts:
        return f"attempted {letter.attempt} times"
    size_bytes = batch_bytes(found.key, found.value, headers_of(found))
    if limit_bytes is not None and size_bytes > limit_bytes:
        return f"{size_bytes:,} bytes do not fit the requests topic"
    return None


def headers_of(found: Found) -> list[tuple[str, bytes]]:
    """Return the headers of the request that repeats a dead letter."""
    letter = found.letter
    original = dict(letter.original_headers)
    kept = [header for header in letter.original_headers if header[0] not in headers.SET_BY_REPLAY]
    if letter.item_name is not None and letter.item_name.encode() != original.get(headers.FILENAME):
        # An entry is sent as a single image: name and type of its archive would be wrong.
        kept = [header for header in kept if header[0] not in _OF_THE_ARCHIVE]
        kept.append((headers.FILENAME, letter.item_name.encode()))
    return [
        *kept,
        (headers.REQUEST_ID, letter.request_id.encode()),
        (headers.REPLAY_OF, letter.result_id.encode()),
        (headers.ATTEMPT, str(letter.attempt + 1).encode()),
    ]
