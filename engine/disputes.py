"""Who is right where two models disagree: counts over labelled pictures, and whether that could be chance.

Pictures that both read alike say nothing about which model is better. McNemar's exact test looks only at those of which
exactly one model is right: if the models were equally good, each would be right in half of them.
"""

from __future__ import annotations

import csv
import json
import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, Literal

LINES: Final = "disagreements.jsonl"
NO_DIGIT: Final = "none"
"""The label of a picture without a digit; a model is right about it if it is unsure."""
_LABELS: Final = frozenset({*map(str, range(10)), NO_DIGIT})

Right = Literal["champion", "challenger", "both", "neither"]


class DisputeError(ValueError):
    """The folder or the labels cannot be used; the message says why."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a model has answered, and its name with its version."""

    model: str
    status: str
    digit: int

    def is_right(self, label: str) -> bool:
        """Return whether it is, given what the picture shows."""
        if label == NO_DIGIT:
            return self.status == "unsure"
        return self.status == "recognised" and str(self.digit) == label


@dataclass(frozen=True, slots=True)
class Dispute:
    """A picture that two models have read differently."""

    file: str
    champion: Answer
    challenger: Answer

    def right(self, label: str) -> Right:
        """Return which of the models is right."""
        champion, challenger = self.champion.is_right(label), self.challenger.is_right(label)
        if champion and challenger:
            return "both"
        if champion or challenger:
            return "champion" if champion else "challenger"
        return "neither"


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two models, over the pictures on which they disagree."""

    champion: str
    challenger: str
    disputed: int
    labelled: int
    champion_right: int
    challenger_right: int
    neither_right: int
    p_value: float
    """How likely so large a difference is, in either direction, if both models are equally good."""

    def figures(self) -> dict[str, Any]:
        """Return them for JSON."""
        return asdict(self)


def read_disputes(folder: Path) -> list[Dispute]:
    """Read what `digit-producer disagreements --to FOLDER` has written.

    Raises
    ------
    DisputeError
        The folder has no such file, or one that cannot be read.
    """
    path = folder / LINES
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DisputeError(f"{path} cannot be read: {error}") from error
    disputes = []
    for number, line in enumerate(lines, 1):
        try:
            read = json.loads(line)
            disputes.append(Dispute(str(read["file"]), _answer(read["champion"]), _answer(read["challenger"])))
        except (ValueError, KeyError, TypeError) as error:
            raise DisputeError(f"{path}, line {number} is no disagreement: {error!r}") from error
    return disputes


def read_labels(path: Path) -> dict[str, str]:
    """Read what pictures show: a CSV file with the columns ``file`` and ``label``, a digit or ``none``.

    Raises
    ------
    DisputeError
        It cannot be read, or has something else.
    """
    labels: dict[str, str] = {}
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = csv.DictReader(file)
            for row in rows:
                name, label = row.get("file"), (row.get("label") or "").strip()
                if name is None or label not in _LABELS:
                    raise DisputeError(f"{path}, line {rows.line_num} must be a file and its label, 0 to 9 or none")
                if labels.setdefault(name, label) != label:
                    raise DisputeError(f"{path}, line {rows.line_num}: {name} has two labels")
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DisputeError(f"{path} cannot be read: {error}") from error
    return labels


def compare(disputes: list[Dispute], labels: Mapping[str, str]) -> list[Comparison]:
    """Compare each pair of models that has disputes; those without a label are only counted.

    Raises
    ------
    DisputeError
        A label is of no picture that is disputed.
    """
    if unknown := sorted(labels.keys() - {each.file for each in disputes}):
        raise DisputeError(f"there are labels of {len(unknown)} pictures that are not disputed, such as {unknown[0]}")
    pairs: dict[tuple[str, str], list[Dispute]] = {}
    for each in disputes:
        pairs.setdefault((each.champion.model, each.challenger.model), []).append(each)
    compared = []
    for (champion, challenger), some in pairs.items():
        right = Counter(each.right(labels[each.file]) for each in some if each.file in labels)
        compared.append(
            Comparison(
                champion,
                challenger,
                len(some),
                right.total(),
                right["champion"],
                right["challenger"],
                right["neither"],
                mcnemar(right["champion"], right["challenger"]),
            )
        )
    return compared


def mcnemar(first: int, second: int) -> float:
    """Return the two-sided p-value of McNemar's exact test.

    Parameters
    ----------
    first, second
        How often only the one, and only the other, is right.
    """
    trials = first + second
    tail = sum(math.comb(trials, each) for each in range(min(first, second) + 1))
    share: float = 2 * tail / 2**trials  # of whole numbers of any size, which Python divides exactly
    return min(1.0, share)


def _answer(read: Mapping[str, Any]) -> Answer:
    model = read["model"]
    named = f"{model['name']} {model['version']} ({model['sha256'][:12]})"
    return Answer(named, str(read["status"]), int(read["digit"]))
