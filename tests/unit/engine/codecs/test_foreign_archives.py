"""Archives of other kinds are named, and not searched for a zip archive in them."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import tarfile

import cramjam
import pytest

from engine.codecs.payload import open_payload
from engine.errors import EngineError
from engine.limits import Limits
from engine.model.classifier import Classifier
from engine.reader import Reader
from models import default_model
from tests.hostile.case import SEVEN
from tests.hostile.zips import STORED, Entry, archive

ZIP = archive(Entry())


def tar(name: str, data: bytes, form: int = tarfile.PAX_FORMAT) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=form) as file:
        info = tarfile.TarInfo(name)
        info.size = len(data)
        file.addfile(info, io.BytesIO(data))
    return stream.getvalue()


ARCHIVES = {
    "tar, POSIX": (tar("7.png", SEVEN), "a tar archive"),
    "tar, GNU": (tar("7.png", SEVEN, tarfile.GNU_FORMAT), "a tar archive"),
    "tar, ustar": (tar("7.png", SEVEN, tarfile.USTAR_FORMAT), "a tar archive"),
    "7z": (b"7z\xbc\xaf\x27\x1c\x00\x04" + bytes(24), "a 7z archive"),
    "RAR 4": (b"Rar!\x1a\x07\x00\xcf\x90\x73", "a RAR archive"),
    "RAR 5": (b"Rar!\x1a\x07\x01\x00\x33\x92", "a RAR archive"),
    "gzip": (gzip.compress(SEVEN), "a gzip file"),
    "tar in gzip": (gzip.compress(tar("7.png", SEVEN)), "a gzip file"),
    "bzip2": (bz2.compress(SEVEN), "a bzip2 file"),
    "bzip2, fast": (bz2.compress(SEVEN, 1), "a bzip2 file"),
    "bzip2 of nothing": (bz2.compress(b""), "a bzip2 file"),
    "xz": (lzma.compress(SEVEN), "an xz file"),
    "LZMA": (lzma.compress(SEVEN, lzma.FORMAT_ALONE), "an LZMA file"),
    "Zstandard": (bytes(cramjam.zstd.compress(SEVEN)), "a Zstandard file"),
    "LZ4": (bytes(cramjam.lz4.compress(SEVEN)), "an LZ4 file"),
    "CAB": (b"MSCF\x00\x00\x00\x00" + bytes(30), "a CAB archive"),
    "LZH": (b"\x22\x7c-lh5-" + bytes(30), "an LZH archive"),
}


@pytest.mark.parametrize("kind", ARCHIVES)
def test_an_archive_of_another_kind_is_named_with_what_to_send(kind: str) -> None:
    data, name = ARCHIVES[kind]
    with pytest.raises(EngineError) as caught:
        open_payload(data, Limits())
    assert caught.value.code == "unknown-format"
    assert str(caught.value).endswith(f"nor a zip archive, but {name}; send its images in a zip archive.")


@pytest.mark.parametrize("data", [tar("inner.zip", ZIP), b"Rar!\x1a\x07\x00" + ZIP, b"7z\xbc\xaf\x27\x1c" + ZIP])
def test_a_zip_archive_in_an_archive_of_another_kind_is_not_looked_for(data: bytes) -> None:
    with pytest.raises(EngineError, match="send its images in a zip archive"):
        open_payload(data, Limits())


def test_a_program_that_unpacks_itself_is_opened() -> None:
    assert open_payload(b"MZ" + bytes(3_000) + ZIP, Limits()).count == 1


def test_as_an_entry_such_an_archive_fails_alone_and_is_named() -> None:
    reader = Reader(Classifier.load(default_model()), Limits())
    entries = [Entry(b"a.tar", tar("inner.zip", ZIP), method=STORED), Entry(b"a.7z", ARCHIVES["7z"][0]), Entry()]
    (outcomes,) = reader.read([archive(*entries)])
    assert [outcome.error and outcome.error.code for outcome in outcomes] == ["unknown-format", "unknown-format", None]
    assert "but a tar archive" in str(outcomes[0].error)
    assert "but a 7z archive" in str(outcomes[1].error)
