"""The activation functions of the tests, in plain numpy, and reference convolutions."""

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Real = NDArray[np.float64]


def _sigmoid(x: Real) -> Real:
    return 1 / (1 + np.exp(np.minimum(-x, 700)))


FUNCTIONS: dict[str, Callable[[Real], Real]] = {
    "linear": lambda x: x,
    "relu": lambda x: np.maximum(x, 0),
    "relu6": lambda x: np.clip(x, 0, 6),
    "clamp": lambda x: np.clip(x, -1.3, 2.7),
    "leaky": lambda x: np.where(x > 0, x, 0.1 * x),
    "hard_sigmoid": lambda x: np.clip(0.2 * x + 0.5, 0, 1),
    "sigmoid": _sigmoid,
    "tanh": np.tanh,
    "hard_swish": lambda x: x * np.clip(x + 3, 0, 6) / 6,
    "swish": lambda x: x * _sigmoid(x),
    "mish": lambda x: x * np.tanh(np.logaddexp(x, 0)),
    "elu": lambda x: np.where(x > 0, x, np.expm1(np.minimum(x, 0))),
    "gelu": lambda x: 0.5 * x * (1 + np.vectorize(math.erf)(x / math.sqrt(2))),
    "softplus": lambda x: np.logaddexp(x, 0),
    "negative": lambda x: -x,
    "falling_relu": lambda x: 2 - np.maximum(x, 0),
    "abs": np.abs,
}
EXACT = ("linear", "relu", "relu6", "clamp", "leaky", "hard_sigmoid", "negative", "falling_relu")
"""Made of few straight pieces: the table must be as good as rounding itself."""


def convolve(x: Real, w: Real, depthwise: bool) -> Real:
    """Zero-padded stride-1 convolution of one image [IC, H, W] with [OC, IC, k, k] or [C, 1, k, k], k odd."""
    k, height, width = w.shape[-1], *x.shape[1:]
    edge = k // 2
    padded = np.pad(x, ((0, 0), (edge, edge), (edge, edge)))
    out = np.zeros((len(w), height, width))
    for row in range(k):
        for column in range(k):
            part = padded[:, row : row + height, column : column + width]
            tap = w[:, :, row, column]
            out += tap[:, 0, None, None] * part if depthwise else np.einsum("oi,ihw->ohw", tap, part)
    return out
