"""All integers of one KPU layer from its float weights and the quantization of its input and output.

The derivation is `lowering-facts.md` 10.9; the arithmetic it is for is `kpu-hardware.md` 6.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kpuir.quantization.activation_table import ActivationTable
from kpuir.quantization.fixed_point import fixed_points
from kpuir.quantization.parameters import QuantizationParameters
from kpuir.quantization.piecewise import Function, fit_table
from kpuir.quantization.weights import Codes, QuantizedWeights, quantize_weights

_MUL_BITS = 22
_MAXIMUM_BN_SHIFT = 15
_HEADROOM = 8
"""Bits below one output code the batch-norm result usually carries."""
_SLOPED_HEADROOM = 10
"""The most for functions whose slopes need the multiplier's bits: at shift 20 slope 1 still has 10 of them."""
_EXACT_HEADROOM = 14
"""The most for functions whose slopes are powers of two and need a single bit."""
_TOLERATED_ERROR = 0.01  # output codes, from rounding the batch-norm multiplier
_SAMPLES = 1024
_ADD_LIMIT = (1 << 31) - 1
_RESULT_LIMIT = (1 << 35) - (1 << 22)  # the table's first piece may begin 2^20 units before its function does


@dataclass(frozen=True, eq=False)
class LayerData:
    """The properties of a `kpu.layer` that hold numbers, by its names (`kpu-hardware.md` 4 and 6), without the pool.

    weights uint8 or uint16 [OC, IC, k, k] or depthwise [C, 1, k, k]; bn_* per output channel: mul int32 (22 bits used),
    shift uint8 0..15, add int32; act_*: the activation table.
    """

    kernel_size: int
    depthwise: bool
    pad_value: int
    arg_x: int
    shr_x: int
    arg_w: int
    shr_w: int
    arg_add: int
    weights: Codes
    bn_mul: NDArray[np.int32]
    bn_shift: NDArray[np.uint8]
    bn_add: NDArray[np.int32]
    act_start: NDArray[np.int64]
    act_mul: NDArray[np.int16]
    act_shift: NDArray[np.uint8]
    act_add: NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class _BatchNorm:
    mul: NDArray[np.int64]
    shift: NDArray[np.int64]
    add: NDArray[np.int64]
    lo: int
    hi: int


def select_layer(
    weight: NDArray[np.floating],
    bias: NDArray[np.floating],
    activation: Callable[[NDArray[np.float64]], NDArray[np.float64]],
    input: QuantizationParameters,
    output: QuantizationParameters,
    depthwise: bool,
    y_range: tuple[float, float],
    pool_mean_divisor: int = 0,
    *,
    weights: QuantizedWeights | None = None,
    tolerated: float = _TOLERATED_ERROR,
) -> LayerData:
    """Registers for `output = activation(conv(input, weight) + bias)`, zero padding, stride 1.

    `weight` [OC, IC, k, k] or depthwise [C, 1, k, k], k 1 or 3; `bias` [OC]. `activation` is any scalar function of
    float64 arrays. `y_range` bounds the convolution's result before the activation: there
    the table is most exact. `pool_mean_divisor` is 4 or 16 when a mean pool follows, which truncates: the layer then
    gives 3/8 or 15/32 of a code more, so that the mean is right on average. `weights` are the codes to use when the
    caller has them already (`quantize_weights(weight)` otherwise). `tolerated` is the error, in output codes, that
    rounding the batch-norm multiplier may add where more bits would avoid it.

    No u8 input whatever overflows: batch-norm results stay within 36 bits by interval arithmetic. Raises ValueError
    when that cannot be had (scales, weights or bias are many orders of magnitude apart), or for NaN and bad shapes.
    """
    _check(weight, bias, y_range, depthwise, pool_mean_divisor)
    quantized = quantize_weights(weight) if weights is None else weights
    shift_codes = (pool_mean_divisor - 1) / (2 * pool_mean_divisor) if pool_mean_divisor else 0.0

    def code(y: NDArray[np.float64]) -> NDArray[np.float64]:
        return activation(y) / output.scale + (output.zero_point + shift_codes)

    lo, hi = _focus(code, y_range, output)
    sign, steepest, exact = _slopes(code, lo, hi)
    unit = 2.0 ** np.floor(np.log2(steepest * output.scale) + 1e-9) / output.scale
    batch_norm, units_per_y = _batch_norm(quantized, bias, input, sign * unit, exact, tolerated)
    if quantized.codes.dtype == np.uint16:
        quantized, batch_norm = _with_whole_multipliers(weight, bias, input, quantized, batch_norm, units_per_y)

    def code_of_result(v: NDArray[np.float64]) -> NDArray[np.float64]:
        return code(v / units_per_y)

    low, high = sorted((lo * units_per_y, hi * units_per_y))
    table = fit_table(code_of_result, (low, high), (batch_norm.lo - 1.0, batch_norm.hi + 1.0))
    return _layer_data(quantized, batch_norm, table, input, depthwise)


