"""The operators that a model in ONNX may have; all others are refused.

They are those of networks that classify pictures. Each computes its result from its inputs alone, in a time that the
sizes of the inputs determine. None of them contains a graph (If, Loop, Scan), draws random numbers, has a state,
handles text, or runs code of another library.
"""

from __future__ import annotations

from typing import Final

ALLOWED: Final = frozenset(
    {
        # products
        *("Conv", "Gemm", "MatMul"),
        # arithmetic, element by element
        *("Abs", "Add", "Ceil", "Clip", "Div", "Exp", "Floor", "Log", "Max", "Min", "Mul", "Neg", "Pow", "Reciprocal"),
        *("Sqrt", "Sub", "Sum"),
        # activations
        *("Celu", "Elu", "Erf", "Gelu", "HardSigmoid", "HardSwish", "LeakyRelu", "LogSoftmax", "Mish", "PRelu", "Relu"),
        *("Selu", "Sigmoid", "Softmax", "Softplus", "Softsign", "Tanh"),
        # normalisation, of which Dropout does nothing outside training
        *("BatchNormalization", "Dropout", "GroupNormalization", "InstanceNormalization", "LRN", "LayerNormalization"),
        # pooling
        *("AveragePool", "GlobalAveragePool", "GlobalMaxPool", "MaxPool", "ReduceMax", "ReduceMean", "ReduceSum"),
        # form
        *("Cast", "Concat", "Constant", "Expand", "Flatten", "Gather", "Identity", "Pad", "Reshape", "Shape", "Slice"),
        *("Split", "Squeeze", "Transpose", "Unsqueeze"),
    }
)
"""Of the domain ``ai.onnx``; operators of other domains are refused."""
