"""Files become records with unchanged bytes, in a predictable order."""

from __future__ import annotations

import io
import os
import sys
from pathlib import Path

import pytest

from producer.errors import UsageError
from producer.send.sources import content_type, find


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("b.png", "a.png", "sub/2.png", "sub/1.png", "sub/deeper/z.zip", ".hidden", ".git/config"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())
    return tmp_path


def test_a_folder_is_all_files_in_it_in_order_without_the_hidden_ones(folder: Path) -> None:
    labels = [source.label for source in find([str(folder)])]
    assert labels == [str(folder / name) for name in ("a.png", "b.png", "sub/1.png", "sub/2.png", "sub/deeper/z.zip")]


def test_paths_are_taken_in_the_order_given_even_twice_or_hidden(folder: Path) -> None:
    paths = [str(folder / "b.png"), str(folder / ".hidden"), str(folder / "b.png")]
    assert [source.label for source in find(paths)] == paths


def test_a_source_reads_the_bytes_of_its_file(folder: Path) -> None:
    (source,) = find([str(folder / "sub" / "deeper" / "z.zip")])
    assert (source.filename, source.size_bytes, source.read()) == ("z.zip", 16, b"sub/deeper/z.zip")


def test_a_circle_of_links_is_followed_once(folder: Path) -> None:
    (folder / "sub" / "again").symlink_to(folder)
    assert len(find([str(folder)])) == 5


def test_what_is_not_a_regular_file_is_left_out_of_a_folder(folder: Path) -> None:
    os.mkfifo(folder / "pipe")
    (folder / "dangling").symlink_to(folder / "nowhere")
    assert len(find([str(folder)])) == 5


def test_standard_input_is_one_record_without_a_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"\x89PNG\r\n")))
    (source,) = find(["-"])
    assert (source.label, source.filename, source.size_bytes, source.read()) == ("-", None, None, b"\x89PNG\r\n")


def test_standard_input_cannot_be_read_twice() -> None:
    with pytest.raises(UsageError, match="given twice"):
        find(["-", "-"])


def test_a_path_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"cannot read '.*nowhere': No such file"):
        find([str(tmp_path / "nowhere")])


def test_a_folder_without_files_is_named(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="holds no file to send"):
        find([str(tmp_path)])


def test_a_file_that_has_gone_is_named(folder: Path) -> None:
    (source,) = find([str(folder / "a.png")])
    (folder / "a.png").unlink()
    with pytest.raises(UsageError, match=r"cannot read '.*a\.png': No such file"):
        source.read()


@pytest.mark.parametrize(
    ("filename", "data", "expected"),
    [
        ("a.txt", b"\x89PNG\r\n\x1a\n...", "image/png"),
        (None, b"\xff\xd8\xff\xe0", "image/jpeg"),
        (None, b"RIFF\x00\x00\x00\x00WEBPVP8 ", "image/webp"),
        (None, b"GIF89a", "image/gif"),
        (None, b"BM....", "image/bmp"),
        (None, b"II*\x00", "image/tiff"),
        (None, b"MM\x00*", "image/tiff"),
        (None, b"II+\x00\x08\x00", "image/tiff"),
        (None, b"\x00\x00\x00\x18ftypheic\x00\x00\x00\x00mif1heic", "image/heic"),
        (None, b"\x00\x00\x00\x18ftypmif1\x00\x00\x00\x00mif1avif", "image/avif"),
        (None, b"\x00\x00\x00\x18ftypisom\x00\x00\x00\x00isommp42", "application/octet-stream"),
        (None, b"PK\x03\x04", "application/zip"),
        (None, b"PK\x05\x06", "application/zip"),
        ("a.svg", b"<svg/>", "image/svg+xml"),
        ("a.png", b"", "image/png"),
        ("unknown", b"?", "application/octet-stream"),
        (None, b"RIFF\x00\x00\x00\x00WAVE", "application/octet-stream"),
    ],
)
def test_the_media_type_is_that_of_the_bytes_or_else_of_the_name(
    filename: str | None, data: bytes, expected: str
) -> None:
    assert content_type(filename, data) == expected
