"""A TLS context whose files may be replaced while it is in use: the next connection takes the new ones."""

from __future__ import annotations

import logging
import ssl
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, Self

from transport.security.secret_files import UnusableError

log = logging.getLogger(__name__)

_State = tuple[tuple[int, int, int] | None, ...]
ABSENT: Final = None


class ReloadingContext(ssl.SSLContext):
    """Is to the client one context, and makes a new one when a file has changed.

    To load new files into the context in use would not do: it would trust an authority that has been taken away,
    and keep half of a pair whose other half cannot be used.

    Parameters
    ----------
    build
        Makes a context from the files as they are; raises `UnusableError`.
    files
        Those that are watched: by their time of change, size and inode.
    """

    def __new__(cls, build: Callable[[], ssl.SSLContext], files: Sequence[Path]) -> Self:
        """Make the shell; the contexts that connections use stand inside."""
        del build, files
        return super().__new__(cls, ssl.PROTOCOL_TLS_CLIENT)

    def __init__(self, build: Callable[[], ssl.SSLContext], files: Sequence[Path]) -> None:
        self._build = build
        self._files = tuple(files)
        self._seen = self._state()
        self._current = build()

    @property
    def current(self) -> ssl.SSLContext:
        """The context for the next connection.

        Files that cannot be used, such as a certificate whose key is still the old one, leave the context as it is.
        They are tried again when one of them changes.
        """
        state = self._state()  # before the files are read: what changes meanwhile is seen the next time
        if state != self._seen:
            self._seen = state
            try:
                self._current = self._build()
            except UnusableError as error:
                log.warning("replaced files not taken", extra={"why": str(error), "action": "the old ones stay in use"})
            else:
                log.info("replaced files taken", extra={"files": ", ".join(map(str, self._files))})
        return self._current

    def wrap_bio(self, *arguments: Any, **options: Any) -> ssl.SSLObject:
        """Begin a connection, as event loops do."""
        return self.current.wrap_bio(*arguments, **options)

    def _state(self) -> _State:
        return tuple(map(_state, self._files))


def _state(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return ABSENT
    return found.st_mtime_ns, found.st_size, found.st_ino
