"""The registry: versions never change, and aliases move by compare-and-swap."""

from __future__ import annotations

import threading
from pathlib import Path

import msgspec
import pytest
from obstore.store import MemoryStore

from engine.model.files import MANIFEST, ModelError, ModelFiles
from engine.registry import registry
from engine.registry.registry import Alias, Target
from engine.registry.stores import ChangedMeanwhile, NotInStore, Store, Stored
from tests.harness.models import version_of

ONE, TWO, THREE = (version_of(version) for version in ("1", "2", "3"))


@pytest.fixture(params=["memory", "folder"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    """Return a store in which an object can be replaced by its version, and one in which a lock is needed."""
    return Store(MemoryStore()) if request.param == "memory" else Store.open(str(tmp_path / "r"), 5, create=True)


def target(files: ModelFiles) -> Target:
    return Target(files.info.version, files.manifest_sha256)


def test_a_published_version_is_read_by_its_name(store: Store) -> None:
    assert registry.publish(store, ONE)
    found = registry.read(store, "digits", "1")
    assert (found.manifest_json, found.arrays_npz) == (ONE.manifest_json, ONE.arrays_npz)


def test_publishing_the_same_model_again_changes_nothing(store: Store) -> None:
    registry.publish(store, ONE)
    before = store.names("")
    assert not registry.publish(store, ONE)
    assert store.names("") == before


def test_a_version_is_never_replaced_by_another_model(store: Store) -> None:
    registry.publish(store, ONE)
    with pytest.raises(ModelError, match="published already, as another model; a version never changes"):
        registry.publish(store, version_of("1", note="better"))
    assert registry.read(store, "digits", "1").manifest_json == ONE.manifest_json


def test_versions_with_the_same_arrays_share_them(store: Store) -> None:
    registry.publish(store, ONE)
    registry.publish(store, TWO)
    assert len([path for path in store.names("") if path.endswith(".npz")]) == 1


@pytest.mark.parametrize(("name", "version"), [("digits", "production"), ("digits", "1/2"), ("../digits", "1")])
def test_a_name_or_version_that_no_registry_can_have_is_not_published(store: Store, name: str, version: str) -> None:
    with pytest.raises(ModelError, match="cannot be a"):
        registry.publish(store, version_of(version, name=name))
    assert store.names("") == []


def test_an_alias_is_promoted_and_rolled_back_step_by_step(store: Store) -> None:
    for files in (ONE, TWO, THREE):
        registry.publish(store, files)
        registry.promote(store, "digits", files.info.version, "production")
    assert registry.read(store, "digits", "production").info.version == "3"
    assert registry.rollback(store, "digits", "production") == Alias(target(TWO), (target(ONE),))
    assert registry.rollback(store, "digits", "production") == Alias(target(ONE))
    assert registry.read(store, "digits", "production").info.version == "1"
    with pytest.raises(ModelError, match="there is no version before"):
        registry.rollback(store, "digits", "production")


def test_promoting_the_version_that_is_there_changes_nothing(store: Store) -> None:
    registry.publish(store, ONE)
    first = registry.promote(store, "digits", "1", "production")
    assert registry.promote(store, "digits", "1", "production") == first == Alias(target(ONE))


def test_a_version_that_does_not_exist_is_not_promoted(store: Store) -> None:
    with pytest.raises(NotInStore):
        registry.promote(store, "digits", "7", "production")
    assert store.names("") == []


def test_a_version_with_damaged_arrays_is_not_promoted(store: Store) -> None:
    registry.publish(store, ONE)
    path = f"digits/arrays/{ONE.info.sha256}.npz"
    store._put(path, ONE.arrays_npz[:-1], "overwrite")
    with pytest.raises(ModelError, match="is damaged or belongs to another model"):
        registry.promote(store, "digits", "1", "production")
    assert "digits/aliases/production.json" not in store.names("")


def test_of_two_who_move_an_alias_from_the_same_state_one_is_refused(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each of the two has read the alias before either of them writes it."""
    for files in (ONE, TWO, THREE):
        registry.publish(store, files)
    registry.promote(store, "digits", "1", "production")
    both_have_read = threading.Barrier(2, timeout=60)
    write = Store.write

    def write_together(self: Store, path: str, content: bytes, since: Stored | None) -> None:
        both_have_read.wait()
        write(self, path, content, since)

    monkeypatch.setattr(Store, "write", write_together)
    outcomes: dict[str, object] = {}

    def move(version: str) -> None:
        try:
            outcomes[version] = registry.promote(store, "digits", version, "production")
        except ChangedMeanwhile as error:
            outcomes[version] = error

    threads = [threading.Thread(target=move, args=(version,)) for version in ("2", "3")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (winner,) = [version for version, outcome in outcomes.items() if isinstance(outcome, Alias)]
    assert sum(isinstance(outcome, ChangedMeanwhile) for outcome in outcomes.values()) == 1
    now = registry.read_alias(store, "digits", "production")[0]
    assert (now.now.version, now.previous) == (winner, (target(ONE),))


def test_of_two_who_make_an_alias_one_is_refused(store: Store) -> None:
    store.write("digits/aliases/production.json", b"one", None)
    with pytest.raises(ChangedMeanwhile):
        store.write("digits/aliases/production.json", b"two", None)
    assert store.read("digits/aliases/production.json", 100).content == b"one"


def test_a_version_whose_manifest_was_changed_is_refused_by_its_alias(store: Store) -> None:
    registry.publish(store, ONE)
    registry.promote(store, "digits", "1", "production")
    store._put(f"digits/versions/1/{MANIFEST}", version_of("1", note="changed").manifest_json, "overwrite")
    with pytest.raises(ModelError, match="not the model that production was moved to"):
        registry.read(store, "digits", "production")


def test_a_manifest_of_another_version_in_its_place_is_refused(store: Store) -> None:
    registry.publish(store, ONE)
    store._put(f"digits/versions/1/{MANIFEST}", TWO.manifest_json, "overwrite")
    with pytest.raises(ModelError, match="says that it is digits 2"):
        registry.read(store, "digits", "1")


@pytest.mark.parametrize("content", [b"", b"{}", b'{"now": {"version": "../x1", "manifest_sha256": ""}}'])
def test_a_damaged_alias_is_refused(store: Store, content: bytes) -> None:
    store.write("digits/aliases/production.json", content, None)
    with pytest.raises(ModelError, match=r"production\.json"):
        registry.read(store, "digits", "production")


def test_what_a_registry_has_is_listed_by_name(store: Store) -> None:
    registry.publish(store, ONE)
    registry.publish(store, TWO)
    registry.promote(store, "digits", "2", "production")
    (entry,) = registry.entries(store)
    assert (entry.name, entry.versions, entry.aliases) == ("digits", ("1", "2"), {"production": Alias(target(TWO))})


def test_no_more_is_read_than_allowed(store: Store) -> None:
    store.write("large", bytes(1001), None)
    with pytest.raises(ModelError, match="1,000 are the most that is read"):
        store.read("large", 1000)


def test_an_alias_keeps_a_bounded_number_of_versions(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "MOST_PREVIOUS", 1)
    for files in (ONE, TWO, THREE):
        registry.publish(store, files)
        registry.promote(store, "digits", files.info.version, "production")
    content = msgspec.json.decode(store.read("digits/aliases/production.json", 1000).content, type=Alias)
    assert content == Alias(target(THREE), (target(TWO),))


def test_a_model_is_not_published_with_the_damaged_arrays_of_another_version(store: Store) -> None:
    path = f"digits/arrays/{ONE.info.sha256}.npz"
    store.write(path, ONE.arrays_npz[:-1], None)
    with pytest.raises(ModelError, match="is damaged: remove it, and publish again"):
        registry.publish(store, ONE)
    with pytest.raises(NotInStore):
        registry.read(store, "digits", "1")


def test_an_alias_that_names_nothing_is_listed_and_cannot_be_read(store: Store) -> None:
    alias = Alias(Target("9", ONE.manifest_sha256))
    store.write("digits/aliases/production.json", msgspec.json.encode(alias), None)
    assert registry.entries(store) == [registry.Entry("digits", (), {"production": alias})]
    with pytest.raises(NotInStore, match=r"digits/versions/9/manifest.json is not in the store"):
        registry.read(store, "digits", "production")


def test_objects_with_names_that_no_model_has_are_not_listed(store: Store) -> None:
    registry.publish(store, ONE)
    for path in ("a b/versions/1/manifest.json", "digits/versions/a b/manifest.json", "a b/aliases/production.json"):
        store.write(path, b"{}", None)
    assert [(entry.name, entry.versions) for entry in registry.entries(store)] == [("digits", ("1",))]
