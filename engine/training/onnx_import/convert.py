"""Converts a file in ONNX to a model folder."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
from onnx import ModelProto

from engine.codecs.decode import Picture
from engine.model import store
from engine.model.frame import Frame
from engine.model.onnx.graph import MODEL_BYTES, operator, shown
from engine.model.onnx.loading import load
from engine.model.onnx.picture_form import PictureForm
from engine.model.onnx.predictor import KIND, PROBABILITIES, SCORES, OnnxModel, build, describe, to_arrays
from engine.model.onnx.session import COPIES, LOADING_BYTES, limited_memory
from engine.model.reference import FIELD
from engine.model.reference_digits import draw_reference_digits
from engine.model.store import Model, Thresholds
from engine.model.svm import DIGITS
from engine.training.onnx_import.calibration import calibrate
from engine.training.onnx_import.pruning import pruned

_SUM_TOLERANCE: Final = 1e-3  # of ten probabilities


class OnnxError(Exception):
    """The file is refused; the message says why."""


@dataclass(frozen=True, slots=True)
class Description:
    """What the file does not say about its model."""

    name: str
    version: str
    output: str | None = None
    """None for the only output that holds decimal numbers."""
    bright_ink: bool = True
    white: float = 1.0
    canvas: bool = False
    mean: float = 0.0
    std: float = 1.0
    labels: tuple[int, ...] = tuple(range(DIGITS))


def import_onnx(
    path: Path, folder: Path, description: Description, calibrate_on: Path | None = None, unsure_share: float = 0.01
) -> Model:
    """Check a file in ONNX, calibrate it, and write it as a model folder.

    Parameters
    ----------
    path
        The file.
    folder
        Where the model goes.
    description
        Name and version, and the form of the training pictures.
    calibrate_on
        Labelled pictures, ``LABEL/*``, that the model was not trained on. Without them the confidence is the model's
        own, and nothing is unsure.
    unsure_share
        The share of these pictures that is to be unsure.

    Raises
    ------
    OnnxError
        The file is refused.
    DataError
        The labelled pictures cannot be used.
    """
    with path.open("rb") as file:
        content = file.read(MODEL_BYTES + 1)
    try:
        with limited_memory(LOADING_BYTES + COPIES * len(content)):
            parsed, output = pruned(content, description.output)
            needed = parsed.SerializeToString()
        model = _described(needed, output, description)
    except ValueError as error:
        raise OnnxError(f"{path} is refused: {error}") from error
    thresholds, figures, reference = Thresholds(confidence=0.0, digitness=0.0), None, None
    if calibrate_on is not None:
        model, thresholds, figures, reference = calibrate(model, calibrate_on, unsure_share)
    about = {
        "kind": KIND,
        "name": description.name,
        "version": description.version,
        "frame": asdict(model.frame),
        "onnx": describe(model),
        "imported": {"file": path.name, "sha256": hashlib.sha256(content).hexdigest(), **_contents(parsed)},
        "calibrated": figures is not None,
        "temperature": round(model.temperature, 4),
        "thresholds": asdict(thresholds),
        **({"held_out": figures} if figures is not None else {}),
        **({FIELD: msgspec.to_builtins(reference)} if reference is not None else {}),
    }
    return store.save(folder, to_arrays(model), thresholds, about)


def _described(content: bytes, output: str, description: Description) -> OnnxModel:
    """Build the model, and find out what its output holds."""
    loaded = load(content, output)
    side_px = PictureForm(loaded.sizes, loaded.dtype).side_px
    frame = Frame(side_px, description.bright_ink, description.white, description.canvas)
    form = {"frame": frame, "mean": description.mean, "std": description.std, "labels": description.labels}

    def built(gives: str) -> OnnxModel:
        return build(content, output, gives=gives, temperature=1.0, **form)  # type: ignore[arg-type]  # as named above

    model = built(SCORES)
    outputs = model.scores(model.prepare([Picture(digit) for digit in draw_reference_digits()]).digits)
    if not np.isfinite(outputs).all():
        raise ValueError("what it says of printed digits is not finite: --white, --mean or --std may be wrong")
    sums_to_one = np.abs(outputs.sum(axis=1) - 1).max() < _SUM_TOLERANCE
    return built(PROBABILITIES) if outputs.min() >= 0 and sums_to_one else model


def _contents(parsed: ModelProto) -> dict[str, Any]:
    """Return what the manifest says about the file's content."""
    return {
        "producer": shown(f"{parsed.producer_name} {parsed.producer_version}".strip()),
        "operators": sorted({operator(node) for node in parsed.graph.node}),
        "weights": sum(int(np.prod(tensor.dims)) for tensor in parsed.graph.initializer),
    }
