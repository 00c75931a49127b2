"""Measures what a model's readings look like, and writes that into its manifest. The arrays stay as they are."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import islice
from pathlib import Path
from typing import Final

import msgspec
import numpy as np

from engine.codecs.decode import Picture
from engine.model.binning import measured
from engine.model.classifier import Classifier, stated_confidence, unsure_masks
from engine.model.files import ARRAYS, MANIFEST, ModelFiles, ModelInfo
from engine.model.reference import FIELD, Reference
from engine.model.store import Thresholds
from engine.model.svm import Decision
from engine.training.data.labelled import DataError

FEWEST: Final = 1_000
"""Pictures of which a reference can be made: of fewer, the tenths themselves are too uncertain."""
_CHUNK: Final = 256


def reference_of_pictures(
    classifier: Classifier, pictures: Iterable[Picture], advance: Callable[[int], None]
) -> Reference:
    """Read pictures as the service does, and count the readings.

    Parameters
    ----------
    classifier
        The model.
    pictures
        At least `FEWEST`, none of which the model has learned from, and none that it is tested with.
    advance
        Called with the number of pictures read since the last call.

    Raises
    ------
    DataError
        They are too few.
    """
    chunks, left = [], iter(pictures)
    while chunk := list(islice(left, _CHUNK)):
        chunks.append(classifier.decide(classifier.prepare(chunk)))
        advance(len(chunk))
    count = sum(len(chunk.labels) for chunk in chunks)
    if count < FEWEST:
        raise DataError(f"{count:,} pictures are too few for a reference; at least {FEWEST:,} are needed")
    decision = Decision(
        np.concatenate([each.labels for each in chunks]),
        np.concatenate([each.probabilities for each in chunks]),
        np.concatenate([each.digitness for each in chunks]),
    )
    return reference_of_decision(decision, classifier.thresholds)


def reference_of_decision(decision: Decision, thresholds: Thresholds) -> Reference:
    """Count the readings that a decision on pictures of the kind above gives."""
    unsure = np.logical_or(*unsure_masks(decision, thresholds))
    return measured(decision.labels, unsure, stated_confidence(decision, unsure, thresholds), decision.digitness)


def write_reference(files: ModelFiles, reference: Reference, folder: Path, version: str | None) -> ModelInfo:
    """Write a model with another reference, and another version if one is given."""
    manifest = {**files.manifest, FIELD: msgspec.to_builtins(reference)}
    if version is not None:
        manifest["version"] = version
    content = msgspec.json.format(msgspec.json.encode(manifest), indent=2) + b"\n"
    made = ModelFiles.checked(folder, content, files.arrays_npz)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / ARRAYS).write_bytes(files.arrays_npz)
    (folder / MANIFEST).write_bytes(content)
    return made.info
