"""Fetches the model of a location within a deadline; if the store is away, takes what the location had before.

A folder or an archive on this machine is read as it is, without cache. What comes from a store passes the same checks.
"""

from __future__ import annotations

import io
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from engine.model.files import ARRAYS, ARRAYS_BYTES, MANIFEST, MANIFEST_BYTES, ModelError, ModelFiles
from engine.registry import registry
from engine.registry.archive import ARCHIVE_BYTES, read_archive
from engine.registry.cache import Cache
from engine.registry.location import ARCHIVE_SUFFIX, Reference, check_url, is_reference, is_url
from engine.registry.stores import Store, StoreUnavailable

FIRST_PAUSE_S: Final = 0.2
LONGEST_PAUSE_S: Final = 5.0
"""Between two attempts; it doubles from the first pause on."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """A checked model, and sentences that the caller logs."""

    files: ModelFiles
    warnings: tuple[str, ...] = ()


def fetch(location: str, *, manifest_sha256: str | None, cache: Path, timeout_s: float) -> Fetched:
    """Return the model of a location.

    Parameters
    ----------
    location
        A folder, an archive, a URL of either, or ``STORE/NAME@VERSION`` or ``STORE/NAME@ALIAS``.
    manifest_sha256
        If given, the model must have a manifest with this checksum. If the cache has it, no store is asked.
    cache
        The folder that keeps what came from a store.
    timeout_s
        How long the store is tried, failed attempts and pauses included.

    Raises
    ------
    ModelError
        There is no such model, it is damaged, or it is not the one with the checksum.
    StoreUnavailable
        The store did not send it in time, and the cache has nothing from this location.
    """
    if is_url(location):
        check_url(location)
        if location.startswith("http://") and manifest_sha256 is None:
            raise ModelError(
                "http:// does not protect the transfer: name the checksum of the manifest, or use https://"
            )
    elif not is_reference(location):
        return Fetched(_pinned(_read_path(Path(location)), manifest_sha256))
    kept = Cache(cache)
    if manifest_sha256 is not None and (files := kept.find(manifest_sha256)) is not None:
        return Fetched(files)
    last = kept.last_of(location)
    try:
        files = _within(timeout_s, lambda give_up_s: _download_until(give_up_s, location, last))
    except StoreUnavailable as error:
        if last is None or (manifest_sha256 is not None and last.manifest_sha256 != manifest_sha256):
            raise
        why = f"{location} cannot be fetched ({error}); {last.info.name} {last.info.version} is taken from {cache}"
        return Fetched(last, (why,))
    _pinned(files, manifest_sha256)
    try:
        kept.keep(location, files)
    except OSError as error:
        return Fetched(files, (f"the model cannot be kept in {cache}, for starts without the store: {error}",))
    return Fetched(files)


def _pinned(files: ModelFiles, manifest_sha256: str | None) -> ModelFiles:
    if manifest_sha256 not in (None, files.manifest_sha256):
        raise ModelError(
            f"the sha256 of {MANIFEST} is {files.manifest_sha256}, and not {manifest_sha256} as it must be"
        )
    return files


def _read_path(path: Path) -> ModelFiles:
    if path.suffix != ARCHIVE_SUFFIX:
        return ModelFiles.read(path)
    try:
        with path.open("rb") as archive:
            return ModelFiles.checked(path, *read_archive(archive))
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error.strerror}") from error


def _within(timeout_s: float, download: Callable[[float], ModelFiles]) -> ModelFiles:
    """Run a download, and leave it at its deadline whatever it is waiting for.

    It runs in a daemon thread, because some waits have no limit of their own, such as for a name server.
    """
    give_up_s = time.monotonic() + timeout_s
    future: Future[ModelFiles] = Future()

    def run() -> None:
        try:
            future.set_result(download(give_up_s))
        except BaseException as error:  # noqa: BLE001  # it is raised where the result is awaited
            future.set_exception(error)

    threading.Thread(target=run, name="model download", daemon=True).start()
    try:
        return future.result(timeout_s)
    except TimeoutError as error:
        raise StoreUnavailable(f"it was not there after {timeout_s:g} s") from error


def _download_until(give_up_s: float, location: str, last: ModelFiles | None) -> ModelFiles:
    """Repeat until the store has sent everything, or time is up."""
    pause_s = FIRST_PAUSE_S
    while True:
        remaining_s = give_up_s - time.monotonic()
        try:
            return _download(location, max(remaining_s, FIRST_PAUSE_S), last)
        except StoreUnavailable:
            if time.monotonic() + pause_s >= give_up_s:
                raise
            time.sleep(pause_s)
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)


def _download(location: str, timeout_s: float, last: ModelFiles | None) -> ModelFiles:
    if is_reference(location):
        reference = Reference.parse(location)
        return registry.read(Store.open(reference.store, timeout_s), reference.name, reference.ref, last)
    where = Path()  # messages name the files; the caller names the location
    if location.endswith(ARCHIVE_SUFFIX):
        parent, _, name = location.rpartition("/")
        archive = Store.open(parent, timeout_s).read(name, ARCHIVE_BYTES).content
        return ModelFiles.checked(where, *read_archive(io.BytesIO(archive)))
    store = Store.open(location, timeout_s)
    manifest = store.read(MANIFEST, MANIFEST_BYTES).content
    named = ModelFiles.manifest_of(where, manifest)["sha256"]
    if last is not None and last.info.sha256 == named:
        return ModelFiles.checked(where, manifest, last.arrays_npz)
    return ModelFiles.checked(where, manifest, store.read(ARRAYS, ARRAYS_BYTES).content)
