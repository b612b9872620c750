"""What rounding the weights does to the mean of a convolution's output, so that the bias can undo it."""

import numpy as np
from numpy.typing import NDArray


def weight_rounding_bias(
    weight: NDArray[np.floating], quantized_weight: NDArray[np.floating], input_mean_per_channel: NDArray[np.floating]
) -> NDArray[np.float64]:
    """The expected shift [OC] of the output: subtract it from the bias.

    `weight` and `quantized_weight` (real values, `QuantizedWeights.real`) are [OC, IC, k, k] with means [IC], or
    depthwise [C, 1, k, k] with means [C]; the shift is sum((quantized - weight) * mean). Pixels at the border, where
    some taps read the padding, are treated like all others. Raises ValueError for shapes that do not go together.
    """
    if weight.shape != quantized_weight.shape:
        raise ValueError(f"weights of shape {weight.shape} were quantized to shape {quantized_weight.shape}")
    error = (quantized_weight.astype(np.float64) - weight.astype(np.float64)).sum(axis=(2, 3))
    mean = input_mean_per_channel.astype(np.float64)
    if mean.shape == error.shape[1:]:
        return error @ mean
    if error.shape[1] == 1 and mean.shape == error.shape[:1]:
        return error[:, 0] * mean
    raise ValueError(f"{mean.shape} input means do not go with weights of shape {weight.shape}")
