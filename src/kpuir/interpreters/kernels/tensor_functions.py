"""Tensor functions of kmodel v5 that differ from the instructions of v4 (`kmodel-v5.md` 8); views may be strided."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from kpuir.errors import InvalidInputError
from kpuir.interpreters.kernels import neutral

if TYPE_CHECKING:
    from numpy.typing import NDArray

    F32 = NDArray[np.float32]
    U8 = NDArray[np.uint8]
    Array = NDArray[Any]

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


def binary(kind: str, a: "Array", b: "Array", out: "Array", act: tuple[float, float]) -> None:
    """out = clamp(op(a, b)), operands already of out's shape; integers go through float32 for the clamp."""
    if a.dtype != np.float32:
        with np.errstate(all="ignore"):
            result = _WHOLE[kind](a, b).astype(np.float32)
        neutral.clamp(result, act)
        out[...] = convert_to(result, out.dtype)
        return
    if kind in _BINARY:
        with np.errstate(all="ignore"):
            out[...] = _BINARY[kind](a, b)
        neutral.clamp(out, act)
        return
    neutral.binary(kind, a, b, out, act)


_BINARY: dict[str, Callable[[Any, Any], Any]] = {"pow": np.power, "logical_and": np.logical_and}
_WHOLE: dict[str, Callable[[Any, Any], Any]] = {
    "add": np.add,
    "sub": np.subtract,
    "mul": np.multiply,
    "div": lambda a, b: np.trunc(a / b),
    "min": np.minimum,
    "max": np.maximum,
    "pow": lambda a, b: np.power(a.astype(np.float32), b.astype(np.float32)),
    "logical_and": np.logical_and,
}


_COMPARE: dict[str, Callable[[Any, Any], Any]] = {
    "equal": np.equal,
    "not_equal": np.not_equal,
    "greater": np.greater,
    "greater_equal": np.greater_equal,
    "less": np.less,
    "less_equal": np.less_equal,
}


def compare(kind: str, a: "Array", b: "Array", out: "U8") -> None:
    """1 where it is so, else 0; broadcast."""
    out[...] = _COMPARE[kind](a, b)


def convert_to(x: "Array", dtype: Any) -> "Array":
    """Each element as C converts it: towards 0, bits cut off."""
    if x.dtype.kind == "f" and np.dtype(dtype).kind in "iu" and np.dtype(dtype).itemsize < 4:
        x = x.astype(np.int32)
    return x.astype(dtype)


def convert(x: "Array", out: "Array") -> None:
    """Another type for each element."""
    with np.errstate(all="ignore"):
        out[...] = convert_to(x, out.dtype)


def cumsum(x: "Array", out: "Array", axis: int, *, exclusive: bool, reverse: bool) -> None:
    """The sum up to each element, from the other end with `reverse`, without the element itself with `exclusive`."""
    ordered = np.flip(x, axis) if reverse else x
    total = np.add.accumulate(ordered, axis, dtype=x.dtype)
    if exclusive:
        total = np.roll(total, 1, axis)
        np.moveaxis(total, axis, 0)[0] = 0
    out[...] = np.flip(total, axis) if reverse else total


def pad(x: "Array", out: "Array", pads: Sequence[tuple[int, int, int]], value: Any, mode: str) -> None:
    """Values around x and, of the last number of each axis, between its elements; negative ones crop."""
    if any(between for _, _, between in pads):
        spread = [size + max(size - 1, 0) * pads[axis][2] for axis, size in enumerate(x.shape)]
        wide = np.full(spread, value, x.dtype)
        wide[tuple(slice(None, None, between + 1) for _, _, between in pads)] = x
        x = wide
    if mode == "constant":
        neutral.pad(x, out, [low for low, _, _ in pads], value)
    else:
        out[...] = np.pad(x, [(low, high) for low, high, _ in pads], mode)  # pyright: ignore[reportArgumentType, reportCallIssue]


