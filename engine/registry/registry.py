"""A registry of models in an object store: versions that never change, and aliases that say which one is used.

::

    NAME/versions/VERSION/manifest.json   the model's manifest as it was published; written once, never again
    NAME/arrays/SHA256.npz                its arrays, named by their checksum, which the manifest holds
    NAME/aliases/ALIAS.json               a version, the checksum of its manifest, and the versions before it

An alias is replaced only if it is still as it was read (compare-and-swap), so two people who move it at once cannot
overwrite each other. There is no index and no server: any store that can write an object under a condition will do.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from engine.model.files import ARRAYS_BYTES, MANIFEST, MANIFEST_BYTES, ModelError, ModelFiles
from engine.registry.location import is_alias, is_name, is_version
from engine.registry.stores import ChangedMeanwhile, NotInStore, Store, Stored

MOST_PREVIOUS: Final = 20
"""How many versions back an alias can be rolled."""
_ALIAS_BYTES: Final = 64 << 10


class Target(msgspec.Struct, frozen=True):
    """What an alias names: a version, and the checksum of its manifest, which stands for the whole model."""

    version: str
    manifest_sha256: str


class Alias(msgspec.Struct, frozen=True):
    """The content of an alias: the target, and the ones before it, the newest first."""

    now: Target
    previous: tuple[Target, ...] = ()


@dataclass(frozen=True, slots=True)
class Entry:
    """A name in the registry: its versions, and its aliases with their targets."""

    name: str
    versions: tuple[str, ...]
    aliases: dict[str, Alias]


def publish(store: Store, files: ModelFiles) -> bool:
    """Write a model as the version that its manifest names; return False if exactly this one was there already.

    The manifest is written last: a version that can be seen is whole.

    Raises
    ------
    ModelError
        The manifest's name or version cannot be used, or the version exists and is another model.
    StoreUnavailable
        The store did not answer.
    """
    name, version = files.info.name, files.info.version
    if not is_name(name):
        raise ModelError(f"{name!r} cannot be a model's name in a registry: letters, digits, '.', '_' and '-' only")
    if not is_version(version):
        raise ModelError(f"{version!r} cannot be a version in a registry: it needs a digit, and may have '.', '_', '-'")
    path = _manifest_path(name, version)
    try:
        there = store.read(path, MANIFEST_BYTES).content
    except NotInStore:
        there = None
    if there is None:
        _write_arrays(store, _arrays_path(name, files.info.sha256), files.arrays_npz)
        try:
            store.write(path, files.manifest_json, None)
        except ChangedMeanwhile:
            there = store.read(path, MANIFEST_BYTES).content
        else:
            return True
    if there != files.manifest_json:
        raise ModelError(f"{name} {version} is published already, as another model; a version never changes")
    return False


def _write_arrays(store: Store, path: str, arrays_npz: bytes) -> None:
    """Write arrays, unless another version has the same: the path holds their checksum."""
    try:
        store.write(path, arrays_npz, None)
    except ChangedMeanwhile:
        if store.read(path, ARRAYS_BYTES).content != arrays_npz:
            raise ModelError(f"{path} is damaged: remove it, and publish again") from None


def read(store: Store, name: str, ref: str, known_arrays: ModelFiles | None = None) -> ModelFiles:
    """Read a version, or the one that an alias names, and check it.

    Parameters
    ----------
    store
        Where the registry is.
    name, ref
        The model, and its version or alias.
    known_arrays
        A model that the caller has already. If it has the same arrays, they are not transferred.

    Raises
    ------
    ModelError
        There is no such version or alias, or its files are damaged, or it is not what the alias was moved to.
    StoreUnavailable
        The store did not answer.
    """
    target = read_alias(store, name, ref)[0].now if is_alias(ref) else None
    version = target.version if target else ref
    manifest = store.read(_manifest_path(name, version), MANIFEST_BYTES).content
    where = Path()  # messages name the files; the caller names the location
    checked = ModelFiles.manifest_of(where, manifest)
    if (checked["name"], checked["version"]) != (name, version):
        raise ModelError(f"{MANIFEST} of {name} {version} says that it is {checked['name']} {checked['version']}")
    if known_arrays is not None and known_arrays.info.sha256 == checked["sha256"]:
        arrays = known_arrays.arrays_npz
    else:
        arrays = store.read(_arrays_path(name, checked["sha256"]), ARRAYS_BYTES).content
    files = ModelFiles.checked(where, manifest, arrays)
    if target is not None and files.manifest_sha256 != target.manifest_sha256:
        raise ModelError(f"{name} {version} is not the model that {ref} was moved to: its manifest has been changed")
    return files


def read_alias(store: Store, name: str, alias: str) -> tuple[Alias, Stored]:
    """Return an alias, and what `Store.write` needs to replace it.

    Raises
    ------
    ModelError
        There is none, or it is not an alias of this format.
    StoreUnavailable
        The store did not answer.
    """
    stored = store.read(_alias_path(name, alias), _ALIAS_BYTES)
    try:
        content = msgspec.json.decode(stored.content, type=Alias)
    except msgspec.DecodeError as error:
        raise ModelError(f"{_alias_path(name, alias)} is damaged: {error}") from error
    if not all(is_version(each.version) for each in (content.now, *content.previous)):
        raise ModelError(f"{_alias_path(name, alias)} names a version that cannot be one")
    return content, stored


def promote(store: Store, name: str, version: str, alias: str) -> Alias:
    """Let an alias name a version, after all of that version has been read and checked.

    Raises
    ------
    ChangedMeanwhile
        Someone else has moved the alias since it was read here: nothing was changed.
    ModelError
        There is no such version, or it is damaged.
    StoreUnavailable
        The store did not answer; whether the alias was moved is then to be seen.
    """
    if not is_alias(alias):
        raise ModelError(f"{alias!r} cannot be an alias: lower-case letters, in words joined by '-'")
    target = Target(version, read(store, name, version).manifest_sha256)
    try:
        before, stored = read_alias(store, name, alias)
    except NotInStore:
        moved = Alias(target)
        store.write(_alias_path(name, alias), msgspec.json.encode(moved), None)
        return moved
    if before.now == target:
        return before
    moved = Alias(target, (before.now, *before.previous)[:MOST_PREVIOUS])
    store.write(_alias_path(name, alias), msgspec.json.encode(moved), stored)
    return moved


def rollback(store: Store, name: str, alias: str) -> Alias:
    """Let an alias name the version before; a second rollback goes further back.

    Raises
    ------
    ModelError, StoreUnavailable
        As for `promote`; also if there is no version before.
    """
    before, stored = read_alias(store, name, alias)
    if not before.previous:
        raise ModelError(f"{name}@{alias} has named {before.now.version} only: there is no version before")
    target = before.previous[0]
    if read(store, name, target.version).manifest_sha256 != target.manifest_sha256:
        raise ModelError(f"{name} {target.version} is not the model that {alias} once named")
    moved = Alias(target, before.previous[1:])
    store.write(_alias_path(name, alias), msgspec.json.encode(moved), stored)
    return moved


def entries(store: Store) -> list[Entry]:
    """List all names with their versions and aliases.

    Raises
    ------
    ModelError, StoreUnavailable
        The store cannot be listed, or an alias cannot be read.
    """
    versions: dict[str, list[str]] = {}
    aliases: dict[str, dict[str, Alias]] = {}
    for path in store.names(""):
        match path.split("/"):
            case [name, "versions", version, file] if file == MANIFEST and is_name(name) and is_version(version):
                versions.setdefault(name, []).append(version)
            case [name, "aliases", file] if is_name(name) and is_alias(file.removesuffix(".json")):
                alias = file.removesuffix(".json")
                aliases.setdefault(name, {})[alias] = read_alias(store, name, alias)[0]
    return [Entry(name, tuple(versions.get(name, [])), aliases.get(name, {})) for name in sorted({*versions, *aliases})]


def _manifest_path(name: str, version: str) -> str:
    return f"{name}/versions/{version}/{MANIFEST}"


def _arrays_path(name: str, sha256: str) -> str:
    return f"{name}/arrays/{sha256}.npz"


def _alias_path(name: str, alias: str) -> str:
    return f"{name}/aliases/{alias}.json"
