"""Convolutions between maps sorted by the phase of their pixels: transposed ones, and those behind depth_to_space.

The phase of row y of a map is y mod s. Sorted by phase a map [C, H, W] is one of [C * s * s, H / s, W / s], in which
channel c * s * s + (y mod s) * s + (x mod s) holds the pixels of one phase: depth_to_space of mode crd gives the map
back. This order keeps the channels of a group together, and a concat of sorted maps is the sorted concat. A row of
zeros outside a map is one outside the sorted map, so zero padding stays zero padding.

A convolution of sorted maps is an ordinary convolution with a kernel for each pair of phases, and axes are independent:
result row s * m + p sees source row s * (m + offset) + q, which is row m + offset of phase q.

Sources: lowering-facts.md 5 (sub-pixel form); the rest is derived here.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import gcd
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Tap(NamedTuple):
    """Number `tap` of a kernel takes `source`, a phase of the input, `offset` rows further, to phase `result`."""

    tap: int
    source: int
    result: int
    offset: int


@dataclass(frozen=True)
class PhaseAxis:
    """One spatial axis of a convolution between sorted maps: from `sources` phases to `results`.

    Tap i of its `kernel` taps is at offset `first` + i * `dilation`; it pads by `low` and `high`, has a `stride` and
    gives `size` rows, all of them of sorted maps.
    """

    taps: tuple[Tap, ...]
    sources: int
    results: int
    first: int
    kernel: int
    dilation: int
    low: int
    high: int
    stride: int
    size: int

    @staticmethod
    def of_transposed(size: int, wanted: int, kernel: int, stride: int, low: int, dilation: int) -> "PhaseAxis":
        """A transposed convolution of `size` rows that gives `wanted`; its result is sorted by its stride.

        Row y adds to row y * stride + tap * dilation - low.
        """
        taps: list[Tap] = []
        for tap in range(kernel):
            result = (tap * dilation - low) % stride
            taps.append(Tap(tap, 0, result, (result + low - tap * dilation) // stride))
        return _arranged(taps, 1, stride, size, -(-wanted // stride), 1)

    @staticmethod
    def of_convolution(
        block: int, size: int, wanted: int, kernel: int, stride: int, low: int, dilation: int
    ) -> "PhaseAxis | None":
        """A convolution of a map sorted by `block`, of `size` rows as such, that gives `wanted` rows when not sorted.

        None where neither of block and stride divides the other. Row y sees row y * stride + tap * dilation - low.
        """
        if block % stride and stride % block:
            return None
        results = max(block // stride, 1)
        taps = [
            Tap(tap, (result * stride + tap * dilation - low) % block, result, at // block)
            for tap in range(kernel)
            for result in range(results)
            for at in (result * stride + tap * dilation - low,)
        ]
        return _arranged(taps, block, results, size, -(-wanted // results), max(stride // block, 1))


def _arranged(taps: Sequence[Tap], sources: int, results: int, size: int, count: int, stride: int) -> PhaseAxis:
    """The axis with the smallest kernel for `taps`, and the pads for it to give `count` rows.

    Pads are not negative: where the convolution leaves out rows of the input, the kernel has taps of zero.
    """
    offsets = sorted({tap.offset for tap in taps})
    first, last = min(offsets[0], 0), max(offsets[-1], size - count * stride)
    step = gcd(*(offset - offsets[0] for offset in offsets)) or 1
    if (first, last) != (offsets[0], offsets[-1]):
        step = 1
    high = max((count - 1) * stride + last + 1 - size, 0)
    return PhaseAxis(
        tuple(taps), sources, results, first, (last - first) // step + 1, step, -first, high, stride, count
    )


def phase_weight(weight: "NDArray[np.float32]", rows: PhaseAxis, columns: PhaseAxis) -> "NDArray[np.float32]":
    """The kernels between phases: [OC * result phases, source phases, IC, KH, KW] of a weight [OC, IC, kh, kw]."""
    import numpy as np

    outputs, inputs = weight.shape[:2]
    phases = (rows.results, columns.results, rows.sources, columns.sources)
    full = np.zeros((outputs, *phases, inputs, rows.kernel, columns.kernel), np.float32)
    for down in rows.taps:
        for right in columns.taps:
            place = (down.offset - rows.first) // rows.dilation, (right.offset - columns.first) // columns.dilation
            phase = (down.result, right.result, down.source, right.source)
            full[:, *phase, :, *place] += weight[:, :, down.tap, right.tap]
    return full.reshape(outputs * phases[0] * phases[1], phases[2] * phases[3], *full.shape[5:])


def phase_bias(bias: "NDArray[np.float32]", phases: int) -> "NDArray[np.float32]":
    """A number for each channel as one for each channel of the sorted map."""
    import numpy as np

    return np.repeat(bias, phases)


def pads_of(axes: Iterable[PhaseAxis]) -> tuple[int, ...]:
    """(top, left, bottom, right) of a convolution with these axes."""
    rows, columns = axes
    return rows.low, columns.low, rows.high, columns.high
