"""A TLS context whose files may be replaced while it is in use: the next connection uses the new files."""

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
    """A context for the client that builds a new context when a file has changed.

    The files cannot be loaded into the existing context: it would still trust an authority that was removed, and could
    have a new certificate with an old key.

    Parameters
    ----------
    build
        Builds a context from the files; raises `UnusableError`.
    files
        The files; a change is detected by modification time, size and inode.
    """

    def __new__(cls, build: Callable[[], ssl.SSLContext], files: Sequence[Path]) -> Self:
        """Create the outer context; connections use the one inside of it."""
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

        If the new files cannot be used, for example a certificate whose key is still the old one, the context stays
        the same until a file changes again.
        """
        state = self._state()  # before the files are read, so that a change meanwhile is detected the next time
        if state != self._seen:
            self._seen = state
            try:
                self._current = self._build()
            except UnusableError as error:
                log.warning("replaced files not taken", extra={"why": str(error), "action": "using the old files"})
            else:
                log.info("replaced files taken", extra={"files": ", ".join(map(str, self._files))})
        return self._current

    def wrap_bio(self, *arguments: Any, **options: Any) -> ssl.SSLObject:
        """Start the TLS part of a connection; event loops call it."""
        return self.current.wrap_bio(*arguments, **options)

    def _state(self) -> _State:
        return tuple(map(_state, self._files))


def _state(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return ABSENT
    return found.st_mtime_ns, found.st_size, found.st_ino
