"""The digits of other hands from a folder, those for training and those that are held out."""

from __future__ import annotations

from pathlib import Path
from typing import Final, NamedTuple

from engine.training.hands.pen_tracks import PenTracks, read_pen_tracks
from engine.training.hands.scans import Scans, read_scans

_LEARNED: Final = 5 / 6


class Hands(NamedTuple):
    """Digits of other hands. Their files have them in the order of their writers."""

    scans: Scans
    tracks: PenTracks

    def learned(self) -> Hands:
        """Return the first five sixths, for training."""
        return self._part(
            slice(0, round(_LEARNED * len(self.scans.labels))), slice(0, round(_LEARNED * len(self.tracks.labels)))
        )

    def held_out(self) -> Hands:
        """Return the last sixth: nearly all of its writers are not among those of the training."""
        return self._part(
            slice(round(_LEARNED * len(self.scans.labels)), None),
            slice(round(_LEARNED * len(self.tracks.labels)), None),
        )

    def _part(self, scans: slice, tracks: slice) -> Hands:
        return Hands(self.scans.part(scans), self.tracks.part(tracks))


def read_hands(folder: Path) -> Hands:
    """Read both collections of a folder.

    Raises
    ------
    DataError
        If a file is missing or cannot be used.
    """
    return Hands(read_scans(folder), read_pen_tracks(folder))
