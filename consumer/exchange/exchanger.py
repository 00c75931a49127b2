"""Exchanges the model while the service runs. Read it first.

look     at the location of the model, every now and then if it is an alias, and at each SIGHUP
fetch    the model, if it is another one than before
try      it in a fresh worker, beside those that serve: `consumer.exchange.gate`
move     between two tasks of each lane: `consumer.workers.crew`

A model that fails is refused for as long as this process runs, by the checksum of its manifest. What is not the model's
fault (the store is away, the machine has no memory) is tried again at the next look.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import signal
import threading
from collections import Counter
from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, TypeVar

import structlog

from consumer.exchange.gate import Gate, Refused
from consumer.exchange.golden import GoldenSetError
from consumer.exchange.source import DamagedModelError, Found, alias_of, find
from consumer.settings import Settings
from consumer.workers.observers import WorkerObserver
from consumer.workers.pool import WorkerPool
from consumer.workers.processes.deaths import WorkerDied, WorkerNotStarted
from consumer.workers.processes.pinned_model import PinnedModel
from consumer.workers.processes.process import WorkerProcess
from engine.model.files import ModelError
from engine.registry.stores import StoreUnavailable
from transport.errors import InvalidSettingError

log = structlog.get_logger()

MOVED: Final = "moved"
REFUSED: Final = "refused"
PUT_OFF: Final = "put-off"
JITTER: Final = 0.5
"""A pause between two looks is up to so much shorter or longer, so that the instances do not all look at once."""
MOST_DEATHS: Final = 3
"""A model whose workers end so often before they serve is refused: one death may have a cause outside."""

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Refusal:
    """A model that may not serve. Name and version are empty where they are not known."""

    name: str
    version: str
    manifest_sha256: str
    why: str


class Exchanger:
    """Owner: the task ``model``. Health reads `refused` and `problem`, nothing else.

    Parameters
    ----------
    settings
        Of the service.
    model
        The model of the start; its owner may close it, too.
    workers
        What serves the model.
    gate
        Tries others.
    observer
        Receives how each attempt has ended.
    """

    def __init__(
        self, settings: Settings, model: PinnedModel, workers: WorkerPool, gate: Gate, observer: WorkerObserver
    ) -> None:
        self._settings = settings
        self._model = model
        self._workers = workers
        self._gate = gate
        self._observer = observer
        self._refusals: dict[str, Refusal] = {}
        self._deaths: Counter[str] = Counter()
        self._open = [model]
        self._asked = asyncio.Event()
        self.refused: Refusal | None = None
        """What the location has now, if it was refused."""
        self.problem = ""
        """Why it is not known what the location has, or cannot be tried; empty if all is well."""

    def listen(self) -> None:
        """Look again at each SIGHUP from now on; until now it has ended the process."""
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, self._asked.set)

    async def run(self) -> None:
        """Look again and again until cancelled."""
        await self._workers.ready()
        while True:
            await self._pause()
            await self._look()

    def close(self) -> None:
        """Release the memory of all models. Call it when no worker is started any more."""
        for model in list(self._open):
            self._close(model)

    def _close(self, model: PinnedModel) -> None:
        self._open.remove(model)
        model.close()

    async def _pause(self) -> None:
        poll_s = self._settings.model_poll_s
        follows = poll_s > 0 and alias_of(self._settings) is not None
        pause_s = poll_s * random.uniform(1 - JITTER, 1 + JITTER) if follows else None  # noqa: S311  # no secret
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(pause_s):
                await self._asked.wait()
        self._asked.clear()

    async def _look(self) -> None:
        try:
            found = await self._found({self._model.manifest_sha256, *self._refusals})
            self.refused = self._refusals.get(found.manifest_sha256)
            if found.model is not None:
                await self._try_and_close(found.manifest_sha256, found.model)
        except DamagedModelError as error:
            target = error.target
            version, sha256 = (target.version, target.manifest_sha256) if target else ("", "")
            self._refuse(Refusal("", version, sha256, str(error)))
            self.problem = ""
        except (ModelError, StoreUnavailable, OSError, WorkerDied, WorkerNotStarted, GoldenSetError) as error:
            if str(error) != self.problem:
                log.warning("model not exchanged", why=str(error), action="keeping the present one, looking again")
            if not self.problem:  # counted once, however long it lasts
                self._observer.model_tried(PUT_OFF)
            self.problem = str(error)
        else:
            self.problem = ""

    async def _found(self, known: Collection[str]) -> Found:
        limit_s = 2 * self._settings.model_timeout_s  # for the alias, and for the model
        try:
            async with asyncio.timeout(limit_s):
                found = await _in_thread(lambda: find(self._settings, known))
        except TimeoutError as error:
            raise StoreUnavailable(f"the store has not answered for {limit_s:g} s") from error
        for why in found.warnings:
            log.warning("model store trouble", why=why, action="continuing")
        return found

    async def _try_and_close(self, sha256: str, model: PinnedModel) -> None:
        self._open.append(model)
        try:
            await self._try(sha256, model)
        finally:
            if self._workers.model is not model.info:
                self._close(model)

    async def _try(self, sha256: str, model: PinnedModel) -> None:
        """Let a model serve, or refuse it."""
        info, before = model.info, self._model
        log.info("trying another model", name=info.name, version=info.version, manifest_sha256=sha256)
        misread = await self._gate.misread_by(self._workers)

        async def check(worker: WorkerProcess) -> None:
            await self._gate.check(worker, misread)

        try:
            await self._workers.exchange(model, check)
        except (Refused, InvalidSettingError) as error:
            self._refuse(Refusal(info.name, info.version, sha256, str(error)))
        except (WorkerDied, WorkerNotStarted) as error:
            self._deaths[sha256] += 1
            if self._deaths[sha256] < MOST_DEATHS:
                raise
            why = f"{MOST_DEATHS} times a worker ended before it could serve; the last time: {error}"
            self._refuse(Refusal(info.name, info.version, sha256, why))
        else:
            self._model = model
            self._close(before)
            self._observer.model_tried(MOVED)
            log.info("model exchanged", name=info.name, version=info.version, sha256=info.sha256)

    def _refuse(self, refusal: Refusal) -> None:
        self.refused = refusal
        if refusal.manifest_sha256:
            self._refusals[refusal.manifest_sha256] = refusal
        self._observer.model_tried(REFUSED)
        log.error(
            "model refused",
            name=refusal.name,
            version=refusal.version,
            manifest_sha256=refusal.manifest_sha256,
            why=refusal.why,
            action="keeping the present one",
        )


async def _in_thread(block: Callable[[], _T]) -> _T:
    """Run what blocks in a thread that nothing waits for at the end of the process: a store may hang."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[_T] = loop.create_future()

    def settle(how: Callable[[Any], None], with_what: object) -> None:
        if not future.done():
            how(with_what)

    def run() -> None:
        try:
            settled = partial(settle, future.set_result, block())
        except Exception as error:  # noqa: BLE001  # it is raised where the result is awaited
            settled = partial(settle, future.set_exception, error)
        with contextlib.suppress(RuntimeError):  # the loop is closed: no task waits
            loop.call_soon_threadsafe(settled)

    threading.Thread(target=run, name="model", daemon=True).start()
    return await future
