"""The sending side: idempotent, acknowledged by all, and with a list of everything that was acknowledged."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from contract import headers
from tests.chaos.payloads import Payload, Payloads
from tests.chaos.plan import dice

WAVE_IMAGES: Final = 400
"""The most images that a sender sends at once, even when it is late."""
PAUSE_S: Final = (0.05, 1.0)
"""Between a sender's waves."""
UNANSWERED: Final = 5_000
"""Nothing more is sent while this many requests are unanswered."""


@dataclass(frozen=True, slots=True)
class Sent:
    """An acknowledged request."""

    request_id: str
    payload: Payload
    partition: int = 0


class Load:
    """Everything sent. Owner: the tasks ``sender P``, one for each partition, which add to it.

    Attributes
    ----------
    acknowledged
        By request id. Where they lie is not kept: of a batch that was written by an attempt whose answer was lost, the
        brokers may confirm that it is there and not say where.
    unacknowledged
        Requests that may or may not have been written, each with the reason.
    images
        In all acknowledged requests.
    """

    def __init__(
        self, producer: AIOKafkaProducer, topic: str, payloads: Payloads, *, seed: int, images_per_s: float
    ) -> None:
        self._producer = producer
        self._topic = topic
        self._payloads = payloads
        self._seed = seed
        self._images_per_s = images_per_s
        self.acknowledged: dict[str, Sent] = {}
        self.unacknowledged: list[str] = []
        self.images = 0
        self.enough = asyncio.Event()

    async def send(self, partition: int, unanswered: Callable[[], int]) -> None:
        """Send to one partition, at an even rate in uneven waves, until it is `enough`."""
        chance = dice(self._seed, f"sender {partition}")
        mixture = self._payloads.mixed(dice(self._seed, f"mixture {partition}"))
        began_s, images, number = time.monotonic(), 0, 0
        while not self.enough.is_set():
            await asyncio.sleep(chance.uniform(*PAUSE_S))
            due = (time.monotonic() - began_s) * self._images_per_s - images
            if due <= 0 or unanswered() > UNANSWERED:
                continue
            wave = [
                Sent(f"{partition}-{number + place}", each, partition)
                for place, each in enumerate(_images(mixture, due))
            ]
            number += len(wave)
            images += sum(len(each.payload.images) for each in wave)
            await self._send_wave(partition, wave)

    async def _send_wave(self, partition: int, wave: list[Sent]) -> None:
        sending = []
        for sent in wave:
            with self._doubt(sent):
                sending.append((sent, await self._send(partition, sent)))
        for sent, acknowledgement in sending:
            with self._doubt(sent):
                await acknowledgement
                self.acknowledged[sent.request_id] = sent
                self.images += len(sent.payload.images)

    @contextlib.contextmanager
    def _doubt(self, sent: Sent) -> Iterator[None]:
        try:
            yield
        except KafkaError as error:
            self.unacknowledged.append(f"{sent.request_id}: {error!r}")

    async def _send(self, partition: int, sent: Sent) -> asyncio.Future[Any]:
        about = [(headers.REQUEST_ID, sent.request_id.encode())]
        sending: asyncio.Future[Any] = await self._producer.send(
            self._topic, sent.payload.value, key=b"chaos", partition=partition, headers=about
        )
        return sending


def _images(mixture: Iterator[Payload], due: float) -> Iterator[Payload]:
    left = min(due, WAVE_IMAGES)
    while left > 0:
        payload = next(mixture)
        left -= len(payload.images)
        yield payload
