"""What the ktensor ops compute, on numpy arrays; images are [N, C, H, W], pads (top, left, bottom, right).

Fast enough to calibrate with: convolutions are matrix products of BLAS, depthwise ones multiply-adds on shifted views,
both cut into blocks that stay in the cache. Arithmetic is in the type of the arrays; the
formulas are those of the `kpuir.dialects.ktensor` ops.
"""

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = NDArray[Any]
Ints: TypeAlias = Sequence[int]

COLUMN_BYTES = 4 << 20
"""How many bytes of image columns are made before they are multiplied."""
TILE_BYTES = 256 << 10
"""How many bytes of a depthwise result are made at a time."""


def conv2d(
    x: Array,
    weight: Array,
    bias: Array | None = None,
    *,
    strides: Ints = (1, 1),
    pads: Ints = (0, 0, 0, 0),
    dilations: Ints = (1, 1),
    groups: int = 1,
) -> Array:
    """Convolution of [N, IC, H, W] with [OC, IC / groups, KH, KW]; the result is [N, OC, OH, OW]."""
    x = pad_image(x, pads)
    n, ic, h, w = x.shape
    oc, group_ic, kh, kw = weight.shape
    oh = (h - dilations[0] * (kh - 1) - 1) // strides[0] + 1
    ow = (w - dilations[1] * (kw - 1) - 1) // strides[1] + 1
    output = np.empty((n, oc, oh, ow), x.dtype)
    taps = [_tap(x, (a * dilations[0], b * dilations[1]), strides, (oh, ow)) for a in range(kh) for b in range(kw)]
    if groups == ic == oc:
        _depthwise(taps, weight.reshape(oc, -1), output)
    else:
        _dense(taps, weight.reshape(groups, oc // groups, group_ic * kh * kw), output)
    if bias is not None:
        output += bias[:, None, None]
    return output


def _tap(x: Array, start: Ints, strides: Ints, size: Ints) -> Array:
    """The pixels one kernel element is multiplied with: a view [N, C, OH, OW]."""
    rows = slice(start[0], start[0] + (size[0] - 1) * strides[0] + 1, strides[0])
    columns = slice(start[1], start[1] + (size[1] - 1) * strides[1] + 1, strides[1])
    return x[:, :, rows, columns]


def _dense(taps: list[Array], weight: Array, output: Array) -> None:
    """Multiply the images' columns with weight [groups, OC / groups, IC / groups * taps], some rows at a time."""
    n, _, oh, ow = output.shape
    ic = taps[0].shape[1]
    groups, group_oc, depth = weight.shape
    rows = max(1, COLUMN_BYTES // (n * ic * len(taps) * ow * output.itemsize))
    for top in range(0, oh, rows):
        parts = [tap[:, :, top : top + rows] for tap in taps]
        columns = np.stack(parts, axis=2) if len(parts) > 1 else np.ascontiguousarray(parts[0])
        product = np.matmul(weight, columns.reshape(n, groups, depth, -1))
        output[:, :, top : top + rows] = product.reshape(n, groups * group_oc, -1, ow)


def _depthwise(taps: list[Array], weight: Array, output: Array) -> None:
    """Sum the taps times weight [C, taps], some channels at a time."""
    n, channels, oh, ow = output.shape
    block = max(1, TILE_BYTES // (n * oh * ow * output.itemsize))
    factors = weight[:, :, None, None]
    for first in range(0, channels, block):
        part = slice(first, first + block)
        total = output[:, part]
        np.multiply(taps[0][:, part], factors[part, 0], out=total)
        product = np.empty_like(total)
        for index in range(1, len(taps)):
            if not factors[part, index].any():  # layers that only move pixels have a single tap
                continue
            np.multiply(taps[index][:, part], factors[part, index], out=product)
            total += product


def conv2d_transpose(
    x: Array,
    weight: Array,
    bias: Array | None = None,
    *,
    strides: Ints = (1, 1),
    pads: Ints = (0, 0, 0, 0),
    dilations: Ints = (1, 1),
    groups: int = 1,
    output_padding: Ints = (0, 0),
) -> Array:
    """Transposed convolution of [N, IC, H, W] with [IC, OC / groups, KH, KW]."""
    n, ic, h, w = x.shape
    _, group_oc, kh, kw = weight.shape
    (sh, sw), (dh, dw), (top, left, bottom, right) = strides, dilations, pads
    full_h = (h - 1) * sh + dh * (kh - 1) + 1 + output_padding[0]
    full_w = (w - 1) * sw + dw * (kw - 1) + 1 + output_padding[1]
    total = np.zeros((n, groups * group_oc, full_h, full_w), x.dtype)
    grouped = weight.reshape(groups, ic // groups, group_oc * kh * kw).swapaxes(1, 2)
    products = np.matmul(grouped, x.reshape(n, groups, ic // groups, h * w))
    products = products.reshape(n, groups * group_oc, kh, kw, h, w)
    for a, b in np.ndindex(kh, kw):
        _tap(total, (a * dh, b * dw), strides, (h, w))[...] += products[:, :, a, b]
    output = total[:, :, top : full_h - bottom, left : full_w - right]
    return np.ascontiguousarray(output) if bias is None else output + bias[:, None, None]


def matmul(lhs: Array, rhs: Array, bias: Array | None = None) -> Array:
    """`lhs @ rhs + bias` over the last two axes."""
    product = np.matmul(lhs, rhs)
    return product if bias is None else product + bias


def pad_image(x: Array, pads: Ints, value: float = 0) -> Array:
    """`value` around the images; the images themselves where there is nothing to add."""
    if not any(pads):
        return x
    top, left, bottom, right = pads
    n, c, h, w = x.shape
    padded = np.full((n, c, h + top + bottom, w + left + right), value, x.dtype)
    padded[:, :, top : top + h, left : left + w] = x
    return padded


def max_pool2d(
    x: Array, kernel: Ints, *, strides: Ints = (1, 1), pads: Ints = (0, 0, 0, 0), dilations: Ints = (1, 1)
) -> Array:
    """The largest element of each window; padding never wins."""
    lowest = -np.inf if np.issubdtype(x.dtype, np.floating) else np.iinfo(x.dtype).min
    return _pool(pad_image(x, pads, lowest), kernel, strides, dilations, np.maximum)


def average_pool2d(
    x: Array,
    kernel: Ints,
    *,
    strides: Ints = (1, 1),
    pads: Ints = (0, 0, 0, 0),
    count_include_pad: bool = False,
) -> Array:
    """The mean of each window, its padding counted as elements only where asked for."""
    total = _pool(pad_image(x, pads), kernel, strides, (1, 1), np.add)
    if count_include_pad or not any(pads):
        return total / x.dtype.type(kernel[0] * kernel[1])
    ones = pad_image(np.ones((1, 1, *x.shape[2:]), x.dtype), pads)
    return total / _pool(ones, kernel, strides, (1, 1), np.add)


def _pool(x: Array, kernel: Ints, strides: Ints, dilations: Ints, join: Callable[[Array, Array], Array]) -> Array:
    """`join` the elements of each window, first down the columns, then along the rows."""
    for axis in (2, 3):
        size, stride, dilation = kernel[axis - 2], strides[axis - 2], dilations[axis - 2]
        count = (x.shape[axis] - dilation * (size - 1) - 1) // stride + 1
        spans = [slice(i * dilation, i * dilation + (count - 1) * stride + 1, stride) for i in range(size)]
        parts = [x[:, :, span] if axis == 2 else x[:, :, :, span] for span in spans]
        x = parts[0]
        for part in parts[1:]:
            x = join(x, part)
    return x.copy() if x.base is not None else x


def reduce(kind: str, x: Array, axes: Ints, keep_dims: bool = True) -> Array:
    """mean, max, min, sum or prod over some axes."""
    functions: dict[str, Callable[..., Array]] = {
        "mean": np.mean,
        "max": np.max,
        "min": np.min,
        "sum": np.sum,
        "prod": np.prod,
    }
    return np.asarray(functions[kind](x, axis=tuple(axes), keepdims=keep_dims)).astype(x.dtype, copy=False)


def softmax(x: Array, axis: int, beta: float = 1.0) -> Array:
    """exp(beta * x) over its sum along an axis."""
    x = x * beta
    powers = np.exp(x - x.max(axis=axis, keepdims=True))
    return powers / powers.sum(axis=axis, keepdims=True)


def pad(x: Array, low: Ints, high: Ints, value: float = 0) -> Array:
    """Elements of `value` before and after each axis."""
    return np.pad(x, list(zip(low, high, strict=True)), constant_values=value)


def space_to_batch(x: Array, block: Ints, pads: Ints = (0, 0, 0, 0), value: float = 0) -> Array:
    """Padding with `value`, then the pixels of each phase as images of their own."""
    x = pad_image(x, pads, value)
    n, c, h, w = x.shape
    bh, bw = block
    phases = x.reshape(n, c, h // bh, bh, w // bw, bw).transpose(3, 5, 0, 1, 2, 4)
    return phases.reshape(n * bh * bw, c, h // bh, w // bw)


def batch_to_space(x: Array, block: Ints, crops: Ints = (0, 0, 0, 0)) -> Array:
    """Images as the pixel phases of larger ones, then cropped."""
    n, c, h, w = x.shape
    (bh, bw), (top, left, bottom, right) = block, crops
    phases = x.reshape(bh, bw, n // (bh * bw), c, h, w).transpose(2, 3, 4, 0, 5, 1)
    whole = phases.reshape(n // (bh * bw), c, h * bh, w * bw)
    return whole[:, :, top : h * bh - bottom, left : w * bw - right]


def depth_to_space(x: Array, block: int, mode: str = "dcr") -> Array:
    """Channels as pixels."""
    n, c, h, w = x.shape
    depth = c // (block * block)
    if mode == "dcr":
        phases = x.reshape(n, block, block, depth, h, w).transpose(0, 3, 4, 1, 5, 2)
    else:
        phases = x.reshape(n, depth, block, block, h, w).transpose(0, 1, 4, 2, 5, 3)
    return phases.reshape(n, depth, h * block, w * block)


def space_to_depth(x: Array, block: int, mode: str = "dcr") -> Array:
    """Pixels as channels."""
    n, c, h, w = x.shape
    phases = x.reshape(n, c, h // block, block, w // block, block)
    order = (0, 3, 5, 1, 2, 4) if mode == "dcr" else (0, 1, 3, 5, 2, 4)
    return phases.transpose(order).reshape(n, c * block * block, h // block, w // block)


def resize(
    x: Array,
    size: Ints,
    mode: str = "nearest",
    coordinate_mode: str = "half_pixel",
    nearest_mode: str = "round_prefer_floor",
    scales: Sequence[float] | None = None,
) -> Array:
    """ONNX Resize of height and width to `size`; `scales` are out / in unless given."""
    for axis, out in zip((2, 3), size, strict=True):
        count = x.shape[axis]
        scale = out / count if scales is None else scales[axis - 2]
        at = coordinates(out, count, scale, coordinate_mode)
        if mode == "nearest":
            x = x.take(nearest(at, count, nearest_mode), axis=axis)
            continue
        at = np.clip(at, 0, count - 1)
        low = np.floor(at).astype(np.intp)
        share = (at - low).astype(x.dtype).reshape((-1, 1) if axis == 2 else (-1,))
        first, second = x.take(low, axis=axis), x.take(np.minimum(low + 1, count - 1), axis=axis)
        x = first * (1 - share) + second * share
    return x


def coordinates(out: int, count: int, scale: float, mode: str) -> NDArray[np.float32]:
    """Where in an axis of `count` pixels each of `out` pixels lies, in single precision as ONNX Runtime computes it.

    Raises KeyError for an unknown mode.
    """
    at = np.arange(out, dtype=np.float32)
    if scale == 1 and out == count:
        return at
    ratio, half = np.float32(scale), np.float32(0.5)
    centred = (at + half) / ratio - half
    adjustment = np.float32(out) / (ratio * np.float32(count))
    offset = np.float32(count) / 2 * (1 - adjustment)
    modes: dict[str, NDArray[np.float32]] = {
        "half_pixel": centred,
        "half_pixel_symmetric": offset + centred,
        "pytorch_half_pixel": centred if out > 1 else np.zeros_like(at),
        "tf_half_pixel_for_nn": (at + half) / ratio,
        "align_corners": at * np.float32(count - 1) / np.float32(max(out - 1, 1)),
        "asymmetric": at * np.float32(count) / np.float32(out) if scale == out / count else at / ratio,
    }
    return modes[mode]


def nearest(at: NDArray[np.float32], count: int, mode: str) -> NDArray[np.intp]:
    """Coordinates rounded to pixels of an axis of `count`. Raises KeyError for an unknown mode."""
    modes: dict[str, Callable[[NDArray[np.float32]], NDArray[np.float32]]] = {
        "floor": np.floor,
        "ceil": np.ceil,
        "round_prefer_floor": lambda x: np.ceil(x - np.float32(0.5)),
        "round_prefer_ceil": lambda x: np.floor(x + np.float32(0.5)),
    }
    return np.clip(modes[mode](at).astype(np.intp), 0, count - 1)


def quantize(x: Array, scale: float, zero_point: int) -> NDArray[np.uint8]:
    """The bytes nearest to real numbers, halves to even, clamped to 0..255."""
    return np.clip(np.rint(x / scale) + zero_point, 0, 255).astype(np.uint8)


def dequantize(q: NDArray[np.uint8], scale: float, zero_point: int) -> NDArray[np.float32]:
    """The real numbers bytes stand for."""
    return (q.astype(np.float32) - np.float32(zero_point)) * np.float32(scale)
