"""Better codes than those chosen one after the other: single steps, as long as one of them helps."""

import numpy as np
from numba import njit
from numpy.typing import NDArray

Doubles = NDArray[np.float64]

_STEPS_PER_CODE = 4
"""More are not needed: it converges after a fraction of one."""


def improved_codes(
    codes: Doubles, weight: Doubles, scale: Doubles, covariance: Doubles, low: int, high: int
) -> Doubles:
    """Codes [G, O, K] from `low` to `high`, none of which can be one more or less without more error of the output.

    weight, scale, covariance and the error e C e^T are those of `kpuir.quantization.rounding.rounded_codes`, whose
    result is what to begin with. The step that lessens the error of a row most is taken first. Weights of 0 stay 0.
    """
    result = codes.copy()
    for group in range(len(codes)):
        _descend(result[group], weight[group], scale[group], covariance[group], low, high)
    return result


@njit(cache=True)
def _descend(codes: Doubles, weight: Doubles, scale: Doubles, covariance: Doubles, low: int, high: int) -> None:
    rows, count = codes.shape
    for row in range(rows):
        step = scale[row]
        slope = covariance @ (codes[row] * step - weight[row])
        for _ in range(_STEPS_PER_CODE * count):
            best, chosen, way = 0.0, -1, 0.0
            for column in range(count):
                direction = -1.0 if slope[column] > 0 else 1.0
                moved = codes[row, column] + direction
                if weight[row, column] == 0 or moved < low or moved > high:
                    continue
                change = 2 * direction * slope[column] + step * covariance[column, column]
                if change < best:
                    best, chosen, way = change, column, direction
            # Rounding errors of the slope are no reason for a step.
            if chosen < 0 or -best < 1e-9 * step * covariance[chosen, chosen]:
                break
            codes[row, chosen] += way
            slope += way * step * covariance[:, chosen]
