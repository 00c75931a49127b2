"""Exchanges the model while the service runs. Read it first.

look     at the location of the model, every now and then if it is an alias, and at each SIGHUP
fetch    the model, if it is another one than before
wait     until this instance is next: `consumer.exchange.rollout`
try      it in a fresh worker, beside those that serve: `consumer.exchange.gate`
move     between two tasks of each lane: `consumer.workers.crew`
return   to the one before if too many answers are unsure or failed then: `consumer.exchange.probation`

A model that fails, also one that is returned, is refused for as long as this process runs, by the checksum of its
manifest. What is not the model's fault (the store is away, the machine has no memory) is tried again at the next look.
A model that has served here for longer than a probation is trusted: moving the alias back to it is not delayed, and the
share of unsure answers does not undo it.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import random
import signal
import time
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

import structlog

from consumer.exchange.gate import Gate, Refused
from consumer.exchange.golden import GoldenSetError
from consumer.exchange.models import Models
from consumer.exchange.probation import left_band
from consumer.exchange.rollout import Rollout, RolloutUnknown
from consumer.exchange.source import DamagedModelError, Found, alias_of, find
from consumer.exchange.threads import in_thread
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
RETURNED: Final = "returned"
JITTER: Final = 0.5
"""A pause between two looks is up to so much shorter or longer, so that the instances do not all look at once."""
WATCH_PAUSE_S: Final = 1.0
"""Between two comparisons of the answers of a model on probation with those before."""
MOST_DEATHS: Final = 3
"""A model whose workers end so often before they serve is refused: one death may have a cause outside."""

_NOT_ITS_FAULT: Final = (
    ModelError,
    StoreUnavailable,
    OSError,
    WorkerDied,
    WorkerNotStarted,
    GoldenSetError,
    RolloutUnknown,
)
"""The model is not refused for these, and it is tried again."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """A model that may not serve. Name and version are empty where they are not known."""

    name: str
    version: str
    manifest_sha256: str
    why: str


class Exchanger:
    """Owner: the task ``model``. Health reads `refused`, `problem`, `waits` and `on_probation`, nothing else.

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
    rollout
        Knows which instance is next.
    observer
        Receives how each attempt has ended.
    """

    def __init__(
        self,
        settings: Settings,
        model: PinnedModel,
        workers: WorkerPool,
        gate: Gate,
        *,
        rollout: Rollout,
        observer: WorkerObserver,
    ) -> None:
        self._settings = settings
        self._models = Models(model, settings.model_probation_s)
        self._workers = workers
        self._gate = gate
        self._rollout = rollout
        self._observer = observer
        self._refusals: dict[str, Refusal] = {}
        self._deaths: Counter[str] = Counter()
        self._asked = asyncio.Event()
        self.refused: Refusal | None = None
        """What the location has now, if it was refused."""
        self.problem = ""
        """Why it is not known what the location has, or cannot be tried; empty if all is well."""
        self.waits = ""
        """What this instance waits for before it tries what the location has; empty if it does not."""

    @property
    def on_probation(self) -> bool:
        """True while the answers of the model that serves are compared with those of the one before."""
        return self._models.probation is not None

    def listen(self) -> None:
        """Look again at each SIGHUP from now on; until now it has ended the process."""
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, self._asked.set)

    async def run(self) -> None:
        """Look again and again until cancelled."""
        await self._workers.ready()
        while True:
            await self._look(asked=await self._pause())

    def close(self) -> None:
        """Release the memory of all models. Call it when no worker is started any more."""
        self._models.close()

    async def _pause(self) -> bool:
        """Wait until it is time to look again, and watch a model that is on probation.

        Returns
        -------
        bool
            True if a SIGHUP has ended the pause.
        """
        poll_s = self._settings.model_poll_s
        follows = poll_s > 0 and alias_of(self._settings) is not None
        pause_s = poll_s * random.uniform(1 - JITTER, 1 + JITTER) if follows else math.inf  # noqa: S311  # no secret
        ends_s = time.monotonic() + pause_s
        while not self._asked.is_set() and (left_s := ends_s - time.monotonic()) > 0:
            await self._watch()
            limit_s = min(left_s, WATCH_PAUSE_S if self.on_probation else math.inf)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(None if limit_s == math.inf else limit_s):
                    await self._asked.wait()
        asked = self._asked.is_set()
        self._asked.clear()
        return asked

    async def _watch(self) -> None:
        """Compare the answers of a model on probation with those before; return from it, or trust it at the end."""
        probation = self._models.probation
        if probation is None:
            return
        if why := left_band(probation.before, self._workers.tally, self._settings.model_return_margin):
            await self._return(probation.trusted, why)
        elif self._models.is_probation_over:
            self._models.trust()
            self._models.close_others()
            info = self._models.serving.info
            log.info("model has passed its probation", name=info.name, version=info.version, sha256=info.sha256)

    async def _return(self, trusted: PinnedModel, why: str) -> None:
        try:
            await self._workers.exchange(trusted, _accept)
        except (WorkerDied, WorkerNotStarted, InvalidSettingError) as error:
            log.warning("model not returned", why=str(error), action="trying again")
            return
        failed = self._models.go_back()
        self._models.close_others()
        refusal = Refusal(failed.info.name, failed.info.version, failed.manifest_sha256, why)
        self._refuse(refusal, end=RETURNED, action="the one before serves again")

    async def _look(self, *, asked: bool) -> None:
        try:
            found = await self._found({self._models.serving.manifest_sha256, *self._refusals})
            self.refused = self._refusals.get(found.manifest_sha256)
            if found.model is None:
                self.waits = ""
            else:
                await self._try_and_close(found.manifest_sha256, found.model, asked=asked)
        except DamagedModelError as error:
            target = error.target
            version, sha256 = (target.version, target.manifest_sha256) if target else ("", "")
            self._refuse(Refusal("", version, sha256, str(error)))
            self.problem = ""
        except _NOT_ITS_FAULT as error:
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
                found = await in_thread(lambda: find(self._settings, known))
        except TimeoutError as error:
            raise StoreUnavailable(f"the store has not answered for {limit_s:g} s") from error
        for why in found.warnings:
            log.warning("model store trouble", why=why, action="continuing")
        return found

    async def _try_and_close(self, sha256: str, model: PinnedModel, *, asked: bool) -> None:
        """Try a model if this instance is next. SIGHUP asks for that, and a trusted model need not wait either."""
        self._models.add(model)
        try:
            waits = "" if asked or self._models.trusts(model) else await self._rollout.waits_for(model.info)
            if waits and waits != self.waits:
                log.info("model waits", name=model.info.name, version=model.info.version, waits_for=waits)
            self.waits = waits
            if not waits:
                await self._try(sha256, model)
        finally:
            self._models.close_others(in_use=self._workers.model)

    async def _try(self, sha256: str, model: PinnedModel) -> None:
        """Let a model serve, or refuse it."""
        info, before = model.info, self._workers.tally
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
            self._models.begin(model, before)
            self._observer.model_tried(MOVED)
            log.info("model exchanged", name=info.name, version=info.version, sha256=info.sha256)

    def _refuse(self, refusal: Refusal, *, end: str = REFUSED, action: str = "keeping the present one") -> None:
        self.refused = refusal
        if refusal.manifest_sha256:
            self._refusals[refusal.manifest_sha256] = refusal
        self._observer.model_tried(end)
        log.error(
            "model refused",
            name=refusal.name,
            version=refusal.version,
            manifest_sha256=refusal.manifest_sha256,
            why=refusal.why,
            action=action,
        )


async def _accept(_: WorkerProcess) -> None:
    """Try nothing: the model has served before."""
