"""A model in ONNX as one kind of model: its file is one of the arrays, and is checked at each loading."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from engine.canvas.pipeline import Canvas
from engine.codecs.decode import Picture
from engine.model.compact import reject_arrays, reject_of
from engine.model.files import ModelError
from engine.model.frame import Frame
from engine.model.hog import SIDE_PX, hog
from engine.model.onnx.picture_form import PictureForm
from engine.model.reject_head import RejectHead
from engine.model.second_look import look_again
from engine.model.svm import DIGITS, Decision, Floats, softmax

if TYPE_CHECKING:
    from engine.model.onnx.session import Run

KIND: Final = "onnx"
PROBABILITIES: Final = "probabilities"
SCORES: Final = "scores"

_IS_DIGIT = np.float32(30)  # log odds: without a reject head it has no means to detect pictures without a digit
_LEAST = np.float32(1e-12)  # smaller probabilities count as this
_OF_REJECT = "from_features"  # an array that only a model with a reject head has


@dataclass(frozen=True, slots=True)
class OnnxModel:
    """A checked model in ONNX, ready to read."""

    content: bytes
    """The file."""
    output: str
    """The name of the output that is read."""
    frame: Frame
    form: PictureForm
    gives: str
    """What the output holds: `PROBABILITIES`, or `SCORES` before the softmax."""
    labels: tuple[int, ...]
    """The digit of each column of the output."""
    temperature: float
    run: Run
    at_once: int
    """How many pictures are read at once."""
    is_padded: bool
    """Whether it must be this number."""
    reject: RejectHead | None = None
    """Says whether the picture shows a digit at all, and then doubtful digits get a second look: as for the compact
    machine. Only models that this project trains have one."""

    def prepare(self, pictures: Sequence[Picture]) -> Canvas:
        """Turn pictures into the input of `decide`."""
        return self.frame.prepare(pictures)

    def decide(self, digits: Floats, evidence: Floats) -> Decision:
        """Decide on n digits (n, side, side), as returned by `prepare`; without a reject head each counts as a digit.

        Where the output is not finite, the picture counts as none, so that the reading is unsure.
        """
        scores, digitness = self.first_scores(digits), np.full(len(digits), _IS_DIGIT)
        if self.reject is not None:
            digitness = self.reject.digitness(hog(digits), scores, evidence)
            scores = look_again(self.first_scores, digits, scores)
        is_finite = np.isfinite(scores).all(axis=1)
        scores[~is_finite] = 0
        digitness[~is_finite] = -_IS_DIGIT
        return Decision(scores.argmax(axis=1), softmax(scores / np.float32(self.temperature)), digitness)

    def scores(self, digits: Floats) -> Floats:
        """Return the scores (n, 10) of the digits 0 to 9 that `decide` turns into probabilities."""
        first = self.first_scores(digits)
        return first if self.reject is None else look_again(self.first_scores, digits, first)

    def first_scores(self, digits: Floats) -> Floats:
        """Return the scores (n, 10) that the network computes, before a second look."""
        outputs = np.empty((len(digits), DIGITS), np.float32)
        for first in range(0, len(digits), self.at_once):
            pictures = self.form.of(self.frame.to_training_range(digits[first : first + self.at_once]))
            count = len(pictures)
            if self.is_padded and count < self.at_once:
                pictures = np.pad(pictures, [(0, self.at_once - count)] + [(0, 0)] * (pictures.ndim - 1))
            outputs[first : first + count] = self.run(pictures)[:count]
        scores = np.empty_like(outputs)
        scores[:, self.labels] = np.log(np.maximum(outputs, _LEAST)) if self.gives == PROBABILITIES else outputs
        return scores


def to_arrays(model: OnnxModel) -> dict[str, NDArray[Any]]:
    """Return the arrays to store."""
    arrays = {"onnx": np.frombuffer(model.content, np.uint8), "temperature": np.asarray(model.temperature)}
    return arrays if model.reject is None else arrays | reject_arrays(model.reject)


def describe(model: OnnxModel) -> dict[str, Any]:
    """Return what the manifest says about the model, beside the frame."""
    return {
        "output": model.output,
        "layout": model.form.layout,
        "mean": model.form.mean,
        "std": model.form.std,
        "gives": model.gives,
        "labels": list(model.labels),
    }


def from_arrays(arrays: Mapping[str, NDArray[Any]], about: Mapping[str, Any]) -> OnnxModel:
    """Build the model from the file's arrays and what the manifest says about it.

    Raises
    ------
    KeyError, TypeError, ValueError
        Something is missing, does not belong together, or is refused.
    ModelError
        onnxruntime is not installed.
    """
    if arrays["onnx"].dtype != np.uint8 or arrays["onnx"].ndim != 1:
        raise ValueError("onnx must hold bytes")
    how = about["onnx"]
    return build(
        arrays["onnx"].tobytes(),
        how["output"],
        frame=Frame(**about["frame"]),
        mean=float(how["mean"]),
        std=float(how["std"]),
        gives=how["gives"],
        labels=tuple(how["labels"]),
        temperature=float(arrays["temperature"]),
        reject=reject_of(arrays) if _OF_REJECT in arrays else None,
    )


def build(
    content: bytes,
    output: str,
    *,
    frame: Frame,
    mean: float,
    std: float,
    gives: str,
    labels: tuple[int, ...],
    temperature: float,
    reject: RejectHead | None = None,
) -> OnnxModel:
    """Check a file in ONNX and prepare it; the parameters are those of `OnnxModel` and `PictureForm`.

    Raises
    ------
    ValueError
        It is refused.
    ModelError
        onnxruntime is not installed.
    """
    if sorted(labels) != list(range(DIGITS)) or gives not in (PROBABILITIES, SCORES) or not temperature > 0:
        raise ValueError(f"labels {list(labels)}, output of {gives} or temperature {temperature} are not possible")
    try:
        from engine.model.onnx.loading import load  # noqa: PLC0415  # needs an optional extra
    except ModuleNotFoundError as error:
        raise ModelError(f"models in ONNX need {error.name}: pip install 'digitstream[onnx]'") from error
    loaded = load(content, output)
    form = PictureForm(loaded.sizes, loaded.dtype, mean, std)
    if form.side_px != frame.side_px:
        raise ValueError(f"its pictures have {form.side_px} px, not {frame.side_px}")
    if reject is not None and not (frame.canvas and frame.side_px == SIDE_PX):
        raise ValueError(f"a reject head needs pictures of {SIDE_PX} px from the canvas")
    return OnnxModel(
        content, output, frame, form, gives, labels, temperature, loaded.run, loaded.at_once, loaded.is_padded, reject
    )
