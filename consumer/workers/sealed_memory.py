"""Memory that the service shares with its workers by a file descriptor.

It has no name and is in no file system: it works when ``/tmp`` is full, and is freed when the last process closes it.
On a platform without such memory, an unnamed temporary file is used instead.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import tempfile
from typing import BinaryIO, Final, cast

_HAS_MEMFD: Final = hasattr(os, "memfd_create")


def writable(name: str, size_bytes: int) -> BinaryIO:
    """Return zeroed memory that every process that shares it may write. The caller closes it.

    The size is sealed. Otherwise a worker could shorten the memory, and the next read would end the service by SIGBUS.

    Raises
    ------
    OSError
        No memory, or no file descriptor, is left. The memory is allocated now: a process that runs out of memory at
        the first use of a page is killed.
    """
    return _filled(name, bytes(size_bytes), is_writable=True)


def sealed(name: str, content: bytes) -> BinaryIO:
    """Return memory with this content, which no process can change any more. The caller closes it.

    Raises
    ------
    OSError
        As for `writable`.
    """
    return _filled(name, content, is_writable=False)


def content_of(descriptor: int) -> bytes:
    """Return a copy of shared memory. It is mapped, not read: all processes share the file position."""
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