def gather(x: "Array", indices: "Array", out: "Array", axis: int) -> None:
    """The slices of x along an axis. Raises InvalidInputError for indices outside, which runtimes follow blindly."""
    if indices.size and not (indices.min() >= 0 and indices.max() < x.shape[axis]):
        raise InvalidInputError(f"gather: indices {indices.min()} to {indices.max()} of {x.shape[axis]} elements")
    out[...] = x.take(indices, axis).reshape(out.shape)


def gather_nd(x: "Array", indices: "Array", out: "Array", batch: int) -> None:
    """What lies at the places that the last axis of the indices names, behind `batch` axes that both share."""
    own = np.ogrid[tuple(slice(size) for size in indices.shape[:batch])]
    shared = tuple(one.reshape(one.shape + (1,) * (indices.ndim - 1 - batch)) for one in own)
    out[...] = x[(*shared, *np.moveaxis(indices, -1, 0))]


def one_hot(indices: "Array", depth: Any, on: Any, off: Any, out: "Array", axis: int, *, from_end: bool) -> None:
    """`on` where an index says, along `axis`, else `off`; with `from_end` negative indices count from there."""
    chosen = np.where(indices < 0, indices + int(depth), indices) if from_end else indices
    places = np.arange(out.shape[axis]).reshape(-1, *(1,) * (indices.ndim - axis))
    out[...] = np.where(np.expand_dims(chosen, axis) == places, on, off)


def reduce_arg(x: "F32", out: "Array", axis: int, *, greatest: bool, last: bool) -> None:
    """Where the greatest or least element lies; elements within 1e-6 of it count as equal."""
    best = x.max(axis, keepdims=True) if greatest else x.min(axis, keepdims=True)
    close = np.abs(x - best) < np.float32(1e-6)
    if last:
        out[...] = x.shape[axis] - 1 - np.flip(close, axis).argmax(axis, keepdims=True)
    else:
        out[...] = close.argmax(axis, keepdims=True)


def hardmax(x: "F32", out: "F32", axis: int) -> None:
    """1 at the first greatest element along an axis, else 0; runtimes see none among elements that are not positive."""
    out[...] = 0
    best = x.argmax(axis, keepdims=True)
    np.put_along_axis(out, best, np.take_along_axis(x, best, axis) > 0, axis)


def matmul(a: "F32", b: "F32", bias: "F32", out: "F32", act: tuple[float, float]) -> None:
    """Products of matrices; the axes in front of the last two are broadcast."""
    batches = out.shape[:-2]
    left, right = np.broadcast_to(a, batches + a.shape[-2:]), np.broadcast_to(b, batches + b.shape[-2:])
    for batch in np.ndindex(batches):
        neutral.matmul(left[batch], right[batch], bias, out[batch], act)


def topk(x: "F32", values: "F32", indices: "Array", count: int, axis: int, *, largest: bool) -> None:
    """The `count` largest or smallest elements along an axis, in order, and where they lie.

    Runtimes keep the best `count` so far in a heap: an element goes in only if it is better than the worst one, which
    then leaves. Of equal ones the first leaves and is given last of the largest; of the smallest it is the other way.
    """
    keys = np.moveaxis(x if largest else -x, axis, -1)
    worst = -np.partition(-keys, count - 1, axis=-1)[..., count - 1 : count]
    entered = (keys >= worst) & (np.cumsum(keys >= worst, axis=-1) <= count)
    ties = entered & (keys == worst)
    room = count - np.count_nonzero(keys > worst, axis=-1)[..., None]
    seen = np.cumsum(ties, axis=-1)
    kept = ties & (seen > seen[..., -1:] - room if largest else seen <= room)
    kept |= keys > worst
    place = np.broadcast_to(np.arange(keys.shape[-1]), keys.shape)
    order = np.lexsort((-place if largest else place, -keys, ~kept))[..., :count]
    chosen = np.moveaxis(order, -1, axis)
    indices[...] = chosen
    values[...] = np.take_along_axis(x, chosen, axis)


