"""Models of scikit-learn, trained on its own small collection of digits, and imported."""

from __future__ import annotations

import functools
import warnings
from pathlib import Path
from typing import Any, Final, NamedTuple

import cv2
import numpy as np
import skops.io
from numpy.typing import NDArray
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from threadpoolctl import threadpool_limits

from engine.codecs.decode import Picture
from engine.model.classifier import Classifier
from engine.model.frame import Frame
from engine.model.imported.features import Features, Pixels
from engine.model.imported.predictor import Imported
from engine.model.svm import Decision
from engine.training.sklearn_import.run import Naming, import_sklearn

UNSEEN: Final = 1_000
FRAME: Final = Frame(white=255)
NAMING: Final = Naming("mine", "1")


class Digits(NamedTuple):
    """Pictures as MNIST has them, and what they show."""

    pictures: NDArray[np.uint8]
    """(n, 28, 28)"""
    labels: NDArray[np.int64]

    @property
    def pixels(self) -> NDArray[np.float64]:
        return self.pictures.reshape(len(self.pictures), -1).astype(np.float64)


@functools.cache
def digits() -> tuple[Digits, Digits]:
    """Return digits to train on, and 1,000 others."""
    small, labels = load_digits(return_X_y=True)
    pictures = np.zeros((len(small), 28, 28), np.uint8)
    for picture, image in zip(pictures, small.reshape(-1, 8, 8), strict=True):
        picture[4:24, 4:24] = cv2.resize((image * 15).astype(np.uint8), (20, 20), interpolation=cv2.INTER_LINEAR)
    return Digits(pictures[:-UNSEEN], labels[:-UNSEEN]), Digits(pictures[-UNSEEN:], labels[-UNSEEN:])


def trained(estimator: Any, labels: NDArray[Any] | None = None, features: Any = None) -> Any:
    """Train, on pixels if no other features are given, as far as the collection allows in a moment."""
    seen, _ = digits()
    with warnings.catch_warnings(), threadpool_limits(1):  # threads would wait for one another longer than they work
        warnings.simplefilter("ignore", ConvergenceWarning)
        warnings.filterwarnings("ignore", ".*probability.*", FutureWarning)
        return estimator.fit(seen.pixels if features is None else features, seen.labels if labels is None else labels)


def imported(estimator: Any, folder: Path, frame: Frame = FRAME, features: Features | None = None) -> Classifier:
    """Save a model by skops, import it, load it."""
    skops.io.dump(estimator, folder / "model.skops")
    import_sklearn(folder / "model.skops", folder / "model", frame, features or Pixels(), NAMING)
    return Classifier.load(folder / "model")


def decided(classifier: Classifier, pictures: NDArray[np.uint8]) -> Decision:
    """Decide on pictures as the service does."""
    return classifier.decide(classifier.prepare([Picture(picture) for picture in pictures]))


def predictor(classifier: Classifier) -> Imported:
    """Return the model within."""
    assert isinstance(classifier.predictor, Imported)
    return classifier.predictor
