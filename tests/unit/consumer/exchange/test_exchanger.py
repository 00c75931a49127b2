"""Which model is tried when: the alias moves, comes back, or names what was refused; the store is away or damaged."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest

from consumer.exchange.exchanger import Exchanger, Refusal
from consumer.exchange.gate import Gate, Refused
from consumer.exchange.rollout import Rollout, RolloutUnknown
from consumer.settings import Settings
from consumer.workers.observers import WorkerObserver
from consumer.workers.pool import WorkerPool
from consumer.workers.processes.deaths import WorkerDied, WorkerNotStarted
from consumer.workers.processes.pinned_model import PinnedModel
from consumer.workers.tally import Tally
from consumer.workers.tasks import Part
from contract.errors import ErrorCode
from engine.model.files import ModelFiles, ModelInfo
from engine.registry import registry
from engine.registry.fetch import Fetched
from engine.registry.registry import Alias, Target
from engine.registry.stores import Store
from tests.harness.models import version_of, write_folder
from tests.harness.waiting import eventually
from transport.errors import InvalidSettingError

ONE, TWO, THREE = (version_of(version) for version in ("1", "2", "3"))


@dataclass
class Pool:
    """What the exchanger needs of the worker pool."""

    model: ModelInfo = field(default_factory=lambda: ONE.info)
    tried: list[str] = field(default_factory=list)
    errors: list[Exception] = field(default_factory=list)
    """Raised by the next attempts, in their order."""
    tally: Tally = field(default_factory=Tally)

    def answer(self, recognised: int, unsure: int) -> None:
        self.tally.count([Part(0, [], records=recognised + unsure, recognised=recognised, unsure=unsure)])

    async def ready(self) -> None:
        return

    async def exchange(self, model: PinnedModel, check: Any) -> None:
        del check
        self.tried.append(model.info.version)
        if self.errors:
            raise self.errors.pop(0)
        self.model, self.tally = model.info, Tally()


class PassingGate:
    async def misread_by(self, _: Pool) -> int:
        return 0


class Ends(WorkerObserver):
    def __init__(self) -> None:
        self.seen: list[str] = []

    def model_tried(self, end: str) -> None:
        self.seen.append(end)


@dataclass
class Scene:
    """A registry in a folder, and an exchanger that follows its alias."""

    folder: Path
    pool: Pool
    ends: Ends
    exchanger: Exchanger
    waits: list[str | Exception]
    """What the rollout says, in its order; empty: this instance is next."""

    @property
    def store(self) -> Store:
        return Store.open(str(self.folder), 5)

    def move(self, version: str) -> None:
        registry.promote(self.store, "digits", version, "production")

    def name(self, files: ModelFiles) -> None:
        """Let the alias name a model that `move` would not accept."""
        alias = Alias(Target(files.info.version, files.manifest_sha256))
        path = self.folder / "digits" / "aliases" / "production.json"
        path.with_suffix(".new").write_bytes(msgspec.json.encode(alias))
        path.with_suffix(".new").replace(path)

    async def refusal(self) -> Refusal:
        """Wait until what the alias names is refused."""
        await eventually(lambda: self.exchanger.refused)
        assert self.exchanger.refused is not None
        return self.exchanger.refused

    def manifest(self, files: ModelFiles) -> Path:
        return self.folder / "digits" / "versions" / files.info.version / "manifest.json"


@contextlib.asynccontextmanager
async def running(folder: Path, settings: Settings) -> AsyncIterator[Scene]:
    pool, ends = Pool(), Ends()
    model = PinnedModel.of(ONE, settings.model)
    waits: list[str | Exception] = []

    class Waiting:
        async def waits_for(self, _: ModelInfo) -> str:
            if waits and isinstance(waits[0], Exception):
                raise waits[0]
            return str(waits[0]) if waits else ""

    exchanger = Exchanger(
        settings,
        model,
        cast("WorkerPool", pool),
        cast("Gate", PassingGate()),
        rollout=cast("Rollout", Waiting()),
        observer=ends,
    )
    exchanger.listen()
    running = asyncio.create_task(exchanger.run())
    try:
        yield Scene(folder, pool, ends, exchanger, waits)
    finally:
        running.cancel()
        await asyncio.wait({running})
        asyncio.get_running_loop().remove_signal_handler(signal.SIGHUP)
        exchanger.close()
        assert model.arrays.closed
        if not running.cancelled():
            running.result()


def made(folder: Path) -> Path:
    store = Store.open(str(folder / "registry"), 5, create=True)
    for files in (ONE, TWO, THREE):
        registry.publish(store, files)
    registry.promote(store, "digits", "1", "production")
    return folder / "registry"


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    settings = Settings(
        model=f"{made(tmp_path)}/digits@production",
        model_poll_s=0.02,
        model_cache=tmp_path / "cache",
    )
    async with running(tmp_path / "registry", settings) as scene:
        yield scene


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a model on probation be looked at without a pause."""
    monkeypatch.setattr("consumer.exchange.exchanger.WATCH_PAUSE_S", 0.01)


