"""What a pass of the KPU computes in real numbers, and its pooling; numpy only.

Maps are [N, C, H, W]. Arithmetic is in the element type of the input, so float64 in gives float64 out.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kpuir.interpreters.kernels import floating
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
    padded = floating.pad_image(images, (weight.shape[2] // 2,) * 4)
    values = floating.conv2d(
        padded[:, :, top:, left:],
        weight.astype(images.dtype, copy=False),
        bias.astype(images.dtype, copy=False),
        strides=(step, step),
        groups=weight.shape[0] if depthwise else 1,
    )
    return values[:, :, :height, :width]


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
    """The real numbers that bytes stand for, (q - zero_point) * scale, in double precision."""
    return (codes.astype(np.float64) - zero_point) * scale


def crop(images: NDArray[Any], crops: Sequence[int]) -> NDArray[Any]:
    """Rows and columns taken away on (top, left, bottom, right)."""
    top, left, bottom, right = crops
    height, width = images.shape[2:]
    return images[:, :, top : height - bottom, left : width - right]
