"""Which way each weight is rounded: together they are to change what a layer computes as little as possible.

Rounding every weight to its nearest code is best for inputs that have nothing to do with each other. Neighbouring
pixels and channels do, and then what one weight was rounded up too much, another can take back. For inputs of
covariance C the error e of a row of weights adds e C e^T to the mean square of its output. Codes are chosen one after
the other, and the weights not yet chosen take over the error of the chosen one, as far as C lets them (GPTQ, Frantar et
al. 2022: the same as optimal brain quantization in a fixed order, here by falling variance).
"""

import numpy as np
from numpy.typing import NDArray

Doubles = NDArray[np.float64]

_DAMPING = 0.01
"""Share of the mean variance that is added to each: few samples do not show all that may vary."""
_BLOCK = 64
"""Columns whose error is handed on at once, by one matrix product."""


def rounded_codes(weight: Doubles, scale: Doubles, covariance: Doubles, low: int, high: int) -> Doubles:
    """Whole numbers [G, O, K] from `low` to `high`, so that `codes * scale` computes what `weight` does.

    weight [G, O, K]: G groups, each with O outputs of the same K inputs; scale [G, O], positive; covariance [G, K, K]
    of the inputs, in any unit. Weights of 0 stay 0: what is read there may be no value of the model. Where a group's
    inputs never vary the nearest codes are taken.
    """
    variance = np.einsum("gkk->gk", covariance)
    mean = variance.mean(axis=1, keepdims=True)
    still = mean <= 0
    damped = covariance + np.where(still, 1.0, _DAMPING * mean)[:, :, None] * np.eye(covariance.shape[1])
    order = np.argsort(-variance, axis=1, kind="stable")
    damped = np.take_along_axis(np.take_along_axis(damped, order[:, :, None], 1), order[:, None], 2)
    # Row k: how the error of column k is spread over the columns behind it, given those in front are chosen.
    spread = np.swapaxes(np.linalg.cholesky(np.linalg.inv(damped)), 1, 2)
    spread /= np.einsum("gkk->gk", spread)[:, :, None]
    codes = np.take_along_axis(weight / scale[:, :, None], order[:, None], 2)
    used = codes != 0
    count = codes.shape[2]
    for begin in range(0, count, _BLOCK):
        end = min(begin + _BLOCK, count)
        errors = np.empty((*codes.shape[:2], end - begin))
        for column in range(begin, end):
            wanted = codes[:, :, column]
            chosen = np.clip(np.rint(wanted), low, high)
            error = wanted - chosen
            codes[:, :, column:end] -= error[:, :, None] * spread[:, None, column, column:end] * used[:, :, column:end]
            codes[:, :, column], errors[:, :, column - begin] = chosen, error
        codes[:, :, end:] -= errors @ spread[:, begin:end, end:] * used[:, :, end:]
    result = np.empty_like(codes)
    np.put_along_axis(result, np.broadcast_to(order[:, None], codes.shape), codes, 2)
    return result