async def test_a_model_that_the_alias_names_now_takes_the_place_of_the_one_before(scene: Scene) -> None:
    scene.move("2")
    await eventually(lambda: scene.ends.seen == ["moved"])
    scene.move("3")
    await eventually(lambda: scene.ends.seen == ["moved", "moved"])
    assert scene.pool.tried == ["2", "3"]
    assert (scene.exchanger.refused, scene.exchanger.problem) == (None, "")


@pytest.mark.parametrize("why", [Refused("it misreads 44 of 500"), InvalidSettingError("DIGITS_MODEL", "x", "NaN")])
async def test_a_model_that_fails_is_refused_for_good(scene: Scene, why: Exception) -> None:
    scene.pool.errors.append(why)
    scene.move("2")
    refused = await scene.refusal()
    assert (refused.version, refused.manifest_sha256, refused.why) == ("2", TWO.manifest_sha256, str(why))
    scene.move("1")
    await eventually(lambda: scene.exchanger.refused is None)
    scene.move("2")
    await eventually(lambda: scene.exchanger.refused is not None)
    scene.move("3")
    await eventually(lambda: scene.pool.model == THREE.info)
    assert await eventually(lambda: scene.exchanger.refused is None)
    assert scene.pool.tried == ["2", "3"], "the second time it is not tried"
    assert scene.ends.seen == ["refused", "moved"]


async def test_a_damaged_model_is_refused_without_a_worker(scene: Scene) -> None:
    manifest = scene.manifest(TWO)
    manifest.write_bytes(manifest.read_bytes() + b" ")
    scene.name(TWO)
    refused = await scene.refusal()
    assert "its manifest has been changed" in refused.why
    assert (refused.version, refused.manifest_sha256) == ("2", TWO.manifest_sha256)
    assert (scene.pool.tried, scene.ends.seen) == ([], ["refused"])


async def test_a_model_that_a_parser_fails_at_is_refused_and_the_service_goes_on(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: Settings) -> Fetched:
        raise RecursionError("too deep")

    with monkeypatch.context() as patch:
        patch.setattr("consumer.exchange.source.fetch_model", fail)
        scene.move("2")
        assert (await scene.refusal()).why == "RecursionError: too deep"
    scene.move("3")
    await eventually(lambda: scene.ends.seen == ["refused", "moved"])


async def test_a_store_that_is_away_is_asked_again_and_refuses_nothing(scene: Scene) -> None:
    away = scene.folder.with_name("away")
    scene.folder.rename(away)
    await eventually(lambda: scene.exchanger.problem)
    assert scene.ends.seen == ["put-off"], "counted once, however often it is asked"
    away.rename(scene.folder)
    await eventually(lambda: not scene.exchanger.problem)
    scene.move("2")
    await eventually(lambda: scene.ends.seen == ["put-off", "moved"])


