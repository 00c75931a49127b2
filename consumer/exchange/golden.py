"""The golden set: digits with labels, which two models read before one takes the place of the other.

It is a zip archive of pictures ``LABEL/NAME``. The shipped one has 500 digits drawn by program
(`tests/harness/golden.py`); the setting ``DIGITS_MODEL_GOLDEN`` names another one, for example with your own writers'
digits.
"""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from consumer.workers.canary import task_of
from consumer.workers.tasks import Part, Task
from transport.record_batch import values_of

GOLDEN: Final = Path(__file__).with_name("golden.zip")
"""The shipped set."""
_ENTRY: Final = re.compile(r"(?:.*/)?([0-9])/[^/]+")


class GoldenSetError(Exception):
    """The golden set cannot be used."""


class _Answer(msgspec.Struct):
    item: _Item
    status: str
    digit: int | None


class _Item(msgspec.Struct):
    name: str | None


_DECODER: Final = msgspec.json.Decoder(_Answer)


@dataclass(frozen=True, slots=True)
class GoldenSet:
    """A golden set as a task for workers.

    Attributes
    ----------
    task
        All digits as one archive.
    digits
        How many there are.
    """

    task: Task
    digits: int

    @classmethod
    def read(cls, path: Path) -> GoldenSet:
        """Read a golden set.

        Raises
        ------
        GoldenSetError
            It is not an archive of pictures in folders that are named by their digits.
        """
        try:
            content = path.read_bytes()
            with zipfile.ZipFile(io.BytesIO(content)) as archive:
                names = [each.filename for each in archive.infolist() if not each.is_dir()]
        except (OSError, zipfile.BadZipFile, ValueError, NotImplementedError) as error:
            raise GoldenSetError(f"{path} cannot be read as a zip archive: {error}") from error
        without_label = [name for name in names if _label(name) is None]
        if without_label or not names:
            raise GoldenSetError(f"{path} must have pictures LABEL/NAME, with a digit as LABEL: {without_label[:3]}")
        return cls(task_of(content), len(names))

    def misread(self, parts: Sequence[Part]) -> int:
        """Return how many digits are not recognised as what they are; those that are unsure are among them."""
        right = 0
        for part in parts:
            for batch in part.results:
                for value in values_of(bytes(batch)):
                    answer = _DECODER.decode(value)
                    right += answer.status == "recognised" and str(answer.digit) == _label(answer.item.name or "")
        return self.digits - right


def _label(name: str) -> str | None:
    found = _ENTRY.fullmatch(name)
    return None if found is None else found[1]
