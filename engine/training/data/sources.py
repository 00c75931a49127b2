"""Where training digits come from: MNIST's files, or anybody's pictures in folders named after their digit."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from engine.model.reference_digits import as_ink
from engine.training.data.labelled import Labelled, list_folder, read_mnist
from engine.training.data.samples import prepare_in_parallel

_SHUFFLE_SEED = 0


def read_training_digits(folder: Path) -> Labelled:
    """Read labelled digits.

    Parameters
    ----------
    folder
        Holds ``train-images*`` and ``train-labels*`` as MNIST has them, or pictures as ``LABEL/*``. Pictures go
        through the canvas, as they will when the service reads them, and are put into a random but fixed order, so
        that the last sixth holds all digits.

    Raises
    ------
    DataError
        If there are none, or they cannot be used.
    """
    if any(folder.glob("train-images*")):
        return read_mnist(folder)
    listed = list_folder(folder)
    order = np.random.default_rng(_SHUFFLE_SEED).permutation(len(listed))
    seen = prepare_in_parallel([listed[i][0].read_bytes() for i in order])
    return Labelled(as_ink(seen.digits), np.array([listed[i][1] for i in order], np.int64))