async def test_a_model_that_is_not_there_yet_is_tried_when_it_is(scene: Scene) -> None:
    scene.manifest(TWO).rename(scene.folder / "hidden")
    scene.name(TWO)
    await eventually(lambda: "is not in the store" in scene.exchanger.problem)
    (scene.folder / "hidden").rename(scene.manifest(TWO))
    await eventually(lambda: scene.ends.seen == ["put-off", "moved"])


async def test_a_worker_that_dies_during_the_trial_is_not_yet_the_models_fault(scene: Scene) -> None:
    scene.pool.errors += [WorkerDied("it was killed", ErrorCode.WORKER_CRASHED), WorkerNotStarted("it ended")]
    scene.move("2")
    await eventually(lambda: scene.pool.model == TWO.info)
    assert scene.pool.tried == ["2", "2", "2"]
    assert scene.exchanger.refused is None


async def test_a_model_whose_workers_die_three_times_is_refused(scene: Scene) -> None:
    scene.pool.errors += [WorkerNotStarted("it ended before it was ready")] * 3
    scene.move("2")
    refused = await scene.refusal()
    assert refused.why == ("3 times a worker ended before it could serve; the last time: it ended before it was ready")
    assert scene.pool.tried == ["2", "2", "2"]


async def test_a_folder_is_read_again_only_when_asked_by_sighup(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "mine", ONE)
    async with running(tmp_path, Settings(model=str(folder), model_poll_s=0.01)) as scene:
        write_folder(folder, TWO)
        os.kill(os.getpid(), signal.SIGHUP)
        await eventually(lambda: scene.ends.seen == ["moved"])
        shutil.rmtree(folder)
        os.kill(os.getpid(), signal.SIGHUP)
        refused = await scene.refusal()
        assert (refused.manifest_sha256, refused.version) == ("", "")
        write_folder(folder, THREE)
        os.kill(os.getpid(), signal.SIGHUP)
        await eventually(lambda: scene.ends.seen == ["moved", "refused", "moved"])
        assert scene.exchanger.refused is None


async def test_a_pinned_model_stays_whatever_the_alias_names(tmp_path: Path) -> None:
    settings = Settings(
        model=f"{made(tmp_path)}/digits@production",
        model_sha256=ONE.manifest_sha256,
        model_poll_s=0.01,
        model_cache=tmp_path / "cache",
    )
    async with running(tmp_path / "registry", settings) as scene:
        scene.move("2")
        os.kill(os.getpid(), signal.SIGHUP)
        refused = await scene.refusal()
        assert "as it must be" in refused.why
        assert scene.pool.tried == []


@pytest.mark.usefixtures("watched")
async def test_a_model_that_is_unsure_too_often_is_returned_and_refused_for_good(scene: Scene) -> None:
    scene.pool.answer(recognised=990, unsure=10)
    scene.move("2")
    await eventually(lambda: scene.exchanger.on_probation)
    scene.pool.answer(recognised=900, unsure=100)
    refused = await scene.refusal()
    assert (refused.version, refused.manifest_sha256) == ("2", TWO.manifest_sha256)
    assert refused.why == ("after the exchange 10.0% of 1000 answers were unsure or failed, before it 1.0% of 1000")
    assert (scene.pool.model, scene.pool.tried, scene.exchanger.on_probation) == (ONE.info, ["2", "1"], False)
    scene.move("1")
    await eventually(lambda: scene.exchanger.refused is None)
    scene.move("2")
    await scene.refusal()
    scene.move("3")
    await eventually(lambda: scene.pool.model == THREE.info)
    assert scene.pool.tried == ["2", "1", "3"], "never the refused one again"
    assert scene.ends.seen == ["moved", "returned", "moved"]


