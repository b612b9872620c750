"""What a pass of the KPU computes in real numbers, its pooling, and the moves around it; numpy only.

Maps are [N, C, H, W]. Arithmetic is in the element type of the input, so float64 in gives float64 out.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from kpuir.target.k210 import PoolKind, pooled_size


def convolve(
    images: NDArray[Any], weight: NDArray[Any], bias: NDArray[Any], depthwise: bool, pool: PoolKind = PoolKind.BYPASS
) -> NDArray[Any]:
    """A 1x1 or 3x3 convolution of stride 1 with zeros outside; of a pixel-picking pool only what it keeps.

    images [N, IC, H, W], weight [OC, IC, k, k] or depthwise [C, 1, k, k], bias [OC]. Result [N, OC, H, W], smaller
    where `pool` picks; kinds that compute from windows are not applied here.
    """
    step = pool.stride if pool.window == 1 else 1
    top, left = pool.pick
    height, width = (size // step for size in images.shape[2:])
    kernel = weight.shape[2]
    border = kernel // 2
    padded = np.pad(images, ((0, 0), (0, 0), (border, border), (border, border))) if border else images
    windows = sliding_window_view(padded, (kernel, kernel), axis=(2, 3))[:, :, top::step, left::step]
    windows = windows[:, :, :height, :width]
    w = weight.astype(images.dtype, copy=False)
    sums = _depthwise(windows, w) if depthwise else _dense(windows, w)
    sums += bias.astype(images.dtype, copy=False)[:, None, None]
    return sums


def _dense(windows: NDArray[Any], weight: NDArray[Any]) -> NDArray[Any]:
    batch, channels, height, width, kernel, _ = windows.shape
    columns = windows.transpose(0, 1, 4, 5, 2, 3).reshape(batch, channels * kernel * kernel, height * width)
    products = np.matmul(weight.reshape(weight.shape[0], -1), columns)
    return products.reshape(batch, weight.shape[0], height, width)


def _depthwise(windows: NDArray[Any], weight: NDArray[Any]) -> NDArray[Any]:
    taps = [(y, x) for y in range(weight.shape[2]) for x in range(weight.shape[3])]
    sums = np.zeros(windows.shape[:4], windows.dtype)
    for y, x in taps:
        sums += windows[..., y, x] * weight[:, 0, y, x, None, None]
    return sums


def pool(images: NDArray[Any], kind: PoolKind) -> NDArray[Any]:
    """What follows the activation (kpu-hardware.md 7), on real numbers or on bytes; means of bytes are truncated.

    Sizes are divided by the stride and remainders dropped. The windows of stride 1 go beyond the right and lower edge,
    where they find the edge pixel again.
    """
    if kind is PoolKind.BYPASS:
        return images
    height, width = pooled_size(kind, *images.shape[2:])
    top, left = kind.pick
    if kind.window == 1:
        return images[:, :, top :: kind.stride, left :: kind.stride][:, :, :height, :width]
    if kind.stride == 1:
        images = np.pad(images, ((0, 0), (0, 0), (0, 1), (0, 1)), mode="edge")
    parts = [
        images[:, :, y :: kind.stride, x :: kind.stride][:, :, :height, :width]
        for y in range(kind.window)
        for x in range(kind.window)
    ]
    if kind.is_max:
        return np.maximum.reduce(parts)
    if images.dtype != np.uint8:
        return np.add.reduce(parts) / images.dtype.type(len(parts))
    return (np.add.reduce(parts, dtype=np.uint16) // len(parts)).astype(np.uint8)


def dequantize(codes: NDArray[np.uint8], scale: float, zero_point: int) -> NDArray[np.float64]:
    """The real numbers that bytes stand for: (q - zero_point) * scale."""
    return (codes.astype(np.float64) - zero_point) * scale


def quantize(values: NDArray[Any], scale: float, zero_point: int) -> NDArray[np.uint8]:
    """The bytes nearest to real numbers, halves to even, clamped to 0..255."""
    return np.clip(np.rint(values / scale) + zero_point, 0, 255).astype(np.uint8)


def pad(images: NDArray[Any], pads: Sequence[int], value: float) -> NDArray[Any]:
    """Rows and columns of `value` added on (top, left, bottom, right)."""
    top, left, bottom, right = pads
    return np.pad(images, ((0, 0), (0, 0), (top, bottom), (left, right)), constant_values=value)


def crop(images: NDArray[Any], crops: Sequence[int]) -> NDArray[Any]:
    """Rows and columns taken away on (top, left, bottom, right)."""
    top, left, bottom, right = crops
    height, width = images.shape[2:]
    return images[:, :, top : height - bottom, left : width - right]


def space_to_batch(images: NDArray[Any], block: Sequence[int]) -> NDArray[Any]:
    """The pixels of each phase as images of their own, phase by phase; sizes are multiples of the block."""
    n, c, h, w = images.shape
    rows, columns = block
    phases = images.reshape(n, c, h // rows, rows, w // columns, columns)
    return phases.transpose(3, 5, 0, 1, 2, 4).reshape(n * rows * columns, c, h // rows, w // columns)


def batch_to_space(images: NDArray[Any], block: Sequence[int]) -> NDArray[Any]:
    """The inverse of `space_to_batch`."""
    n, c, h, w = images.shape
    rows, columns = block
    phases = images.reshape(rows, columns, n // (rows * columns), c, h, w)
    return phases.transpose(2, 3, 4, 0, 5, 1).reshape(n // (rows * columns), c, h * rows, w * columns)