_MOST_SAMPLES = 1 << 12
"""Along an axis of a region: more than there are pixels, so that nothing but damage has as many."""


def roi_align(x: "F32", rois: "F32", batches: "Array", out: "F32", scale: float, ratio: int, *, greatest: bool) -> None:
    """The mean, or with `greatest` the maximum, of samples in each cell of a grid over each region (x1, y1, x2, y2).

    Samples are bilinear, `ratio` along either axis of a cell, or about one per pixel where it is 0. Of their four terms
    runtimes take the greatest, not the sum, where they look for a maximum. Raises InvalidInputError for regions of
    images that are not there.
    """
    if batches.size and not (batches.min() >= 0 and batches.max() < len(x)):
        raise InvalidInputError(f"regions of images {batches.min()} to {batches.max()} of {len(x)}")
    for region, image, result in zip(rois * np.float32(scale), batches, out, strict=True):
        rows, columns = (
            _samples(region[axis], region[axis + 2], cells, size, ratio)
            for axis, cells, size in ((1, out.shape[2], x.shape[2]), (0, out.shape[3], x.shape[3]))
        )
        terms = [
            x[image][:, row][:, :, column] * (of_row[:, None] * of_column)
            for row, of_row in rows
            for column, of_column in columns
        ]
        values = np.maximum.reduce(terms) if greatest else sum(terms[1:], terms[0])
        cells = values.reshape(len(values), out.shape[2], -1, out.shape[3], values.shape[2] // out.shape[3])
        result[...] = cells.max((2, 4)) if greatest else cells.mean((2, 4))


def _samples(start: Any, end: Any, cells: int, size: int, ratio: int) -> list[tuple["NDArray[np.int64]", "F32"]]:
    """Of the samples along an axis, the pixels in front of them and behind, with their weights."""
    length = max(end - start, np.float32(1)) / np.float32(cells)
    count = ratio if ratio > 0 else int(np.ceil(length))
    if count * cells > _MOST_SAMPLES:
        raise InvalidInputError(f"roi_align: a region of {cells} times {count} samples along an axis")
    inside = (np.arange(count, dtype=np.float32) + np.float32(0.5)) * length / np.float32(count)
    place = (start + np.arange(cells, dtype=np.float32)[:, None] * length + inside).ravel()
    weight = ((place >= -1) & (place <= size)).astype(np.float32)
    place = np.clip(place, 0, size - 1)
    low = place.astype(np.int64)
    part = place - low.astype(np.float32)
    return [(low, weight * (1 - part)), (np.minimum(low + 1, size - 1), weight * part)]


def layer_normalization(x: "F32", scale: "F32", bias: "F32", out: "F32", axis: int, epsilon: float) -> None:
    """(x - mean) / sqrt(variance + epsilon) · scale + bias, over the axes from `axis` on."""
    axes = tuple(range(axis, x.ndim))
    centred = x - x.mean(axes, keepdims=True)
    variance = np.square(centred).mean(axes, keepdims=True)
    out[...] = centred / np.sqrt(variance + np.float32(epsilon)) * scale + bias


def batch_to_space(x: "Array", out: "Array", blocks: Sequence[int], crops: Sequence[Sequence[int]]) -> None:
    """Images of a batch become the places of blocks, from the last axes of the images on; then the ends are cut off."""
    count, kept = len(blocks), x.ndim - 1 - len(blocks)
    batch = x.shape[0] // int(np.prod(blocks))
    parts = x.reshape(*blocks, batch, *x.shape[1:])
    first = count + 1 + kept
    order = [count, *range(count + 1, first)] + [axis for i in range(count) for axis in (first + i, i)]
    inner = [size * block for size, block in zip(x.shape[1 + kept :], blocks, strict=True)]
    whole = parts.transpose(order).reshape(batch, *x.shape[1 : 1 + kept], *inner)
    cuts = (slice(low, size - high) for size, (low, high, *_) in zip(inner, crops, strict=True))
    out[...] = whole[(slice(None),) * (1 + kept) + tuple(cuts)]


def space_to_batch(x: "Array", out: "Array", blocks: Sequence[int], pads: Sequence[Sequence[int]]) -> None:
    """The other way: zeros around the last axes, then the places of blocks become images of a batch."""
    count, kept = len(blocks), x.ndim - 1 - len(blocks)
    whole = np.pad(x, [(0, 0)] * (1 + kept) + [(low, high) for low, high, *_ in pads])
    split = [
        part for size, block in zip(whole.shape[1 + kept :], blocks, strict=True) for part in (size // block, block)
    ]
    parts = whole.reshape(*whole.shape[: 1 + kept], *split)
    first = 1 + kept
    order = [first + 2 * i + 1 for i in range(count)] + list(range(first)) + [first + 2 * i for i in range(count)]
    out[...] = parts.transpose(order).reshape(out.shape)


def gru(
    x: "F32",
    w: "F32",
    r: "F32",
    bias: "F32",
    state: "F32",
    out: "F32",
    last: "F32",
    kind: int,
    *,
    before_reset: bool,
) -> None:
    """[L, B, I] through a GRU with gates z, r, h; `state` ends as what it was last, as in the runtime.

    `kind` is 0 forward, 1 reverse, 2 both. With `before_reset` the reset gate applies behind the matrix product.
    """
    for direction in range(w.shape[0]):
        steps = range(x.shape[0])
        backwards = kind == 1 or direction == 1
        hidden = state[direction]
        of_input, of_state = np.split(bias[direction], 2)
        z_r, h_r = np.split(r[direction], [2 * hidden.shape[1]])
        for step in reversed(steps) if backwards else steps:
            inputs = np.split(x[step] @ w[direction].T + of_input, 3, axis=1)
            updates = np.split(hidden @ z_r.T + of_state[: len(z_r)], 2, axis=1)
            update, reset = (
                np.float32(1) / (np.float32(1) + np.exp(-(a + b))) for a, b in zip(inputs, updates, strict=False)
            )
            if before_reset:
                candidate = np.tanh(inputs[2] + reset * (hidden @ h_r.T + of_state[len(z_r) :]))
            else:
                candidate = np.tanh(inputs[2] + (reset * hidden) @ h_r.T + of_state[len(z_r) :])
            hidden[...] = (np.float32(1) - update) * candidate + update * hidden
            out[step, direction] = hidden
    last[...] = state


def quantize(x: "F32", out: "Array", scale: float, bias: float) -> None:
    """out = sat(round(x·scale + bias)) as uint8 or int8, ties to even."""
    limits = np.iinfo(out.dtype)
    with np.errstate(all="ignore"):
        value = np.rint(x * np.float32(scale) + np.float32(bias))
        out[...] = np.clip(np.nan_to_num(value, nan=0.0), limits.min, limits.max).astype(out.dtype)


def dequantize(x: "Array", out: "F32", scale: float, bias: float) -> None:
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
    scale = out.size / max(x.size, 1)
    if x.dtype == np.float32:
        neutral.reduce(kind, x, out, init, scale)
        return
    axes = tuple(axis for axis, size in enumerate(out.shape) if size != x.shape[axis])
    combine = {"min": np.minimum, "max": np.maximum}.get(kind, np.add)
    total = combine.reduce(x, axis=axes, keepdims=True, dtype=x.dtype)
    out[...] = np.trunc(total * scale) if kind == "mean" else total


def resize(x: "NDArray[Any]", out: "NDArray[Any]", *, nearest: bool, corners: bool, centres: bool) -> None:
    """[N, C, H, W] to another size; bytes are rounded half up."""
    axes = [_positions(s, o, corners, centres, nearest) for s, o in zip(x.shape[2:], out.shape[2:], strict=True)]
    if nearest:
        whole = [np.floor(p + np.float32(0.5) if corners else p) for p in axes]
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
