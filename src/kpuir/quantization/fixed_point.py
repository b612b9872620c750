"""Real numbers as an integer multiplier and a right shift: `v ≈ mul / 2**shift`.

The formula is `lowering-facts.md` 10.5, extended to negative numbers and corrected where rounding would overflow
the multiplier.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray


def fixed_points(values: ArrayLike, bits: int, max_shift: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """`fixed_point` of every element of an array; returns (mul, shift), both int64 of the same shape."""
    v = np.asarray(values, np.float64)
    if not np.isfinite(v).all():
        raise ValueError("a fixed-point number must be finite")
    limit = 2.0 ** (bits - 1)
    exponent = np.frexp(v)[1].astype(np.int64)
    shift = np.minimum(max_shift, bits - 1 - exponent)
    mul = _round_half_away(np.ldexp(v, shift))
    # 0.99999… has rounded up to 1.0: one bit too many, and even, so a smaller shift loses nothing.
    shift = np.where(np.abs(mul) >= limit, shift - 1, shift)
    mul = _round_half_away(np.ldexp(v, shift))
    zero = mul == 0
    shift = np.where(zero, 0, shift)
    if (shift < 0).any():
        raise ValueError(f"{float(np.abs(v).max())} does not fit a signed {bits}-bit multiplier")
    return mul.astype(np.int64), shift.astype(np.int64)


def fixed_point(v: float, bits: int, max_shift: int) -> tuple[int, int]:
    """The nearest `mul / 2**shift` to `v` with |mul| < 2**(bits-1) and 0 <= shift <= max_shift.

    The shift is the largest that fits, so `mul` has bits-1 significant bits unless `max_shift` binds; a `v` too
    small for one unit at `max_shift` gives (0, 0). Raises ValueError if |v| rounds to 2**(bits-1) or more.
    """
    mul, shift = fixed_points(v, bits, max_shift)
    return int(mul), int(shift)


def _round_half_away(v: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.copysign(np.floor(np.abs(v) + 0.5), v)
