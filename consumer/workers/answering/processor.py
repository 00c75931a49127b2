"""Answers tasks: from record batches to finished record batches of results.

scan       find the records of the batches, in groups
check      what may be echoed, and whether a record may be read
read       classify the records of a group with the engine, until the slice is over
write      results and dead letters, in parts

Only this package turns the engine's errors into error codes of the contract. An error of an item fails that item only.
`consumer.workers.quarantine` handles items that end the process.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from consumer.workers.answering.parts import ReadingModel
from consumer.workers.answering.slices import Answering, Slice
from consumer.workers.progress_note import ProgressNote
from consumer.workers.protocol import Rules
from consumer.workers.tasks import Answers, Task
from engine.limits import Limits
from engine.model.binning import Bins
from engine.reader import Reader


class BatchProcessor:
    """Turns a batch of tasks into answers. Owner: the main loop of the worker.

    Parameters
    ----------
    reader
        The engine.
    model
        Name, version and checksum of its model.
    note
        Gets the item that is being read.
    rules
        The limits.
    manifest_sha256, bins
        Of the model, if its readings are to be counted.
    """

    def __init__(
        self,
        reader: Reader,
        model: Mapping[str, str],
        note: ProgressNote,
        rules: Rules,
        *,
        manifest_sha256: str = "",
        bins: Bins | None = None,
    ) -> None:
        limits = Limits(**rules.limits)
        reading = ReadingModel(msgspec.json.encode(model), manifest_sha256, bins)
        self._answering = Answering(reader, note, rules, limits, reading)

    def answer(self, tasks: list[Task]) -> Answers:
        """Answer the tasks of a batch, in order, until the slice is over. Each task continues where it stopped."""
        return Slice(tasks, self._answering).answers()
