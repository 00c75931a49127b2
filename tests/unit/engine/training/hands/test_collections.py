"""Scans and pen tracks of other hands, read from files."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest

from engine.training.data.labelled import DataError
from engine.training.hands.folder import read_hands
from engine.training.hands.pen_tracks import PEN_TRACKS, read_pen_tracks
from engine.training.hands.scans import SCANS, read_scans

ROW = "0" * 10 + "1" * 12 + "0" * 10
BLANK = "0" * 32


def scan(label: int, first: str = ROW) -> str:
    return "\n".join([first, *[BLANK] * 31, f" {label}", ""])


def track(label: int) -> str:
    return ",".join(str(value) for value in (0, 100, 50, 75, *[0] * 12, label)) + "\n"


@pytest.mark.parametrize("header", ["", "2\n", "1. digits\nninput 1024\n"], ids=["none", "count", "text"])
@pytest.mark.parametrize("end", ["\n", "\r\n"], ids=["unix", "windows"])
def test_scans_are_read_after_any_header(tmp_path: Path, header: str, end: str) -> None:
    (tmp_path / SCANS).write_bytes(gzip.compress((header + scan(7) + scan(3, BLANK)).replace("\n", end).encode()))
    scans = read_scans(tmp_path)
    assert scans.labels.tolist() == [7, 3]
    assert scans.bitmaps.shape == (2, 32, 32)
    np.testing.assert_array_equal(np.flatnonzero(scans.bitmaps[0, 0] == 255), np.arange(10, 22))
    assert not scans.bitmaps[0, 1:].any()
    assert not scans.bitmaps[1].any()


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("", "no digits"),
        (scan(1).replace(" 1", " 10"), "no digits"),
        (scan(1) + "0101\n" + scan(2), "no digit after digit 1"),
        (scan(1) + scan(2)[:200], "no digit after digit 1"),
    ],
    ids=["empty", "no label", "a line between", "cut short"],
)
def test_scans_that_cannot_be_used_are_named(tmp_path: Path, content: str, says: str) -> None:
    (tmp_path / SCANS).write_text(content)
    with pytest.raises(DataError, match=rf"{SCANS}.*{says}"):
        read_scans(tmp_path)


def test_pen_tracks_have_y_downwards_and_no_digits_of_two_strokes(tmp_path: Path) -> None:
    (tmp_path / PEN_TRACKS).write_bytes(gzip.compress("".join(track(label) for label in range(10)).encode()))
    tracks = read_pen_tracks(tmp_path)
    assert tracks.labels.tolist() == [0, 1, 2, 3, 6, 8, 9]
    assert tracks.points.shape == (7, 8, 2)
    np.testing.assert_allclose(tracks.points[0, :3], [(0, 0), (0.5, 0.25), (0, 1)])


@pytest.mark.parametrize(
    "content",
    ["", track(1)[:-3], track(1) + "1,2\n", track(1).replace("75", "x"), track(12), track(1).replace("75", "101")],
    ids=["empty", "cut short", "short line", "no number", "no digit", "out of range"],
)
def test_pen_tracks_that_cannot_be_used_are_named(tmp_path: Path, content: str) -> None:
    (tmp_path / PEN_TRACKS).write_text(content)
    with pytest.raises(DataError, match=f"{PEN_TRACKS} must have"):
        read_pen_tracks(tmp_path)


def test_a_folder_without_a_file_of_other_hands_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=f"{SCANS} cannot be read"):
        read_hands(tmp_path)
    (tmp_path / SCANS).write_text(scan(1))
    with pytest.raises(DataError, match=f"{PEN_TRACKS} cannot be read"):
        read_hands(tmp_path)


def test_the_writers_at_the_end_of_the_files_are_held_out(tmp_path: Path) -> None:
    (tmp_path / SCANS).write_text("".join(scan(number % 10) for number in range(60)))
    (tmp_path / PEN_TRACKS).write_text("".join(track(label) for label in [1] * 10 + [2] * 2))
    hands = read_hands(tmp_path)
    learned, held_out = hands.learned(), hands.held_out()
    assert (len(learned.scans.labels), len(held_out.scans.labels)) == (50, 10)
    assert learned.tracks.labels.tolist() == [1] * 10
    assert held_out.tracks.labels.tolist() == [2] * 2
