"""Scalar functions on arrays, by the names of the activations; formulas as in `#ktensor.activation`.

Everything is computed in the float type of the input (float32 stays float32, float64 float64); integers count as
float32. Nothing warns: an overflow is an infinity, a function outside its domain not a number.
"""

import math
from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = NDArray[Any]


def apply(kind: str, values: tuple[float, ...], x: Array) -> Array:
    """The function `kind` with parameters `values` of every element of `x`; a new array of its shape.

    Raises KeyError for an unknown name, TypeError for a wrong number of parameters.
    """
    x = x if np.issubdtype(x.dtype, np.floating) else x.astype(np.float32)
    with np.errstate(all="ignore"):
        return FUNCTIONS[kind](x, *values)


def binary(kind: str, lhs: Array, rhs: Array) -> Array:
    """One of BINARY with broadcasting, in the type of `lhs`. Integer division truncates towards zero."""
    with np.errstate(all="ignore"):
        if kind == "div" and np.issubdtype(lhs.dtype, np.integer):
            return np.trunc(lhs / rhs).astype(lhs.dtype)
        return BINARY[kind](lhs, rhs).astype(lhs.dtype, copy=False)


def prelu(x: Array, slope: Array) -> Array:
    """`x if x >= 0 else slope * x`."""
    return np.where(x >= 0, x, x * slope)


def select(condition: Array, lhs: Array, rhs: Array) -> Array:
    """`lhs` where the condition is not 0, else `rhs`, with broadcasting."""
    return np.where(condition != 0, lhs, rhs)


def erf(x: Array) -> Array:
    """The error function, within 1.5e-7 (Abramowitz and Stegun 7.1.26)."""
    t = 1.0 / (1.0 + 0.3275911 * np.abs(x))
    poly = t * (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429))))
    return np.copysign(1.0 - poly * np.exp(-x * x), x)


def sigmoid(x: Array) -> Array:
    """1 / (1 + exp(-x))."""
    return 1.0 / (1.0 + np.exp(-x))


def softplus(x: Array) -> Array:
    """log(1 + exp(x)), exact for large x too."""
    return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))


def _relu(x: Array) -> Array:
    return np.maximum(x, 0)


def _relu6(x: Array) -> Array:
    return np.clip(x, 0, 6)


def _leaky_relu(x: Array, alpha: float) -> Array:
    return np.where(x >= 0, x, alpha * x)


def _hard_sigmoid(x: Array, alpha: float, beta: float) -> Array:
    return np.clip(alpha * x + beta, 0, 1)


def _hard_swish(x: Array) -> Array:
    return x * np.clip(x + 3, 0, 6) / 6


def _swish(x: Array) -> Array:
    return x / (1.0 + np.exp(-x))


def _elu(x: Array, alpha: float) -> Array:
    return np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0)))


def _gelu(x: Array) -> Array:
    return x * (0.5 + 0.5 * erf(x * math.sqrt(0.5)))


def _gelu_tanh(x: Array) -> Array:
    return x * (0.5 + 0.5 * np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x * x * x)))


def _mish(x: Array) -> Array:
    return x * np.tanh(softplus(x))


def _clamp(x: Array, lo: float, hi: float) -> Array:
    return np.minimum(np.maximum(x, lo), hi)


def _fake_quantize(x: Array, scale: float, zero_point: float) -> Array:
    return (np.clip(np.rint(x / scale) + zero_point, 0, 255) - zero_point) * scale


FUNCTIONS: dict[str, Callable[..., Array]] = {
    "relu": _relu,
    "relu6": _relu6,
    "leaky_relu": _leaky_relu,
    "sigmoid": sigmoid,
    "hard_sigmoid": _hard_sigmoid,
    "hard_swish": _hard_swish,
    "swish": _swish,
    "elu": _elu,
    "gelu": _gelu,
    "gelu_tanh": _gelu_tanh,
    "mish": _mish,
    "softplus": softplus,
    "tanh": np.tanh,
    "clamp": _clamp,
    "fake_quantize": _fake_quantize,
    "abs": np.abs,
    "ceil": np.ceil,
    "exp": np.exp,
    "floor": np.floor,
    "log": np.log,
    "neg": np.negative,
    "round": np.rint,
    "rsqrt": lambda x: 1 / np.sqrt(x),
    "sin": np.sin,
    "cos": np.cos,
    "sqrt": np.sqrt,
    "square": np.square,
    "erf": erf,
    "sign": np.sign,
    "tan": np.tan,
    "asin": np.arcsin,
    "acos": np.arccos,
    "atan": np.arctan,
    "sinh": np.sinh,
    "cosh": np.cosh,
    "asinh": np.arcsinh,
    "acosh": np.arccosh,
    "atanh": np.arctanh,
    "add": lambda x, c: x + c,
    "sub": lambda x, c: x - c,
    "rsub": lambda x, c: c - x,
    "mul": lambda x, c: x * c,
    "div": lambda x, c: x / c,
    "rdiv": lambda x, c: c / x,
    "min": lambda x, c: np.minimum(x, c),
    "max": lambda x, c: np.maximum(x, c),
}
"""Each function of one number, taking the array and then its parameters."""

BINARY: dict[str, Callable[[Array, Array], Array]] = {
    "add": np.add,
    "sub": np.subtract,
    "mul": np.multiply,
    "div": np.true_divide,
    "min": np.minimum,
    "max": np.maximum,
    "pow": np.power,
    "floor_mod": np.mod,
    "equal": np.equal,
    "greater": np.greater,
    "greater_equal": np.greater_equal,
}
"""Each function of two numbers; comparisons give 1 or 0."""
