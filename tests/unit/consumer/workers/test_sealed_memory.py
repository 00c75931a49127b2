"""Memory that is shared with workers: in no file system, of a fixed size, and what is sealed stays as it is."""

from __future__ import annotations

import mmap
import os

import pytest

from consumer.workers import sealed_memory as memory


def test_sealed_memory_can_be_read_and_not_written() -> None:
    with memory.sealed("test", b"the model") as file:
        descriptor = os.dup(file.fileno())
    assert memory.content_of(descriptor) == memory.content_of(descriptor) == b"the model"
    for change in (lambda: os.pwrite(descriptor, b"x", 0), lambda: os.ftruncate(descriptor, 1)):
        with pytest.raises(PermissionError):
            change()
    with pytest.raises(PermissionError):
        mmap.mmap(descriptor, 0)
    os.close(descriptor)


def test_a_note_can_be_written_but_not_cut_off() -> None:
    with memory.writable("test", 4096) as file:
        mapped = mmap.mmap(file.fileno(), 4096)
        mapped[0] = 1
        assert memory.content_of(file.fileno()) == b"\1" + bytes(4095)
        with pytest.raises(PermissionError):
            os.ftruncate(file.fileno(), 0)


def test_a_full_disk_does_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.TemporaryFile", lambda: pytest.fail("it asked for a file"))
    memory.writable("test", 4096).close()


def test_where_the_platform_has_no_such_memory_an_unnamed_file_serves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "_HAS_MEMFD", False)
    with memory.sealed("test", b"the model") as file:
        assert memory.content_of(file.fileno()) == b"the model"
