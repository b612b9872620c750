"""Tensor functions of kmodel v5 that differ from the instructions of v4 (`kmodel-v5.md` 8); views may be strided."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from kpuir.interpreters.kernels import neutral

if TYPE_CHECKING:
    from numpy.typing import NDArray

    F32 = NDArray[np.float32]
    U8 = NDArray[np.uint8]

_UNARY: dict[str, Callable[[Any], Any]] = {
    "acos": np.arccos,
    "asin": np.arcsin,
    "round": np.rint,
    "sign": np.sign,
    "sqrt": np.sqrt,
    "tanh": np.tanh,
    "logical_not": np.logical_not,
}


def unary(kind: str, x: "F32", out: "F32") -> None:
    """A function of each element. Raises InvalidInputError for one that runtimes do not have."""
    with np.errstate(all="ignore"):
        if kind == "erf":
            from kpuir.interpreters.kernels.elementwise import apply

            out[...] = apply("erf", (), x)
        elif kind in _UNARY:
            out[...] = _UNARY[kind](x)
        else:
            neutral.unary(kind, x, out)


def binary(kind: str, a: "F32", b: "F32", out: "F32", act: tuple[float, float]) -> None:
    """out = clamp(op(a, b)), operands already of out's shape."""
    if kind == "pow":
        with np.errstate(all="ignore"):
            out[...] = np.power(a, b)
        neutral.clamp(out, act)
        return
    neutral.binary(kind, a, b, out, act)


def quantize(x: "F32", out: "U8", scale: float, bias: float) -> None:
    """out = sat8(round(x·scale + bias)), ties to even."""
    with np.errstate(all="ignore"):
        value = np.rint(x * np.float32(scale) + np.float32(bias))
        out[...] = np.clip(np.nan_to_num(value, nan=0.0), 0, 255).astype(np.uint8)


def dequantize(x: "U8", out: "F32", scale: float, bias: float) -> None:
    """out = x·scale + bias."""
    out[...] = x.astype(np.float32) * np.float32(scale) + np.float32(bias)


def sigmoid(x: "F32", out: "F32") -> None:
    """1 / (1 + exp(-x))."""
    with np.errstate(all="ignore"):
        out[...] = np.float32(1) / (np.float32(1) + np.exp(-x))


def softmax(x: "F32", out: "F32", axis: int, beta: float) -> None:
    """exp((x - max)·beta) by its sum, along an axis."""
    with np.errstate(all="ignore"):
        powers = np.exp((x - x.max(axis, keepdims=True)) * np.float32(beta))
        out[...] = powers / powers.sum(axis, keepdims=True)


def reduce(kind: str, x: "F32", out: "F32", init: float) -> None:
    """Reduction over the axes that `out` has only one place along; mean divides by the number of elements."""
    neutral.reduce(kind, x, out, init, out.size / max(x.size, 1))


def resize(x: "NDArray[Any]", out: "NDArray[Any]", *, nearest: bool, corners: bool, centres: bool) -> None:
    """[N, C, H, W] to another size; bytes are rounded half up."""
    axes = [_positions(s, o, corners, centres, nearest) for s, o in zip(x.shape[2:], out.shape[2:], strict=True)]
    if nearest:
        whole = [np.rint(p) if corners else np.floor(p) for p in axes]
        rows, columns = (np.clip(p.astype(np.int64), 0, s - 1) for p, s in zip(whole, x.shape[2:], strict=True))
        out[...] = x[:, :, rows[:, None], columns]
        return
    total = neutral.interpolate(x, *axes)
    out[...] = (total if out.dtype == np.float32 else total + np.float32(0.5)).astype(out.dtype)


def _positions(size: int, count: int, corners: bool, centres: bool, nearest: bool) -> "F32":
    scale = neutral.resize_scale(size, count, corners)
    places = np.arange(count, dtype=np.float32)
    if not centres:
        return places * scale
    half = np.float32(0.5)
    return (places + half) * scale if nearest else np.maximum((places + half) * scale - half, np.float32(0))
