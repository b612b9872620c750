"""The compiled loops under `sums`; import it only when an instruction runs, since it brings in numba.

No fast-math anywhere: a product is rounded, then added, in the order of the loops. Compiled for float32 and int32.
"""

import math
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

Windowed = tuple[int, int, int, int, int, int, int, int]


@njit(cache=True, error_model="numpy")
def convolve(
    x: NDArray[Any],
    weights: NDArray[Any],
    taps: NDArray[np.int64],
    bias: NDArray[Any],
    groups: int,
    window: Windowed,
    out: NDArray[Any],
) -> None:
    """out[n, oc] = bias[oc], then each tap in order: x[n, channel, y, x]·weight where that is inside the image.

    taps[t] = (channel in the group, row offset, column offset); weights[oc, t].
    """
    _, _, stride_h, stride_w, _, _, pad_h, pad_w = window
    height, width = x.shape[2], x.shape[3]
    batch, channels, rows, columns = out.shape
    per_group_in, per_group_out = x.shape[1] // groups, channels // groups
    for n in range(batch):
        for oc in range(channels):
            base = (oc // per_group_out) * per_group_in
            for oy in range(rows):
                line = out[n, oc, oy]
                line[:] = bias[oc]
                for t in range(taps.shape[0]):
                    iy = oy * stride_h - pad_h + taps[t, 1]
                    if iy < 0 or iy >= height:
                        continue
                    weight = weights[oc, t]
                    pixels = x[n, base + taps[t, 0], iy]
                    first = taps[t, 2] - pad_w  # the column that ox = 0 sees
                    begin = 0 if first >= 0 else (-first + stride_w - 1) // stride_w
                    end = min(columns, (width - 1 - first) // stride_w + 1) if width > first else 0
                    for ox in range(begin, end):
                        line[ox] += pixels[first + ox * stride_w] * weight


@njit(cache=True, error_model="numpy")
def convolve_transposed(
    x: NDArray[np.float32], weights: NDArray[np.float32], groups: int, window: Windowed, out: NDArray[np.float32]
) -> None:
    """Zeros, then every element of x in memory order adds its products; weights [oc, ic of the group, kh, kw]."""
    size_h, size_w, stride_h, stride_w, dilation_h, dilation_w, pad_h, pad_w = window
    batch, channels, rows, columns = out.shape
    per_group_in, per_group_out = x.shape[1] // groups, channels // groups
    out[:] = 0
    for n in range(batch):
        for ic in range(x.shape[1]):
            group = ic // per_group_in
            for iy in range(x.shape[2]):
                for ix in range(x.shape[3]):
                    value = x[n, ic, iy, ix]
                    for oc in range(group * per_group_out, (group + 1) * per_group_out):
                        for ky in range(size_h):
                            oy = iy * stride_h - pad_h + ky * dilation_h
                            if oy < 0 or oy >= rows:
                                continue
                            for kx in range(size_w):
                                ox = ix * stride_w - pad_w + kx * dilation_w
                                if 0 <= ox < columns:
                                    out[n, oc, oy, ox] += value * weights[oc, ic - group * per_group_in, ky, kx]


@njit(cache=True, error_model="numpy")
def multiply_matrices(a: NDArray[Any], b: NDArray[Any], bias: NDArray[Any], out: NDArray[Any]) -> None:
    """out = bias, then a[:, k]·b[k, :] for k in order."""
    for row in range(a.shape[0]):
        line = out[row]
        line[:] = bias
        for k in range(a.shape[1]):
            value = a[row, k]
            other = b[k]
            for column in range(line.shape[0]):
                line[column] += value * other[column]


@njit(cache=True, error_model="numpy")
def pool(x: NDArray[np.float32], kind: int, init: np.float32, window: Windowed, out: NDArray[np.float32]) -> None:
    """Windows from `init`, taps outside skipped; kind 0 mean (by the taps inside), 1 min, 2 max, 3 sum.

    Loops are over the taps inside: a filter may be far larger than the image.
    """
    size_h, size_w, stride_h, stride_w, dilation_h, dilation_w, pad_h, pad_w = window
    batch, channels, rows, columns = out.shape
    height, width = x.shape[2], x.shape[3]
    for n in range(batch):
        for c in range(channels):
            for oy in range(rows):
                top = oy * stride_h - pad_h
                bottom = min(top + size_h * dilation_h, height)
                for ox in range(columns):
                    left = ox * stride_w - pad_w
                    right = min(left + size_w * dilation_w, width)
                    total = init
                    count = 0
                    for iy in range(top if top >= 0 else top % dilation_h, bottom, dilation_h):
                        for ix in range(left if left >= 0 else left % dilation_w, right, dilation_w):
                            value = x[n, c, iy, ix]
                            count += 1
                            if kind == 1:
                                total = value if value < total else total
                            elif kind == 2:
                                total = value if total < value else total
                            else:
                                total = total + value
                    out[n, c, oy, ox] = total / np.float32(count) if kind == 0 else total


@njit(cache=True, error_model="numpy")
def mathematical(kind: int, x: NDArray[np.float32], out: NDArray[np.float32]) -> None:
    """The C library's float functions, as the runtime calls them: 0 cosf, 1 expf, 2 logf, 3 sinf; flat arrays."""
    for i in range(x.shape[0]):
        if kind == 0:
            out[i] = math.cos(x[i])
        elif kind == 1:
            out[i] = math.exp(x[i])
        elif kind == 2:
            out[i] = math.log(x[i])
        else:
            out[i] = math.sin(x[i])
