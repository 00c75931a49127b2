"""A model in ONNX as one kind of model: its file is one of the arrays, and is checked at each loading."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from engine.canvas.pipeline import Canvas
from engine.codecs.decode import Picture
from engine.model.files import ModelError
from engine.model.frame import Frame
from engine.model.onnx.picture_form import PictureForm
from engine.model.svm import DIGITS, Decision, Floats, softmax

if TYPE_CHECKING:
    from engine.model.onnx.session import Run

KIND: Final = "onnx"
PROBABILITIES: Final = "probabilities"
SCORES: Final = "scores"

_IS_DIGIT = np.float32(30)  # log odds: such a model has no means to detect pictures without a digit
_LEAST = np.float32(1e-12)  # smaller probabilities count as this


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

    def prepare(self, pictures: Sequence[Picture]) -> Canvas:
        """Turn pictures into the input of `decide`."""
        return self.frame.prepare(pictures)

    def decide(self, digits: Floats, evidence: Floats) -> Decision:
        """Decide on n digits (n, side, side), as returned by `prepare`; every picture is taken for a digit.

        Where the output is not finite, the picture counts as none, so that the reading is unsure.
        """
        del evidence  # the model sees nothing but the digits
        scores = self.scores(digits)
        is_finite = np.isfinite(scores).all(axis=1)
        scores[~is_finite] = 0
        digitness = np.where(is_finite, _IS_DIGIT, -_IS_DIGIT).astype(np.float32)
        return Decision(scores.argmax(axis=1), softmax(scores / np.float32(self.temperature)), digitness)

    def scores(self, digits: Floats) -> Floats:
        """Return the scores (n, 10) of the digits 0 to 9 that `decide` turns into probabilities."""
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
    return {"onnx": np.frombuffer(model.content, np.uint8), "temperature": np.asarray(model.temperature)}


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
    return OnnxModel(
        content, output, frame, form, gives, labels, temperature, loaded.run, loaded.at_once, loaded.is_padded
    )
