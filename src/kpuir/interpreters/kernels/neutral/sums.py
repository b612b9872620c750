"""Instructions that sum: convolutions, matrix products, reductions; float32 and quantized."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from kpuir.errors import InvalidInputError
from kpuir.interpreters.kernels.neutral.elementwise import FLOAT_MAX, clamp, fixed_point, saturate

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from kpuir.interpreters.kernels.neutral.window import Window

    F32 = NDArray[np.float32]
    U8 = NDArray[np.uint8]


class Requantization(NamedTuple):
    """out = sat8(fx(sum, mul, shift) + offset)."""

    mul: int
    shift: int
    offset: int

    def apply(self, sums: "NDArray[np.int32]") -> "U8":
        """The bytes of 32-bit sums."""
        return saturate(fixed_point(sums, self.mul, self.shift) + self.offset)


@dataclass(frozen=True, eq=False)
class Taps:
    """The products of one result in the order they are added: weights [OC, taps] and (channel, row, column) of each."""

    weights: "NDArray[Any]"
    places: "NDArray[np.int64]"

    @classmethod
    def nchw(cls, weights: "NDArray[Any]", window: "Window") -> "Taps":
        """weights [OC, IC of the group, KH, KW]: channel by channel, row by row."""
        return cls(*_places(weights, window, (0, 1, 2)))

    @classmethod
    def nhwc(cls, weights: "NDArray[Any]", window: "Window") -> "Taps":
        """weights [OC, KH, KW, IC]: row by row, channels innermost."""
        return cls(*_places(weights, window, (2, 0, 1)))

    def shifted(self, offset: int) -> "Taps":
        """The same taps with `offset` added to every weight, in 32-bit integers."""
        return Taps(self.weights.astype(np.int32) + np.int32(offset), self.places)


def _places(
    weights: "NDArray[Any]", window: "Window", axes: tuple[int, int, int]
) -> "tuple[NDArray[Any], NDArray[np.int64]]":
    # `axes`: along which axis of `weights`, after OC, channel, row and column run
    grid = np.indices(weights.shape[1:]).reshape(3, -1)
    channel, row, column = (grid[axis] for axis in axes)
    places = np.stack([channel, row * window.dilation[0], column * window.dilation[1]], axis=1)
    return np.ascontiguousarray(weights.reshape(weights.shape[0], -1)), np.ascontiguousarray(places, dtype=np.int64)


def conv2d(
    x: "F32", taps: Taps, bias: "F32", out: "F32", *, groups: int, window: "Window", act: tuple[float, float]
) -> None:
    """float32 [N, C, H, W]: bias first, then the taps in order, those outside the image skipped; then the clamp."""
    from kpuir.interpreters.kernels.neutral.loops import convolve

    result = _contiguous(out)
    convolve(np.ascontiguousarray(x), taps.weights, taps.places, bias, groups, window.numbers, result)
    clamp(result, act)
    _give_back(result, out)


def quantized_conv2d(
    x: "U8",
    taps: Taps,
    bias: "NDArray[np.int32]",
    out: "U8",
    *,
    input_offset: int,
    requantization: Requantization,
    groups: int,
    window: "Window",
) -> None:
    """uint8 [N, C, H, W]: Σ (x + input_offset)·weight + bias in 32 bits, the weights' offset already in the taps."""
    from kpuir.interpreters.kernels.neutral.loops import convolve

    values = np.ascontiguousarray(x).astype(np.int32) + np.int32(input_offset)
    sums = np.empty(out.shape, np.int32)
    convolve(values, taps.weights, taps.places, bias, groups, window.numbers, sums)
    out[...] = requantization.apply(sums)


def conv2d_transpose(
    x: "F32", weights: "F32", out: "F32", *, groups: int, window: "Window", act: tuple[float, float]
) -> None:
    """float32: weights [OC, IC of the group, KH, KW]; no bias, as in the runtime; no clamp if act is the full range."""
    from kpuir.interpreters.kernels.neutral.loops import convolve_transposed

    convolve_transposed(x, weights, groups, window.numbers, out)
    if act != (-FLOAT_MAX, FLOAT_MAX):
        clamp(out, act)


def matmul(a: "F32", b: "F32", bias: "F32", out: "F32", act: tuple[float, float]) -> None:
    """float32 [rows, k] x [k, columns]: bias first, then k ascending; then the clamp."""
    from kpuir.interpreters.kernels.neutral.loops import multiply_matrices

    multiply_matrices(a, b, bias, out)
    clamp(out, act)


def quantized_matmul(
    a: "U8",
    b: "U8",
    bias: "NDArray[np.int32]",
    out: "U8",
    *,
    a_offset: int,
    b_offset: int,
    requantization: Requantization,
) -> None:
    """uint8: bias + Σ (a + a_offset)·(b + b_offset) in 32 bits, requantized."""
    from kpuir.interpreters.kernels.neutral.loops import multiply_matrices

    sums = np.empty(out.shape, np.int32)
    left, right = a.astype(np.int32) + np.int32(a_offset), b.astype(np.int32) + np.int32(b_offset)
    multiply_matrices(left, right, bias, sums)
    out[...] = requantization.apply(sums)


_REDUCTIONS = ("mean", "min", "max", "sum")


def _reduction(kind: str) -> int:
    if kind not in _REDUCTIONS:
        raise InvalidInputError(f"there is no reduction {kind!r}, there are {', '.join(_REDUCTIONS)}")
    return _REDUCTIONS.index(kind)


def reduce(kind: str, x: "F32", out: "F32", init: float, mean_scale: float) -> None:
    """Combine x, in linear order, into out, which starts as init; the axes of size 1 in out are reduced.

    A mean is the sum times `mean_scale`, a float32: the runtime takes it from the sizes of the memory ranges.
    Raises InvalidInputError where out's shape is not x's with some axes 1.
    """
    _reduction(kind)
    axes = [axis for axis, (own, left) in enumerate(zip(x.shape, out.shape, strict=True)) if left != own]
    if any(out.shape[axis] != 1 for axis in axes):
        raise InvalidInputError(f"the shapes are {x.shape} and {out.shape}: a reduced axis has size 1")
    kept = [axis for axis in range(x.ndim) if axis not in axes]
    rows = x.transpose(kept + axes).reshape(out.size, -1)
    with np.errstate(all="ignore"):
        if kind in ("mean", "sum"):
            start = np.full((out.size, 1), init, np.float32)
            # accumulate, unlike sum, adds strictly one after the other
            result = np.add.accumulate(np.concatenate([start, rows], axis=1), axis=1)[:, -1]
        else:
            combine = np.fmin if kind == "min" else np.fmax
            result = combine.reduce(rows, axis=1, initial=np.float32(init))
        if kind == "mean":
            result = result * np.float32(mean_scale)
    out[...] = result.reshape(out.shape)


def reduce_window(kind: str, x: "F32", out: "F32", init: float, *, window: "Window", act: tuple[float, float]) -> None:
    """float32 [N, C, H, W]: windows from init, what is outside is neither combined nor counted; then the clamp."""
    from kpuir.interpreters.kernels.neutral.loops import pool

    result = _contiguous(out)
    pool(np.ascontiguousarray(x), _reduction(kind), np.float32(init), window.numbers, result)
    clamp(result, act)
    _give_back(result, out)


def _contiguous(out: "F32") -> "F32":
    return out if out.flags.c_contiguous else np.empty(out.shape, np.float32)


def _give_back(result: "F32", out: "F32") -> None:
    if result is not out:
        out[...] = result
