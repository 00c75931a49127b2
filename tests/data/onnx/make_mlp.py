"""Make ``mlp.onnx`` and ``mlp.json`` again: a network of scikit-learn, exported by skl2onnx, and what it answers.

Needs ``pip install scikit-learn==1.9.1 skl2onnx==1.20.0``, which no test does. Then
``python tests/data/onnx/make_mlp.py --mnist DIR``, where DIR holds MNIST's training files in their original order.

The first 50,000 digits are learned. The answers are scikit-learn's own, in double precision, for the samples in
``tests/data/digits``, which are among the other 10,000; onnxruntime has no part in them.
"""

from __future__ import annotations

import argparse
import gzip
import json
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from skl2onnx import to_onnx
from sklearn.neural_network import MLPClassifier

HERE = Path(__file__).parent
LEARNED = 50_000
HIDDEN = 24  # units: the file is to stay below 100 kB
SEED = 17


def main() -> None:
    """Train, export, and write down the answers."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mnist", type=Path, required=True, help="folder of train-images-idx3-ubyte.gz and its labels")
    folder = parser.parse_args().mnist
    pixels = _idx(folder / "train-images-idx3-ubyte.gz", 16).reshape(-1, 28 * 28)[:LEARNED]
    labels = _idx(folder / "train-labels-idx1-ubyte.gz", 8)[:LEARNED]
    network = MLPClassifier((HIDDEN,), random_state=SEED, max_iter=30, early_stopping=True)
    network.fit((pixels / 255).astype(np.float32), labels)

    exported = to_onnx(network, np.zeros((1, 28 * 28), np.float32), options={"zipmap": False})
    (HERE / "mlp.onnx").write_bytes(exported.SerializeToString())
    samples = sorted((HERE.parent / "digits").glob("*.png"))
    pictures = np.array([cv2.imread(str(sample), cv2.IMREAD_GRAYSCALE) for sample in samples]).reshape(-1, 28 * 28)
    answers = network.predict_proba(pictures / 255).round(9).tolist()
    lines = (f"{json.dumps(sample.name)}: {json.dumps(row)}" for sample, row in zip(samples, answers, strict=True))
    (HERE / "mlp.json").write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="ascii")


def _idx(path: Path, header_bytes: int) -> NDArray[np.uint8]:
    return np.frombuffer(gzip.decompress(path.read_bytes()), np.uint8, offset=header_bytes)


if __name__ == "__main__":
    main()
