"""Convolution weights as unsigned bytes, symmetric around 128, one scale per output channel."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

WEIGHT_ZERO_POINT = 128

_FEW_WEIGHTS = 64
"""Channels with no more weights than this are worth a finer search for the best scale."""


class QuantizedWeights(NamedTuple):
    """codes uint8 [OC, IC, k, k] ([C, 1, k, k] depthwise) and scale float64 [OC]: `w = (code - 128) * scale[oc]`."""

    codes: NDArray[np.uint8]
    scale: NDArray[np.float64]

    @property
    def real(self) -> NDArray[np.float64]:
        """The weights the KPU computes with, same shape as `codes`."""
        scale = self.scale.reshape(-1, *[1] * (self.codes.ndim - 1))
        return (self.codes.astype(np.float64) - WEIGHT_ZERO_POINT) * scale


def quantize_weights(weight: NDArray[np.floating]) -> QuantizedWeights:
    """The nearest codes at the scale per channel that leaves the least squared error.

    The scales tried are the one that just holds the largest weight (kept unless another is better), one with the
    code -128 left unused, and somewhat smaller ones, which clip. There is no smallest scale: channels that batch-norm
    has made tiny keep all their bits; channels of zeros get scale 1. Raises ValueError for NaN or infinite weights.
    """
    if not np.isfinite(weight).all():
        raise ValueError("weights must be finite")
    rows = np.asarray(weight, np.float64).reshape(len(weight), -1)
    full = np.maximum(rows.max(axis=1) / 127, -rows.min(axis=1) / 128)
    full = np.where(full > 1e-30, full, 1.0)
    ratios = np.linspace(1, 0.75, 26 if rows.shape[1] <= _FEW_WEIGHTS else 6)
    best, best_error, codes = full, np.full(len(rows), np.inf), np.zeros_like(rows)
    symmetric = np.maximum(np.abs(rows).max(axis=1) / 127, full * 1e-30)
    trial, deviation = np.empty_like(rows), np.empty_like(rows)
    for tried in (*(full * ratio for ratio in ratios), symmetric):
        np.divide(rows, tried[:, None], out=trial)
        np.rint(trial, out=trial)
        np.maximum(trial, -128, out=trial)
        np.minimum(trial, 127, out=trial)
        np.multiply(trial, tried[:, None], out=deviation)
        deviation -= rows
        np.square(deviation, out=deviation)
        error = deviation.sum(axis=1)
        better = error < best_error * (1 - 1e-9)
        best = np.where(better, tried, best)
        codes[better] = trial[better]
        best_error = np.where(better, error, best_error)
    return QuantizedWeights((codes + WEIGHT_ZERO_POINT).astype(np.uint8).reshape(weight.shape), best)
