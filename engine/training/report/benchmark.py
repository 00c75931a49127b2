"""What reading costs, stage by stage, against the plain chain that one would write by hand.

The plain chain is Pillow, `skimage.feature.hog` (9 orientations, 7 px cells, 2x2 blocks) and scikit-learn's
`SVC(C=10, gamma="scale")` trained on all digits, one image a call. Both chains alternate in the same run, on one
thread, and are timed by that thread's processor time: what else the machine does meanwhile counts for neither.
"""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import cv2
import joblib
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from skimage.feature import hog as plain_hog
from sklearn.svm import SVC
from threadpoolctl import threadpool_limits

from engine.canvas.pipeline import normalise
from engine.codecs.decode import decode
from engine.limits import Limits
from engine.model.classifier import Classifier
from engine.model.compact import Compact
from engine.model.hog import hog
from engine.reader import Reader
from engine.training.data.labelled import Labelled
from engine.training.data.samples import png

BATCHES: Final = (1, 32, 256)

TITLES: Final[Mapping[str, str]] = {
    "images_per_s_core": "images/s on one core",
    "plain_chain_images_per_s": "images/s of the plain chain",
    "times_plain_chain": "times the plain chain",
}
"""How tables for people name the figures of `benchmark`."""

_ROUNDS = 5
_SMALL, _LARGE, _PLAIN = 2_560, 40, 100  # images a round
_LARGE_PX = 512
_NOISE = 12.0  # standard deviation, of 255
_MICROSECONDS = 1e6


@dataclass(frozen=True, slots=True)
class PlainChain:
    """The chain written by hand."""

    machine: SVC

    @classmethod
    def trained(cls, data: Labelled, kept: Path) -> PlainChain:
        """Train on all digits, which takes some minutes; or load what an earlier run of ours kept."""
        if not kept.exists():
            described = joblib.Parallel(n_jobs=-1, batch_size=500)(
                joblib.delayed(_plain_features)(digit) for digit in _pixels(data)
            )
            machine = SVC(C=10, gamma="scale", cache_size=1_000).fit(np.asarray(described), data.labels)
            kept.parent.mkdir(parents=True, exist_ok=True)
            joblib.dump(machine, kept)
        return cls(joblib.load(kept))

    def read(self, encoded: bytes) -> int:
        """Read one image."""
        pixels = np.asarray(Image.open(io.BytesIO(encoded)).convert("L"))
        return int(self.machine.predict([_plain_features(pixels)])[0])


def benchmark(classifier: Classifier, data: Labelled, kept: Path, advance: Callable[[], None]) -> dict[str, Any]:
    """Measure both chains.

    Parameters
    ----------
    classifier
        The model.
    data
        MNIST's training digits.
    kept
        Where the plain chain's machine is kept between runs.
    advance
        Called after each of `steps()` steps.

    Returns
    -------
    figures
        `images_per_s_core`, `plain_chain_images_per_s`, `times_plain_chain`, and µs an image for each stage.
    """
    chain = PlainChain.trained(data, kept)
    advance()
    small = [png(digit) for digit in _pixels(data)[:_SMALL]]
    reader = Reader(classifier, Limits())
    ours, plain = [], []
    with threadpool_limits(1):
        reader.read(small[:256])
        chain.read(small[0])
        for _ in range(_ROUNDS):
            ours.append(_timed(lambda: _in_batches(reader.read, small, 256)) / len(small))
            plain.append(_timed(lambda: [chain.read(encoded) for encoded in small[:_PLAIN]]) / _PLAIN)
            advance()
        stages = {f"28 px PNG, batches of {size}": _stages(classifier, reader, small, size) for size in BATCHES}
        for name, encoded in _large(data).items():
            stages[name] = _stages(classifier, reader, encoded, 32)
            advance()
    fast, slow = min(ours), min(plain)
    return {
        "images_per_s_core": round(1 / fast),
        "plain_chain_images_per_s": round(1 / slow, 1),
        "times_plain_chain": round(slow / fast, 1),
        "us_per_image": stages,
    }


def steps() -> int:
    """Count how often `benchmark` will call `advance`."""
    return 1 + _ROUNDS + 3


def _stages(classifier: Classifier, reader: Reader, encoded: Sequence[bytes], size: int) -> dict[str, float]:
    """Time each stage alone, and the whole way; the best of some rounds, µs an image."""
    limits = Limits()
    pictures = [decode(data, limits) for data in encoded]
    canvas = normalise(pictures)
    predictor = classifier.predictor
    rows = range(0, len(encoded), size)
    parts = [slice(row, row + size) for row in rows]
    work: dict[str, Callable[[], object]] = {
        "decode": lambda: [decode(data, limits) for data in encoded],
        "canvas": lambda: [normalise(pictures[part]) for part in parts],
        "whole": lambda: _in_batches(reader.read, encoded, size),
    }
    if isinstance(predictor, Compact):
        work["features"] = lambda: [hog(canvas.digits[part]) for part in parts]
        work["with decision"] = lambda: [predictor.decide(canvas.digits[part], canvas.evidence[part]) for part in parts]
    order = ("decode", "canvas", "features", "with decision", "whole")
    return {name: _best_us(work[name], len(encoded)) for name in order if name in work}


def _best_us(work: Callable[[], object], images: int) -> float:
    return round(min(_timed(work) for _ in range(_ROUNDS)) / images * _MICROSECONDS, 2)


def _timed(work: Callable[[], object]) -> float:
    started_s = time.thread_time()
    work()
    return time.thread_time() - started_s


def _in_batches(read: Callable[[Sequence[bytes]], object], encoded: Sequence[bytes], size: int) -> None:
    for first in range(0, len(encoded), size):
        read(encoded[first : first + size])


def _large(data: Labelled) -> dict[str, list[bytes]]:
    """Enlarge digits to 512 px: as PNG, as PNG with noise, as JPEG."""
    rng = np.random.default_rng(0)
    size = (_LARGE_PX, _LARGE_PX)
    pages = [255 - cv2.resize(digit, size, interpolation=cv2.INTER_CUBIC) for digit in _pixels(data)[:_LARGE]]
    noisy = [np.clip(page + rng.normal(0, _NOISE, size), 0, 255).astype(np.uint8) for page in pages]
    return {
        "512 px PNG, clean": [png(page) for page in pages],
        "512 px PNG, noisy": [png(page) for page in noisy],
        "512 px JPEG": [cv2.imencode(".jpg", page)[1].tobytes() for page in noisy],
    }


def _pixels(data: Labelled) -> NDArray[np.uint8]:
    return np.rint(data.digits * 255).astype(np.uint8)


def _plain_features(pixels: NDArray[np.uint8]) -> NDArray[np.float64]:
    features: NDArray[np.float64] = plain_hog(pixels, orientations=9, pixels_per_cell=(7, 7), cells_per_block=(2, 2))
    return features
