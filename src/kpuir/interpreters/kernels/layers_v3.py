"""What the CPU layers of kmodel v3 compute, in the runtime's own order (`kmodel-v3.md` 4).

Arrays are float32 or uint8 and dense, results go to `out`. Sums are in index order and single precision, none fused.
"""

from typing import TYPE_CHECKING, Any

import numpy as np

from kpuir.interpreters.kernels.neutral.elementwise import saturate

if TYPE_CHECKING:
    from numpy.typing import NDArray

    F32 = NDArray[np.float32]
    U8 = NDArray[np.uint8]

_SMALLEST = np.finfo(np.float32).tiny
_ONE = np.float32(1)


def _summed(x: "F32") -> "F32":
    """Sums over the last axis."""
    return np.add.accumulate(x, axis=-1, dtype=np.float32)[..., -1]


def _exp(x: "F32") -> "F32":
    from kpuir.interpreters.kernels.neutral.loops import mathematical

    out = np.empty(x.shape, np.float32)
    mathematical(1, np.ascontiguousarray(x).reshape(-1), out.reshape(-1))
    return out


def add(a: "F32", b: "F32", out: "F32") -> None:
    """Sums."""
    np.add(a, b, out=out)


def quantized_add(
    a: "U8", b: "U8", out: "U8", left: tuple[int, int, int], right: tuple[int, int, int], result: tuple[int, int, int]
) -> None:
    """Sums in 64 bits; each tuple is (offset, mul, shift). Negative halves and more are rounded to one below."""
    products = [(x.astype(np.int64) + offset) * mul for x, (offset, mul, _) in ((a, left), (b, right))]
    if left[2] == right[2]:
        value = (products[0] + products[1]) >> left[2]
    else:
        value = (products[0] >> left[2]) + (products[1] >> right[2])
    offset, mul, shift = result
    value = value * mul
    if shift:
        value = value >> (shift - 1)
        odd, half = value & 1, value >> 1
        value = half + np.where(odd == 1, np.where(value < 0, -1, 1), 0)
    out[...] = saturate(value + offset)


def global_average_pool(x: "F32", out: "F32") -> None:
    """The mean of each row of [channels, kernel_size]."""
    np.divide(_summed(x), np.float32(x.shape[1]), out=out)


def pool(x: "NDArray[Any]", out: "NDArray[Any]", window: tuple[int, ...]) -> None:
    """Means of floats or maxima of bytes, [C, H, W]; `window`: height, width, strides, pads at top and left.

    Taps outside are skipped; a maximum begins with 0.
    """
    from kpuir.interpreters.kernels.neutral.loops import pool as pool_loop

    height, width, down, right, top, left = window
    result = np.empty((1, *out.shape), np.float32)
    kind = 2 if x.dtype == np.uint8 else 0
    pool_loop(
        np.ascontiguousarray(x, np.float32)[None],
        kind,
        np.float32(0),
        (height, width, down, right, 1, 1, top, left),
        result,
    )
    out[...] = result[0].astype(out.dtype)


def quantize(x: "F32", out: "U8", scale: float, bias: float) -> None:
    """sat8(round((x - bias) * (1 / scale))), halves away from zero; NaN becomes 0."""
    with np.errstate(all="ignore"):
        value = (x - np.float32(bias)) * (_ONE / np.float32(scale))
        whole = np.trunc(value)
        whole += np.copysign(np.abs(value - whole) >= np.float32(0.5), value).astype(np.float32)
        out[...] = np.nan_to_num(np.clip(whole, 0, 255), nan=0.0).astype(np.uint8)


def dequantize(x: "U8", out: "F32", scale: Any, bias: Any) -> None:
    """q * scale + bias, with numbers or float32 arrays that broadcast."""
    out[...] = x.astype(np.float32) * np.asarray(scale, np.float32) + np.asarray(bias, np.float32)


def l2_normalization(x: "F32", out: "F32") -> None:
    """A vector times the reciprocal of the square root of its sum of squares, at least 1e-10."""
    np.multiply(x, _ONE / np.sqrt(np.maximum(_summed(x * x), np.float32(1e-10))), out=out)


def softmax(x: "F32", out: "F32") -> None:
    """exp(x - max), divided by their sum; the maximum is one of positive numbers only."""
    with np.errstate(all="ignore"):
        powers = _exp(x - np.maximum(x.max(), _SMALLEST))
        np.divide(powers, _summed(powers), out=out)


def logistic(x: "F32", out: "F32") -> None:
    """1 / (1 + exp(-x))."""
    with np.errstate(all="ignore"):
        np.divide(_ONE, _ONE + _exp(-x), out=out)


def fully_connected(x: "F32", out: "F32", weights: "F32", bias: "F32", activation: int) -> None:
    """weights [outputs, inputs] times a vector, then the bias; activation 1 is relu, 2 relu6."""
    with np.errstate(all="ignore"):
        out[...] = _summed(weights * x) + bias
    if activation:
        np.clip(out, 0, 6 if activation == 2 else None, out=out)