def _layer_data(
    quantized: QuantizedWeights,
    batch_norm: _BatchNorm,
    table: ActivationTable,
    input: QuantizationParameters,
    depthwise: bool,
) -> LayerData:
    kernel = quantized.codes.shape[-1]
    return LayerData(
        kernel_size=kernel,
        depthwise=depthwise,
        pad_value=input.zero_point,
        arg_x=-quantized.zero_point,
        shr_x=0,
        arg_w=-input.zero_point,
        shr_w=0,
        arg_add=kernel * kernel * quantized.zero_point * input.zero_point,
        weights=quantized.codes,
        bn_mul=batch_norm.mul.astype(np.int32),
        bn_shift=batch_norm.shift.astype(np.uint8),
        bn_add=batch_norm.add.astype(np.int32),
        act_start=table.start,
        act_mul=table.mul,
        act_shift=table.shift,
        act_add=table.add,
    )


def _check(
    weight: NDArray[np.floating],
    bias: NDArray[np.floating],
    y_range: tuple[float, float],
    depthwise: bool,
    pool_mean_divisor: int,
) -> None:
    if weight.ndim != 4 or weight.shape[2:] not in ((1, 1), (3, 3)) or (depthwise and weight.shape[1] != 1):
        raise ValueError(f"weight must be [OC, IC, k, k] with k 1 or 3, depthwise [C, 1, k, k]; got {weight.shape}")
    if bias.shape != weight.shape[:1]:
        raise ValueError(f"bias must have shape {weight.shape[:1]}, got {bias.shape}")
    if not np.isfinite(bias).all():
        raise ValueError("bias must be finite")
    if not (np.isfinite(y_range).all() and y_range[0] <= y_range[1]):
        raise ValueError(f"the result's range must be finite and ascending, got {y_range}")
    if pool_mean_divisor not in (0, 4, 16):
        raise ValueError(f"a mean pool divides by 4 or 16, got {pool_mean_divisor}")


def _focus(code: Function, y_range: tuple[float, float], output: QuantizationParameters) -> tuple[float, float]:
    """The part of the range where the output changes, at least one output code wide.

    The bounds may be far wider: a sigmoid of hundreds, or a ReLU6 that clips nearly everything.
    """
    lo, hi = float(y_range[0]), float(y_range[1])
    missing = max(output.scale - (hi - lo), 0) / 2
    lo, hi = whole = lo - missing, hi + missing
    for _ in range(4):
        y, codes = _sampled(code, lo, hi)
        steps = np.abs(np.diff(codes))
        changes = np.flatnonzero(steps > 1e-3 * steps.max())
        if steps.max() <= 1 or changes[-1] - changes[0] > _SAMPLES // 2:
            return lo, hi
        lo, hi = float(y[changes[0]]), float(y[changes[-1] + 1])
    # A jump stays one however near one looks.
    return whole


