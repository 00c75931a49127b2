"""Answers tasks: from record batches to finished record batches of results.

scan       find the records of the batches, in groups
check      what may be echoed, and whether a record may be read
read       classify the records of a group with the engine, until the slice is over
write      results and dead letters, in parts
challenge  read a share of the pictures with the challenger, if there is one, when the answer has been sent

Only this package turns the engine's errors into error codes of the contract. An error of an item fails that item only.
`consumer.workers.quarantine` handles items that end the process.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import msgspec

from consumer.workers.answering.parts import ReadingModel
from consumer.workers.answering.slices import Answering, Slice
from consumer.workers.challenge.challenger import Challenger
from consumer.workers.challenge.report import Challenged
from consumer.workers.challenge.sampling import Samples
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
    challenger
        Reads a share of the pictures again; None if there is none.
    """

    def __init__(
        self,
        reader: Reader,
        model: Mapping[str, str],
        note: ProgressNote,
        rules: Rules,
        challenger: Challenger | None = None,
        *,
        manifest_sha256: str = "",
        bins: Bins | None = None,
    ) -> None:
        limits = Limits(**rules.limits)
        reading = ReadingModel(msgspec.json.encode(model), manifest_sha256, bins)
        self._answering = Answering(reader, note, rules, limits, reading)
        self._challenger = challenger
        self._samples = Samples(rules.challenger_share)

    def answer(self, tasks: list[Task]) -> Answers:
        """Answer the tasks of a batch, in order, until the slice is over. Each task continues where it stopped."""
        if self._challenger is None:
            return Slice(tasks, self._answering).answers()
        self._samples = Samples(self._answering.rules.challenger_share)
        answers = Slice(tasks, self._answering, self._samples).answers()
        return msgspec.structs.replace(answers, is_challenged=bool(self._samples))

    def challenge(self, is_wanted: Callable[[], bool]) -> Challenged:
        """Read with the challenger what was sampled of the last batch. Call it when the answers have been sent.

        Parameters
        ----------
        is_wanted
            True if the next batch has come: then the rest is left out.
        """
        samples, self._samples = self._samples, Samples(self._answering.rules.challenger_share)
        return Challenged() if self._challenger is None else self._challenger.challenge(samples, is_wanted)
