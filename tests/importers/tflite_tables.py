"""LiteRT's functions of int16: tables of 513 entries, with lines between them.

They lie up to a thousand codes from the function where it is curved (a logarithm near 0). kpuir computes the function;
that LiteRT's results are those of its tables, code by code, shows that nothing else makes the difference.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
LEAST, MOST = -32768, 32767


def table(function: Callable[[Array], Array], scale: float, zero_point: int, out_scale: float, kind: Any) -> Array:
    """The 513 codes of a function; each but the last is moved by half of what its line is off in the middle."""
    low, high = (kind(scale) * kind(code - zero_point) for code in (LEAST, MOST))
    step = (high - low) / kind(512)
    to_codes = kind(65536) / (kind(out_scale) * kind(MOST) - kind(out_scale) * kind(LEAST))
    places = low + np.arange(513).astype(kind) * step
    values = function(places).astype(kind) * to_codes
    middles = away(function(places[:-1] + step / kind(2)).astype(kind) * to_codes)
    lines = away((values[1:] + away(values[:-1])) / kind(2))
    entries = away(values[:-1]) - away((lines - middles) / kind(2))
    last = away(function(np.array([high], kind)).astype(kind) * to_codes)
    return np.clip(np.concatenate([entries, last]), LEAST, MOST).astype(np.int64)


def looked_up(codes: Array, entries: Array) -> Array:
    """The codes on the lines between entries."""
    codes = codes.astype(np.int64)
    index = 256 + (codes >> 7)
    slope = (entries[index + 1] - entries[index]).astype(np.int16).astype(np.int64)
    return entries[index] + (slope * (codes & 127) + 64 >> 7)


def softmax(codes: Array, scale: float, beta: float) -> Array:
    """The codes of a softmax over the last axis: a table of exponentials on -10..0, one of 1 / (1 + x) on 0..1."""
    exponentials = table(np.exp, 10 / 65535, MOST, 2 / 65535, np.float64)
    reciprocals = table(lambda x: 1 / (1 + x), 1 / 65535, LEAST, 2 / 65535, np.float64)
    distance = codes.astype(np.int64) - codes.max(-1, keepdims=True)
    scaled = away(distance * (np.float32(scale) * np.float64(beta) * 6553.5)).astype(np.int64) + MOST
    powers = looked_up(np.clip(scaled, LEAST, MOST), exponentials)
    total = powers.sum(-1, keepdims=True)
    headroom = 32 - np.frexp(total)[1].astype(np.int64)
    normal = ((total << (headroom - 1)) + (1 << 13) >> 14) - (1 << 15) - (1 << 16)
    shift = 31 - headroom
    product = powers * looked_up(np.clip(normal, LEAST, MOST), reciprocals)
    return np.clip(product + (1 << (shift - 1)) >> shift, 0, MOST)


def away(values: Array) -> Array:
    """Rounded, halves away from 0."""
    return np.copysign(np.floor(np.abs(values) + values.dtype.type(0.5)), values)


def gelu(x: Array) -> Array:
    """x times the normal distribution."""
    return x * 0.5 * (1 + np.vectorize(math.erf)(x / math.sqrt(2)))


def gelu_tanh(x: Array) -> Array:
    """GELU by a hyperbolic tangent."""
    return 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))
