"""The network: convolutions with batch normalisation and pooling, one hidden layer, ten scores.

step      28x28 pixels become
detail    16 maps of 14x14, by 5x5 convolutions
strokes   32 maps of 7x7, by 3x3 convolutions, twice
shape     64 maps of 3x3, by 3x3 convolutions, twice
decide    128 hidden units, then a score for each digit

After the training, each normalisation is folded into the convolution before it.
"""

from __future__ import annotations

from typing import Any, Final

import keras
import numpy as np

from engine.model.hog import SIDE_PX
from engine.model.svm import DIGITS
from engine.training.cnn.shape import POOL_PX, Shape, Weights

_EPSILON: Final = 1e-3  # in the normalisation
_KEPT: Final = 0.98  # weight of the past in its running mean


def build(shape: Shape, precision: str, seed: int) -> keras.Model:
    """Build the network for training, with random weights.

    Parameters
    ----------
    shape
        Its size.
    precision
        Of the products: `float32` or `mixed_bfloat16`, which is faster on processors that have it. Weights, sums and
        scores are float32 in both.
    seed
        Of the random weights.
    """
    keras.utils.set_random_seed(seed)
    layers = keras.layers
    given = keras.Input((SIDE_PX, SIDE_PX, 1))
    flow: Any = given
    for block in shape.blocks:
        for side, maps in block:
            flow = layers.Conv2D(maps, side, padding="same", use_bias=False, dtype=precision)(flow)
            flow = layers.BatchNormalization(momentum=_KEPT, epsilon=_EPSILON, dtype=precision)(flow)
            flow = layers.ReLU(dtype=precision)(flow)
        flow = layers.MaxPool2D(POOL_PX, dtype=precision)(flow)
    flow = layers.Dropout(shape.dropped, dtype=precision)(layers.Flatten(dtype=precision)(flow))
    flow = layers.Dense(shape.hidden, activation="relu", dtype=precision)(flow)
    flow = layers.Dropout(shape.dropped, dtype=precision)(flow)
    return keras.Model(given, layers.Dense(DIGITS, dtype="float32")(flow))


def folded(network: keras.Model, shape: Shape) -> Weights:
    """Return the weights of a trained network, its normalisations folded into its convolutions."""
    weights: Weights = {}
    convolutions = [layer for layer in network.layers if isinstance(layer, keras.layers.Conv2D)]
    normalisations = [layer for layer in network.layers if isinstance(layer, keras.layers.BatchNormalization)]
    for number, (convolution, normalisation) in enumerate(zip(convolutions, normalisations, strict=True)):
        (kernel,) = convolution.get_weights()
        gain, offset, mean, variance = normalisation.get_weights()
        factor = gain / np.sqrt(variance + np.float32(_EPSILON))
        weights[f"kernel{number}"] = kernel * factor
        weights[f"bias{number}"] = offset - mean * factor
    hidden, output = (layer for layer in network.layers if isinstance(layer, keras.layers.Dense))
    side, maps = shape.pooled_px, shape.blocks[-1][-1][1]
    from_maps, weights["hidden_bias"] = hidden.get_weights()
    # TensorFlow flattens maps last, ONNX maps first.
    weights["hidden"] = from_maps.reshape(side, side, maps, -1).transpose(2, 0, 1, 3).reshape(side * side * maps, -1)
    weights["output"], weights["output_bias"] = output.get_weights()
    return weights
