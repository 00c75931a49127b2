"""Archives of models: what is read, and what is refused."""

from __future__ import annotations

import io
import pickle
import stat
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest

from engine.model import files as model_files
from engine.model import store
from engine.model.files import ARRAYS, MANIFEST, ModelError, ModelFiles
from engine.registry import archive as archives
from engine.registry.archive import read_archive
from tests.harness.models import archive_of, version_of

MODEL = version_of("1")


def with_entry(entry: str | zipfile.ZipInfo, content: bytes = b"{}") -> bytes:
    buffer = io.BytesIO(archive_of(MODEL))
    with zipfile.ZipFile(buffer, "a") as archive:
        archive.writestr(entry, content)
    return buffer.getvalue()


def refusal(content: bytes) -> str:
    with pytest.raises(ModelError) as caught:
        read_archive(io.BytesIO(content))
    return str(caught.value)


@pytest.mark.parametrize("inside", ["", "digits/"])
def test_a_model_is_read_from_the_top_of_an_archive_or_from_its_only_folder(inside: str) -> None:
    assert read_archive(io.BytesIO(archive_of(MODEL, inside=inside))) == (MODEL.manifest_json, MODEL.arrays_npz)


def test_the_card_of_a_model_may_lie_beside_it() -> None:
    assert read_archive(io.BytesIO(with_entry("card.md")))[0] == MODEL.manifest_json


@pytest.mark.parametrize("name", ["../escaped.md", "/etc/escaped.md", "a/../../escaped.md", "C:escaped.md"])
def test_an_entry_that_leads_out_of_the_archive_is_refused(name: str) -> None:
    assert refusal(with_entry(name)) == f"the entry {name!r} leads out of the archive"


def test_a_link_is_refused() -> None:
    link = zipfile.ZipInfo("plot.png")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    assert refusal(with_entry(link, b"/etc/passwd")) == "the entry 'plot.png' is a link or a device"


@pytest.mark.parametrize("name", ["model.pkl", "model.joblib", "run.py", "model.so"])
def test_a_file_of_a_kind_that_models_do_not_consist_of_is_refused(name: str) -> None:
    assert "is of a kind that models do not consist of" in refusal(with_entry(name))


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_second_manifest_is_refused_since_readers_would_differ_in_which_they_take() -> None:
    assert refusal(with_entry(MANIFEST)).startswith("the archive does not have manifest.json exactly once")


def test_too_many_entries_are_refused() -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for number in range(archives.MOST_ENTRIES + 1):
            archive.writestr(f"{number}.md", b"")
    assert refusal(buffer.getvalue()).endswith("The zip archive has more than 100 entries.")


def test_an_archive_that_is_too_large_is_not_read_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "ARCHIVE_BYTES", 1000)
    content = io.BytesIO(archive_of(MODEL))
    with pytest.raises(ModelError, match="the archive has more than 1,000 bytes, the most that is read"):
        read_archive(content)
    assert content.tell() == 1001


def test_entries_that_share_their_bytes_are_refused() -> None:
    content = bytearray(with_entry("card.md"))
    first, second = (content.rfind(b"PK\x01\x02", 0, end) for end in (content.rfind(b"PK\x01\x02"), len(content)))
    content[second + 42 : second + 46] = content[first + 42 : first + 46]  # where the entry begins
    assert refusal(bytes(content)).endswith("Entries of the zip archive share the same bytes.")


def test_an_entry_that_inflates_to_too_much_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "ARRAYS_BYTES", 1000)
    assert refusal(archive_of(MODEL)) == "model.npz has more than 1,000 bytes, the most that is read"


def test_an_entry_that_lies_about_its_size_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    content = archive_of(MODEL)
    true_size, small = struct.pack("<I", len(MODEL.arrays_npz)), struct.pack("<I", 10)
    assert content.count(true_size) == 2
    monkeypatch.setattr(archives, "ARRAYS_BYTES", 1000)
    assert refusal(content.replace(true_size, small)).startswith("the archive is damaged: Bad CRC-32")


@pytest.mark.parametrize("kept", [0.0, 0.5, 0.999])
def test_a_truncated_archive_is_refused(kept: float) -> None:
    content = archive_of(MODEL)
    assert refusal(content[: int(len(content) * kept)]).startswith("the archive is damaged")


def test_any_damaged_byte_gives_the_model_or_a_refusal_and_never_another_error() -> None:
    content = archive_of(MODEL)
    tail = len(content) - 400
    for place in [*range(120), *range(tail, len(content))]:
        damaged = bytearray(content)
        damaged[place] ^= 0xFF
        try:
            manifest, arrays = read_archive(io.BytesIO(damaged))
            ModelFiles.checked(Path(), manifest, arrays)
        except ModelError:
            pass


def loading(arrays: bytes) -> str:
    with pytest.raises(ModelError) as caught:
        store.load_files(ModelFiles(Path(), MODEL.manifest_json, arrays, MODEL.manifest))
    return str(caught.value)


class Explosive:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return pytest.fail, ("pickled code has run",)


def test_pickled_arrays_are_refused_and_never_unpickled() -> None:
    buffer = io.BytesIO()
    hostile = np.empty(1, object)
    hostile[0] = Explosive()
    np.savez(buffer, weights=hostile, allow_pickle=True)
    assert "allow_pickle=False" in loading(buffer.getvalue())
    renamed = io.BytesIO()
    with zipfile.ZipFile(renamed, "w") as archive:
        archive.writestr("weights.npy", pickle.dumps(Explosive()))
    assert ARRAYS in loading(renamed.getvalue())


def test_arrays_that_inflate_to_too_much_are_refused_before_they_are_inflated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "ARRAYS_BYTES", 1000)
    assert "inflate to" in loading(MODEL.arrays_npz)
    assert model_files.ARRAYS_BYTES > 1000


def test_too_many_arrays_are_refused() -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for number in range(1001):
            archive.writestr(f"{number}.npy", b"")
    assert "has more than 1,000 entries" in loading(buffer.getvalue())


def test_an_array_that_claims_more_numbers_than_it_has_is_refused() -> None:
    header = b"{'descr': '<f4', 'fortran_order': False, 'shape': (4000000000000,), }"
    claimed = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header) + 1) + header + b"\n" + bytes(64)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("weights.npy", claimed)
    assert "is not an archive of arrays" in loading(buffer.getvalue())
