"""Observers: what range should the 256 codes of a tensor cover, given the values calibration shows.

An observer sees arrays (`update`), can be joined with another of its kind (`merge`), survives as JSON and answers
`range()`. All but `MinMax` keep a histogram whose bins are 2**e wide and begin at multiples of that, so that growing
and merging histograms only ever adds neighbouring bins and never splits one.
"""

from abc import ABC, abstractmethod
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

MAXIMUM_BINS = 4096

SAMPLE = 1 << 15
"""Of larger arrays about this many values are counted, evenly taken, each for as many as it stands for."""


class Histogram:
    """Counts of values in bins [i, i+1) * 2**exponent, at most 4096 of them; exact zeros are counted apart.

    `first` is the index i of `counts[0]`; `lo` and `hi` are the exact extremes seen. NaN and infinities are ignored.
    """

    def __init__(self) -> None:
        self.exponent = 0
        self.first = 0
        self.counts: NDArray[np.int64] = np.zeros(0, np.int64)
        self.zeros = 0
        self.lo = np.inf
        self.hi = -np.inf

    @property
    def empty(self) -> bool:
        """No finite value has been seen."""
        return self.lo > self.hi

    @property
    def centres(self) -> NDArray[np.float64]:
        """The middle of each bin."""
        return np.ldexp(self.first + np.arange(len(self.counts)) + 0.5, self.exponent)

    def update(self, array: ArrayLike) -> None:
        """Count the values of an array of any shape."""
        x = np.asarray(array).ravel()
        if x.dtype.kind != "f" or x.dtype.itemsize < 4:
            x = x.astype(np.float64)
        if not x.size:
            return
        lo, hi = float(x.min()), float(x.max())
        if not (np.isfinite(lo) and np.isfinite(hi)):
            self.update(x[np.isfinite(x)])
            return
        self._reserve(lo, hi)
        # An odd stride does not follow the columns of a picture.
        stride = x.size // SAMPLE | 1
        x = np.ascontiguousarray(x[::stride])
        # A power of two scales exactly; the subtraction may round up to the next bin, hence one bin to spare.
        position = x * x.dtype.type(2.0**-self.exponent)
        position -= x.dtype.type(self.first)
        # Conversion to 32 bits is several times faster than to 64.
        counted = np.bincount(position.astype(np.int32), minlength=len(self.counts) + 1)
        counted[-2] += counted[-1]
        zeros = int(np.count_nonzero(x == 0))
        if zeros:
            counted[-self.first] -= zeros
        self.counts += counted[:-1] * stride
        self.zeros += zeros * stride

    def merge(self, other: Self) -> None:
        """Add another histogram's counts; the wider bins of the two remain."""
        if other.empty:
            return
        self._reserve(other.lo, other.hi, other.exponent)
        index = (other.first + np.arange(len(other.counts))) >> (self.exponent - other.exponent)
        np.add.at(self.counts, index - self.first, other.counts)
        self.zeros += other.zeros

    def _reserve(self, lo: float, hi: float, exponent: int | None = None) -> None:
        """Make the bins cover [lo, hi] too, doubling their width while they are too many."""
        if self.lo <= lo and hi <= self.hi and (exponent is None or exponent <= self.exponent):
            return
        low, high = min(lo, self.lo), max(hi, self.hi)
        if exponent is None:
            exponent = _finest_exponent(low, high) if self.empty else self.exponent
        if not self.empty:
            exponent = max(exponent, self.exponent)
        # The margin of two keeps values that round into a neighbouring bin inside.
        while np.floor(np.ldexp(high, -exponent)) - np.floor(np.ldexp(low, -exponent)) > MAXIMUM_BINS - 3:
            exponent += 1
        first = int(np.floor(np.ldexp(low, -exponent)))
        last = int(np.floor(np.ldexp(high, -exponent))) + 1
        counts = np.zeros(last - first + 1, np.int64)
        if len(self.counts):
            index = (self.first + np.arange(len(self.counts))) >> (exponent - self.exponent)
            keep = index <= last  # the spare bins at the top are empty
            np.add.at(counts, index[keep] - first, self.counts[keep])
        self.exponent, self.first, self.counts, self.lo, self.hi = exponent, first, counts, low, high

    def clip(self, lo: float, hi: float) -> tuple[float, float]:
        """Both ends, not outside what has been seen."""
        return min(max(lo, self.lo), self.hi), min(max(hi, self.lo), self.hi)

    def to_json(self) -> dict[str, Any]:
        """Plain lists and numbers."""
        return {
            "exponent": self.exponent,
            "first": self.first,
            "counts": self.counts.tolist(),
            "zeros": self.zeros,
            "range": None if self.empty else [self.lo, self.hi],
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Self:
        """The inverse of `to_json`. Raises ValueError for bins that do not belong to their range."""
        histogram = cls()
        histogram.exponent, histogram.first, histogram.zeros = data["exponent"], data["first"], data["zeros"]
        histogram.counts = np.array(data["counts"], np.int64)
        if data["range"] is not None:
            histogram.lo, histogram.hi = data["range"]
            first, last = (int(np.floor(np.ldexp(end, -histogram.exponent))) for end in data["range"])
            if (histogram.first, histogram.counts.shape) != (first, (last - first + 2,)):
                raise ValueError("the bins of the histogram do not cover its range")
        if (histogram.counts < 0).any() or histogram.zeros < 0:
            raise ValueError("the histogram counts less than nothing")
        return histogram


def _finest_exponent(lo: float, hi: float) -> int:
    """The smallest bin width 2**e worth having: 4096 bins over the range, or the float32 step of a lone value."""
    width = max(hi - lo, max(abs(lo), abs(hi)) * 2.0**-20, 2.0**-100)
    return int(np.ceil(np.log2(width / (MAXIMUM_BINS - 2))))


class Observer(ABC):
    """Sees a tensor's values and answers with the range its codes should cover."""

    method: ClassVar[str]

    @abstractmethod
    def update(self, array: ArrayLike) -> None:
        """Take note of the values of an array of any shape; NaN and infinities are ignored."""

    @abstractmethod
    def merge(self, other: "Observer") -> None:
        """Take note of everything another observer has seen. Raises TypeError unless it is of the same kind."""

    @abstractmethod
    def range(self) -> tuple[float, float]:
        """(lo, hi) in real units, lo <= hi. Raises ValueError when no finite value has been seen."""

    @abstractmethod
    def to_json(self) -> dict[str, Any]:
        """The state as plain JSON data; `observer_from_json` restores it."""

    @classmethod
    @abstractmethod
    def from_json(cls, data: dict[str, Any]) -> Self:
        """The inverse of `to_json`."""


class MinMax(Observer):
    """Everything seen, from the smallest to the largest value."""

    method = "minmax"

    def __init__(self) -> None:
        self.lo = np.inf
        self.hi = -np.inf

    def update(self, array: ArrayLike) -> None:
        """Widen the range to the values of an array."""
        x = np.asarray(array)
        if not x.size:
            return
        lo, hi = float(x.min()), float(x.max())
        if not (np.isfinite(lo) and np.isfinite(hi)):
            self.update(x[np.isfinite(x)])
            return
        self.lo, self.hi = min(self.lo, lo), max(self.hi, hi)

    def merge(self, other: Observer) -> None:
        """The union of both ranges."""
        if not isinstance(other, MinMax):
            raise TypeError(f"cannot merge a {other.method} observer into a {self.method} one")
        self.lo, self.hi = min(self.lo, other.lo), max(self.hi, other.hi)

    def range(self) -> tuple[float, float]:
        """The extremes seen."""
        if self.lo > self.hi:
            raise ValueError("the observer has seen no finite value")
        return self.lo, self.hi

    def to_json(self) -> dict[str, Any]:
        """Method and extremes."""
        return {"method": self.method, "range": None if self.lo > self.hi else [self.lo, self.hi]}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Self:
        """The inverse of `to_json`."""
        observer = cls()
        if data["range"] is not None:
            observer.lo, observer.hi = data["range"]
        return observer


class _HistogramObserver(Observer):
    """Base of the observers that decide from a histogram."""

    def __init__(self) -> None:
        self.histogram = Histogram()

    def update(self, array: ArrayLike) -> None:
        self.histogram.update(array)

    def merge(self, other: Observer) -> None:
        """The sum of both histograms."""
        if not isinstance(other, _HistogramObserver) or other.method != self.method:
            raise TypeError(f"cannot merge a {other.method} observer into a {self.method} one")
        self.histogram.merge(other.histogram)

    def range(self) -> tuple[float, float]:
        if self.histogram.empty:
            raise ValueError("the observer has seen no finite value")
        if not self.histogram.counts.any():
            return 0.0, 0.0
        return self.choose(self.histogram)

    @abstractmethod
    def choose(self, histogram: Histogram) -> tuple[float, float]:
        """(lo, hi) for a histogram with at least one value other than 0."""

    def to_json(self) -> dict[str, Any]:
        return {"method": self.method, "histogram": self.histogram.to_json()}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Self:
        observer = cls()
        observer.histogram = Histogram.from_json(data["histogram"])
        return observer


class Percentile(_HistogramObserver):
    """Cut `tail` of the values off at either end."""

    method = "percentile"

    tail = 1e-4
    """Share of the values cut at each end."""

    def choose(self, histogram: Histogram) -> tuple[float, float]:
        """The two quantiles, interpolated within their bins."""
        counts = histogram.counts.astype(np.float64)
        if 0 <= -histogram.first < len(counts):
            counts[-histogram.first] += histogram.zeros
        edges = np.ldexp(histogram.first + np.arange(len(counts) + 1.0), histogram.exponent)
        below = np.concatenate([[0.0], np.cumsum(counts)])
        lo, hi = np.interp([self.tail * below[-1], (1 - self.tail) * below[-1]], below, edges)
        return histogram.clip(float(lo), float(hi))


class MeanSquaredError(_HistogramObserver):
    """The range with the least expected squared error: rounding noise s²/12 inside, distance to the edge outside.

    Exact zeros are representable and have no rounding error. Clipping is only accepted when it lowers the error of
    the whole range by `least_gain`: what little a smaller gain brings on the calibration data is lost again on the
    first unseen value beyond the edge.
    """

    method = "mse"

    least_gain = 0.0
    smallest_fraction = 0.3
    """Neither end is pulled in further than to this fraction of the extreme value."""

    candidates = 96

    def choose(self, histogram: Histogram) -> tuple[float, float]:
        """The best pair of a grid of lower and upper ends."""
        lo, hi = min(histogram.lo, 0.0), max(histogram.hi, 0.0)
        fractions = np.linspace(1.0, self.smallest_fraction, self.candidates)
        lows = lo * fractions if lo < 0 else np.zeros(1)
        highs = hi * fractions if hi > 0 else np.zeros(1)
        error = _expected_error(histogram, lows, highs)
        best = np.unravel_index(error.argmin(), error.shape)
        if error[best] > (1 - self.least_gain) * error[0, 0]:
            return histogram.lo, histogram.hi
        # A range that does not reach 0 is reported as seen where it was not clipped.
        low = float(lows[best[0]]) if best[0] else histogram.lo
        high = float(highs[best[1]]) if best[1] else histogram.hi
        return low, high


class GuardedMeanSquaredError(MeanSquaredError):
    """The default: least squared error, but no clipping for next to no gain."""

    method = "auto"
    least_gain = 0.02


class KullbackLeibler(_HistogramObserver):
    """The range whose 256-level version of the clipped distribution diverges least from it (`lowering-facts.md` 10.2).

    The upper end is searched first, then the lower, each with the outliers counted in the edge bins of the reference
    and left out of its quantized version.
    """

    method = "kl"

    candidates = 48
    smallest_fraction = 0.3

    def choose(self, histogram: Histogram) -> tuple[float, float]:
        """The best upper end for the full lower one, then the best lower end for that."""
        lo, hi = min(histogram.lo, 0.0), max(histogram.hi, 0.0)
        fractions = np.linspace(1.0, self.smallest_fraction, self.candidates)
        if hi > 0:
            hi = min(hi * fractions, key=lambda h: _divergence(histogram, lo, float(h)))
        if lo < 0:
            lo = min(lo * fractions, key=lambda low: _divergence(histogram, float(low), float(hi)))
        return histogram.clip(float(lo), float(hi))


def _expected_error(histogram: Histogram, lows: NDArray[np.float64], highs: NDArray[np.float64]) -> NDArray[np.float64]:
    """Squared error [len(lows), len(highs)], summed over all values, of quantizing to 256 levels on [low, high]."""
    centres = histogram.centres
    moments = np.zeros((3, len(centres) + 1))
    np.cumsum(histogram.counts * centres ** np.arange(3)[:, None], axis=1, out=moments[:, 1:])
    below = moments[:, np.searchsorted(centres, lows)]
    above = moments[:, -1:] - moments[:, np.searchsorted(centres, highs, side="right")]
    clipped_low = below[2] - 2 * lows * below[1] + lows**2 * below[0]
    clipped_high = above[2] - 2 * highs * above[1] + highs**2 * above[0]
    inside = moments[0, -1] - below[0][:, None] - above[0][None]
    step = (highs[None] - lows[:, None]) / 255
    return clipped_low[:, None] + clipped_high[None] + inside * step**2 / 12


def _divergence(histogram: Histogram, lo: float, hi: float) -> float:
    """Kullback-Leibler divergence of the 256-level histogram on [lo, hi] from the clipped one; zeros left out."""
    centres, counts = histogram.centres, histogram.counts.astype(np.float64)
    inside = (centres >= lo) & (centres <= hi)
    kept = counts[inside]
    total = counts.sum()
    if not kept.sum():
        return np.inf
    reference = kept.copy()
    reference[0] += counts[centres < lo].sum()
    reference[-1] += counts[centres > hi].sum()
    level = np.minimum(((centres[inside] - lo) * (256 / (hi - lo))).astype(np.intp), 255)
    occupied = kept > 0
    sums = np.bincount(level, kept, 256)
    width = np.bincount(level[occupied], minlength=256)
    quantized = np.where(occupied, (sums / np.maximum(width, 1))[level], 0.0)
    p, q = reference / total, quantized / kept.sum()
    both = (p > 0) & (q > 0)
    # A reference value no level can produce counts in full, as in the published calibrators.
    return float((p[both] * np.log(p[both] / q[both])).sum() + p[(p > 0) & (q == 0)].sum())


_OBSERVERS: dict[str, type[Observer]] = {
    kind.method: kind for kind in (GuardedMeanSquaredError, MinMax, Percentile, MeanSquaredError, KullbackLeibler)
}
METHODS = tuple(_OBSERVERS)
"""The names `make_observer` knows."""


def make_observer(method: str = "auto") -> Observer:
    """A fresh observer: auto, minmax, percentile, mse or kl. Raises ValueError for any other name."""
    if method not in _OBSERVERS:
        raise ValueError(f"calibration method must be one of {', '.join(METHODS)}, got {method!r}")
    return _OBSERVERS[method]()


def observer_from_json(data: dict[str, Any]) -> Observer:
    """The observer whose `to_json` gave `data`. Raises ValueError for an unknown method."""
    if data.get("method") not in _OBSERVERS:
        raise ValueError(f"calibration method must be one of {', '.join(METHODS)}, got {data.get('method')!r}")
    return _OBSERVERS[data["method"]].from_json(data)