def _sampled(code: Function, lo: float, hi: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    y = np.linspace(lo, hi, _SAMPLES + 1)
    with np.errstate(all="ignore"):
        return y, np.clip(np.nan_to_num(code(y), nan=0.0, posinf=1e9, neginf=-1e9), 0, 255)


def _slopes(code: Function, lo: float, hi: float) -> tuple[int, float, bool]:
    """(direction, steepest, exact) of a function over [lo, hi].

    direction is -1 when it falls more than it rises: the batch-norm multiplier then takes the sign, because falling
    pieces of the table are inexact. steepest, in codes per unit of y, leaves out the steepest hundredth (jumps).
    exact: all slopes are powers of two times the steepest, or 0, as in ReLU.
    """
    y, codes = _sampled(code, lo, hi)
    rise = np.diff(codes)
    direction = -1 if -rise[rise < 0].sum() > rise[rise > 0].sum() else 1
    slope = np.abs(rise) / (y[1] - y[0])
    moving = slope[slope > slope.max() * 1e-6]
    if not moving.size:
        return direction, 255 / (hi - lo), True
    steepest = float(np.quantile(moving, 0.99))
    power = np.log2(moving / steepest)
    odd = np.abs(power - np.rint(power)) > 1e-6
    # A function that is almost constant within the bounds still needs some resolution.
    return direction, max(steepest, 32 / (hi - lo)), bool(np.count_nonzero(odd) <= 4)


def _batch_norm(
    quantized: QuantizedWeights,
    bias: NDArray[np.floating],
    input: QuantizationParameters,
    unit: float,
    exact: bool,
    tolerated: float,
) -> tuple[_BatchNorm, float]:
    """Multiplier, shift and addend per channel, and how many units of the result make 1.0 of y (negative: mirrored).

    `unit` is the number of results per y at no headroom.
    """
    lowest, highest, typical = _accumulators(quantized, input)
    per_accumulator = input.scale * quantized.scale
    offset = bias.astype(np.float64)
    headroom = _HEADROOM
    most = _EXACT_HEADROOM if exact else _SLOPED_HEADROOM
    # Below 22 significant bits the multiplier is off by half a unit of 2^-15 at most.
    while headroom < most and typical.max() * 2.0**-16 > tolerated * 2.0**headroom:
        headroom += 1
    for bits in range(headroom, -1, -1):
        units_per_y = unit * 2.0**bits
        found = _scaled(per_accumulator * units_per_y, offset * units_per_y, lowest, highest)
        if found is not None:
            return found, units_per_y
    raise ValueError(
        f"the layer overflows the KPU's 36 bits: weights up to {np.abs(quantized.real).max():g}, bias up to "
        f"{np.abs(bias).max():g}, input scale {input.scale:g}, {abs(unit):g} output codes per unit"
    )


def _with_whole_multipliers(
    weight: NDArray[np.floating],
    bias: NDArray[np.floating],
    input: QuantizationParameters,
    quantized: QuantizedWeights,
    batch_norm: _BatchNorm,
    units_per_y: float,
) -> tuple[QuantizedWeights, _BatchNorm]:
    """16-bit weights at the next larger scales for which the batch-norm multipliers are whole numbers, where that fits.

    The multipliers are 256 times smaller than those of bytes: rounding them would lose what the weights' bits gained.
    """
    unit = 2.0**-_MAXIMUM_BN_SHIFT / (input.scale * abs(units_per_y))
    codes = quantize_weights(weight, np.ceil(quantized.scale / unit) * unit, 16)
    lowest, highest, _ = _accumulators(codes, input)
    factor = input.scale * codes.scale * units_per_y
    found = _scaled(factor, bias.astype(np.float64) * units_per_y, lowest, highest)
    return (quantized, batch_norm) if found is None else (codes, found)


def _scaled(
    factor: NDArray[np.float64], addend: NDArray[np.float64], lowest: NDArray[np.int64], highest: NDArray[np.int64]
) -> _BatchNorm | None:
    """The registers for `factor * acc + addend`, or None when one of them or the result is too wide."""
    used = (lowest != 0) | (highest != 0)
    if (np.abs(factor[used]) >= 2.0 ** (_MUL_BITS - 1) - 1).any() or (np.abs(addend) >= _ADD_LIMIT).any():
        return None
    mul, shift = fixed_points(np.where(used, factor, 0.0), _MUL_BITS, _MAXIMUM_BN_SHIFT)
    # The shift truncates: half a unit on average.
    add = np.floor(addend + 1).astype(np.int64)
    # 36 bits times 21: no overflow here.
    ends = (np.stack([lowest, highest]) * mul >> shift) + add
    lo, hi = int(ends.min()), int(ends.max())
    if lo <= -_RESULT_LIMIT or hi >= _RESULT_LIMIT:
        return None
    return _BatchNorm(mul, shift, add, lo, hi)


def _accumulators(
    quantized: QuantizedWeights, input: QuantizationParameters
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Per channel the least and greatest accumulator any u8 input gives, and a size it will rarely exceed."""
    rows = quantized.codes.reshape(len(quantized.codes), -1).astype(np.int64) - quantized.zero_point
    up, down = np.maximum(rows, 0).sum(axis=1), np.minimum(rows, 0).sum(axis=1)
    above, below = 255 - input.zero_point, -input.zero_point
    highest, lowest = up * above + down * below, up * below + down * above
    norm = np.sqrt((rows.astype(np.float64) ** 2).sum(axis=1))
    return lowest, highest, np.minimum(np.maximum(highest, -lowest), 6 * 64 * norm)
