"""Publishes disagreements: pictures that the challenger has read in another way, on a topic of their own.

They are for those who compare the models, and no part of any answer. So they are sent outside the transactions, by a
plain idempotent producer. What does not fit into a small buffer is dropped, and counted: the broker may be slow or
away, and no answer waits for it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Final

import structlog
from aiokafka import AIOKafkaProducer

from consumer.settings import Settings
from consumer.workers.challenge.report import Challenged, Disputed, Said
from consumer.workers.observers import WorkerObserver
from contract import records
from contract.disagreements import Disagreement, ModelAnswer
from contract.topics import DISAGREEMENT_BYTES, REQUEST_FRAMING_BYTES
from engine.model.files import ModelInfo
from transport.clients import open_producer
from transport.errors import describe

log = structlog.get_logger()

BUFFER_BYTES: Final = 8 * 1024 * 1024
"""The most bytes of disagreements that wait."""
RECORD_BYTES: Final = 2 * 1024
"""About what the headers of one take."""
PAUSE_S: Final = 5.0
"""After a failure, until the next producer is opened."""
SEND_S: Final = 30.0
"""The most time for the disagreements that are sent together."""
PUBLISHED: Final = "published"
DROPPED: Final = "dropped"

_Waiting = tuple[bytes, list[tuple[str, bytes]]]


class Disagreements(WorkerObserver):
    """Sends what the challenger has read in another way. Owner: the task ``disagreements``.

    Parameters
    ----------
    settings
        Of the service.
    on_end
        Called with how disagreements have ended, and how many.
    """

    def __init__(self, settings: Settings, on_end: Callable[[str, int], None]) -> None:
        self._settings = settings
        self._on_end = on_end
        self._waiting: deque[_Waiting] = deque()
        self._waiting_bytes = 0
        self._changed = asyncio.Event()

    def challenged(self, report: Challenged, champion: ModelInfo, challenger: ModelInfo) -> None:
        """Keep the disagreements of a report until they are sent, or drop them."""
        for disputed in report.disputed:
            size_bytes = len(disputed.data) + RECORD_BYTES
            if not self._settings.topics.disagreements or self._waiting_bytes + size_bytes > BUFFER_BYTES:
                self._on_end(DROPPED, 1)
                continue
            about = disagreement(self._settings.topics.requests, disputed, champion, challenger)
            self._waiting.append((disputed.data, about.headers()))
            self._waiting_bytes += size_bytes
            self._changed.set()

    async def run(self) -> None:
        """Send what waits until cancelled; without a topic there is nothing to do."""
        failed = False
        while True:
            await self._changed.wait()
            try:
                limit = DISAGREEMENT_BYTES + REQUEST_FRAMING_BYTES
                async with open_producer(self._settings.kafka, max_request_bytes=limit) as producer:
                    while True:
                        await self._changed.wait()
                        await self._send(producer)
                        failed = False
            except Exception as error:  # noqa: BLE001  # whatever it is, the answers go on
                if not failed:
                    log.warning("disagreements not published", why=describe(error), action="retrying with later ones")
                failed = True
                await asyncio.sleep(PAUSE_S)

    async def _send(self, producer: AIOKafkaProducer) -> None:
        """Send all that waits."""
        batch = list(self._waiting)
        self._waiting.clear()
        self._waiting_bytes = 0
        self._changed.clear()
        sent = 0
        try:
            async with asyncio.timeout(SEND_S):
                topic = self._settings.topics.disagreements
                delivered = [await producer.send(topic, data, headers=headers) for data, headers in batch]
                for each in delivered:
                    await each
                    sent += 1
        finally:
            self._on_end(PUBLISHED, sent)
            self._on_end(DROPPED, len(batch) - sent)


def disagreement(topic: str, disputed: Disputed, champion: ModelInfo, challenger: ModelInfo) -> Disagreement:
    """Return what the headers of a disagreement say.

    Parameters
    ----------
    topic
        That of the requests.
    disputed
        The picture and both answers.
    champion, challenger
        The two models.
    """
    place = (topic, disputed.partition, disputed.offset)
    return Disagreement(
        result_id=records.result_id(*place, disputed.item),
        request_id=disputed.request_id,
        topic=topic,
        partition=disputed.partition,
        offset=disputed.offset,
        item_index=disputed.item,
        item_name=disputed.name,
        champion=_answer(disputed.champion, champion),
        challenger=_answer(disputed.challenger, challenger),
    )


def _answer(said: Said, model: ModelInfo) -> ModelAnswer:
    return ModelAnswer(
        status=said.status,
        digit=said.digit,
        confidence=said.confidence,
        reason=said.reason,
        model=records.ModelVersion(name=model.name, version=model.version, sha256=model.sha256),
    )