@pytest.mark.usefixtures("watched")
async def test_a_return_for_which_a_worker_does_not_start_is_tried_again(scene: Scene) -> None:
    scene.pool.answer(recognised=1_000, unsure=0)
    scene.move("2")
    await eventually(lambda: scene.exchanger.on_probation)
    scene.pool.errors += [WorkerNotStarted("no memory is left")] * 2
    scene.pool.answer(recognised=0, unsure=1_000)
    await scene.refusal()
    assert (scene.pool.model, scene.pool.tried) == (ONE.info, ["2", "1", "1", "1"])


@pytest.mark.usefixtures("watched")
async def test_a_model_that_was_good_until_its_probation_ended_stays(tmp_path: Path) -> None:
    settings = Settings(
        model=f"{made(tmp_path)}/digits@production",
        model_poll_s=0.02,
        model_probation_s=0.05,
        model_cache=tmp_path / "cache",
    )
    async with running(tmp_path / "registry", settings) as scene:
        scene.pool.answer(recognised=1_000, unsure=0)
        scene.move("2")
        await eventually(lambda: scene.pool.model == TWO.info)
        await eventually(lambda: not scene.exchanger.on_probation)
        scene.pool.answer(recognised=0, unsure=1_000)
        scene.move("3")
        await eventually(lambda: scene.pool.model == THREE.info)
    assert scene.pool.tried == ["2", "3"]


@pytest.mark.usefixtures("watched")
async def test_an_alias_that_is_moved_back_is_obeyed_whatever_the_answers_are_then(scene: Scene) -> None:
    scene.pool.answer(recognised=900, unsure=100)
    scene.move("2")
    await eventually(lambda: scene.exchanger.on_probation)
    scene.pool.answer(recognised=1_000, unsure=0)
    scene.waits.append("partition 0")
    scene.move("1")
    await eventually(lambda: scene.pool.model == ONE.info)
    assert await eventually(lambda: not scene.exchanger.on_probation)
    scene.pool.answer(recognised=900, unsure=100)
    scene.waits.clear()
    scene.move("3")
    await eventually(lambda: scene.pool.model == THREE.info)
    assert (scene.pool.tried, scene.ends.seen) == (["2", "1", "3"], ["moved"] * 3)


@pytest.mark.usefixtures("watched")
async def test_of_two_models_in_a_row_the_second_is_compared_with_the_one_before_both(scene: Scene) -> None:
    scene.pool.answer(recognised=1_000, unsure=0)
    scene.move("2")
    await eventually(lambda: scene.pool.model == TWO.info)
    scene.move("3")
    await eventually(lambda: scene.pool.model == THREE.info)
    scene.pool.answer(recognised=900, unsure=100)
    assert (await scene.refusal()).version == "3"
    assert (scene.pool.model, scene.pool.tried) == (ONE.info, ["2", "3", "1"])


async def test_an_instance_that_is_not_next_waits_and_says_for_what(scene: Scene) -> None:
    scene.waits.append("partition 0 to be answered by digits 2")
    scene.move("2")
    await eventually(lambda: scene.exchanger.waits == "partition 0 to be answered by digits 2")
    scene.waits[:] = [RolloutUnknown("no broker answers")]
    await eventually(lambda: scene.exchanger.problem == "no broker answers")
    assert scene.pool.tried == []
    scene.waits.clear()
    await eventually(lambda: scene.pool.model == TWO.info)
    assert (scene.exchanger.waits, scene.ends.seen) == ("", ["put-off", "moved"])


async def test_an_instance_that_waits_for_others_goes_at_once_after_sighup(scene: Scene) -> None:
    scene.waits.append("partition 0 to be answered by digits 2")
    scene.move("2")
    await eventually(lambda: scene.exchanger.waits)
    os.kill(os.getpid(), signal.SIGHUP)
    await eventually(lambda: scene.pool.model == TWO.info)
    await eventually(lambda: not scene.exchanger.waits)
