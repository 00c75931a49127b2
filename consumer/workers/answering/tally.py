"""Counts the readings of a part in the bins of the model's reference, by sender."""

from __future__ import annotations

from consumer.workers.tasks import MOST_SENDERS, OTHERS
from engine.model.binning import Bins


class Tally:
    """The readings of one part. Adding one costs little: they are counted at the end."""

    def __init__(self, bins: Bins) -> None:
        self._bins = bins
        self._places: dict[str, list[int]] = {}

    def of(self, sender: str) -> list[int]:
        """Return the list to which the places of a sender's readings are appended."""
        places = self._places.get(sender)
        if places is None:
            # The service has a limit of its own. This one bounds what it is sent, if each record has another sender.
            name = sender if len(self._places) < MOST_SENDERS else OTHERS
            places = self._places.setdefault(name, [])
        return places

    def counts(self) -> dict[str, list[int]]:
        """Count the readings of each sender that has any, in all bins of the reference."""
        return {sender: self._bins.counted(places) for sender, places in self._places.items() if places}
