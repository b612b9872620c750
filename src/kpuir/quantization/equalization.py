"""Cross-layer equalization: move scale between the channels of two consecutive convolutions.

For f(s·y) = s·f(y), s > 0 (no activation, ReLU, leaky ReLU, not ReLU6) dividing an output channel of the first layer
by s and multiplying the second layer's weights for that channel by s changes nothing but the ranges in between.
"""

import numpy as np
from numpy.typing import NDArray

LARGEST_FACTOR = 64.0
"""A channel is never scaled by more than this, up or down."""


def equalize_pair(
    w1: NDArray[np.floating],
    b1: NDArray[np.floating],
    w2: NDArray[np.floating],
    channel_range: NDArray[np.floating] | None = None,
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """(w1', b1', w2') that compute the same with more even channels in between.

    `w1` [C, IC, k, k] (depthwise [C, 1, k, k]), `b1` [C], `w2` [OC, C, k, k] or depthwise [C, 1, k, k]. Channel i is
    divided by sqrt(r1 / r2): r1 is `channel_range` [C], the largest magnitude observed between the layers (one scale is
    shared by all channels there, so this is what matters on the KPU), or the largest weight of w1's channel; r2 is the
    largest weight of w2 for it. Channels where either is 0 are left alone. Raises ValueError for shapes that do not go
    together.
    """
    channels = len(w1)
    depthwise = w2.shape[:2] == (channels, 1)
    if b1.shape != (channels,) or not (depthwise or w2.shape[1] == channels):
        raise ValueError(f"layers of shapes {w1.shape}, {b1.shape} and {w2.shape} do not follow each other")
    if channel_range is not None and channel_range.shape != (channels,):
        raise ValueError(f"expected {channels} channel ranges, got shape {channel_range.shape}")
    first = np.abs(w1).max(axis=(1, 2, 3)) if channel_range is None else np.abs(channel_range)
    second = np.abs(w2).max(axis=(1, 2, 3) if depthwise else (0, 2, 3))
    alive = (first > 0) & (second > 0)
    ratio = np.sqrt(np.where(alive, first, 1.0) / np.where(alive, second, 1.0))
    # Only the ratios between channels matter: the largest range stays what it is.
    largest = int(np.argmax(np.where(alive, first, 0.0)))
    factor = np.where(alive, np.clip(ratio / ratio[largest], 1 / LARGEST_FACTOR, LARGEST_FACTOR), 1.0)
    column = factor[:, None, None, None]
    w2_factor = column if depthwise else column[:, 0][None]
    return w1 / column, b1 / factor, w2.astype(np.float64) * w2_factor
