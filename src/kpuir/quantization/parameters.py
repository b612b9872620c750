"""The affine quantization of one tensor: `real = (code - zero_point) * scale`, codes 0..255.

The zero point is always an integer code, so the real number 0 (padding, ReLU's floor) is exact.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

CODES = 256
MINIMUM_WIDTH = 1e-30
"""Narrower ranges are widened: scales stay away from denormal numbers."""

_LATTICE_TOLERANCE = 2.0**-20  # of the largest magnitude: a few float32 roundings of (p / 255 - mean) / std
_LATTICE_LEVELS = 16  # fewer distinct values say nothing about the values still to come
_PIXEL_STEPS = np.array([1.0, 1 / 255, 1 / 256, 1 / 127, 1 / 127.5, 1 / 128])


@dataclass(frozen=True)
class QuantizationParameters:
    """Scale (real units per code, finite, > 0) and zero point (0..255) of an unsigned 8-bit tensor.

    Raises ValueError if either is out of range.
    """

    scale: float
    zero_point: int

    def __post_init__(self) -> None:
        if not (np.isfinite(self.scale) and self.scale > 0):
            raise ValueError(f"scale must be finite and positive, got {self.scale}")
        if not 0 <= self.zero_point <= 255:
            raise ValueError(f"zero point must be in 0..255, got {self.zero_point}")

    @classmethod
    def from_range(cls, lo: float, hi: float) -> "QuantizationParameters":
        """The finest parameters that cover [lo, hi] and 0 without clipping.

        Of the two integers around the ideal zero point the one that needs the smaller scale is taken; the scale grows
        by at most 0.8 % of the ideal (hi - lo) / 255. An end less than a quarter of a code from 0 counts as 0. Raises
        ValueError unless lo <= hi, both finite.
        """
        if not (np.isfinite(lo) and np.isfinite(hi) and lo <= hi):
            raise ValueError(f"a range must be finite and ascending, got [{lo}, {hi}]")
        lo, hi = min(float(lo), 0.0), max(float(hi), 0.0)
        if hi - lo < np.finfo(np.float64).tiny:
            return cls(1 / 255, 0)
        if hi - lo < MINIMUM_WIDTH:
            grow = MINIMUM_WIDTH / (hi - lo)
            lo, hi = lo * grow, hi * grow
        negligible = (hi - lo) / 1020
        lo, hi = (lo if -lo > negligible else 0.0), (hi if hi > negligible else 0.0)
        ideal = -lo / (hi - lo) * 255
        candidates = (int(np.floor(ideal)), int(np.ceil(ideal)))
        scale, zero_point = min((_covering_scale(lo, hi, z), z) for z in candidates)
        return cls(scale, zero_point)

    @property
    def lo(self) -> float:
        """The real value of code 0."""
        return -self.zero_point * self.scale

    @property
    def hi(self) -> float:
        """The real value of code 255."""
        return (255 - self.zero_point) * self.scale

    def quantize(self, values: ArrayLike) -> NDArray[np.uint8]:
        """Codes of real values of any shape: round half to even, clamp to 0..255."""
        codes = np.rint(np.asarray(values, np.float64) / self.scale) + self.zero_point
        return np.clip(codes, 0, 255).astype(np.uint8)

    def dequantize(self, codes: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Real values of codes of any shape."""
        return ((codes.astype(np.float64) - self.zero_point) * self.scale).astype(np.float32)


@dataclass(frozen=True)
class _OffsetLattice:
    """`real = (code - zero_point) * scale + offset`, exact for data whose lattice misses 0 (p / 127.5 - 1).

    |offset| <= scale / 2.
    """

    parameters: QuantizationParameters
    offset: float


def lattice(values: ArrayLike) -> QuantizationParameters | None:
    """Lossless parameters for data that lie on at most 256 equidistant levels, one of which is 0; else None.

    Images are such data: p, p / 255, (p - 127) / 128. When the step is one of a pixel's, the whole range a pixel can
    take is covered, not only the levels seen; coarser lattices are refined as far as 256 codes allow. Fewer than 16
    distinct values give None: they do not show a lattice.
    """
    found = _find_lattice(values)
    return found.parameters if found is not None and found.offset == 0 else None


