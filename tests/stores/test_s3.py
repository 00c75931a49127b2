"""Models in a real S3 server: published, promoted, fetched; and what goes wrong on the way."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import shlex
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

import obstore
import pytest
from obstore.store import S3Store
from typer.testing import CliRunner

from broker import NotInstalledError
from broker.ports import free_ports
from broker.probe import HOST
from engine.cli import main
from engine.model.classifier import Classifier
from engine.model.files import ARRAYS, MANIFEST, ModelError
from engine.registry import registry
from engine.registry.fetch import Fetched, fetch
from engine.registry.stores import ChangedMeanwhile, Store, StoreUnavailable
from tests.harness.markdown import shell_block
from tests.harness.models import archive_of, version_of, write_folder
from tests.harness.relay import Relay, relaying
from tests.harness.s3_server import SECRET, S3Server, running_s3_server
from tests.harness.waiting import eventually

ONE, TWO, THREE = version_of("1"), version_of("2"), version_of("3")
MODEL_PAGE: Final = Path(__file__).parents[2] / "docs" / "model.md"
SHORT_S: Final = 1.0
"""A deadline that passes."""
LONG_S: Final = 100.0
"""A deadline that does not."""
SLOW_BYTES_PER_S: Final = 150_000
"""A model takes more than three seconds, so there is time to break its transfer."""
_numbers = itertools.count()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    try:
        with running_s3_server(tmp_path_factory.mktemp("s3")) as server:
            yield server
    except NotInstalledError as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(error))


class Bucket:
    """A bucket with a registry that has versions 1 and 2, a folder and an archive; production is version 1."""

    def __init__(self, server: S3Server, patch: pytest.MonkeyPatch, cache: Path) -> None:
        self._server, self._patch, self.cache = server, patch, cache
        self.url = f"s3://bucket-{next(_numbers)}"
        self.alias = f"{self.url}/digits@production"
        self.objects: S3Store = server.bucket(self.url.removeprefix("s3://"))
        self.connect_by()
        self.store = Store.open(self.url, LONG_S)
        for files in (ONE, TWO):
            registry.publish(self.store, files)
        registry.promote(self.store, "digits", "1", "production")
        obstore.put(self.objects, f"folder/{MANIFEST}", ONE.manifest_json)
        obstore.put(self.objects, f"folder/{ARRAYS}", ONE.arrays_npz)
        obstore.put(self.objects, "digits.zip", archive_of(ONE))

    def connect_by(self, *, port: int | None = None, secret: str = SECRET) -> None:
        for name, value in self._server.variables(port=port, secret=secret).items():
            self._patch.setenv(name, value)

    def fetch(self, location: str, timeout_s: float = LONG_S, manifest_sha256: str | None = None) -> Fetched:
        return fetch(location, manifest_sha256=manifest_sha256, cache=self.cache, timeout_s=timeout_s)

    @contextlib.asynccontextmanager
    async def by_relay(self, bytes_per_s: float | None = None) -> AsyncIterator[Relay]:
        (port,) = free_ports(1)
        async with relaying(port, self._server.port, bytes_per_s=bytes_per_s) as relay:
            self.connect_by(port=port)
            yield relay


@pytest.fixture
def bucket(server: S3Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Bucket:
    return Bucket(server, monkeypatch, tmp_path / "cache")


def test_the_commands_of_the_page_do_what_it_says(
    bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_folder(tmp_path / "models" / "mine", version_of("1.4.0"))
    said = []
    for line in shell_block(MODEL_PAGE.read_text(), "Publish and promote").splitlines():
        program, *arguments = shlex.split(line.replace("s3://BUCKET", bucket.url), comments=True)
        assert program == "digit-engine"
        done = CliRunner().invoke(main, arguments)
        assert done.exit_code == 0, done.output
        said.append(done.stdout)
    published, listed, promoted, shown, rolled_back = said
    assert published.startswith("digits@1.4.0 published; manifest sha256 ")
    assert "1.4.0" in listed
    assert promoted.startswith("digits@production is 1.4.0; before: 1; ")
    assert '"version": "1.4.0"' in shown
    assert rolled_back.startswith("digits@production is 1; ")


def test_a_version_is_published_once_and_never_replaced(bucket: Bucket) -> None:
    assert registry.publish(bucket.store, THREE)
    assert not registry.publish(bucket.store, THREE)
    with pytest.raises(ModelError, match="digits 3 is published already, as another model"):
        registry.publish(bucket.store, version_of("3", note="another"))
    assert registry.read(bucket.store, "digits", "3").manifest_json == THREE.manifest_json


@pytest.mark.parametrize("alias", ["production", "canary"])
def test_of_two_who_promote_at_once_one_is_refused(bucket: Bucket, monkeypatch: pytest.MonkeyPatch, alias: str) -> None:
    registry.publish(bucket.store, THREE)
    both_have_read, one_after_the_other = threading.Barrier(2), threading.Lock()
    write = Store.write

    def write_when_both_have_read(store: Store, *arguments: object) -> None:
        both_have_read.wait(LONG_S)
        with one_after_the_other:  # this server looks at the condition, and then writes: not in one step, as S3 does
            write(store, *arguments)  # type: ignore[arg-type]  # passed on

    monkeypatch.setattr(Store, "write", write_when_both_have_read)

    def promote(version: str) -> str | ModelError:
        try:
            return registry.promote(bucket.store, "digits", version, alias).now.version
        except ChangedMeanwhile as error:
            return error

    with ThreadPoolExecutor(2) as sides:
        outcomes = list(sides.map(promote, ("2", "3")))
    (won,) = (each for each in outcomes if isinstance(each, str))
    (refused,) = (each for each in outcomes if isinstance(each, ModelError))
    assert str(refused) == f"digits/aliases/{alias}.json has been changed meanwhile"
    assert registry.read(bucket.store, "digits", alias).info.version == won


@pytest.mark.parametrize("path", ["digits@production", "digits@1", "folder", "digits.zip"])
def test_a_model_is_fetched_from_every_kind_of_location(bucket: Bucket, path: str) -> None:
    fetched = bucket.fetch(f"{bucket.url}/{path}")
    assert (fetched.files.manifest_sha256, fetched.warnings) == (ONE.manifest_sha256, ())
    Classifier.load_files(fetched.files)


@pytest.mark.parametrize("path", ["digits@canary", "digits@7", "nothing", "nothing.zip"])
def test_what_the_bucket_does_not_have_is_named(bucket: Bucket, path: str) -> None:
    with pytest.raises(ModelError, match="is not in the store"):
        bucket.fetch(f"{bucket.url}/{path}")


def test_wrong_credentials_are_refused_at_once_whatever_the_cache_has(bucket: Bucket) -> None:
    bucket.fetch(bucket.alias)
    bucket.connect_by(secret="a-wrong-secret")  # noqa: S106  # it opens nothing
    with pytest.raises(ModelError, match=r"the store refuses access to .*look at its credentials") as refused:
        bucket.fetch(bucket.alias)
    assert "a-wrong-secret" not in str(refused.value)


async def test_a_slow_transfer_is_left_at_the_deadline(bucket: Bucket) -> None:
    async with bucket.by_relay(SLOW_BYTES_PER_S):
        with pytest.raises(StoreUnavailable):
            await asyncio.to_thread(bucket.fetch, bucket.alias, SHORT_S)
    assert not bucket.cache.exists()


async def test_a_store_that_stops_to_answer_is_left_for_the_cache(bucket: Bucket) -> None:
    await asyncio.to_thread(bucket.fetch, bucket.alias)
    async with bucket.by_relay() as relay:
        with relay.stalled():
            fetched = await asyncio.to_thread(bucket.fetch, bucket.alias, SHORT_S)
    assert fetched.files.info.version == "1"
    assert fetched.warnings[0].startswith(f"{bucket.alias} cannot be fetched (")


async def test_a_transfer_that_breaks_once_is_repeated(bucket: Bucket) -> None:
    async with bucket.by_relay(SLOW_BYTES_PER_S) as relay:
        fetching = asyncio.create_task(asyncio.to_thread(bucket.fetch, bucket.alias))
        await eventually(lambda: relay.line.carried_bytes > len(ONE.arrays_npz) // 4)
        cut = cut_all(relay)
        fetched = await fetching
    assert cut
    assert (fetched.files.arrays_npz, fetched.warnings) == (ONE.arrays_npz, ())


async def test_a_transfer_that_always_breaks_ends_in_the_cache_or_an_error(bucket: Bucket) -> None:
    await asyncio.to_thread(bucket.fetch, f"{bucket.url}/digits.zip")
    async with bucket.by_relay(SLOW_BYTES_PER_S) as relay, always(lambda: cut_all(relay)):
        with pytest.raises(StoreUnavailable):
            await asyncio.to_thread(bucket.fetch, bucket.alias, SHORT_S)
        fetched = await asyncio.to_thread(bucket.fetch, f"{bucket.url}/digits.zip", SHORT_S)
    assert (fetched.files.manifest_sha256, len(fetched.warnings)) == (ONE.manifest_sha256, 1)


@pytest.mark.parametrize(
    ("location", "name", "content", "why"),
    [
        ("digits.zip", "digits.zip", archive_of(ONE)[:-1000], "the archive is damaged"),
        ("folder", f"folder/{ARRAYS}", ONE.arrays_npz[:-1000], "damaged or belongs to"),
        ("folder", f"folder/{MANIFEST}", ONE.manifest_json[:-1000], MANIFEST),
        (
            "digits@1",
            f"digits/arrays/{ONE.info.sha256}.npz",
            ONE.arrays_npz[:-1000],
            "damaged or belongs to",
        ),
        ("digits@production", "digits/versions/1/manifest.json", ONE.manifest_json + b" ", "has been changed"),
        ("digits@production", "digits/aliases/production.json", b'{"now":', "is damaged"),
    ],
)
def test_a_truncated_or_changed_object_is_refused(
    bucket: Bucket, location: str, name: str, content: bytes, why: str
) -> None:
    obstore.put(bucket.objects, name, content)
    with pytest.raises(ModelError, match=why):
        bucket.fetch(f"{bucket.url}/{location}")
    assert not bucket.cache.exists()


def test_while_the_store_is_away_the_cache_serves_with_a_warning(bucket: Bucket) -> None:
    bucket.fetch(bucket.alias)
    registry.promote(bucket.store, "digits", "2", "production")
    bucket.connect_by(port=free_ports(1)[0])
    fetched = bucket.fetch(bucket.alias, SHORT_S)
    assert fetched.files.info.version == "1"
    assert fetched.warnings[0].startswith(f"{bucket.alias} cannot be fetched (")
    with pytest.raises(StoreUnavailable):
        bucket.fetch(f"{bucket.url}/digits@2", SHORT_S)


def test_a_model_that_is_not_the_pinned_one_is_refused(bucket: Bucket) -> None:
    with pytest.raises(ModelError, match=f"is {ONE.manifest_sha256}, and not {TWO.manifest_sha256} as it must be"):
        bucket.fetch(bucket.alias, manifest_sha256=TWO.manifest_sha256)
    assert not bucket.cache.exists()
    assert bucket.fetch(bucket.alias, manifest_sha256=ONE.manifest_sha256).warnings == ()


def consumer(bucket: Bucket, command: str, **settings: str) -> subprocess.CompletedProcess[str]:
    """Run a command of the service, which finds no broker."""
    given = {
        "DIGITS_MODEL": bucket.alias,
        "DIGITS_MODEL_CACHE": str(bucket.cache),
        "DIGITS_KAFKA__BOOTSTRAP_SERVERS": f"{HOST}:1",
        "DIGITS_KAFKA__WAIT_S": "0.1",
    }
    return subprocess.run(
        [sys.executable, "-P", "-m", "consumer", command],
        env=os.environ | given | settings,
        check=False,
        capture_output=True,
        text=True,
        timeout=200,
    )


def test_a_worker_of_the_service_loads_the_model_of_an_alias(bucket: Bucket) -> None:
    line = f"model     digits 1, sha256 {ONE.info.sha256}: reads its known digits"
    assert f"ok     {line}" in consumer(bucket, "check").stdout.splitlines()
    bucket.connect_by(port=free_ports(1)[0])
    while_away = consumer(bucket, "check", DIGITS_MODEL_TIMEOUT_S=str(SHORT_S)).stdout.splitlines()
    assert f"ok     {line}" in while_away
    assert any(each.startswith(f"WRONG  model     {bucket.alias} cannot be fetched (") for each in while_away)


@pytest.mark.parametrize(
    ("secret", "settings", "exit_code", "why"),
    [
        ("a-wrong-secret", {}, 2, "the store refuses access to digits/aliases/production.json"),
        (SECRET, {"DIGITS_MODEL_SHA256": TWO.manifest_sha256}, 2, f"and not {TWO.manifest_sha256} as it must be"),
        (SECRET, {"DIGITS_MODEL_TIMEOUT_S": "1", "AWS_ENDPOINT": f"http://{HOST}:1"}, 1, ""),
    ],
    ids=["wrong credentials", "not the pinned one", "away"],
)
def test_a_service_without_its_model_ends_with_one_line(
    bucket: Bucket, secret: str, settings: dict[str, str], exit_code: int, why: str
) -> None:
    bucket.connect_by(secret=secret)
    ended = consumer(bucket, "run", **settings)
    assert (ended.returncode, ended.stdout) == (exit_code, "")
    assert ended.stderr.startswith(f"DIGITS_MODEL='{bucket.alias}': ")
    assert why in ended.stderr
    assert secret not in ended.stderr


def cut_all(relay: Relay) -> int:
    """Break all connections through a relay, and return how many."""
    for connection in (connections := relay.connections):
        connection.cancel()
    return len(connections)


@contextlib.asynccontextmanager
async def always(act: Callable[[], object]) -> AsyncIterator[None]:
    """Do something again and again for the length of the block."""

    async def repeat() -> None:
        while True:
            act()
            await asyncio.sleep(0.05)

    repeating = asyncio.create_task(repeat())
    try:
        yield
    finally:
        repeating.cancel()
