"""Convolution weights as unsigned bytes or 16-bit words with one scale per output channel, centred or from 0 on."""

from typing import Literal, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

Codes: TypeAlias = NDArray[np.uint8 | np.uint16]
WeightBits: TypeAlias = Literal[8, 16]
"""What the KPU multiplies by; 16 bits take twice the room and time to load, and only kmodel v3 has them."""

_FEW_WEIGHTS = 64
"""Channels with no more weights than this, zeros aside, are worth a finer search for the best scale."""

_SUM_LIMIT = 1 << 34
"""What no sum of products reaches: accumulators have 36 bits (`kpu-hardware.md` 6.2), one is left for rounding."""


_WHOLE = 1e-4
"""How far numbers up to 255 that single precision has rounded several times are from whole ones, and more."""


class QuantizedWeights(NamedTuple):
    """codes [OC, IC, k, k] ([C, 1, k, k] depthwise) and scale float64 [OC]: `w = (code - zero_point) * scale`.

    Codes are uint8 or uint16. The zero point is one for the whole layer: half the codes where weights are negative,
    else 0, which gives twice the resolution, or what a given lattice needs.
    """

    codes: Codes
    scale: NDArray[np.float64]
    zero_point: int

    @property
    def real(self) -> NDArray[np.float64]:
        """The weights the KPU computes with, same shape as `codes`."""
        scale = self.scale.reshape(-1, *[1] * (self.codes.ndim - 1))
        return (self.codes.astype(np.float64) - self.zero_point) * scale


def quantize_weights(
    weight: NDArray[np.floating], scale: NDArray[np.float64] | None = None, bits: WeightBits = 8
) -> QuantizedWeights:
    """The nearest codes at the scale per channel, [OC], that is given or leaves the least squared error.

    The scales tried are the one that just holds the largest weight (kept unless another is better), one with the
    code -128 left unused, and somewhat smaller ones, which clip. Of channels with few weights also those at which the
    largest weight is a smaller code: the few may be whole numbers there. There is no smallest scale: channels that
    batch-norm has made tiny keep all their bits; channels of zeros get scale 1. With 16 bits it is the scale that just
    holds the largest weight, or a larger one where the sums of very many weights would leave the accumulator. Raises
    ValueError for NaN or infinite weights.
    """
    if not np.isfinite(weight).all():
        raise ValueError("weights must be finite")
    rows = np.asarray(weight, np.float64).reshape(len(weight), -1)
    zero_point, most = 1 << (bits - 1) if rows.min(initial=0.0) < 0 else 0, (1 << bits) - 1
    low, high = -zero_point, most - zero_point
    if scale is not None:
        best = scale
    elif bits == 8:
        best = _least_error_scale(rows, low, high)
    else:
        best = np.maximum(_full_scale(rows, low, high), np.abs(rows).sum(axis=1) * (255 / _SUM_LIMIT))
    codes = np.rint(rows / best[:, None])
    if scale is not None and np.ptp(codes) <= most and (codes.min() < low or codes.max() > high):
        zero_point = -int(codes.min())
        low, high = -zero_point, most - zero_point
    codes = np.clip(codes, low, high) + zero_point
    dtype = np.uint8 if bits == 8 else np.uint16
    return QuantizedWeights(codes.astype(dtype).reshape(weight.shape), best, zero_point)


def lattice_scale(weight: NDArray[np.floating]) -> NDArray[np.float64] | None:
    """The scale per channel, [OC], of which all weights are whole multiples that bytes hold, None where there is none.

    These are the weights of a quantized model, whatever has been done to their channels since.
    """
    rows = np.asarray(weight, np.float64).reshape(len(weight), -1)
    largest = np.abs(rows).max(axis=1)
    largest[largest == 0] = 1.0
    units = rows / largest[:, None]
    sample = units[:, :: max(1, units.shape[1] // 64)]
    steps = np.zeros(len(rows))
    for count in range(1, 256):
        likely = np.flatnonzero((steps == 0) & _is_whole(sample * count))
        if likely.size:
            steps[likely[_is_whole(units[likely] * count)]] = count
        if steps.all():
            break
    codes = np.rint(units * steps[:, None])
    return largest / steps if steps.all() and np.ptp(codes) <= 255 else None


def _is_whole(rows: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Whether all numbers of a row are whole, up to the rounding of single precision."""
    return np.abs(rows - np.rint(rows)).max(axis=1) < _WHOLE


def _least_error_scale(rows: NDArray[np.float64], low: int, high: int) -> NDArray[np.float64]:
    """The scale of each row."""
    full = _full_scale(rows, low, high)
    count = int(np.count_nonzero(rows, axis=1).max(initial=0))
    few = count <= _FEW_WEIGHTS
    symmetric = np.maximum(np.abs(rows).max(axis=1) / high, full * 1e-30)
    tried = [full * ratio for ratio in np.linspace(1, 0.75, 26 if few else 6)] + [symmetric]
    searched = rows
    if few and count < rows.shape[1]:  # zeros are exact at every scale
        searched = np.take_along_axis(rows, np.argsort(-np.abs(rows), axis=1)[:, :count], axis=1)
    if few:
        tried += [symmetric * (high / code) for code in range(high - 1, high // 2, -1)]
    return _best_scale(searched, full, tried, low, high)


def _full_scale(rows: NDArray[np.float64], low: int, high: int) -> NDArray[np.float64]:
    """The scale of each row that just holds its largest weight."""
    full = np.maximum(rows.max(axis=1) / high, rows.min(axis=1) / min(low, -1))
    return np.where(full > 1e-30, full, 1.0)


def _best_scale(
    rows: NDArray[np.float64], first: NDArray[np.float64], tried: list[NDArray[np.float64]], low: int, high: int
) -> NDArray[np.float64]:
    """For each row the scale that leaves the least squared error, the first one unless another is clearly better."""
    best, best_error = first, np.full(len(rows), np.inf)
    trial, deviation = np.empty_like(rows), np.empty_like(rows)
    for scale in tried:
        np.divide(rows, scale[:, None], out=trial)
        np.rint(trial, out=trial)
        np.maximum(trial, low, out=trial)
        np.minimum(trial, high, out=trial)
        np.multiply(trial, scale[:, None], out=deviation)
        deviation -= rows
        np.square(deviation, out=deviation)
        error = deviation.sum(axis=1)
        better = error < best_error * (1 - 1e-9)
        best = np.where(better, scale, best)
        best_error = np.where(better, error, best_error)
    return best
