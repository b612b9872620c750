"""Cross-layer equalization: move scale between the channels of two consecutive convolutions.

For f(s·y) = s·f(y), s > 0 (no activation, ReLU, leaky ReLU, not ReLU6) dividing an output channel of the first layer
by s and multiplying the second layer's weights for that channel by s changes nothing but the ranges in between. All
channels there share one scale, so small channels gain resolution; the second layer's weights lose some.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

SMALLEST_FACTOR = 1 / 16
"""No channel is enlarged by more than 1 over this."""

_EXPONENTS = (0.0, 0.25, 0.5, 0.75, 1.0)
_LEVELS, _WEIGHT_LEVELS = 255, 127
_LEAST = 1e-300


@dataclass(frozen=True)
class ChannelStatistics:
    """What was observed between two layers: the largest magnitude and the mean square of each channel, [C] each."""

    largest: NDArray[np.float64]
    mean_square: NDArray[np.float64]


class Following(NamedTuple):
    """A layer that reads the channels: `weight` [OC, C, k, k] or, if depthwise, [C, 1, k, k]."""

    weight: NDArray[np.floating]
    depthwise: bool


def equalizing_factors(layers: Sequence[Following], seen: ChannelStatistics) -> NDArray[np.float64]:
    """What to divide each channel in front of `layers`, one at least, by, [C].

    Of the factors (largest / largest of all)^p, p from 0 (leave alone) to 1 (even out completely), those are taken
    that give the least expected noise at the layers' outputs, each relative to what it is without factors. Raises
    ValueError for shapes that do not go together.
    """
    for layer in layers:
        channels = layer.weight.shape[0] if layer.depthwise else layer.weight.shape[1]
        if seen.largest.shape != (channels,) or seen.mean_square.shape != (channels,):
            found = seen.largest.shape
            raise ValueError(f"statistics of {found} channels do not go with a layer that reads {channels}")
    channels = len(seen.largest)
    top = float(seen.largest.max(initial=0))
    share = np.where(seen.largest > 0, seen.largest / top, 1.0) if top > 0 else np.ones(channels)
    candidates = [np.clip(share**exponent, SMALLEST_FACTOR, 1.0) for exponent in _EXPONENTS]
    plain = [max(_noise(layer, seen, candidates[0]), _LEAST) for layer in layers]

    def noise(factors: NDArray[np.float64]) -> float:
        return sum(_noise(layer, seen, factors) / without for layer, without in zip(layers, plain, strict=True))

    return min(candidates, key=noise)


def _noise(layer: Following, seen: ChannelStatistics, factors: NDArray[np.float64]) -> float:
    """Expected squared error of a layer, summed over its channels: uniform rounding of inputs, and of weights but 0."""
    weight, depthwise = layer
    scaled = scale_inputs(weight, factors, depthwise)
    step = float((seen.largest / factors).max()) / _LEVELS
    of_inputs = (scaled**2).sum(axis=(1, 2, 3)) * step**2 / 12
    weight_step = np.abs(scaled).max(axis=(1, 2, 3)) / _WEIGHT_LEVELS
    power = seen.mean_square / factors**2
    taps = np.count_nonzero(scaled, axis=(2, 3))
    of_weights = weight_step**2 / 12 * (taps[:, 0] * power if depthwise else taps @ power)
    return float((of_inputs + of_weights).sum())


def scale_inputs(weight: NDArray[np.floating], factors: NDArray[np.float64], depthwise: bool) -> NDArray[np.float64]:
    """A layer's weights for inputs whose channels were divided by `factors` [C]: the same result."""
    shape = (-1, 1, 1, 1) if depthwise else (1, -1, 1, 1)
    return weight.astype(np.float64) * factors.reshape(shape)


def scale_outputs(
    weight: NDArray[np.floating], bias: NDArray[np.floating], factors: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Weights [C, ...] and bias [C] of a layer whose output channels are divided by `factors` [C]."""
    return weight / factors.reshape(-1, 1, 1, 1), bias / factors
