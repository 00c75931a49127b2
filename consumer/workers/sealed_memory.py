"""Memory that the service shares with its workers by a file descriptor.

It has no name and lies in no file system: a full ``/tmp`` does not matter, and it is gone with its last holder. Where
the platform has no such memory, an unnamed temporary file takes its place.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import tempfile
from typing import BinaryIO, Final, cast

_HAS_MEMFD: Final = hasattr(os, "memfd_create")


def writable(name: str, size_bytes: int) -> BinaryIO:
    """Return zeros that all who share them may write, to be closed by the caller.

    Their size is sealed: a worker that cut them off would otherwise end the service, by SIGBUS, at its next look.

    Raises
    ------
    OSError
        No memory, or no file descriptor, is left. It is taken now: what is taken at its first use ends who uses it.
    """
    return _filled(name, bytes(size_bytes), is_writable=True)


def sealed(name: str, content: bytes) -> BinaryIO:
    """Return memory with this content, which no process can change; the caller closes it.

    Raises
    ------
    OSError
        As for `writable`.
    """
    return _filled(name, content, is_writable=False)


def content_of(descriptor: int) -> bytes:
    """Copy what shared memory holds. Not by `read`: all who share the memory share its file position."""
    with mmap.mmap(descriptor, 0, access=mmap.ACCESS_READ) as mapped:
        return mapped[:]


def _filled(name: str, content: bytes, *, is_writable: bool) -> BinaryIO:
    file = (
        os.fdopen(os.memfd_create(name, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING), "r+b")
        if _HAS_MEMFD
        else cast("BinaryIO", tempfile.TemporaryFile())  # noqa: SIM115  # the caller closes it
    )
    try:
        file.write(content)
        file.flush()
        if _HAS_MEMFD:
            of_size = fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_SEAL
            fcntl.fcntl(file.fileno(), fcntl.F_ADD_SEALS, of_size | (0 if is_writable else fcntl.F_SEAL_WRITE))
    except BaseException:
        file.close()
        raise
    return file
