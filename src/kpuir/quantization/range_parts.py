"""A number as the sum of several bytes, each with a part of its range: more resolution than one byte has.

The range is cut into parts of 255 equal steps, beginning at 0: x = step * (sum of the bytes of parts above 0 - sum of
those below). A byte is 0 up to where its part begins (as seen from 0), 255 from its end on, and counts steps between.
Steps of different sizes could follow the distribution of the numbers, but the weights that add the parts up again are
quantized too, with one scale for all.
"""

import math
from typing import NamedTuple

_SMALLEST = 1e-30
"""Ends nearer to 0 are 0."""


class Part(NamedTuple):
    """`byte = sat8(round(x / step) - begin)`: `step` is negative below 0, `begin` a number of steps from 0."""

    step: float
    begin: int


def range_parts(lo: float, hi: float, count: int) -> list[Part]:
    """At most `count` parts that cover [lo, hi] and 0 with the smallest step.

    Raises ValueError unless lo <= hi, both finite, or for fewer parts than the range has sides of 0.
    """
    if not (math.isfinite(lo) and math.isfinite(hi) and lo <= hi):
        raise ValueError(f"a range must be finite and ascending, got [{lo}, {hi}]")
    sides = [(sign, end) for sign, end in ((1, hi), (-1, -lo)) if end > _SMALLEST]
    if count < max(len(sides), 1):
        raise ValueError(f"{count} parts do not cover [{lo}, {hi}], which lies on {len(sides)} sides of 0")
    if not sides:
        return [Part(1 / 255, 0)]
    widths = sorted(end / parts for _, end in sides for parts in range(1, count + 1))
    needed = [[math.ceil(end / width - 1e-9) for _, end in sides] for width in widths]
    width, numbers = next(found for found in zip(widths, needed, strict=True) if sum(found[1]) <= count)
    step = width / 255
    return [
        Part(sign * step, 255 * index)
        for (sign, _), number in zip(sides, numbers, strict=True)
        for index in range(number)
    ]
