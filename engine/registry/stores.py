"""An object store: S3, Google Cloud Storage, Azure, an HTTP server, or a folder; the only module that uses obstore.

Its errors are translated here: what may pass by itself is `StoreUnavailable`, all else is `ModelError`. Credentials are
those that each cloud's own tools use: environment variables, files, or the machine's role.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final

from engine.model.files import ModelError
from engine.registry.location import check_url, is_url

if TYPE_CHECKING:
    from obstore import ObjectMeta, PutMode, UpdateVersion
    from obstore.store import ClientConfig, ObjectStore

CONNECT_TIMEOUT_S: Final = 5.0
READ_TIMEOUT_S: Final = 10.0
"""Without a byte for so long, a transfer has failed."""
_ALLOW_HTTP: Final = {"s3": "AWS_ALLOW_HTTP", "gs": "GOOGLE_ALLOW_HTTP", "az": "AZURE_ALLOW_HTTP"}
_LOCK: Final = ".lock"
_SMALL_BYTES: Final = 1 << 20  # only aliases are replaced
_MESSAGE_CHARACTERS: Final = 300


class StoreUnavailable(Exception):  # noqa: N818  # the name says what happened
    """The store did not answer, or not in time; it may later."""


class NotInStore(ModelError):  # noqa: N818  # as above
    """The store does not have the object."""


class AccessRefused(ModelError):  # noqa: N818  # as above
    """The store does not let these credentials read or write the object."""


class ChangedMeanwhile(ModelError):  # noqa: N818  # as above
    """Someone else has written the object since it was read."""


@dataclass(frozen=True, slots=True)
class Stored:
    """What an object held when it was read, and which of its versions that was."""

    content: bytes
    version: UpdateVersion


class Store:
    """The objects below a URL or in a folder.

    Parameters
    ----------
    store
        As obstore makes it.
    folder
        The folder, if it is one: obstore cannot replace a file there only if it is unchanged, so a lock is used.
    """

    def __init__(self, store: ObjectStore, folder: Path | None = None) -> None:
        self._store = store
        self._folder = folder

    @classmethod
    def open(cls, location: str, timeout_s: float, *, create: bool = False) -> Store:
        """Prepare a store; it is not asked for anything yet.

        Parameters
        ----------
        location
            A URL, or the path of a folder.
        timeout_s
            Most time for one request, its transfer included.
        create
            Make the folder if there is none.

        Raises
        ------
        ModelError
            obstore is not installed, there is no such folder, or the URL or the cloud's variables cannot be used.
        """
        check_url(location)
        try:
            from obstore.exceptions import BaseError  # noqa: PLC0415  # only who has such a store needs it
            from obstore.store import LocalStore, from_url  # noqa: PLC0415  # as above
        except ModuleNotFoundError as error:
            raise ModelError(f"{error.name} is not installed: pip install 'digitstream[stores]'") from error
        if not is_url(location):
            folder = Path(location)
            if create and not folder.exists():
                folder.mkdir(parents=True, exist_ok=True)
            if not folder.is_dir():
                raise ModelError(f"{folder} is not a folder")
            return cls(LocalStore(folder.resolve()), folder)
        options: ClientConfig = {
            "connect_timeout": timedelta(seconds=min(CONNECT_TIMEOUT_S, timeout_s)),
            "read_timeout": timedelta(seconds=min(READ_TIMEOUT_S, timeout_s)),
            "timeout": timedelta(seconds=timeout_s),
        }
        scheme = location.partition("://")[0]
        if scheme == "http" or os.environ.get(_ALLOW_HTTP.get(scheme, ""), "").lower() == "true":
            options["allow_http"] = True  # obstore does not read the variable if it is given options
        try:
            return cls(from_url(location, client_options=options, retry_config={"max_retries": 0}))
        except (BaseError, ValueError) as error:
            raise ModelError(f"the store cannot be used: {_first_line(error)}") from error

    def read(self, path: str, most_bytes: int) -> Stored:
        """Read an object.

        Raises
        ------
        NotInStore
            There is none.
        ModelError
            It is larger than `most_bytes`, or the credentials do not allow to read it.
        StoreUnavailable
            The store did not send all of it.
        """
        with _translated(path):
            result = self._store.get(path)
            if result.meta["size"] > most_bytes:
                raise ModelError(f"{path} has {result.meta['size']:,} bytes; {most_bytes:,} are the most that is read")
            parts, received = [], 0
            for part in result.stream():
                parts.append(bytes(part))
                received += len(parts[-1])
                if received > most_bytes:
                    raise ModelError(f"{path} has more than {most_bytes:,} bytes, the most that is read")
            if received != result.meta["size"]:
                raise StoreUnavailable(f"{path}: {received:,} of {result.meta['size']:,} bytes have come")
            return Stored(b"".join(parts), _version(result.meta))

    def write(self, path: str, content: bytes, since: Stored | None) -> None:
        """Write an object if it is still as it was read: `since`; or, if that is None, only if there is none.

        Raises
        ------
        ChangedMeanwhile
            The object is another one.
        ModelError
            The credentials do not allow to write it, or the store cannot write under a condition.
        StoreUnavailable
            The store did not answer.
        """
        if since is not None and self._folder is not None:
            with self._locked(self._folder):
                if self.read(path, _SMALL_BYTES).content != since.content:
                    raise ChangedMeanwhile(f"{path} has been changed meanwhile")
                self._put(path, content, "overwrite")
            return
        self._put(path, content, "create" if since is None else since.version)

    def names(self, prefix: str) -> list[str]:
        """List all objects below a path, in order.

        Raises
        ------
        ModelError, StoreUnavailable
            As for `read`.
        """
        with _translated(prefix):
            return sorted(each["path"] for each in self._store.list(prefix or None).collect())

    def _put(self, path: str, content: bytes, mode: PutMode) -> None:
        with _translated(path):
            self._store.put(path, content, mode=mode, use_multipart=False)  # in parts, no condition would be possible

    @contextlib.contextmanager
    def _locked(self, folder: Path) -> Iterator[None]:
        with (folder / _LOCK).open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def _version(meta: ObjectMeta) -> UpdateVersion:
    """Return what identifies a version of an object: stores have an ETag, a number of the version, or both."""
    version: UpdateVersion = {"e_tag": meta["e_tag"]}
    if meta["version"] is not None:
        version["version"] = meta["version"]
    return version


@contextlib.contextmanager
def _translated(path: str) -> Iterator[None]:
    from obstore import exceptions  # noqa: PLC0415  # the store has been opened, so it is installed

    try:
        yield
    except FileNotFoundError as error:
        raise NotInStore(f"{path} is not in the store") from error
    except (exceptions.AlreadyExistsError, exceptions.PreconditionError) as error:
        raise ChangedMeanwhile(f"{path} has been changed meanwhile") from error
    except (exceptions.PermissionDeniedError, exceptions.UnauthenticatedError) as error:
        raise AccessRefused(
            f"the store refuses access to {path}; look at its credentials: {_first_line(error)}"
        ) from error
    except (exceptions.NotSupportedError, NotImplementedError, exceptions.InvalidPathError) as error:
        raise ModelError(f"the store cannot do this with {path}: {_first_line(error)}") from error
    except (exceptions.BaseError, OSError) as error:
        raise StoreUnavailable(_first_line(error)) from error
    except BaseException as error:
        if type(error).__name__ != "PanicException":  # obstore's; Python cannot import it
            raise
        raise ModelError("the store cannot be used: a variable with its address or credentials is damaged") from error


def _first_line(error: Exception) -> str:
    """Return what a log may have: the rest is the library's own record.

    Left out are what may be secret: a query (a signature), the user of a URL, and quoted values.
    """
    line = (str(error).splitlines() or [type(error).__name__])[0]
    return re.sub(r'\?\S+|(?<=//)[^/\s]*@|"[^"]*"', "…", line)[:_MESSAGE_CHARACTERS]
