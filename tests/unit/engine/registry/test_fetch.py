"""Fetching a model: from a path, a store, or the cache."""

from __future__ import annotations

import shutil
import threading
from pathlib import Path
from typing import Final

import pytest
from obstore.store import MemoryStore

from engine.model.files import ARRAYS, MANIFEST, ModelError, ModelFiles
from engine.registry import fetch as fetching
from engine.registry import registry
from engine.registry.cache import Cache
from engine.registry.fetch import Fetched, fetch
from engine.registry.stores import Store, StoreUnavailable
from tests.harness.models import archive_of, version_of, write_folder

ONE, TWO = version_of("1"), version_of("2")
ALIAS: Final = "s3://bucket/digits@production"
FOLDER: Final = "s3://bucket/model"
ARCHIVE: Final = "https://host/models/digits.zip"


class Played:
    """Stores in memory, of which all can be away; every read is noted."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
        self.cache = cache
        self.failures = 0
        self.reads: list[str] = []
        self._stores: dict[str, Store] = {}
        read = Store.read

        def noted(store: Store, path: str, most_bytes: int) -> object:
            self.reads.append(path)
            return read(store, path, most_bytes)

        def opened(location: str, timeout_s: float, *, create: bool = False) -> Store:
            assert timeout_s > 0
            assert not create
            if self.failures:
                self.failures -= 1
                raise StoreUnavailable("connection refused")
            return self.store(location)

        monkeypatch.setattr(Store, "read", noted)
        monkeypatch.setattr(Store, "open", opened)
        monkeypatch.setattr(fetching, "FIRST_PAUSE_S", 0.001)

    def store(self, location: str) -> Store:
        return self._stores.setdefault(location, Store(MemoryStore()))

    def fetch(self, location: str, *, manifest_sha256: str | None = None, timeout_s: float = 60) -> Fetched:
        return fetch(location, manifest_sha256=manifest_sha256, cache=self.cache, timeout_s=timeout_s)

    def go_away(self) -> None:
        self.failures = 1_000_000_000


@pytest.fixture
def played(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Played:
    stores = Played(monkeypatch, tmp_path / "cache")
    for files in (ONE, TWO):
        registry.publish(stores.store("s3://bucket"), files)
    registry.promote(stores.store("s3://bucket"), "digits", "1", "production")
    stores.store(FOLDER).write(MANIFEST, ONE.manifest_json, None)
    stores.store(FOLDER).write(ARRAYS, ONE.arrays_npz, None)
    stores.store("https://host/models").write("digits.zip", archive_of(ONE, inside="digits/"), None)
    stores.reads.clear()
    return stores


def test_a_folder_and_an_archive_on_this_machine_are_the_same_model(tmp_path: Path) -> None:
    write_folder(tmp_path / "model", ONE)
    (tmp_path / "model.zip").write_bytes(archive_of(ONE))
    cache = tmp_path / "cache"
    read = [
        fetch(str(tmp_path / name), manifest_sha256=ONE.manifest_sha256, cache=cache, timeout_s=1).files
        for name in ("model", "model.zip")
    ]
    assert [each.arrays_npz for each in read] == [ONE.arrays_npz] * 2
    assert not cache.exists()


@pytest.mark.parametrize("name", ["model", "model.zip"])
def test_a_path_without_a_model_is_named(tmp_path: Path, name: str) -> None:
    with pytest.raises(ModelError, match="cannot be read: No such file or directory"):
        fetch(str(tmp_path / name), manifest_sha256=None, cache=tmp_path, timeout_s=1)


@pytest.mark.parametrize("location", [ALIAS, "s3://bucket/digits@1", FOLDER, ARCHIVE])
def test_a_model_is_fetched_from_every_kind_of_location(played: Played, location: str) -> None:
    fetched = played.fetch(location)
    assert (fetched.files.manifest_json, fetched.files.arrays_npz) == (ONE.manifest_json, ONE.arrays_npz)
    assert fetched.warnings == ()


@pytest.mark.parametrize("location", [ALIAS, "s3://bucket/digits@1", FOLDER, ARCHIVE])
def test_the_last_model_is_used_with_a_warning_while_the_store_is_away(played: Played, location: str) -> None:
    played.fetch(location)
    played.go_away()
    fetched = played.fetch(location, timeout_s=0.05)
    assert fetched.files.arrays_npz == ONE.arrays_npz
    assert fetched.warnings[0].startswith(f"{location} cannot be fetched (")
    assert f"; digits 1 is taken from {played.cache}" in fetched.warnings[0]


def test_without_the_store_and_without_a_cache_there_is_no_model(played: Played) -> None:
    played.go_away()
    with pytest.raises(StoreUnavailable):
        played.fetch(ALIAS, timeout_s=0.05)


def test_the_cache_of_one_location_does_not_serve_another(played: Played) -> None:
    played.fetch(ALIAS)
    played.go_away()
    with pytest.raises(StoreUnavailable):
        played.fetch("s3://bucket/digits@canary", timeout_s=0.05)


def test_a_store_that_fails_a_few_times_is_tried_again(played: Played) -> None:
    played.failures = 3
    assert played.fetch(ALIAS).files.info.version == "1"


def test_a_store_that_never_answers_is_left_at_the_deadline(played: Played, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = threading.Event()
    monkeypatch.setattr(fetching, "_download", lambda *_: answers.wait())
    try:
        with pytest.raises(StoreUnavailable, match=r"it was not there after 0.05 s"):
            played.fetch(ALIAS, timeout_s=0.05)
    finally:
        answers.set()


def test_the_model_that_an_alias_has_been_moved_to_is_fetched(played: Played) -> None:
    played.fetch(ALIAS)
    registry.promote(played.store("s3://bucket"), "digits", "2", "production")
    assert played.fetch(ALIAS).files.info.version == "2"
    played.go_away()
    assert played.fetch(ALIAS, timeout_s=0.05).files.info.version == "2"


@pytest.mark.parametrize("location", [ALIAS, FOLDER])
def test_arrays_that_the_cache_has_are_not_transferred_again(played: Played, location: str) -> None:
    played.fetch(location)
    played.reads.clear()
    played.fetch(location)
    assert [path for path in played.reads if path.endswith(".npz")] == []
    assert played.reads


def test_a_pinned_model_that_the_cache_has_needs_no_store(played: Played) -> None:
    played.fetch(ALIAS)
    played.go_away()
    fetched = played.fetch("s3://elsewhere/model", manifest_sha256=ONE.manifest_sha256)
    assert (fetched.files.manifest_json, fetched.warnings) == (ONE.manifest_json, ())


@pytest.mark.parametrize("location", [ALIAS, FOLDER, ARCHIVE])
def test_a_model_that_is_not_the_pinned_one_is_refused_and_not_kept(played: Played, location: str) -> None:
    with pytest.raises(ModelError, match=f"is {ONE.manifest_sha256}, and not {TWO.manifest_sha256}"):
        played.fetch(location, manifest_sha256=TWO.manifest_sha256)
    assert not played.cache.exists()


def test_the_cache_does_not_replace_the_pinned_model_by_another(played: Played) -> None:
    played.fetch(ALIAS)
    played.go_away()
    with pytest.raises(StoreUnavailable):
        played.fetch(ALIAS, manifest_sha256=TWO.manifest_sha256, timeout_s=0.05)


def test_a_truncated_object_is_refused_even_if_the_cache_has_a_whole_one(played: Played) -> None:
    played.fetch(ARCHIVE)
    played.store("https://host/models")._put("digits.zip", archive_of(TWO)[:-100], "overwrite")
    with pytest.raises(ModelError, match="the archive is damaged"):
        played.fetch(ARCHIVE)


@pytest.mark.parametrize("name", [MANIFEST, ARRAYS])
def test_a_damaged_cache_is_not_used_and_is_repaired(played: Played, name: str) -> None:
    played.fetch(ALIAS)
    (file,) = played.cache.glob(f"*/{name}")
    whole = file.read_bytes()
    file.write_bytes(whole[:-1] + b"?")
    assert played.fetch(ALIAS).files.manifest_json == ONE.manifest_json
    assert file.read_bytes() == whole
    file.unlink()
    played.go_away()
    with pytest.raises(StoreUnavailable):
        played.fetch(ALIAS, timeout_s=0.05)


def test_a_cache_that_cannot_be_written_is_only_a_warning(played: Played) -> None:
    played.cache.write_text("a file, not a folder")
    fetched = played.fetch(ALIAS)
    assert fetched.files.info.version == "1"
    assert fetched.warnings[0].startswith(f"the model cannot be kept in {played.cache}")


def test_a_cache_may_be_emptied_at_any_time(played: Played) -> None:
    played.fetch(ALIAS)
    shutil.rmtree(played.cache)
    assert played.fetch(ALIAS).files.info.version == "1"


def test_the_cache_has_no_unfinished_folders_left(played: Played) -> None:
    played.fetch(ALIAS)
    assert {each.name for each in played.cache.iterdir()} == {ONE.manifest_sha256, "locations"}


def test_http_without_a_checksum_is_refused(played: Played) -> None:
    with pytest.raises(ModelError, match="http:// does not protect the transfer"):
        played.fetch("http://host/model.zip")


def test_a_manifest_that_is_no_manifest_is_refused(played: Played) -> None:
    store = played.store("gs://bucket/m")
    store.write(MANIFEST, b'{"format": 1, "kind": "svc", "name": "a", "version": "1", "sha256": "../../x"}', None)
    with pytest.raises(ModelError, match="sha256 is not a checksum of 64 hexadecimal digits"):
        played.fetch("gs://bucket/m")


@pytest.mark.parametrize("content", [b"", bytes(64), b"../" * 20, b"\xff" * 64])
def test_a_damaged_note_of_the_cache_counts_as_none(played: Played, content: bytes) -> None:
    played.fetch(ALIAS)
    (note,) = (played.cache / "locations").iterdir()
    note.write_bytes(content)
    assert played.fetch(ALIAS).files.info.version == "1"
    note.write_bytes(content)
    played.go_away()
    with pytest.raises(StoreUnavailable):
        played.fetch(ALIAS, timeout_s=0.05)


def test_processes_that_keep_the_same_model_at_once_do_not_disturb_each_other(
    played: Played, monkeypatch: pytest.MonkeyPatch
) -> None:
    find, looks = Cache.find, []

    def find_before_the_other_keeps(cache: Cache, manifest_sha256: str) -> ModelFiles | None:
        looks.append(manifest_sha256)
        if len(looks) > 1:
            return find(cache, manifest_sha256)
        Cache(played.cache).keep(ALIAS, ONE)
        return None

    monkeypatch.setattr(Cache, "find", find_before_the_other_keeps)
    Cache(played.cache).keep(ALIAS, ONE)
    monkeypatch.undo()
    assert {each.name for each in played.cache.iterdir()} == {ONE.manifest_sha256, "locations"}
    assert Cache(played.cache).last_of(ALIAS) is not None
