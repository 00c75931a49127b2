"""Make ``cnn.onnx`` and ``cnn.json`` again: a network of JAX, exported by jax2onnx, and what it answers.

Needs ``pip install jax==0.10.2 jax2onnx==0.17.1``, which no test does. Then
``python tests/data/onnx/make_cnn.py --mnist DIR``, where DIR holds MNIST's training files in their original order.

The first 20,000 digits are learned. The answers are JAX's own, for the samples in ``tests/data/digits``, which are
among the last 10,000; onnxruntime has no part in them.
"""

from __future__ import annotations

import argparse
import gzip
import json
from pathlib import Path
from typing import Any

import cv2
import jax
import jax.numpy as jnp
import numpy as np
from jax2onnx import to_onnx
from numpy.typing import NDArray

HERE = Path(__file__).parent
LEARNED = 20_000
STEPS = 600
BATCH = 64
RATE = 0.1
AXES = ("NHWC", "HWIO", "NHWC")


def main() -> None:
    """Train, export, and write down the answers."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mnist", type=Path, required=True, help="folder of train-images-idx3-ubyte.gz and its labels")
    folder = parser.parse_args().mnist
    digits = (_idx(folder / "train-images-idx3-ubyte.gz", 16).reshape(-1, 28, 28, 1)[:LEARNED] / 255).astype(np.float32)
    labels = _idx(folder / "train-labels-idx1-ubyte.gz", 8)[:LEARNED].astype(np.int32)
    weights = _untrained()
    step = jax.jit(lambda old, *data: jax.tree.map(lambda a, g: a - RATE * g, old, jax.grad(_loss)(old, *data)))
    for i in range(STEPS):
        part = slice(i * BATCH % (LEARNED - BATCH), i * BATCH % (LEARNED - BATCH) + BATCH)
        weights = step(weights, digits[part], labels[part])

    exported = to_onnx(lambda pictures: _scores(weights, pictures), [("B", 28, 28, 1)])
    (HERE / "cnn.onnx").write_bytes(exported.SerializeToString())
    samples = sorted((HERE.parent / "digits").glob("*.png"))
    pictures = np.array([cv2.imread(str(sample), cv2.IMREAD_GRAYSCALE) for sample in samples])
    scores = _scores(weights, jnp.asarray(pictures[..., None] / 255, np.float32))
    answers = np.asarray(jax.nn.softmax(scores), np.float64).round(9).tolist()
    lines = (f"{json.dumps(sample.name)}: {json.dumps(row)}" for sample, row in zip(samples, answers, strict=True))
    (HERE / "cnn.json").write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="ascii")


def _untrained() -> dict[str, Any]:
    first, second, dense = jax.random.split(jax.random.PRNGKey(0), 3)
    return {
        "first": jax.random.normal(first, (5, 5, 1, 8)) * 0.2,
        "first bias": jnp.zeros(8),
        "second": jax.random.normal(second, (3, 3, 8, 16)) * 0.1,
        "second bias": jnp.zeros(16),
        "dense": jax.random.normal(dense, (784, 10)) * 0.03,
        "dense bias": jnp.zeros(10),
    }


def _scores(weights: dict[str, Any], pictures: Any) -> Any:
    """Two convolutions, each of which halves the sides, and a product."""
    first = jax.lax.conv_general_dilated(pictures, weights["first"], (2, 2), "SAME", dimension_numbers=AXES)
    first = jax.nn.gelu(first + weights["first bias"])
    second = jax.lax.conv_general_dilated(first, weights["second"], (2, 2), "SAME", dimension_numbers=AXES)
    second = jax.nn.relu(second + weights["second bias"])
    return second.reshape(second.shape[0], -1) @ weights["dense"] + weights["dense bias"]


def _loss(weights: dict[str, Any], pictures: Any, labels: Any) -> Any:
    logs = jax.nn.log_softmax(_scores(weights, pictures))
    return -jnp.mean(jnp.take_along_axis(logs, labels[:, None], 1))


def _idx(path: Path, header_bytes: int) -> NDArray[np.uint8]:
    return np.frombuffer(gzip.decompress(path.read_bytes()), np.uint8, offset=header_bytes)


if __name__ == "__main__":
    main()