def _covering_scale(lo: float, hi: float, zero_point: int) -> float:
    above = hi / (255 - zero_point) if zero_point < 255 else (np.inf if hi > 0 else 0.0)
    below = -lo / zero_point if zero_point > 0 else (np.inf if lo < 0 else 0.0)
    return float(max(above, below))


def _find_lattice(values: ArrayLike) -> _OffsetLattice | None:
    v = np.asarray(values).ravel()
    if v.size < _LATTICE_LEVELS:
        return None
    # An odd stride does not follow the image's columns; most data that are no lattice are dismissed here.
    stride = max(1, v.size // 4096) | 1
    tolerance = _LATTICE_TOLERANCE * float(max(abs(v.min()), abs(v.max())))
    if not np.isfinite(tolerance) or tolerance == 0:
        return None
    for part in (v[::stride], v):
        levels = _distinct(part, tolerance)
        if not _LATTICE_LEVELS <= len(levels) <= CODES:
            return None
        step = _common_step(levels, tolerance)
        if step is None:
            return None
        base = float(levels[0])
        if _on_lattice(v, base, step, tolerance):
            return _parameters_of_lattice(base, float(v.max()), step, float(v.min()), tolerance)
    return None


def _distinct(values: NDArray[np.generic], tolerance: float) -> NDArray[np.float64]:
    """Sorted distinct values, those within the tolerance counted once."""
    levels = np.unique(values).astype(np.float64)
    return levels[np.diff(levels, prepend=-np.inf) > tolerance]


def _common_step(levels: NDArray[np.float64], tolerance: float) -> float | None:
    """The largest step that puts all levels on one lattice of at most 256 points."""
    counts = np.arange(len(levels) - 1, CODES)
    width = levels[-1] - levels[0]
    if width / counts[-1] < 16 * tolerance:
        return None
    position = (levels - levels[0])[None] * (counts / width)[:, None]
    error = np.abs(position - np.rint(position)).max(axis=1) * (width / counts)
    fits = np.flatnonzero(error <= 2 * tolerance)
    if not fits.size:
        return None
    index = np.rint(position[fits[0]])
    centred = index - index.mean()
    step = float(centred @ levels / (centred @ centred))
    nearest = float(_PIXEL_STEPS[np.abs(_PIXEL_STEPS - step).argmin()])
    return nearest if abs(nearest - step) * CODES <= 2 * tolerance else step


def _on_lattice(values: NDArray[np.generic], base: float, step: float, tolerance: float) -> bool:
    position = (values.astype(np.float64) - base) / step
    rounded = np.rint(position)
    return bool(np.ptp(rounded) < CODES and np.abs(position - rounded).max() * step <= 2 * tolerance)


def _parameters_of_lattice(base: float, hi: float, step: float, lo: float, tolerance: float) -> _OffsetLattice:
    phase = base / step
    if abs(phase - np.rint(phase)) * step <= 2 * tolerance:
        phase = 0.0
    else:
        phase -= float(np.rint(phase))
    first, last = int(np.rint(lo / step - phase)), int(np.rint(hi / step - phase))
    zero_point = _pixel_zero_point(first, last, step)
    if zero_point is not None:
        return _OffsetLattice(QuantizationParameters(step, zero_point), phase * step)
    first, last = min(first, 0), max(last, 0)
    if last - first >= CODES:
        return _OffsetLattice(QuantizationParameters.from_range(lo, hi), 0.0)
    refine = 255 // (last - first)
    spare = 255 - refine * (last - first)
    zero_point = -first * refine + (spare // 2 if first < 0 else 0)
    return _OffsetLattice(QuantizationParameters(step / refine, zero_point), phase * step)


def _pixel_zero_point(first: int, last: int, step: float) -> int | None:
    """The zero point that covers all pixels when the step is a pixel's; levels seen are first..last (0 is 0)."""
    if not np.isclose(_PIXEL_STEPS, step, rtol=1e-9, atol=0).any() or last - first >= CODES:
        return None
    if first >= 0:
        return 0 if last <= 255 else None
    # Signed bytes are p - 128; pictures are normalised with 127 as well as with 128.
    preferred = (128, 127) if step in (1.0, 1 / 127.5) else (127, 128)
    for zero_point in preferred:
        if -first <= zero_point <= 255 - last:
            return zero_point
    lowest, highest = max(-first, 0), min(255 - last, 255)
    return (lowest + highest) // 2 if lowest <= highest else None
