"""The rival's classifier: scikit-image's HOG and scikit-learn's SVC, trained once and kept."""

from __future__ import annotations

import hashlib
import time
import warnings
from pathlib import Path
from typing import Final

import joblib
import numpy as np
import sklearn
from numpy.typing import NDArray
from rich.console import Console
from skimage.feature import hog
from sklearn.svm import SVC

from benchmarks.digits import read_pixels

CACHE: Final = Path(".digitstream") / "bench"


def features(digit: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Describe a (28, 28) digit by 3 x 3 blocks of 2 x 2 cells of 7 px with 9 orientations: (324,)."""
    described: NDArray[np.float64] = hog(digit, orientations=9, pixels_per_cell=(7, 7), cells_per_block=(2, 2))
    return described


def trained(mnist: Path, console: Console) -> Path:
    """Return the file of an SVC trained on all 60,000 digits, made at the first call.

    Its probabilities come from an inner cross-validation, so training takes many minutes.
    """
    data = hashlib.sha256(b"".join(path.read_bytes() for path in sorted(mnist.glob("train-*")))).hexdigest()
    path = CACHE / f"svc-{sklearn.__version__}-{data[:12]}.joblib"
    if path.exists():
        return path
    pixels, digits = read_pixels(mnist)
    console.print(f"training the rival's SVC on {len(digits):,} digits, once; it is then kept as {path}")
    began = time.monotonic()
    described = np.stack([features(digit) for digit in pixels])
    with warnings.catch_warnings():
        # Deprecated since scikit-learn 1.9, and yet what the loop has that one finds written by hand.
        warnings.filterwarnings("ignore", message=".*probability", category=FutureWarning)
        machine = SVC(C=10, gamma="scale", probability=True, cache_size=2000, random_state=0)
        machine.fit(described, digits.labels)
    console.print(f"trained in {time.monotonic() - began:.0f} s, {machine.n_support_.sum():,} support vectors")
    CACHE.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".part")
    joblib.dump(machine, unfinished)
    return unfinished.rename(path)
