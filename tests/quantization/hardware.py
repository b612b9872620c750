"""The KPU's arithmetic as `kpu-hardware.md` section 6 states it, one output pixel at a time: slow, and independent."""

import numpy as np
from numpy.typing import NDArray

from kpuir.quantization.registers import LayerData

LIMIT = 1 << 35


def entry_round(product: int, shift: int) -> int:
    """R(t, shift) of `kmodel-v4.md` 9.5 in Python integers."""
    floor, fraction = product >> shift, product & ((1 << shift) - 1)
    half = (1 << shift) / 2
    if fraction > half or (fraction == half and shift and floor % 2):
        return floor + 1 if product >= 0 else floor - 1
    return floor


def entry_code(data: LayerData, v: int) -> int:
    """The activation table applied to one batch-norm result."""
    assert -LIMIT < v < LIMIT
    segment = max(i for i in range(16) if v > int(data.act_start[i]))
    product = (v - int(data.act_start[segment])) * int(data.act_mul[segment])
    return min(max(entry_round(product, int(data.act_shift[segment])) + int(data.act_add[segment]), 0), 255)


def batch_norm_result(data: LayerData, channel: int, acc: int) -> int:
    """v of one accumulator, with the widths checked."""
    assert -LIMIT < acc < LIMIT
    v = ((acc * int(data.bn_mul[channel])) >> int(data.bn_shift[channel])) + int(data.bn_add[channel])
    assert -LIMIT < v < LIMIT
    return v


def accumulators(data: LayerData, x: NDArray[np.uint8]) -> NDArray[np.int64]:
    """acc [OC, H, W] of one image uint8 [IC, H, W], by the four register terms."""
    k, height, width = data.kernel_size, *x.shape[1:]
    edge = k // 2
    padded = np.full((x.shape[0], height + 2 * edge, width + 2 * edge), data.pad_value, np.int64)
    padded[:, edge : edge + height, edge : edge + width] = x
    out = np.zeros((len(data.weights), height, width), np.int64)
    for channel, w in enumerate(data.weights.astype(np.int64)):
        source = padded[channel : channel + 1] if data.depthwise else padded
        for row in range(height):
            for column in range(width):
                window = source[:, row : row + k, column : column + k]
                out[channel, row, column] = (
                    int((window * w).sum())
                    + ((data.arg_x * int(window.sum())) >> data.shr_x)
                    + ((data.arg_w * int(w.sum())) >> data.shr_w)
                    + data.arg_add * len(source)
                )
    return out


def run_layer(data: LayerData, x: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Codes uint8 [OC, H, W], not pooled, of one image uint8 [IC, H, W]."""
    acc = accumulators(data, x)
    codes = [entry_code(data, batch_norm_result(data, c, int(a))) for c in range(len(acc)) for a in acc[c].flat]
    return np.array(codes, np.uint8).reshape(acc.shape)


def run_layer_quickly(data: LayerData, x: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """What `run_layer` gives, all pixels at once."""
    k, edge = data.kernel_size, data.kernel_size // 2
    padded = np.pad(x.astype(np.int64), ((0, 0), (edge, edge), (edge, edge)), constant_values=data.pad_value)
    windows = np.lib.stride_tricks.sliding_window_view(padded, (k, k), axis=(1, 2))
    w, sums = data.weights.astype(np.int64), windows.sum(axis=(3, 4))
    if data.depthwise:
        acc, channels = np.einsum("chwij,cij->chw", windows, w[:, 0]), 1
    else:
        # Sums of bytes times bytes are exact in doubles, whose products are much faster.
        acc = np.tensordot(w.astype(np.float64), windows.astype(np.float64), ((1, 2, 3), (0, 3, 4))).astype(np.int64)
        sums, channels = sums.sum(axis=0), len(x)
    acc = acc + ((data.arg_x * sums) >> data.shr_x) + data.arg_add * channels
    acc += ((data.arg_w * w.sum(axis=(1, 2, 3))) >> data.shr_w)[:, None, None]
    mul, shift, add = (a.astype(np.int64)[:, None, None] for a in (data.bn_mul, data.bn_shift, data.bn_add))
    v = ((acc * mul) >> shift) + add
    assert max(np.abs(acc).max(), np.abs(v).max()) < LIMIT
    segment = np.searchsorted(data.act_start, v.ravel()).reshape(v.shape) - 1  # the last start below v
    product = (v - data.act_start[segment]) * data.act_mul.astype(np.int64)[segment]
    bits = data.act_shift.astype(np.int64)[segment]
    floor, fraction, one = product >> bits, product & ((1 << bits) - 1), 1 << bits
    away = (2 * fraction > one) | ((2 * fraction == one) & (bits > 0) & (floor % 2 == 1))
    rounded = np.where(away, np.where(product >= 0, floor + 1, floor - 1), floor)
    return np.clip(rounded + data.act_add.astype(np.int64)[segment], 0, 255).astype(np.uint8)
